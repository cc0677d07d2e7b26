//! Adam against the same steps written by hand in f64.

use candle_core::{Device, Tensor};

use super::*;
use crate::PolicyConfig;
use crate::ops::cuda::emulated;

/// Runs a test with moments in host memory, with the GPU's kernels on the CPU, and on a GPU if there is one.
fn everywhere(run: impl Fn(&Device)) {
    run(&Device::Cpu);
    emulated::on(|| run(&Device::Cpu));
    crate::device::for_tests()[1..].iter().for_each(run);
}

fn settings(decay: WeightDecay) -> AdamConfig {
    AdamConfig { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, decay }
}

fn vars(device: &Device) -> Vec<(String, Var)> {
    let var = |values: &[f32]| Var::from_tensor(&Tensor::new(values, device).unwrap()).unwrap();
    vec![("a".into(), var(&[0.5, -1.0, 2.0])), ("b".into(), var(&[3.0])), ("c".into(), var(&[7.0, 8.0]))]
}

/// Gradients of a loss that is quadratic in `a` and `b` and reaches `c` never.
fn gradients(vars: &[(String, Var)], step: usize) -> Gradients {
    let (a, b) = (vars[0].1.as_tensor(), vars[1].1.as_tensor());
    let loss = (a.sqr().unwrap().sum_all().unwrap() * (1.0 + step as f64)).unwrap();
    let loss = (loss + (b.sum_all().unwrap() * 0.3).unwrap()).unwrap();
    Gradients::from_vars(vars, &loss.backward().unwrap()).unwrap()
}

fn by_hand(config: &AdamConfig, max_norm: Option<f64>) -> Vec<f64> {
    let mut p = [0.5f64, -1.0, 2.0, 3.0];
    let (mut m, mut v) = ([0.0; 4], [0.0; 4]);
    for step in 0..10 {
        let k = 2.0 * (1.0 + f64::from(step));
        let mut g = [p[0] * k, p[1] * k, p[2] * k, 0.3];
        let norm = g.iter().map(|x| x * x).sum::<f64>().sqrt();
        let clip = max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        let t = step + 1;
        for i in 0..4 {
            g[i] *= clip;
            match config.decay {
                WeightDecay::Coupled => g[i] += config.weight_decay * p[i],
                WeightDecay::Decoupled => p[i] -= config.lr * config.weight_decay * p[i],
            }
            m[i] = config.beta1 * m[i] + (1.0 - config.beta1) * g[i];
            v[i] = config.beta2 * v[i] + (1.0 - config.beta2) * g[i] * g[i];
            let (mean, square) = (m[i] / (1.0 - config.beta1.powi(t)), v[i] / (1.0 - config.beta2.powi(t)));
            p[i] -= config.lr * mean / (square.sqrt() + config.eps);
        }
    }
    p.to_vec()
}

#[test]
fn ten_steps_agree_with_the_same_by_hand() {
    everywhere(ten_steps_agree_with_the_same_by_hand_on);
}

fn ten_steps_agree_with_the_same_by_hand_on(device: &Device) {
    for decay in [WeightDecay::Coupled, WeightDecay::Decoupled] {
        for max_norm in [None, Some(1.0)] {
            let (vars, config) = (vars(device), settings(decay));
            let mut adam = Adam::for_vars(&vars, config).unwrap();
            for step in 0..10 {
                let norm = adam.step_vars(&vars, &gradients(&vars, step), max_norm).unwrap();
                assert!(norm > 1.0, "so that the clip is at work");
            }
            let got: Vec<f32> = vars[..2].iter().flat_map(|(_, v)| v.to_vec1::<f32>().unwrap()).collect();
            for (g, w) in got.iter().zip(by_hand(&config, max_norm)) {
                assert!((f64::from(*g) - w).abs() < 5e-6, "{decay:?} {max_norm:?}: {g} instead of {w}");
            }
            assert_eq!(vars[2].1.to_vec1::<f32>().unwrap(), [7.0, 8.0], "no gradient, no step, no decay");
        }
    }
}

#[test]
fn a_prefix_has_a_learning_rate_of_its_own() {
    everywhere(a_prefix_has_a_learning_rate_of_its_own_on);
}

