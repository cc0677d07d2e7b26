//! A policy over frames: log-probabilities and values, chunk by chunk, with the memory carried along.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use vpt_policy::openai::NamedTensors;
use vpt_policy::{LayerState, Parameters, Policy, PolicyConfig, RecurrentState};

use super::tensor_file::{self, TensorFile};
use super::{Usage, log_softmax};
use crate::cli::InferArgs;

/// Output tensors of the chunks so far, by name.
type Chunks = BTreeMap<&'static str, Vec<Tensor>>;

pub(super) fn run(
    args: &InferArgs,
    config: &PolicyConfig,
    weights: &NamedTensors,
    frames: &Tensor,
    first: &Tensor,
) -> anyhow::Result<()> {
    let parameters = Parameters::from_tensors(weights, config, false, frames.device())?;
    let policy = Policy::new(config, &parameters)?;
    let (batch, time) = (frames.dims()[0], frames.dims()[1]);
    if first.dims() != [batch, time] {
        return Err(Usage(format!("`first` must be [{batch}, {time}], not {:?}", first.dims())).into());
    }
    let mut state = match &args.state_in {
        Some(path) => read_state(&TensorFile::read(path, frames.device())?, config)?,
        None => RecurrentState::initial(config, batch, frames.device())?,
    };
    let normalizer = parameters.normalizer()?;
    let mut chunks = Chunks::new();
    for start in (0..time).step_by(config.timesteps) {
        let length = config.timesteps.min(time - start);
        let cut = |tensor: &Tensor| tensor.narrow(1, start, length)?.contiguous();
        let output = policy.forward(&cut(frames)?, &cut(first)?, &state)?;
        let values = output.value.flatten_all()?.to_vec1::<f32>()?;
        let denormalised: Vec<f32> = values.iter().map(|&value| normalizer.denormalize(value)).collect();
        let mut push = |name, tensor| chunks.entry(name).or_default().push(tensor);
        push("buttons_logp", log_softmax(&output.buttons_logits)?);
        push("camera_logp", log_softmax(&output.camera_logits)?);
        push("vpred_denorm", Tensor::from_vec(denormalised, (batch, length), frames.device())?);
        push("vpred_norm", output.value);
        state = output.state;
    }
    let joined = chunks.into_iter().map(|(name, parts)| Ok((name.to_owned(), Tensor::cat(&parts, 1)?)));
    tensor_file::write(&args.out, &joined.collect::<anyhow::Result<_>>()?)?;
    match &args.state_out {
        Some(path) => tensor_file::write(path, &state_tensors(&state)?),
        None => Ok(()),
    }
}

/// Masks are `[B, 1, M]` in the files, as the reference has them.
fn state_tensors(state: &RecurrentState) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (i, layer) in state.layers.iter().enumerate() {
        tensors.insert(format!("state.layer{i}.mask"), layer.mask.unsqueeze(1)?);
        tensors.insert(format!("state.layer{i}.k"), layer.keys.contiguous()?);
        tensors.insert(format!("state.layer{i}.v"), layer.values.contiguous()?);
    }
    Ok(tensors)
}

/// The forward pass checks that the shapes are the network's.
fn read_state(file: &TensorFile, config: &PolicyConfig) -> anyhow::Result<RecurrentState> {
    let layer = |i: usize| -> anyhow::Result<LayerState> {
        let mask = file.get(&format!("state.layer{i}.mask"), DType::U8)?;
        let mask = if mask.rank() == 3 { mask.squeeze(1)? } else { mask };
        let keys = file.get(&format!("state.layer{i}.k"), DType::F32)?;
        Ok(LayerState { mask, keys, values: file.get(&format!("state.layer{i}.v"), DType::F32)? })
    };
    Ok(RecurrentState { layers: (0..config.n_recurrence_layers).map(layer).collect::<anyhow::Result<_>>()? })
}
