//! The network against itself: both layouts of images, windows, clips of a batch, inputs that do not fit.

use candle_core::Device;

use super::*;
use crate::rng::CounterRng;
use crate::{Adam, AdamConfig, Gradients, WeightDecay};

const SIDE: usize = 16;

/// Channels of every stack are a multiple of `channels`.
fn small(channels: usize) -> InverseDynamicsConfig {
    InverseDynamicsConfig {
        image_size: SIDE,
        conv3d_channels: channels,
        impala_width: 1,
        impala_chans: vec![channels, 2 * channels, channels],
        hidsize: 16,
        attention_heads: 2,
        attention_memory_size: 8,
        timesteps: 8,
        ..InverseDynamicsConfig::four_x()
    }
}

fn frames(batch: usize, time: usize, seed: u64) -> Tensor {
    let mut rng = CounterRng::new(&[seed]);
    let bytes: Vec<u8> = (0..batch * time * SIDE * SIDE * 3).map(|_| rng.next_u64() as u8).collect();
    Tensor::from_vec(bytes, (batch, time, SIDE, SIDE, 3), &Device::Cpu).unwrap()
}

/// Weights with nothing at its neutral starting value, so that no mistake can hide behind a zero.
fn parameters(config: &InverseDynamicsConfig) -> Parameters {
    let parameters = Parameters::init(config, 3, &Device::Cpu).unwrap();
    let mut rng = CounterRng::new(&[77]);
    // The sum of two empty tensors is the first of them, which a variable cannot be set to.
    for (_, var) in parameters.vars().into_iter().filter(|(_, var)| var.elem_count() > 0) {
        let noise: Vec<f32> = (0..var.elem_count()).map(|_| 0.1 * rng.normal_f32()).collect();
        let noise = Tensor::from_vec(noise, var.shape().clone(), &Device::Cpu).unwrap();
        var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
    }
    parameters
}

