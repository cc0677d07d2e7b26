//! Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) with the bias correction and clipping of PyTorch.
//!
//! Weight decay is decoupled (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2: θ shrinks by lr · λ before the
//! step) or coupled (λθ joins the gradient, as the VPT code's optimiser does). A parameter without a gradient is left
//! alone: no decay, no step, its moments and its step count stay.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::{PolicyError, Result};
use crate::gradients::Gradients;
use crate::ops::{self, AdamStep, adam_update};
use crate::parameters::Parameters;

/// How weight decay enters the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightDecay {
    /// The parameter shrinks by `lr * weight_decay` before the step (AdamW).
    Decoupled,
    /// `weight_decay * parameter` is added to the gradient (L2).
    Coupled,
}

/// Settings of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// What is added to the root of the latter.
    pub eps: f64,
    /// Strength of the weight decay; 0 for none.
    pub weight_decay: f64,
    /// How the decay enters.
    pub decay: WeightDecay,
}

/// The optimiser's memory for one parameter.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    numbers: Numbers,
    steps: u64,
}

/// Mean and square of one parameter's gradients, where the parameter lives.
#[derive(Debug)]
enum Numbers {
    Host(Vec<f32>, Vec<f32>),
    Device(Tensor, Tensor),
}

impl Numbers {
    fn zeros(parameter: &Tensor) -> Result<Self> {
        if ops::cuda::takes(parameter) {
            let (mean, square) = ops::cuda::moments(parameter)?;
            return Ok(Self::Device(mean, square));
        }
        let zeros = vec![0.0; parameter.elem_count()];
        Ok(Self::Host(zeros.clone(), zeros))
    }

    /// As many other numbers at the same place.
    fn replaced(&self, shape: &[usize], mean: Vec<f32>, square: Vec<f32>) -> Result<Self> {
        let put = |values: Vec<f32>, device: &Device| Tensor::from_vec(values, shape, device);
        Ok(match self {
            Self::Host(..) => Self::Host(mean, square),
            Self::Device(old, _) => Self::Device(put(mean, old.device())?, put(square, old.device())?),
        })
    }

    /// The same numbers in memory of their own.
    fn copy(&self) -> Result<Self> {
        Ok(match self {
            Self::Host(mean, square) => Self::Host(mean.clone(), square.clone()),
            Self::Device(mean, square) => Self::Device(mean.copy()?, square.copy()?),
        })
    }

    /// Little-endian bytes of both.
    fn bytes(&self) -> Result<[Vec<u8>; 2]> {
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let read =
            |tensor: &Tensor| -> Result<Vec<u8>> { Ok(bytes(&tensor.flatten_all()?.to_vec1::<f32>()?)) };
        Ok(match self {
            Self::Host(mean, square) => [bytes(mean), bytes(square)],
            Self::Device(mean, square) => [read(mean)?, read(square)?],
        })
    }
}

/// The optimiser and its moments, by parameter name.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    /// Learning rates of the parameters whose names begin so, in place of `config.lr`.
    prefix_lr: Vec<(String, f64)>,
    moments: BTreeMap<String, Moments>,
}

impl Adam {
    /// An optimiser with zero moments for the trainable parameters.
    ///
    /// # Errors
    /// When the device has no memory for them.
    pub fn new(parameters: &Parameters, config: AdamConfig) -> Result<Self> {
        Self::for_vars(&parameters.vars(), config)
    }

    fn for_vars(vars: &[(String, Var)], config: AdamConfig) -> Result<Self> {
        let zero = |var: &Var| -> Result<Moments> {
            Ok(Moments { shape: var.dims().to_vec(), numbers: Numbers::zeros(var.as_tensor())?, steps: 0 })
        };
        let moments = vars.iter().map(|(name, var)| Ok((name.clone(), zero(var)?))).collect::<Result<_>>()?;
        Ok(Self { config, prefix_lr: Vec::new(), moments })
    }

    /// Sets the learning rate of the steps to come.
    pub fn set_lr(&mut self, lr: f64) {
        self.config.lr = lr;
    }

    /// Gives the parameters whose names begin with `prefix` a learning rate of their own.
    pub fn set_prefix_lr(&mut self, prefix: &str, lr: f64) {
        self.prefix_lr.retain(|(known, _)| known != prefix);
        self.prefix_lr.push((prefix.to_owned(), lr));
    }

    fn lr_of(&self, name: &str) -> f64 {
        let own = self.prefix_lr.iter().find(|(prefix, _)| name.starts_with(prefix));
        own.map_or(self.config.lr, |(_, lr)| *lr)
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// Takes one step, clipping the gradients' global norm at `max_norm`; returns the norm before clipping.
    ///
    /// # Errors
    /// A gradient whose shape is not its parameter's.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: &Gradients,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        self.step_vars(&parameters.vars(), gradients, max_norm)
    }

