//! `vpt infer`: runs a published network over recorded frames, safetensors in and safetensors out.
//!
//! In: `frames` u8 `[B, T, H, W, 3]` and, for a policy, `first` u8 `[B, T]` (absent: nothing starts inside). Out, for a
//! policy: `buttons_logp` `[B, T, 8641]`, `camera_logp` `[B, T, 121]`, `vpred_norm` and `vpred_denorm` `[B, T]`, and with
//! `--state-out` the memory as `state.layer{i}.{mask, k, v}`; for the inverse dynamics model `buttons_logp`
//! `[B, T, 20, 2]` and `camera_logp` `[B, T, 2, 11]`.

mod inverse_dynamics;
mod policy;
mod tensor_file;

use candle_core::{DType, Tensor};
use vpt_policy::device;
use vpt_policy::openai::{self, ModelFile};

use super::Usage;
use crate::cli::InferArgs;
use tensor_file::TensorFile;

pub(crate) fn run(args: &InferArgs) -> anyhow::Result<()> {
    let model = openai::read_model(&args.model)?;
    let opened = device::open(&args.device)?;
    if let Some(reason) = &opened.fallback {
        tracing::info!(%reason, "no GPU is used");
    }
    let device = opened.device;
    let input = TensorFile::read(&args.frames, &device)?;
    let frames = input.get("frames", DType::U8)?;
    let (batch, time) = match frames.dims() {
        &[batch, time, _, _, 3] if batch * time > 0 => (batch, time),
        other => {
            let problem =
                format!("frames in {} must be [B, T, H, W, 3], not {other:?}", args.frames.display());
            return Err(Usage(problem).into());
        }
    };
    let weights = openai::read_weights(&args.weights)?;
    match model {
        ModelFile::Policy(config) => {
            let first = match input.find("first", DType::U8)? {
                Some(first) => first,
                None => Tensor::zeros((batch, time), DType::U8, &device)?,
            };
            policy::run(args, &config, &weights, &frames, &first)?;
        }
        ModelFile::InverseDynamics(config) => {
            if args.state_in.is_some() || args.state_out.is_some() {
                let problem = "an inverse dynamics model has no memory: leave --state-in and --state-out out";
                return Err(Usage(problem.to_owned()).into());
            }
            inverse_dynamics::run(args, &config, &weights, &frames)?;
        }
    }
    println!("written: {} ({batch} x {time} frames)", args.out.display());
    Ok(())
}

/// Log-probabilities over the last dimension of `logits`, whatever lies before it.
fn log_softmax(logits: &Tensor) -> anyhow::Result<Tensor> {
    let classes = logits.dims().last().copied().unwrap_or(1);
    let mut numbers = logits.flatten_all()?.to_vec1::<f32>()?;
    let sums = vpt_policy::ops::log_sum_exp_rows(&numbers, classes);
    for (row, sum) in numbers.chunks_exact_mut(classes).zip(sums) {
        row.iter_mut().for_each(|logit| *logit -= sum);
    }
    Ok(Tensor::from_vec(numbers, logits.dims(), logits.device())?)
}
