//! A published version ready to act: network, value normaliser and sampling temperature, immutable and shared.

use crate::error::ActorError;
use crate::version::Version;
use candle_core::{Device, Tensor};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vpt_policy::action::{AgentAction, BUTTONS, CAMERA};
use vpt_policy::{
    CounterRng, Parameters, Policy, PolicyConfig, Precision, RecurrentState, ValueNormalizer, distribution,
};

/// Key of one env step's randomness: (run seed, role, actor, slot, episode, step).
pub(crate) type DrawKey = [u64; 6];

/// A network that acts.
#[derive(Debug)]
pub(crate) struct ActingPolicy {
    network: Policy,
    normalizer: ValueNormalizer,
    temperature: f32,
    version: Version,
}

/// One step of a batch of environments.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Memory before the step, B rows.
    pub(crate) state: RecurrentState,
    /// [B * H * W * 3].
    pub(crate) frames: Vec<u8>,
    /// [B], 0 or 1.
    pub(crate) is_first: Vec<u8>,
    /// [B] keys to draw actions by; empty when only values are wanted.
    pub(crate) draws: Vec<DrawKey>,
}

/// What was decided for one environment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) action: AgentAction,
    pub(crate) buttons_log_prob: f32,
    pub(crate) camera_log_prob: f32,
}

/// What the network says about a [`Batch`].
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// [B], or empty when only values were asked for.
    pub(crate) decisions: Vec<Decision>,
    /// [B], denormalised.
    pub(crate) values: Vec<f32>,
    /// Memory after the step.
    pub(crate) state: RecurrentState,
    /// How long the network took.
    pub(crate) took: Duration,
}

impl ActingPolicy {
    /// The network over `parameters`, packed for `precision`; `temperature` divides its logits once more.
    pub(crate) fn new(
        config: &PolicyConfig,
        parameters: &Parameters,
        (precision, temperature): (Precision, f32),
        version: Version,
    ) -> Result<Self, ActorError> {
        let network = Policy::new(config, parameters)?.for_acting(precision)?;
        Ok(Self { network, normalizer: parameters.normalizer()?, temperature, version })
    }

