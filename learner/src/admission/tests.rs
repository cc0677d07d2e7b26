//! Good unrolls pass unchanged; every way of lying is refused with the field's name.

use vpt_proto::common::v1::{ActorIdentity, PolicyVersion};

use super::*;

/// A small spec: T = 4, 8x8 frames, two layers.
pub(crate) fn spec() -> UnrollSpec {
    UnrollSpec {
        unroll_length: 4,
        frame_height: 8,
        frame_width: 8,
        buttons: 8641,
        camera: 121,
        state: Some(StateSpec { layers: 2, memory: 3, width: 5 }),
    }
}

/// Frames of [`good`], `[T, H, W, 3]`.
pub(crate) fn frames(sequence: u64) -> Vec<u8> {
    (0..4 * 8 * 8 * 3_u64).map(|index| (index * 7 + sequence) as u8).collect()
}

/// An unroll that fits [`spec`].
pub(crate) fn good(actor: &ActorKey, slot: u32, sequence: u64, version: Version) -> Unroll {
    let (codec, packed) = frame_codec::encode(frames(sequence).into(), 8 * 8 * 3);
    let layer = LayerState {
        mask: Some(tensor::from_u8(&[3], vec![0, 1, 1])),
        keys: Some(tensor::from_f32(&[3, 5], &[0.5; 15])),
        values: Some(tensor::from_f32_as_bf16(&[3, 5], &[-0.5; 15])),
    };
    Unroll {
        format_version: UNROLL_FORMAT_VERSION,
        actor: Some(ActorIdentity { actor_id: actor.actor_id.clone(), incarnation: actor.incarnation }),
        slot,
        sequence,
        policy_version: Some(version.into()),
        oldest_memory_version: Some(PolicyVersion { epoch: 0, sequence: 0 }),
        length: 4,
        frame_height: 8,
        frame_width: 8,
        frame_codec: codec.into(),
        frames: packed,
        buttons: vec![0, 1, 8640, 3],
        camera: vec![60, 0, 120, 1],
        buttons_log_prob: vec![-1.0, -0.1, -9.0, 0.0],
        camera_log_prob: vec![-0.5; 4],
        value: vec![0.1, 0.2, 0.3, 0.4],
        reward: vec![0.0, 1.0, 0.0, 0.0],
        is_first: vec![true, false, true, false],
        terminated: vec![false; 4],
        truncated: vec![false, true, false, false],
        bootstrap_value: 0.5,
        bootstrap_is_first: false,
        truncation_value: vec![0.25],
        state: vec![layer.clone(), layer],
        events: vec![],
        episode_ends: vec![],
        traceparent: String::new(),
    }
}

fn actor() -> ActorKey {
    ActorKey { actor_id: "actor-0".to_owned(), incarnation: 9 }
}

fn envelope() -> Envelope {
    Envelope { actor: actor(), slot: 1, sequence: 2, newest: Version::new(2, 5), since: None }
}

fn admit(unroll: &Unroll) -> Result<ReceivedUnroll, InvalidUnroll> {
    spec().admit(unroll.encode_to_vec().into(), &envelope())
}

#[test]
fn a_good_unroll_passes_unchanged() {
    let sent = good(&actor(), 1, 2, Version::new(2, 5));
    let received = admit(&sent).unwrap();
    assert_eq!(received.frames_raw, frames(2));
    assert_eq!(received.version, Version::new(2, 5));
    assert_eq!(received.unroll, Unroll { frames: bytes::Bytes::new(), ..sent });
    // Undone by a crash: an older epoch, a higher sequence.
    assert!(admit(&good(&actor(), 1, 2, Version::new(1, 9))).is_ok());
}