fn network(config: &InverseDynamicsConfig) -> InverseDynamics {
    InverseDynamics::new(config, &parameters(config).frozen_copy().unwrap()).unwrap()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn blocks_of_channels_and_planes_give_the_same_features_and_gradients() {
    let config = small(16);
    let parameters = parameters(&config);
    let network = InverseDynamics::new(&config, &parameters).unwrap();
    assert!(network.cnn.takes_blocks());
    let clip = frames(1, 3, 1).get(0).unwrap();
    let features =
        |blocks| network.cnn.forward_images(&network.temporal.forward(&clip, 0..3, blocks).unwrap()).unwrap();
    let (fast, plain) = (features(true), features(false));
    assert!(largest_difference(&fast, &plain) < 1e-4);
    let weight = parameters.get("net.conv3d_layer.layer.weight").unwrap();
    let gradient =
        |x: Tensor| x.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(weight).cloned().unwrap();
    let (fast, plain) = (gradient(fast), gradient(plain));
    let size = plain.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(size > 0.0 && largest_difference(&fast, &plain) < 1e-3 * size);
}

#[test]
fn clips_do_not_touch_and_long_ones_go_through_in_parts() {
    let network = network(&small(2));
    let frames = frames(2, IMAGES_AT_ONCE + 5, 2);
    let together = network.forward(&frames).unwrap();
    for b in 0..2 {
        let alone = network.forward(&frames.narrow(0, b, 1).unwrap()).unwrap();
        let row = together.buttons_logits.narrow(0, b, 1).unwrap();
        assert!(largest_difference(&alone.buttons_logits, &row) < 1e-5);
    }
    let clip = frames.get(0).unwrap();
    let whole = network.temporal.forward(&clip, 0..IMAGES_AT_ONCE + 5, false).unwrap();
    let part = network.temporal.forward(&clip, 9..14, false).unwrap();
    assert_eq!(largest_difference(&part, &whole.narrow(0, 9, 5).unwrap()), 0.0);
}

#[test]
fn a_video_is_judged_window_by_window() {
    let network = network(&small(2));
    let video = frames(1, 21, 4);
    let output = network.forward_video(&video).unwrap();
    assert_eq!(output.buttons_logits.dims(), [1, 21, KEYS, 2]);
    assert_eq!(output.camera_logits.dims(), [1, 21, CAMERA_AXES, CAMERA_BINS]);
    // Frame 9 is in the middle of the window of frames 4 to 11.
    let window = network.forward(&video.narrow(1, 4, 8).unwrap()).unwrap();
    let (at, of) =
        (output.camera_logits.narrow(1, 9, 1).unwrap(), window.camera_logits.narrow(1, 5, 1).unwrap());
    assert_eq!(largest_difference(&at, &of), 0.0);
    let short = video.narrow(1, 0, 6).unwrap();
    let (whole, windowed) = (network.forward(&short).unwrap(), network.forward_video(&short).unwrap());
    assert_eq!(largest_difference(&whole.buttons_logits, &windowed.buttons_logits), 0.0);
}

#[test]
fn the_last_layer_counts_only_when_asked_and_then_learns() {
    let config = small(2);
    let parameters = parameters(&config);
    let frames = frames(1, 2, 5);
    let name = "net.lastlayer.layer.weight";
    let gradient = |use_last_layer| {
        let network = InverseDynamics::new(&config, &parameters).unwrap().with_last_layer(use_last_layer);
        let output = network.forward(&frames).unwrap();
        let loss = output.camera_logits.sqr().unwrap().sum_all().unwrap();
        (output, loss.backward().unwrap().get(parameters.get(name).unwrap()).is_some())
    };
    let ((without, still), (with, moved)) = (gradient(false), gradient(true));
    assert!(!still && moved);
    assert!(largest_difference(&without.camera_logits, &with.camera_logits) > 1e-3);
}

#[test]
fn it_learns_to_tell_two_clips_apart() {
    let config = small(2);
    let mut parameters = parameters(&config);
    let network = InverseDynamics::new(&config, &parameters).unwrap();
    let adam = AdamConfig {
        lr: 3e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
        decay: WeightDecay::Coupled,
    };
    let mut adam = Adam::new(&parameters, adam).unwrap();
    let frames = frames(2, 2, 6);
    let classes = |[a, b]: [u32; 2], count: usize| {
        let both: Vec<u32> = [a, b].iter().flat_map(|&class| vec![class; 2 * count]).collect();
        Tensor::from_vec(both, (2, 2, count), &Device::Cpu).unwrap()
    };
    let (keys, camera) = (classes([0, 1], KEYS), classes([2, 7], CAMERA_AXES));
    for _ in 0..60 {
        let log_prob = network.forward(&frames).unwrap().log_prob(&keys, &camera).unwrap();
        let loss = log_prob.mean_all().unwrap().neg().unwrap();
        let gradients = Gradients::collect(&parameters, &loss.backward().unwrap()).unwrap();
        adam.step(&mut parameters, &gradients, None).unwrap();
    }
    let said = network.forward(&frames).unwrap().actions().unwrap();
    let action = |keys, bin| FactoredAction { keys, camera: [bin; 2] };
    assert_eq!(said, [[action(0, 2); 2], [action((1 << KEYS) - 1, 7); 2]]);
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let config = small(2);
    let network = network(&config);
    let refused = |frames: &Tensor| network.forward(frames).unwrap_err().to_string();
    let good = frames(1, 2, 1);
    assert!(refused(&good.narrow(2, 0, 8).unwrap()).contains("frames"));
    assert!(refused(&good.narrow(1, 0, 0).unwrap()).contains("frames"));
    assert!(refused(&good.to_dtype(DType::F32).unwrap()).contains("u8"));
    let output = network.forward(&good).unwrap();
    let classes = |shape: (usize, usize, usize)| Tensor::zeros(shape, DType::U32, &Device::Cpu).unwrap();
    assert!(output.log_prob(&classes((1, 2, KEYS)), &classes((1, 2, 2))).is_ok());
    assert!(output.log_prob(&classes((2, 1, KEYS)), &classes((1, 2, 2))).is_err());

    let other = InverseDynamicsConfig { hidsize: 32, ..config };
    assert!(InverseDynamics::new(&other, &parameters(&small(2))).is_err());
    let policy = Parameters::init(&crate::PolicyConfig::tiny(), 1, &Device::Cpu).unwrap();
    assert!(InverseDynamics::new(&small(2), &policy).is_err());
    let policy = crate::Policy::new(&crate::PolicyConfig::tiny(), &parameters(&small(2)));
    assert!(policy.is_err());
}