    /// Lets go of a policy. Whoever is last gives hundreds of megabytes back, which takes milliseconds that the steps of a
    /// group need not wait for.
    pub(crate) fn retire(policy: Arc<Self>) {
        tokio::task::spawn_blocking(move || drop(policy));
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn config(&self) -> &PolicyConfig {
        self.network.config()
    }

    /// Empty memory for `batch` environments.
    pub(crate) fn initial_state(&self, batch: usize) -> Result<RecurrentState, ActorError> {
        Ok(RecurrentState::initial(self.config(), batch, &Device::Cpu)?)
    }

    /// Runs one step of `batch` and draws its actions.
    pub(crate) fn decide(&self, batch: Batch) -> Result<Verdict, ActorError> {
        let began = Instant::now();
        // [B, T = 1, H, W, 3]
        let (rows, side) = (batch.is_first.len(), self.config().image_size);
        let frames = Tensor::from_vec(batch.frames, (rows, 1, side, side, 3), &Device::Cpu)?;
        let is_first = Tensor::from_vec(batch.is_first, (rows, 1), &Device::Cpu)?;
        let output = self.network.forward(&frames, &is_first, &batch.state)?;
        let values = output.value.flatten_all()?.to_vec1::<f32>()?;
        let values = values.into_iter().map(|value| self.normalizer.denormalize(value)).collect();
        let decisions = if batch.draws.is_empty() {
            Vec::new()
        } else {
            let buttons = output.buttons_logits.flatten_all()?.to_vec1::<f32>()?;
            let camera = output.camera_logits.flatten_all()?.to_vec1::<f32>()?;
            let rows = buttons.chunks_exact(BUTTONS).zip(camera.chunks_exact(CAMERA));
            let rows = rows.zip(&batch.draws).map(|((buttons, camera), key)| self.draw(buttons, camera, key));
            rows.collect::<Result<_, _>>()?
        };
        Ok(Verdict { decisions, values, state: output.state, took: began.elapsed() })
    }

    fn draw(&self, buttons: &[f32], camera: &[f32], key: &DrawKey) -> Result<Decision, ActorError> {
        let mut rng = CounterRng::new(key);
        let buttons = distribution::sample(buttons, self.temperature, &mut rng)?;
        let camera = distribution::sample(camera, self.temperature, &mut rng)?;
        Ok(Decision {
            action: AgentAction { buttons: buttons.index, camera: camera.index },
            buttons_log_prob: buttons.log_prob,
            camera_log_prob: camera.log_prob,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(policy: &ActingPolicy, rows: usize, shade: u8) -> Batch {
        let side = policy.config().image_size;
        Batch {
            state: policy.initial_state(rows).unwrap(),
            frames: vec![shade; rows * side * side * 3],
            is_first: vec![1; rows],
            draws: (0..rows as u64).map(|row| [1, 2, 3, row, 0, 0]).collect(),
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours_and_draws_follow_their_keys() {
        let config = PolicyConfig::tiny();
        let parameters = Parameters::init(&config, 1, &Device::Cpu).unwrap().frozen_copy().unwrap();
        let policy =
            ActingPolicy::new(&config, &parameters, (Precision::F32, 1.0), Version::default()).unwrap();
        let whole = policy.decide(batch(&policy, 4, 90)).unwrap();
        assert_eq!(whole.decisions, policy.decide(batch(&policy, 4, 90)).unwrap().decisions);
        assert_eq!((whole.values.len(), whole.state.batch()), (4, 4));
        let mut alone = batch(&policy, 1, 90);
        alone.draws = vec![[1, 2, 3, 2, 0, 0]];
        let alone = policy.decide(alone).unwrap();
        assert_eq!(alone.decisions[0].action, whole.decisions[2].action);
        let distinct: std::collections::HashSet<_> = whole.decisions.iter().map(|d| d.action).collect();
        assert!(distinct.len() > 1, "{distinct:?}");
        assert!(whole.decisions.iter().all(|d| d.buttons_log_prob < 0.0 && d.camera_log_prob < 0.0));
        let mut values_only = batch(&policy, 4, 90);
        values_only.draws.clear();
        assert!(policy.decide(values_only).unwrap().decisions.is_empty());
    }

    #[test]
    fn log_probabilities_are_those_of_the_network_that_acts_in_every_precision() {
        let config = PolicyConfig::tiny();
        let parameters = Parameters::init(&config, 1, &Device::Cpu).unwrap().frozen_copy().unwrap();
        let mut seen = Vec::new();
        for precision in Precision::ALL {
            let policy =
                ActingPolicy::new(&config, &parameters, (precision, 1.0), Version::default()).unwrap();
            let decided = policy.decide(batch(&policy, 2, 90)).unwrap().decisions;
            let network = Policy::new(&config, &parameters).unwrap().for_acting(precision).unwrap();
            let Batch { state, frames, is_first, .. } = batch(&policy, 2, 90);
            let side = config.image_size;
            let frames = Tensor::from_vec(frames, (2, 1, side, side, 3), &Device::Cpu).unwrap();
            let is_first = Tensor::from_vec(is_first, (2, 1), &Device::Cpu).unwrap();
            let logits = network.forward(&frames, &is_first, &state).unwrap().buttons_logits;
            let actions: Vec<u32> = decided.iter().map(|d| d.action.buttons).collect();
            let index = Tensor::from_vec(actions, 2, &Device::Cpu).unwrap();
            let expected = distribution::log_prob(&logits.flatten(0, 1).unwrap(), &index).unwrap();
            for (decision, expected) in decided.iter().zip(expected.to_vec1::<f32>().unwrap()) {
                assert!((decision.buttons_log_prob - expected).abs() < 1e-5, "{precision:?}");
            }
            seen.push(decided[0].buttons_log_prob);
        }
        assert!(seen[0] != seen[1] && seen[1] != seen[2], "precisions that change nothing: {seen:?}");
    }
}
