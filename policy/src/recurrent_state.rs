//! The transformer's memory between calls: per layer the last `maxlen` key and value rows, before the split into
//! heads, and which of them belong to the episode in progress.

use candle_core::{DType, Device, Tensor};

use crate::config::PolicyConfig;
use crate::error::{PolicyError, Result};

/// One layer's memory for a batch of environments.
#[derive(Debug, Clone)]
pub struct LayerState {
    /// u8 [B, M]: 1 where the row belongs to the current episode; M is [`PolicyConfig::maxlen`].
    pub mask: Tensor,
    /// f32 `[B, M, E]`, oldest row first.
    pub keys: Tensor,
    /// f32 `[B, M, E]`, oldest row first.
    pub values: Tensor,
}

/// All layers' memory for a batch of environments; never part of a gradient. A network without memory has no layers,
/// and its state is one for any number of environments.
#[derive(Debug, Clone)]
pub struct RecurrentState {
    /// First block first.
    pub layers: Vec<LayerState>,
}

/// One environment's memory of one layer as plain numbers, for the wire and for checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct RawLayerState {
    /// `[M]`, 1 where visible.
    pub mask: Vec<u8>,
    /// `[M * E]`.
    pub keys: Vec<f32>,
    /// `[M * E]`.
    pub values: Vec<f32>,
}

