//! For tests: a tiny network, a toy world, an actor that plays it in-process, and recorded play of it.
//!
//! The toy world shows a frame with one half lit, which says whether attacking pays: +1 for attack when the left half
//! is lit and for anything else when the right one is. Episodes are cut after a fixed number of steps.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vpt_policy::action::{AgentAction, EnvAction, to_agent, to_env};
use vpt_policy::{CounterRng, Parameters, Policy, PolicyConfig, RecurrentState, distribution};
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::envserver::v1::HumanAction;
use vpt_proto::keys;
use vpt_proto::learner::v1::{EpisodeEnd, LayerState, Unroll};
use vpt_proto::limits::UNROLL_FORMAT_VERSION;
use vpt_proto::shard::{DatasetInfo, RecordedEpisode, RecordedStep, ShardWriter};
use vpt_proto::tensor;

use crate::queue::ReceivedUnroll;
use crate::version::Version;

/// Steps of one episode of the toy world.
pub(crate) const EPISODE_STEPS: u32 = 10;

/// A network that trains in milliseconds.
pub(crate) fn tiny() -> PolicyConfig {
    PolicyConfig {
        image_size: 16,
        impala_chans: vec![4, 4, 4],
        hidsize: 16,
        attention_heads: 2,
        attention_memory_size: 12,
        timesteps: 4,
        pointwise_ratio: 2,
        ..PolicyConfig::tiny()
    }
}

/// The toy world's frame: its left half bright or its right half, with a little noise. (The network normalises each
/// frame, so brightness alone would be next to invisible.)
pub(crate) fn frame(config: &PolicyConfig, left: bool, rng: &mut CounterRng) -> Vec<u8> {
    let side = config.image_size;
    let pixel = |i: usize| {
        let in_left_half = i / 3 % side < side / 2;
        if in_left_half == left { 180 } else { 40 }
    };
    (0..side * side * 3).map(|i| pixel(i) + (rng.next_u64() % 32) as u8).collect()
}

fn reward(left: bool, action: AgentAction) -> f32 {
    let attacks = to_env(action).keys & keys::ATTACK != 0;
    f32::from(u8::from(attacks == left))
}

/// One env slot of an in-process actor.
pub(crate) struct SyntheticSlot {
    config: PolicyConfig,
    slot: u32,
    sequence: u64,
    state: RecurrentState,
    rng: CounterRng,
    left: bool,
    next_frame: Vec<u8>,
    is_first: bool,
    episode_step: u32,
    episode_return: f32,
}

struct Acted {
    action: AgentAction,
    log_prob: (f32, f32),
    value: f32,
}

impl SyntheticSlot {
    pub(crate) fn new(config: &PolicyConfig, slot: u32, seed: u64) -> Self {
        let mut rng = CounterRng::new(&[seed, u64::from(slot)]);
        Self {
            config: config.clone(),
            slot,
            sequence: 0,
            state: RecurrentState::initial(config, 1, &Device::Cpu).unwrap(),
            left: true,
            next_frame: frame(config, true, &mut rng),
            rng,
            is_first: true,
            episode_step: 0,
            episode_return: 0.0,
        }
    }

    fn forward(&self, policy: &Policy, frame: &[u8], is_first: bool) -> (vpt_policy::PolicyOutput, f32) {
        let size = self.config.image_size;
        let frames = Tensor::from_slice(frame, (1, 1, size, size, 3), &Device::Cpu).unwrap();
        let flags = Tensor::full(u8::from(is_first), (1, 1), &Device::Cpu).unwrap();
        let output = policy.forward(&frames, &flags, &self.state).unwrap();
        let value = output.value.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        (output, value)
    }

    fn act(&mut self, policy: &Policy, parameters: &Parameters) -> Acted {
        let (output, value) = self.forward(policy, &self.next_frame, self.is_first);
        let mut sample = |logits: &Tensor| {
            let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
            distribution::sample(&logits, 1.0, &mut self.rng).unwrap()
        };
        let (buttons, camera) = (sample(&output.buttons_logits), sample(&output.camera_logits));
        self.state = output.state;
        Acted {
            action: AgentAction { buttons: buttons.index, camera: camera.index },
            log_prob: (buttons.log_prob, camera.log_prob),
            value: parameters.normalizer().unwrap().denormalize(value),
        }
    }

