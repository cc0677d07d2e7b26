//! The four linear heads on the one latent: buttons, camera, value and auxiliary value.

use candle_core::{Device, Tensor};

use super::fan_in::Linear;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::precision::Precision;

#[derive(Debug, Clone)]
pub(super) struct Heads {
    buttons: Linear,
    camera: Linear,
    value: Linear,
    aux_value: Option<Linear>,
    temperature: f64,
}

impl Heads {
    pub(super) fn new(params: &Parameters, temperature: f32) -> Result<Self> {
        let aux = "aux_value_head.linear";
        let has_aux = params.find(&format!("{aux}.weight")).is_some();
        Ok(Self {
            buttons: Linear::new(params, "pi_head.buttons.linear_layer")?,
            camera: Linear::new(params, "pi_head.camera.linear_layer")?,
            value: Linear::new(params, "value_head.linear")?,
            aux_value: has_aux.then(|| Linear::new(params, aux)).transpose()?,
            temperature: f64::from(temperature),
        })
    }

    /// Where the weights are.
    pub(super) fn device(&self) -> &Device {
        self.value.device()
    }

    /// Packs all weights for acting in `precision`; the value heads', a row each, as f32.
    pub(super) fn pack(&mut self, precision: Precision) -> Result<()> {
        self.buttons.pack(precision)?;
        self.camera.pack(precision)?;
        self.value.pack(Precision::F32)?;
        self.aux_value.as_mut().map_or(Ok(()), |head| head.pack(Precision::F32))
    }

    /// Latent `[N, E]` to logits `[N, 8641]` and `[N, 121]`, divided by the temperature.
    pub(super) fn logits(&self, latent: &Tensor) -> Result<(Tensor, Tensor)> {
        let buttons = self.buttons.forward_divided(latent, self.temperature)?;
        Ok((buttons, self.camera.forward_divided(latent, self.temperature)?))
    }

    /// Latent `[N, E]` to normalised values `[N, 1]`.
    pub(super) fn value(&self, latent: &Tensor) -> Result<Tensor> {
        self.value.forward(latent)
    }

    /// Latent `[N, E]` to normalised values `[N, 1]` of the auxiliary head, if there is one.
    pub(super) fn aux_value(&self, latent: &Tensor) -> Result<Option<Tensor>> {
        self.aux_value.as_ref().map(|head| head.forward(latent)).transpose()
    }
}