impl RecurrentState {
    /// Empty memory for `batch` environments: nothing visible, zeros everywhere.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn initial(config: &PolicyConfig, batch: usize, device: &Device) -> Result<Self> {
        let (m, e) = (config.maxlen(), config.hidsize);
        let layer = LayerState {
            mask: Tensor::zeros((batch, m), DType::U8, device)?,
            keys: Tensor::zeros((batch, m, e), DType::F32, device)?,
            values: Tensor::zeros((batch, m, e), DType::F32, device)?,
        };
        // Tensors are immutable here: the layers may share the zeros.
        Ok(Self { layers: vec![layer; config.n_recurrence_layers] })
    }

    /// Whether the network has no memory.
    fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Number of environments; 0 where the network has no memory.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.mask.dims().first().copied().unwrap_or(0))
    }

    /// Environment `i` alone, B = 1, in its own storage.
    ///
    /// # Errors
    /// When there is memory and `i` is not below [`batch`](Self::batch).
    pub fn row(&self, i: usize) -> Result<Self> {
        if i >= self.batch() && !self.is_empty() {
            return Err(PolicyError::input("row", format!("below {}", self.batch()), i.to_string()));
        }
        // A narrow of the first dimension is contiguous already, so the copy must be asked for.
        let pick = |tensor: &Tensor| tensor.narrow(0, i, 1).and_then(|row| row.force_contiguous());
        let layers = self.layers.iter().map(|layer| {
            Ok(LayerState {
                mask: pick(&layer.mask)?,
                keys: pick(&layer.keys)?,
                values: pick(&layer.values)?,
            })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// Several states as one batch, in the order given.
    ///
    /// # Errors
    /// When there is none, or they are of different architectures.
    pub fn cat(states: &[&Self]) -> Result<Self> {
        let Some(first) = states.first() else {
            return Err(PolicyError::input("cat", "at least one state", "none"));
        };
        let depth = first.layers.len();
        if let Some(odd) = states.iter().find(|state| state.layers.len() != depth) {
            return Err(PolicyError::input(
                "cat",
                format!("{depth} layers in every state"),
                odd.layers.len().to_string(),
            ));
        }
        let join = |pick: fn(&LayerState) -> &Tensor, i: usize| {
            Tensor::cat(&states.iter().map(|s| pick(&s.layers[i])).collect::<Vec<_>>(), 0)
        };
        let layers = (0..depth).map(|i| {
            Ok(LayerState {
                mask: join(|l| &l.mask, i)?,
                keys: join(|l| &l.keys, i)?,
                values: join(|l| &l.values, i)?,
            })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// The numbers of a single environment's state.
    ///
    /// # Errors
    /// When the batch is not 1.
    pub fn to_raw(&self) -> Result<Vec<RawLayerState>> {
        if self.batch() != 1 && !self.is_empty() {
            return Err(PolicyError::input("to_raw", "a state of one environment", self.batch().to_string()));
        }
        let raw = self.layers.iter().map(|layer| {
            Ok(RawLayerState {
                mask: layer.mask.flatten_all()?.to_vec1()?,
                keys: layer.keys.flatten_all()?.to_vec1()?,
                values: layer.values.flatten_all()?.to_vec1()?,
            })
        });
        raw.collect()
    }

    /// The state of a single environment from its numbers.
    ///
    /// # Errors
    /// When the numbers do not fit the architecture, a mask entry is neither 0 nor 1, or a row is not finite.
    pub fn from_raw(raw: &[RawLayerState], config: &PolicyConfig, device: &Device) -> Result<Self> {
        let (m, e) = (config.maxlen(), config.hidsize);
        if raw.len() != config.n_recurrence_layers {
            return Err(PolicyError::input(
                "recurrent state",
                format!("{} layers", config.n_recurrence_layers),
                raw.len().to_string(),
            ));
        }
        let layers = raw.iter().map(|layer| {
            let lengths = (layer.mask.len(), layer.keys.len(), layer.values.len());
            if lengths != (m, m * e, m * e) {
                return Err(PolicyError::input(
                    "recurrent state",
                    format!("mask, keys and values of {m}, {0} and {0} numbers", m * e),
                    format!("{lengths:?}"),
                ));
            }
            if layer.mask.iter().any(|&bit| bit > 1) {
                return Err(PolicyError::input("recurrent state mask", "zeros and ones", "something else"));
            }
            if !layer.keys.iter().chain(&layer.values).all(|x| x.is_finite()) {
                return Err(PolicyError::NotFinite { what: "a recurrent state row" });
            }
            Ok(LayerState {
                mask: Tensor::from_slice(&layer.mask, (1, m), device)?,
                keys: Tensor::from_slice(&layer.keys, (1, m, e), device)?,
                values: Tensor::from_slice(&layer.values, (1, m, e), device)?,
            })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// Whether this is memory for `batch` environments of the architecture.
    pub(crate) fn check(&self, config: &PolicyConfig, batch: usize) -> Result<()> {
        let (m, e) = (config.maxlen(), config.hidsize);
        let fits = self.layers.len() == config.n_recurrence_layers
            && self.layers.iter().all(|layer| {
                layer.mask.dims() == [batch, m]
                    && layer.keys.dims() == [batch, m, e]
                    && layer.values.dims() == [batch, m, e]
                    && (layer.mask.dtype(), layer.keys.dtype(), layer.values.dtype())
                        == (DType::U8, DType::F32, DType::F32)
            });
        if fits {
            return Ok(());
        }
        Err(PolicyError::input(
            "recurrent state",
            format!("{} layers of u8 [{batch}, {m}] and f32 [{batch}, {m}, {e}]", config.n_recurrence_layers),
            format!(
                "{} layers, the first {:?}",
                self.layers.len(),
                self.layers.first().map(|l| (l.mask.dims(), l.keys.dims()))
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(config: &PolicyConfig, tag: f32) -> Vec<RawLayerState> {
        let (m, e) = (config.maxlen(), config.hidsize);
        let numbers = |offset: f32| (0..m * e).map(|i| tag + offset + i as f32 * 1e-3).collect::<Vec<f32>>();
        (0..config.n_recurrence_layers)
            .map(|layer| RawLayerState {
                mask: (0..m).map(|i| u8::from((i + layer) % 3 == 0)).collect(),
                keys: numbers(layer as f32),
                values: numbers(100.0 + layer as f32),
            })
            .collect()
    }

    #[test]
    fn rows_and_batches_round_trip() {
        let config = PolicyConfig::tiny();
        let device = Device::Cpu;
        let raws: Vec<_> = (0..3).map(|i| raw(&config, i as f32 * 7.0)).collect();
        let states: Vec<_> =
            raws.iter().map(|r| RecurrentState::from_raw(r, &config, &device).unwrap()).collect();
        let batch = RecurrentState::cat(&states.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(batch.batch(), 3);
        batch.check(&config, 3).unwrap();
        for (i, expected) in raws.iter().enumerate() {
            assert_eq!(&batch.row(i).unwrap().to_raw().unwrap(), expected);
        }
        assert!(batch.row(3).is_err());
        assert!(batch.to_raw().is_err());
        assert!(RecurrentState::cat(&[]).is_err());
    }

    #[test]
    fn initial_memory_is_invisible_zeros() {
        let config = PolicyConfig::tiny();
        let state = RecurrentState::initial(&config, 2, &Device::Cpu).unwrap();
        state.check(&config, 2).unwrap();
        assert!(state.check(&config, 3).is_err());
        for layer in state.row(1).unwrap().to_raw().unwrap() {
            assert!(layer.mask.iter().all(|&bit| bit == 0) && layer.keys.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let config = PolicyConfig::tiny();
        let good = raw(&config, 0.0);
        let load = |raw: &[RawLayerState]| RecurrentState::from_raw(raw, &config, &Device::Cpu);
        assert!(load(&good).is_ok());
        assert!(load(&good[..1]).is_err());
        let mut short = good.clone();
        short[1].keys.pop();
        assert!(load(&short).is_err());
        let mut odd_mask = good.clone();
        odd_mask[0].mask[0] = 2;
        assert!(load(&odd_mask).is_err());
        let mut not_finite = good;
        not_finite[0].values[5] = f32::NAN;
        assert!(load(&not_finite).is_err());
    }
}
