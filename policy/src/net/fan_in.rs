//! The layer everything is made of: norm over the inputs, then a convolution or linear map, then ReLU
//! (`FanInInitReLULayer`). The norm replaces the bias.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::ops::{self, PackedLinear};
use crate::parameters::Parameters;
use crate::precision::Precision;

/// Gain and bias of a layer norm or one-group group norm.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    gain: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn new(params: &Parameters, name: &str) -> Result<Self> {
        let get = |part: &str| params.get(&format!("{name}.{part}")).cloned();
        Ok(Self { gain: get("weight")?, bias: get("bias")? })
    }

    /// Gain and bias.
    pub(super) fn parameters(&self) -> [&Tensor; 2] {
        [&self.gain, &self.bias]
    }

    /// x `[N, C]` or `[N, C, H, W]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(ops::norm(x, &self.gain, &self.bias)?)
    }
}

/// Weight `[O, I]` and, where there is one, bias `[O]` of a plain linear layer.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    /// Empty where it is packed.
    weight: Tensor,
    bias: Option<Tensor>,
    /// In a network that only acts.
    packed: Option<Arc<PackedLinear>>,
}

impl Linear {
    pub(super) fn new(params: &Parameters, name: &str) -> Result<Self> {
        let weight = params.get(&format!("{name}.weight"))?.clone();
        Ok(Self { weight, bias: params.find(&format!("{name}.bias")).cloned(), packed: None })
    }

    pub(super) fn device(&self) -> &Device {
        self.weight.device()
    }

    /// Packs the weights for acting in `precision`; a packed layer stays as it is.
    pub(super) fn pack(&mut self, precision: Precision) -> Result<()> {
        if self.packed.is_some() {
            return Ok(());
        }
        self.packed = Some(Arc::new(PackedLinear::new(&self.weight, precision)?));
        // So that an actor's memory holds the weights once.
        self.weight = self.weight.narrow(0, 0, 0)?.force_contiguous()?;
        Ok(())
    }

    /// x `[N, I]` to `[N, O]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.map(x, self.bias.as_ref(), false)
    }

    /// As [`forward`](Self::forward), the result divided by `temperature` without a pass over it.
    pub(super) fn forward_divided(&self, x: &Tensor, temperature: f64) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| bias / temperature).transpose()?;
        self.map(&(x / temperature)?, bias.as_ref(), false)
    }

    fn map(&self, x: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        Ok(match &self.packed {
            Some(packed) => packed.forward(x, bias, relu)?,
            None => ops::linear(x, &self.weight, bias, relu)?,
        })
    }
}

/// Norm, layer, ReLU; the first convolution of all has a bias in place of the norm.
#[derive(Debug, Clone)]
pub(super) struct FanIn {
    norm: Option<Norm>,
    layer: Linear,
}

impl FanIn {
    pub(super) fn new(params: &Parameters, name: &str) -> Result<Self> {
        let has_norm = params.find(&format!("{name}.norm.weight")).is_some();
        let norm = has_norm.then(|| Norm::new(params, &format!("{name}.norm"))).transpose()?;
        Ok(Self { norm, layer: Linear::new(params, &format!("{name}.layer"))? })
    }

    /// Packs a linear layer's weights for acting in `precision`.
    pub(super) fn pack(&mut self, precision: Precision) -> Result<()> {
        self.layer.pack(precision)
    }

    /// Channels or features in.
    pub(super) fn inputs(&self) -> usize {
        self.layer.weight.dims()[1]
    }

    /// Channels or features out.
    pub(super) fn outputs(&self) -> usize {
        self.layer.weight.dims()[0]
    }

    /// Gain and bias of the norm, or else the layer's bias, then the weight.
    pub(super) fn parameters(&self) -> Vec<&Tensor> {
        let mut all = self.norm.as_ref().map(|norm| norm.parameters().to_vec()).unwrap_or_default();
        all.extend(&self.layer.bias);
        all.push(&self.layer.weight);
        all
    }

    /// x `[N, I]` to `[N, O]`.
    pub(super) fn linear(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm.as_ref().map(|norm| norm.forward(x)).transpose()?;
        self.layer.map(normed.as_ref().unwrap_or(x), self.layer.bias.as_ref(), true)
    }

    /// x `[N, I, H, W]` to `[N, O, H, W]` by a 3x3 convolution, or to half that size with `pool` after it.
    pub(super) fn conv(&self, x: &Tensor, pool: bool) -> Result<Tensor> {
        let Linear { weight, bias, .. } = &self.layer;
        Ok(match (&self.norm, pool) {
            (Some(norm), _) => ops::norm_conv3x3_relu(x, &norm.gain, &norm.bias, weight, pool)?,
            (None, true) => ops::conv3x3_relu_pool(x, weight, bias.as_ref())?,
            (None, false) => ops::conv3x3(x, weight, bias.as_ref(), true)?,
        })
    }
}
