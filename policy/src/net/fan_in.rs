//! The layer everything is made of: norm over the inputs, then a convolution or linear map, then ReLU
//! (`FanInInitReLULayer`). The norm replaces the bias.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops;
use crate::parameters::Parameters;

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
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn new(params: &Parameters, name: &str) -> Result<Self> {
        let weight = params.get(&format!("{name}.weight"))?.clone();
        Ok(Self { weight, bias: params.find(&format!("{name}.bias")).cloned() })
    }

    /// x `[N, I]` to `[N, O]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(ops::linear(x, &self.weight, self.bias.as_ref(), false)?)
    }

    /// As [`forward`](Self::forward), the result divided by `temperature` without a pass over it.
    pub(super) fn forward_divided(&self, x: &Tensor, temperature: f64) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| bias / temperature).transpose()?;
        Ok(ops::linear(&(x / temperature)?, &self.weight, bias.as_ref(), false)?)
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
        let Linear { weight, bias } = &self.layer;
        let normed = self.norm.as_ref().map(|norm| norm.forward(x)).transpose()?;
        Ok(ops::linear(normed.as_ref().unwrap_or(x), weight, bias.as_ref(), true)?)
    }

    /// x `[N, I, H, W]` to `[N, O, H, W]` by a 3x3 convolution, or to half that size with `pool` after it.
    pub(super) fn conv(&self, x: &Tensor, pool: bool) -> Result<Tensor> {
        let Linear { weight, bias } = &self.layer;
        Ok(match (&self.norm, pool) {
            (Some(norm), _) => ops::norm_conv3x3_relu(x, &norm.gain, &norm.bias, weight, pool)?,
            (None, true) => ops::conv3x3_relu_pool(x, weight, bias.as_ref())?,
            (None, false) => ops::conv3x3(x, weight, bias.as_ref(), true)?,
        })
    }
}