    /// Plays one unroll of `steps` as `parameters` act.
    pub(crate) fn play(&mut self, parameters: &Parameters, steps: u32, version: Version) -> ReceivedUnroll {
        let parameters = parameters.frozen_copy().unwrap();
        let policy = Policy::new(&self.config, &parameters).unwrap();
        let mut unroll = Unroll {
            format_version: UNROLL_FORMAT_VERSION,
            actor: Some(ActorIdentity { actor_id: "synthetic".into(), incarnation: 1 }),
            slot: self.slot,
            sequence: self.sequence,
            policy_version: Some(version.into()),
            length: steps,
            state: self.wire_state(),
            ..Unroll::default()
        };
        self.sequence += 1;
        let mut frames_raw = Vec::new();
        for step in 0..steps {
            frames_raw.extend_from_slice(&self.next_frame);
            unroll.is_first.push(self.is_first);
            let acted = self.act(&policy, &parameters);
            let reward = reward(self.left, acted.action);
            unroll.buttons.push(acted.action.buttons);
            unroll.camera.push(acted.action.camera);
            unroll.buttons_log_prob.push(acted.log_prob.0);
            unroll.camera_log_prob.push(acted.log_prob.1);
            unroll.value.push(acted.value);
            unroll.reward.push(reward);
            unroll.terminated.push(false);
            self.advance(&mut unroll, step, reward, &policy, &parameters);
        }
        let (_, value) = self.forward(&policy, &self.next_frame, self.is_first);
        unroll.bootstrap_value = parameters.normalizer().unwrap().denormalize(value);
        unroll.bootstrap_is_first = self.is_first;
        ReceivedUnroll { unroll, frames_raw: frames_raw.into(), version, ..ReceivedUnroll::default() }
    }

    fn advance(
        &mut self,
        unroll: &mut Unroll,
        step: u32,
        reward: f32,
        policy: &Policy,
        parameters: &Parameters,
    ) {
        self.episode_step += 1;
        self.episode_return += reward;
        self.is_first = self.episode_step == EPISODE_STEPS;
        unroll.truncated.push(self.is_first);
        self.left = self.rng.below(2) == 0;
        self.next_frame = frame(&self.config, self.left, &mut self.rng);
        if self.is_first {
            let (_, value) = self.forward(policy, &self.next_frame, false);
            unroll.truncation_value.push(parameters.normalizer().unwrap().denormalize(value));
            unroll.episode_ends.push(EpisodeEnd {
                step,
                episode_return: self.episode_return,
                episode_length: EPISODE_STEPS,
                ..EpisodeEnd::default()
            });
            (self.episode_step, self.episode_return) = (0, 0.0);
            self.next_frame = frame(&self.config, self.left, &mut self.rng);
        }
    }

    fn wire_state(&self) -> Vec<LayerState> {
        let (m, e) = (self.config.maxlen(), self.config.hidsize);
        let layers = self.state.to_raw().unwrap();
        let wire = |layer: vpt_policy::RawLayerState| LayerState {
            mask: Some(tensor::from_u8(&[m], layer.mask)),
            keys: Some(tensor::from_f32(&[m, e], &layer.keys)),
            values: Some(tensor::from_f32(&[m, e], &layer.values)),
        };
        layers.into_iter().map(wire).collect()
    }
}

/// Records the toy world's best player: attack when the left half is lit, walk when the right one is, now and then nothing.
pub(crate) fn record(dir: &Path, config: &PolicyConfig, episodes: u64, steps: usize) {
    let size = config.image_size as u32;
    let info = DatasetInfo {
        world: "toy".into(),
        task: "attack".into(),
        player: "scripted".into(),
        frame_height: size,
        frame_width: size,
    };
    let mut writer = ShardWriter::create(dir, info).unwrap();
    for seed in 0..episodes {
        let mut rng = CounterRng::new(&[seed, 77]);
        let mut episode = RecordedEpisode { seed, ..Default::default() };
        for t in 0..steps {
            let left = rng.below(2) == 0;
            episode.frames.extend(frame(config, left, &mut rng));
            let keys = match (left, rng.below(8)) {
                (_, 0) => 0,
                (true, _) => keys::ATTACK,
                (false, _) => keys::FORWARD,
            };
            episode.steps.push(RecordedStep {
                action: HumanAction { keys, ..HumanAction::default() },
                is_first: t == 0,
                truncated: t + 1 == steps,
                ..RecordedStep::default()
            });
        }
        writer.push(&episode).unwrap();
    }
    writer.finish().unwrap();
}

/// The joint index of holding `keys` without moving the mouse.
pub(crate) fn buttons_of(keys: u32) -> u32 {
    to_agent(&EnvAction { keys, ..EnvAction::default() }).buttons
}

/// Every trainable number.
pub(crate) fn numbers(parameters: &Parameters) -> Vec<f32> {
    let all = parameters.vars().into_iter();
    all.flat_map(|(_, var)| {
        let numbers = var.as_tensor().to_dtype(DType::F32).unwrap().flatten_all().unwrap();
        numbers.to_vec1::<f32>().unwrap()
    })
    .collect()
}

/// The same, to compare two networks bit for bit.
pub(crate) fn bits(parameters: &Parameters) -> Vec<u32> {
    numbers(parameters).into_iter().map(f32::to_bits).collect()
}
