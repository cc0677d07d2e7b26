//! The network against itself: stepping, resets, gradients.

mod linear;

use candle_core::Device;

use super::*;
use crate::distribution;
use crate::gradients::Gradients;
use crate::ops::cuda::emulated;
use crate::rng::CounterRng;

fn small() -> PolicyConfig {
    PolicyConfig {
        image_size: 16,
        impala_chans: vec![2, 3, 4],
        hidsize: 16,
        attention_heads: 2,
        attention_memory_size: 7,
        timesteps: 2,
        ..PolicyConfig::tiny()
    }
}

/// Runs a test on the CPU, with the GPU's kernels on the CPU, and on a GPU if there is one.
fn everywhere(run: impl Fn(&Device)) {
    run(&Device::Cpu);
    emulated::on(|| run(&Device::Cpu));
    device::for_tests()[1..].iter().for_each(run);
}

fn frames(batch: usize, time: usize, side: usize, seed: u64, device: &Device) -> Tensor {
    let mut rng = CounterRng::new(&[seed]);
    let bytes: Vec<u8> = (0..batch * time * side * side * 3).map(|_| rng.next_u64() as u8).collect();
    Tensor::from_vec(bytes, (batch, time, side, side, 3), device).unwrap()
}

/// Weights with nothing at its neutral starting value, so that no mistake can hide behind a zero.
fn parameters(config: &PolicyConfig, device: &Device) -> Parameters {
    let parameters = Parameters::init(config, 3, device).unwrap();
    let mut rng = CounterRng::new(&[77]);
    for (_, var) in parameters.vars() {
        let noise: Vec<f32> = (0..var.elem_count()).map(|_| 0.1 * rng.normal_f32()).collect();
        let noise = Tensor::from_vec(noise, var.shape().clone(), device).unwrap();
        var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
    }
    parameters
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn a_chunk_with_resets_equals_its_steps() {
    everywhere(a_chunk_with_resets_equals_its_steps_on);
}

fn a_chunk_with_resets_equals_its_steps_on(device: &Device) {
    let config = small();
    let policy = Policy::new(&config, &parameters(&config, device).frozen_copy().unwrap()).unwrap();
    let time = 13;
    let frames = frames(2, time, 16, 5, device);
    let flags: [[u8; 13]; 2] =
        [[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
    let flags = Tensor::new(&flags, device).unwrap();
    let start = RecurrentState::initial(&config, 2, device).unwrap();

    let mut stepped = Vec::new();
    let mut state = start.clone();
    for t in 0..time {
        let out = policy
            .forward(&frames.narrow(1, t, 1).unwrap(), &flags.narrow(1, t, 1).unwrap(), &state)
            .unwrap();
        state = out.state.clone();
        stepped.push(out);
    }
    for chunks in [vec![13], vec![4, 4, 5], vec![1, 10, 2]] {
        let mut memory = start.clone();
        let mut t = 0;
        for length in chunks {
            let out = policy
                .forward(&frames.narrow(1, t, length).unwrap(), &flags.narrow(1, t, length).unwrap(), &memory)
                .unwrap();
            for i in 0..length {
                let at = |x: &Tensor| x.narrow(1, i, 1).unwrap();
                let step = &stepped[t + i];
                assert!(largest_difference(&at(&out.buttons_logits), &step.buttons_logits) < 2e-5);
                assert!(largest_difference(&at(&out.camera_logits), &step.camera_logits) < 2e-5);
                assert!(largest_difference(&at(&out.value), &step.value) < 2e-5);
            }
            memory = out.state;
            t += length;
        }
        for row in 0..2 {
            let (a, b) =
                (memory.row(row).unwrap().to_raw().unwrap(), state.row(row).unwrap().to_raw().unwrap());
            assert!(a.iter().zip(&b).all(|(a, b)| a.mask == b.mask));
        }
    }
}

#[test]
fn what_came_before_a_reset_does_not_matter() {
    everywhere(what_came_before_a_reset_does_not_matter_on);
}

fn what_came_before_a_reset_does_not_matter_on(device: &Device) {
    let config = small();
    let policy = Policy::new(&config, &parameters(&config, device)).unwrap();
    let fresh = RecurrentState::initial(&config, 1, device).unwrap();
    let flags = |first: [u8; 4]| Tensor::new(&[first], device).unwrap();
    let (old, new) = (frames(1, 4, 16, 1, device), frames(1, 4, 16, 2, device));
    let used = policy.forward(&old, &flags([1, 0, 0, 0]), &fresh).unwrap().state;
    let a = policy.forward(&new, &flags([1, 0, 0, 0]), &used).unwrap();
    let b = policy.forward(&new, &flags([0, 0, 0, 0]), &fresh).unwrap();
    let c = policy.forward(&new, &flags([0, 0, 0, 0]), &used).unwrap();
    assert!(largest_difference(&a.buttons_logits, &b.buttons_logits) < 1e-6);
    assert!(largest_difference(&a.buttons_logits, &c.buttons_logits) > 1e-3);
}

#[test]
fn environments_of_a_batch_do_not_touch() {
    everywhere(environments_of_a_batch_do_not_touch_on);
}

fn environments_of_a_batch_do_not_touch_on(device: &Device) {
    let config = small();
    let policy = Policy::new(&config, &parameters(&config, device).frozen_copy().unwrap()).unwrap();
    let frames = frames(3, 2, 16, 9, device);
    let flags = Tensor::new(&[[1u8, 0], [0, 0], [0, 1]], device).unwrap();
    let start = RecurrentState::initial(&config, 3, device).unwrap();
    let together = policy.forward(&frames, &flags, &start).unwrap();
    for i in 0..3 {
        let alone = policy
            .forward(
                &frames.narrow(0, i, 1).unwrap(),
                &flags.narrow(0, i, 1).unwrap(),
                &start.row(i).unwrap(),
            )
            .unwrap();
        let row = together.buttons_logits.narrow(0, i, 1).unwrap();
        assert!(largest_difference(&alone.buttons_logits, &row) < 1e-5);
        let (a, b) = (alone.state.to_raw().unwrap(), together.state.row(i).unwrap().to_raw().unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.mask, b.mask);
            assert!(a.keys.iter().zip(&b.keys).all(|(x, y)| (x - y).abs() < 1e-5));
        }
    }
}

/// The names that get a gradient from log-probability, value and auxiliary value.
fn trained_names(gradient: ValueGradient, parts: [f64; 3], device: &Device) -> (Vec<String>, Vec<String>) {
    let config = small();
    let parameters = parameters(&config, device);
    let policy = Policy::new(&config, &parameters).unwrap().with_value_gradient(gradient);
    let flags = Tensor::new(&[[1u8, 0, 0], [0, 0, 1]], device).unwrap();
    let state = RecurrentState::initial(&config, 2, device).unwrap();
    let warm = policy.forward(&frames(2, 3, 16, 3, device), &flags, &state).unwrap().state;
    let out = policy.forward(&frames(2, 3, 16, 4, device), &flags, &warm).unwrap();
    let index = Tensor::new(&[5u32, 60, 100, 8640, 3, 7], device).unwrap();
    let camera = Tensor::new(&[5u32, 60, 100, 120, 3, 7], device).unwrap();
    let buttons = distribution::log_prob(&out.buttons_logits.flatten(0, 1).unwrap(), &index).unwrap();
    let camera = distribution::log_prob(&out.camera_logits.flatten(0, 1).unwrap(), &camera).unwrap();
    let policy_loss = ((buttons + camera).unwrap().sum_all().unwrap() * parts[0]).unwrap();
    let value_loss = (out.value.sqr().unwrap().sum_all().unwrap() * parts[1]).unwrap();
    let aux_loss = (out.aux_value.unwrap().sqr().unwrap().sum_all().unwrap() * parts[2]).unwrap();
    let loss = ((policy_loss + value_loss).unwrap() + aux_loss).unwrap();
    let gradients = loss.backward().unwrap();
    let moved = |var: &candle_core::Var| {
        gradients
            .get(var.as_tensor())
            .is_some_and(|g| g.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0)
    };
    parameters.vars().into_iter().fold((Vec::new(), Vec::new()), |(mut yes, mut no), (name, var)| {
        if moved(&var) {
            yes.push(name)
        } else {
            no.push(name)
        }
        (yes, no)
    })
}

#[test]
fn every_trainable_parameter_gets_a_gradient() {
    everywhere(every_trainable_parameter_gets_a_gradient_on);
}

fn every_trainable_parameter_gets_a_gradient_on(device: &Device) {
    for gradient in [ValueGradient::Detach, ValueGradient::Shared] {
        let (_, still) = trained_names(gradient, [1.0, 1.0, 1.0], device);
        assert_eq!(still, Vec::<String>::new());
    }
}

#[test]
fn the_true_value_head_reaches_the_trunk_only_when_shared() {
    everywhere(the_true_value_head_reaches_the_trunk_only_when_shared_on);
}

fn the_true_value_head_reaches_the_trunk_only_when_shared_on(device: &Device) {
    let (moved, _) = trained_names(ValueGradient::Detach, [0.0, 1.0, 0.0], device);
    assert_eq!(moved, ["value_head.linear.bias", "value_head.linear.weight"]);
    let (moved, _) = trained_names(ValueGradient::Shared, [0.0, 1.0, 0.0], device);
    assert!(moved.iter().any(|name| name.starts_with("net.img_process")));
    let (moved, _) = trained_names(ValueGradient::Detach, [0.0, 0.0, 1.0], device);
    assert!(moved.iter().any(|name| name.starts_with("net.img_process")));
    assert!(!moved.iter().any(|name| name.starts_with("value_head")));
}

#[test]
fn a_frozen_network_tracks_nothing_and_a_state_never_does() {
    everywhere(a_frozen_network_tracks_nothing_and_a_state_never_does_on);
}

fn a_frozen_network_tracks_nothing_and_a_state_never_does_on(device: &Device) {
    let config = small();
    let trainable = parameters(&config, device);
    let flags = Tensor::new(&[[1u8, 0]], device).unwrap();
    let state = RecurrentState::initial(&config, 1, device).unwrap();
    let run = |params: &Parameters| {
        Policy::new(&config, params).unwrap().forward(&frames(1, 2, 16, 4, device), &flags, &state).unwrap()
    };
    let out = run(&trainable.frozen_copy().unwrap());
    assert!(!out.buttons_logits.track_op() && !out.value.track_op());
    let out = run(&trainable);
    assert!(out.buttons_logits.track_op());
    assert!(out.state.layers.iter().all(|l| !l.keys.track_op() && !l.values.track_op()));
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    everywhere(inputs_that_do_not_fit_are_named_on);
}

fn inputs_that_do_not_fit_are_named_on(device: &Device) {
    let config = small();
    let policy = Policy::new(&config, &parameters(&config, device)).unwrap();
    let state = RecurrentState::initial(&config, 1, device).unwrap();
    let flags = Tensor::new(&[[1u8, 0]], device).unwrap();
    let refused = |frames: &Tensor, flags: &Tensor, state: &RecurrentState| {
        policy.forward(frames, flags, state).unwrap_err().to_string()
    };
    assert!(refused(&frames(1, 2, 8, 1, device), &flags, &state).contains("frames"));
    assert!(refused(&frames(1, 3, 16, 1, device), &flags, &state).contains("is_first"));
    let two = RecurrentState::initial(&config, 2, device).unwrap();
    assert!(refused(&frames(1, 2, 16, 1, device), &flags, &two).contains("recurrent state"));
    let floats = flags.to_dtype(DType::F32).unwrap();
    assert!(refused(&frames(1, 2, 16, 1, device), &floats, &state).contains("u8"));
    let other = PolicyConfig { hidsize: 32, ..config };
    assert!(Policy::new(&other, &parameters(&small(), device)).is_err());
}

/// Outputs, memory and every gradient of one pass of a policy on `device`.
fn everything(config: &PolicyConfig, precision: Precision, device: &Device) -> Vec<(String, Tensor)> {
    let on = |x: &Tensor| x.to_device(device).unwrap();
    let weights = parameters(config, &Device::Cpu);
    let tensors =
        weights.names().map(|name| (name.to_owned(), weights.get(name).unwrap().detach())).collect();
    let weights = Parameters::from_tensors(&tensors, config, true, device).unwrap();
    let policy = Policy::new(config, &weights).unwrap().with_precision(precision).unwrap();
    let flags = on(&Tensor::new(&[[1u8, 0, 0], [0, 0, 1]], &Device::Cpu).unwrap());
    let state = RecurrentState::initial(config, 2, device).unwrap();
    let side = config.image_size;
    let warm = policy.forward(&on(&frames(2, 3, side, 3, &Device::Cpu)), &flags, &state).unwrap().state;
    let out = policy.forward(&on(&frames(2, 3, side, 4, &Device::Cpu)), &flags, &warm).unwrap();
    let index = on(&Tensor::new(&[5u32, 60, 100, 120, 3, 7], &Device::Cpu).unwrap());
    let buttons = distribution::log_prob(&out.buttons_logits.flatten(0, 1).unwrap(), &index).unwrap();
    let camera = distribution::log_prob(&out.camera_logits.flatten(0, 1).unwrap(), &index).unwrap();
    let value = (out.value.sqr().unwrap() + out.aux_value.as_ref().unwrap().sqr().unwrap()).unwrap();
    let loss = (value.sum_all().unwrap() - (buttons + camera).unwrap().sum_all().unwrap()).unwrap();
    let gradients = Gradients::collect(&weights, &loss.backward().unwrap()).unwrap();
    let mut all = vec![
        ("buttons".to_owned(), out.buttons_logits.detach()),
        ("camera".to_owned(), out.camera_logits.detach()),
        ("value".to_owned(), out.value.detach()),
        ("keys".to_owned(), out.state.layers[1].keys.clone()),
    ];
    all.extend(gradients.names().map(|name| (name.to_owned(), gradients.get(name).unwrap().clone())));
    all.into_iter().map(|(name, tensor)| (name, tensor.to_device(&Device::Cpu).unwrap())).collect()
}

/// Compares two lists of [`everything`] by their relative L2 distance.
fn assert_near(what: &str, got: &[(String, Tensor)], want: &[(String, Tensor)], most: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for ((name, got), (_, want)) in got.iter().zip(want) {
        let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let (apart, size) = (norm(&(got - want).unwrap()), norm(want));
        assert!(apart <= most * size, "{what}, {name}: {apart} of {size}");
    }
}

#[test]
fn a_gpu_computes_what_the_cpu_does() {
    let in_stacks = PolicyConfig { impala_chans: vec![16, 16, 32], ..small() };
    for (what, config) in [("layers", small()), ("stacks", in_stacks)] {
        let want = everything(&config, Precision::F32, &Device::Cpu);
        let check = |place: &str, device: &Device| {
            let got = everything(&config, Precision::F32, device);
            assert_near(&format!("{what} {place}"), &got, &want, 2e-4);
            // In bf16 maxima and ReLUs turn over, whose gradients then go elsewhere: outputs only.
            let got = everything(&config, Precision::Bf16, device);
            assert_near(&format!("{what} {place} bf16"), &got[..4], &want[..4], 0.1);
            assert_eq!(got.len(), want.len());
        };
        emulated::on(|| check("emulated", &Device::Cpu));
        for gpu in &device::for_tests()[1..] {
            check("GPU", gpu);
        }
    }
}
