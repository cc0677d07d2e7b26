//! Recurrent states of several streams as bytes of a checkpoint.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{Device, Tensor, safetensors as candle_safetensors};
use vpt_policy::{LayerState, PolicyConfig, RecurrentState};

use crate::error::LearnerError;

/// A safetensors file with `layer<i>.{mask,keys,values}`.
pub(crate) fn to_bytes(state: &RecurrentState) -> Result<Vec<u8>, LearnerError> {
    to_bytes_with(state, None)
}

/// The same, with entries in the file's metadata.
pub(crate) fn to_bytes_with(
    state: &RecurrentState,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, LearnerError> {
    let tensors = state.layers.iter().enumerate().flat_map(|(i, layer)| {
        [("mask", &layer.mask), ("keys", &layer.keys), ("values", &layer.values)]
            .map(|(field, tensor)| (format!("layer{i}.{field}"), tensor.clone()))
    });
    Ok(safetensors::serialize(tensors.collect::<Vec<_>>(), metadata)?)
}

/// Reads what [`to_bytes`] wrote.
///
/// # Errors
/// When the bytes are not that, or of another network or number of streams.
pub(crate) fn from_bytes(
    bytes: &[u8],
    config: &PolicyConfig,
    lanes: usize,
    device: &Device,
) -> Result<RecurrentState, LearnerError> {
    let mut tensors: HashMap<String, Tensor> = candle_safetensors::load_buffer(bytes, device)?;
    let (m, e) = (config.maxlen(), config.hidsize);
    let mut take = |name: String, shape: &[usize]| {
        tensors.remove(&name).filter(|tensor| tensor.dims() == shape).ok_or(LearnerError::Lanes { name })
    };
    let layers = (0..config.n_recurrence_layers).map(|i| {
        Ok(LayerState {
            mask: take(format!("layer{i}.mask"), &[lanes, m])?,
            keys: take(format!("layer{i}.keys"), &[lanes, m, e])?,
            values: take(format!("layer{i}.values"), &[lanes, m, e])?,
        })
    });
    Ok(RecurrentState { layers: layers.collect::<Result<_, LearnerError>>()? })
}

/// The states of some of the streams.
///
/// # Errors
/// When there are fewer.
pub(crate) fn part(state: &RecurrentState, streams: Range<usize>) -> Result<RecurrentState, LearnerError> {
    let rows = streams.map(|stream| state.row(stream)).collect::<Result<Vec<_>, _>>()?;
    Ok(RecurrentState::cat(&rows.iter().collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_and_misfits_are_named() {
        let config = PolicyConfig::tiny();
        let mut state = RecurrentState::initial(&config, 2, &Device::Cpu).unwrap();
        state.layers[1].keys = (&state.layers[1].keys + 0.1).unwrap();
        let bytes = to_bytes(&state).unwrap();
        let read = from_bytes(&bytes, &config, 2, &Device::Cpu).unwrap();
        for row in 0..2 {
            assert_eq!(read.row(row).unwrap().to_raw().unwrap(), state.row(row).unwrap().to_raw().unwrap());
        }
        let message = from_bytes(&bytes, &config, 3, &Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("layer0.mask"), "{message}");
        assert!(from_bytes(&bytes[..40], &config, 2, &Device::Cpu).is_err());
    }
}