#[test]
fn every_lie_is_refused_by_name() {
    type Lie = (&'static str, fn(&mut Unroll));
    let lies: [Lie; 28] = [
        ("format version", |u| u.format_version = 77),
        ("another actor", |u| u.actor.as_mut().unwrap().incarnation += 1),
        ("actor is missing", |u| u.actor = None),
        ("another slot", |u| u.slot = 0),
        ("another sequence", |u| u.sequence = 3),
        ("policy_version is missing", |u| u.policy_version = None),
        ("policy version 2-6 lies after", |u| u.policy_version.as_mut().unwrap().sequence = 6),
        ("policy version 3-1 lies after", |u| {
            u.oldest_memory_version = Some(PolicyVersion { epoch: 3, sequence: 1 });
        }),
        ("length", |u| u.length = 5),
        ("frame_height", |u| u.frame_height = 1 << 31),
        ("buttons: 3", |u| u.buttons.truncate(3)),
        ("buttons: value", |u| u.buttons[1] = 8641),
        ("camera: value", |u| u.camera[3] = 121),
        ("buttons_log_prob: value", |u| u.buttons_log_prob[0] = f32::NAN),
        ("camera_log_prob: value", |u| u.camera_log_prob[2] = 0.1),
        ("value: value", |u| u.value[0] = f32::INFINITY),
        ("reward: value", |u| u.reward[3] = f32::NEG_INFINITY),
        ("is_first: value", |u| u.is_first[2] = false),
        ("is_first: value", |u| u.terminated[1] = true),
        ("is_first: value", |u| u.bootstrap_is_first = true),
        ("truncation_value: 0", |u| u.truncation_value.clear()),
        ("bootstrap_value", |u| u.bootstrap_value = f32::NAN),
        ("frames", |u| u.frames = u.frames.slice(..u.frames.len() - 1)),
        ("frames", |u| u.frame_codec = 99),
        ("state: 1", |u| u.state.truncate(1)),
        ("state: ", |u| u.state[0].keys.as_mut().unwrap().shape = vec![5, 3]),
        ("state: ", |u| u.state[1].mask.as_mut().unwrap().shape = vec![u64::MAX]),
        ("state.values is missing", |u| u.state[1].values = None),
    ];
    for (name, lie) in lies {
        let mut unroll = good(&actor(), 1, 2, Version::new(2, 5));
        lie(&mut unroll);
        let error = admit(&unroll).expect_err(name).to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn non_finite_state_is_refused() {
    let mut unroll = good(&actor(), 1, 2, Version::new(2, 5));
    unroll.state[0].keys = Some(tensor::from_f32(&[3, 5], &[f32::NAN; 15]));
    assert!(admit(&unroll).unwrap_err().to_string().contains("state.keys"));
}

#[test]
fn a_carried_state_must_not_travel() {
    let carried = UnrollSpec { state: None, ..spec() };
    let mut unroll = good(&actor(), 1, 2, Version::new(2, 5));
    assert!(carried.admit(unroll.encode_to_vec().into(), &envelope()).is_err());
    unroll.state.clear();
    assert!(carried.admit(unroll.encode_to_vec().into(), &envelope()).is_ok());
}

#[test]
fn noise_does_not_decode() {
    for length in 0..200_u32 {
        let noise: Vec<u8> = (0..length).map(|index| (index * 131 + length * 17) as u8).collect();
        assert!(spec().admit(noise.into(), &envelope()).is_err());
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    AdmissionConfig::default().validate().unwrap();
    let bad = AdmissionConfig { queue_unrolls: 0, ..AdmissionConfig::default() };
    assert!(bad.validate().unwrap_err().to_string().contains("learner.admission.queue_unrolls"));
    let bad = AdmissionConfig { idle_timeout_seconds: f64::NAN, ..AdmissionConfig::default() };
    assert!(bad.validate().is_err());
}

#[test]
fn the_state_a_policy_makes_is_the_state_that_is_let_in() {
    let policy = PolicyConfig::tiny();
    let spec = UnrollSpec::new(&policy, 32, true);
    let state = vpt_policy::RecurrentState::initial(&policy, 1, &candle_core::Device::Cpu).unwrap();
    let width = policy.hidsize;
    let wire = |layer: &vpt_policy::RawLayerState| {
        let rows = layer.mask.len();
        LayerState {
            mask: Some(tensor::from_u8(&[rows], layer.mask.clone())),
            keys: Some(tensor::from_f32(&[rows, width], &layer.keys)),
            values: Some(tensor::from_f32_as_bf16(&[rows, width], &layer.values)),
        }
    };
    let layers: Vec<LayerState> = state.to_raw().unwrap().iter().map(wire).collect();
    spec.check_state(&layers).unwrap();
    assert_eq!((spec.buttons, spec.camera), (8641, 121));
    assert!(UnrollSpec::new(&policy, 32, false).check_state(&layers).is_err());
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let bytes = spec().memory_bytes();
    let config = |unrolls| AdmissionConfig { queue_bytes: bytes * unrolls + 1, ..AdmissionConfig::default() };
    assert_eq!(config(3).within_bytes(&spec()).unwrap().queue_unrolls, 3);
    assert_eq!(config(1000).within_bytes(&spec()).unwrap().queue_unrolls, 64);
    let error = AdmissionConfig { queue_bytes: bytes - 1, ..config(1) }.within_bytes(&spec()).unwrap_err();
    assert!(error.to_string().contains("learner.admission.queue_bytes"), "{error}");
}

#[test]
fn whatever_an_unroll_says_of_its_trace_it_is_let_in_and_does_not_keep_it() {
    let sent = good(&actor(), 1, 2, Version::new(2, 4));
    for traceparent in
        ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense", &"x".repeat(1 << 20)]
    {
        let unroll = Unroll { traceparent: traceparent.to_owned(), ..sent.clone() };
        let received = spec().admit(unroll.encode_to_vec().into(), &envelope()).unwrap();
        assert_eq!(received.unroll.traceparent, "");
    }
}