fn a_prefix_has_a_learning_rate_of_its_own_on(device: &Device) {
    let vars = vars(device);
    let before: Vec<Vec<f32>> = vars.iter().map(|(_, var)| var.to_vec1().unwrap()).collect();
    let mut adam =
        Adam::for_vars(&vars, AdamConfig { lr: 1e-3, weight_decay: 0.0, ..settings(WeightDecay::Coupled) })
            .unwrap();
    adam.set_prefix_lr(&vars[0].0, 0.5);
    adam.set_prefix_lr(&vars[0].0, 1e-1);
    adam.step_vars(&vars, &gradients(&vars, 0), None).unwrap();
    let moved = |i: usize| (vars[i].1.to_vec1::<f32>().unwrap()[0] - before[i][0]).abs();
    // Adam's first step is the learning rate, whatever the gradient.
    assert!((moved(0) - 1e-1).abs() < 1e-4, "{}", moved(0));
    assert!((moved(1) - 1e-3).abs() < 1e-5, "{}", moved(1));
}

#[test]
fn a_restored_optimiser_goes_on_bit_for_bit() {
    everywhere(a_restored_optimiser_goes_on_bit_for_bit_on);
}

fn a_restored_optimiser_goes_on_bit_for_bit_on(device: &Device) {
    let (one, two) = (vars(device), vars(device));
    let config = settings(WeightDecay::Coupled);
    let (mut first, mut second) =
        (Adam::for_vars(&one, config).unwrap(), Adam::for_vars(&two, config).unwrap());
    for step in 0..5 {
        first.step_vars(&one, &gradients(&one, step), None).unwrap();
    }
    let bytes = first.to_safetensors().unwrap();
    assert_eq!(bytes, first.to_safetensors().unwrap());
    second.load(&bytes).unwrap();
    for ((_, a), (_, b)) in one.iter().zip(&two) {
        b.set(&a.as_tensor().copy().unwrap()).unwrap();
    }
    for step in 5..8 {
        first.step_vars(&one, &gradients(&one, step), None).unwrap();
        second.step_vars(&two, &gradients(&two, step), None).unwrap();
    }
    for ((_, a), (_, b)) in one.iter().zip(&two) {
        assert_eq!(a.to_vec1::<f32>().unwrap(), b.to_vec1::<f32>().unwrap());
    }
}

#[test]
fn a_file_of_another_architecture_is_refused_by_name() {
    everywhere(a_file_of_another_architecture_is_refused_by_name_on);
}

fn a_file_of_another_architecture_is_refused_by_name_on(device: &Device) {
    let all = vars(device);
    let mut adam = Adam::for_vars(&all[..2], settings(WeightDecay::Coupled)).unwrap();
    let other = Adam::for_vars(&all[1..], settings(WeightDecay::Coupled)).unwrap().to_safetensors().unwrap();
    let error = adam.load(&other).unwrap_err().to_string();
    assert!(error.contains("mean.a is missing") && error.contains("square.c is not expected"), "{error}");
    for cut in [0, 7, other.len() / 2, other.len() - 1] {
        assert!(adam.load(&other[..cut]).is_err());
    }
}

#[test]
fn steps_reach_the_parameters_of_a_policy() {
    everywhere(steps_reach_the_parameters_of_a_policy_on);
}

fn steps_reach_the_parameters_of_a_policy_on(device: &Device) {
    let mut parameters = Parameters::init(&PolicyConfig::tiny(), 1, device).unwrap();
    let mut adam = Adam::new(&parameters, settings(WeightDecay::Decoupled)).unwrap();
    let (name, var) = parameters.vars().swap_remove(0);
    let before = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let store = var.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = Gradients::collect(&parameters, &store).unwrap();
    assert_eq!(gradients.names().collect::<Vec<_>>(), [name.as_str()]);
    adam.step(&mut parameters, &gradients, Some(1.0)).unwrap();
    let after = parameters.get(&name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(before.iter().zip(&after).all(|(b, a)| *b == 0.0 || a.abs() < b.abs()));
}