    fn step_vars(
        &mut self,
        vars: &[(String, Var)],
        gradients: &Gradients,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        let norm = gradients.global_norm()?;
        // PyTorch's clip_grad_norm_, its 1e-6 included.
        let clip = max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        // On a GPU, for one launch over all of them.
        let mut together = Vec::new();
        for (name, var) in vars {
            let Some(grad) = gradients.get(name) else { continue };
            let config = AdamConfig { lr: self.lr_of(name), ..self.config };
            let moments = self
                .moments
                .get_mut(name)
                .ok_or_else(|| PolicyError::UnknownParameter { name: name.clone() })?;
            moments.steps += 1;
            let step = step_numbers(&config, moments.steps, clip);
            match &mut moments.numbers {
                Numbers::Host(mean, square) => adam_update(var.as_tensor(), grad, (mean, square), step)?,
                Numbers::Device(mean, square) => {
                    together.push((var, grad, mean.clone(), square.clone(), step))
                }
            }
        }
        let updates = together.iter().map(|(var, grad, mean, square, step)| ops::cuda::Update {
            parameter: var.as_tensor(),
            grad,
            moments: (mean, square),
            step: *step,
        });
        ops::cuda::adam(&updates.collect::<Vec<_>>())?;
        Ok(norm)
    }

    /// A copy that steps to come leave alone: for saving while training goes on.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn frozen_copy(&self) -> Result<Self> {
        let copy = |m: &Moments| -> Result<Moments> {
            Ok(Moments { shape: m.shape.clone(), numbers: m.numbers.copy()?, steps: m.steps })
        };
        let moments = self.moments.iter().map(|(name, m)| Ok((name.clone(), copy(m)?)));
        Ok(Self {
            config: self.config,
            prefix_lr: self.prefix_lr.clone(),
            moments: moments.collect::<Result<_>>()?,
        })
    }

    /// Moments and step counts as a safetensors file: the same state gives the same bytes.
    ///
    /// # Errors
    /// When the device fails; serialisation reports its own.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let mut data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, m) in &self.moments {
            let [mean, square] = m.numbers.bytes()?;
            data.push((format!("mean.{name}"), Dtype::F32, m.shape.clone(), mean));
            data.push((format!("square.{name}"), Dtype::F32, m.shape.clone(), square));
            data.push((format!("steps.{name}"), Dtype::U64, vec![1], m.steps.to_le_bytes().to_vec()));
        }
        let views = data
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(safetensors::serialize(views, None)?)
    }

    /// Restores what [`Self::to_safetensors`] wrote; on an error nothing changes.
    ///
    /// # Errors
    /// Bytes that are not safetensors, and any tensor that is missing, extra, mis-shaped or mis-typed: all are listed.
    pub fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let file = SafeTensors::deserialize(bytes)?;
        let mut problems = Vec::new();
        let mut read = BTreeMap::new();
        for (name, mine) in &self.moments {
            let mut take = |kind: &str, dtype: Dtype, shape: &[usize]| {
                let key = format!("{kind}.{name}");
                match file.tensor(&key) {
                    Ok(t) if t.dtype() == dtype && t.shape() == shape => Some(t.data().to_vec()),
                    Ok(t) => {
                        problems.push(format!(
                            "{key} is {:?} {:?}, needs {dtype:?} {shape:?}",
                            t.dtype(),
                            t.shape()
                        ));
                        None
                    }
                    Err(_) => {
                        problems.push(format!("{key} is missing"));
                        None
                    }
                }
            };
            let mean = take("mean", Dtype::F32, &mine.shape);
            let square = take("square", Dtype::F32, &mine.shape);
            let steps = take("steps", Dtype::U64, &[1]);
            if let (Some(mean), Some(square), Some(steps)) = (mean, square, steps) {
                let steps = u64::from_le_bytes(steps.try_into().expect("one u64, by its shape"));
                let shape = mine.shape.clone();
                let numbers = mine.numbers.replaced(&shape, floats(&mean), floats(&square))?;
                read.insert(name.clone(), Moments { shape, numbers, steps });
            }
        }
        let known = |key: &str| key.split_once('.').is_some_and(|(_, name)| self.moments.contains_key(name));
        problems
            .extend(file.names().into_iter().filter(|n| !known(n)).map(|n| format!("{n} is not expected")));
        if !problems.is_empty() {
            problems.sort();
            return Err(PolicyError::Weights { problems });
        }
        self.moments = read;
        Ok(())
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn step_numbers(config: &AdamConfig, steps: u64, clip: f64) -> AdamStep {
    let t = steps as f64;
    let (coupled, shrink) = match config.decay {
        WeightDecay::Coupled => (config.weight_decay, 1.0),
        WeightDecay::Decoupled => (0.0, 1.0 - config.lr * config.weight_decay),
    };
    AdamStep {
        grad_scale: clip as f32,
        beta1: config.beta1 as f32,
        beta2: config.beta2 as f32,
        step_size: (config.lr / (1.0 - config.beta1.powf(t))) as f32,
        root_scale: (1.0 / (1.0 - config.beta2.powf(t)).sqrt()) as f32,
        eps: config.eps as f32,
        coupled_decay: coupled as f32,
        shrink: shrink as f32,
    }
}

#[cfg(test)]
mod tests;
