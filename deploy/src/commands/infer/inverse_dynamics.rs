//! The inverse dynamics model over frames: videos longer than its window are cut as the paper does.

use std::collections::BTreeMap;

use candle_core::Tensor;
use vpt_policy::openai::NamedTensors;
use vpt_policy::{InverseDynamics, InverseDynamicsConfig, Parameters};

use super::{log_softmax, tensor_file};
use crate::cli::InferArgs;

pub(super) fn run(
    args: &InferArgs,
    config: &InverseDynamicsConfig,
    weights: &NamedTensors,
    frames: &Tensor,
) -> anyhow::Result<()> {
    let parameters = Parameters::from_tensors(weights, config, false, frames.device())?;
    let output = InverseDynamics::new(config, &parameters)?.forward_video(frames)?;
    let tensors = BTreeMap::from([
        ("buttons_logp".to_owned(), log_softmax(&output.buttons_logits)?),
        ("camera_logp".to_owned(), log_softmax(&output.camera_logits)?),
    ]);
    tensor_file::write(&args.out, &tensors)
}
