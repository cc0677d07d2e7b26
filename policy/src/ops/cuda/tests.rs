//! What the checks of every operation, which also run here, leave open: bf16, a whole policy's step, and a wrong call.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::backend::{self, Buffer, Convolution, Pass, Span};
use super::emulated;
use super::kernels::Kernel;
use super::{Update, adam, moments, sum_of_squares, windows};
use crate::ops::tests::{flat, values};
use crate::ops::{self, AdamStep, StackShape, scope};
use crate::precision::Precision;

fn var(shape: &[usize], seed: u64, scale: f32) -> Var {
    let values = values(shape.iter().product(), seed, scale);
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Result and gradients of `run` on the CPU in f32 and with the GPU's kernels in bf16 differ by at most `most` of their size.
fn check_bf16(what: &str, most: f32, vars: &[Var], run: &dyn Fn(&[Var]) -> Result<Tensor>) {
    let all = || {
        let out = run(vars)?;
        let weight = Tensor::from_vec(values(out.elem_count(), 5, 1.0), out.shape(), &Device::Cpu)?;
        let grads = (&out * weight)?.sum_all()?.backward()?;
        let mut all = vec![flat(&out)];
        all.extend(vars.iter().map(|v| flat(grads.get(v).expect("a gradient"))));
        Ok::<_, candle_core::Error>(all)
    };
    let want = all().unwrap();
    let Some(got) = emulated::on(|| scope::with_precision(Precision::Bf16, || all().unwrap())) else {
        return;
    };
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let size = (want.iter().map(|v| v * v).sum::<f32>() / want.len() as f32).sqrt();
        let off = got.iter().zip(want).map(|(g, w)| (g - w).powi(2)).sum::<f32>() / want.len() as f32;
        assert!(off.sqrt() <= most * size, "{what} {i}: off by {} of {size}", off.sqrt());
    }
    assert_ne!(got[0], want[0], "{what}: not in bf16");
}

#[test]
fn bf16_products_and_convolutions_are_close() {
    let vars = [var(&[9, 40], 1, 1.0), var(&[24, 40], 2, 0.3), var(&[24], 3, 1.0)];
    check_bf16("linear", 0.01, &vars, &|v| ops::linear(&v[0], &v[1], Some(&v[2]), false));
    let vars = [var(&[2, 3, 8, 4], 1, 1.0), var(&[2, 3, 16, 4], 2, 1.0), var(&[2, 3, 16, 4], 3, 1.0)];
    let bias = Tensor::zeros((2, 3, 8, 16), DType::F32, &Device::Cpu).unwrap();
    let mask = Tensor::ones((2, 8, 16), DType::U8, &Device::Cpu).unwrap();
    check_bf16("attention", 0.01, &vars, &|v| ops::attention(&v[0], &v[1], &v[2], &bias, &mask, 0.5));
    let vars = [var(&[2, 16, 8, 8], 1, 1.0), var(&[8, 16, 3, 3], 4, 0.2)];
    check_bf16("conv", 0.01, &vars, &|v| ops::conv3x3(&v[0], &v[1], None, false));
}

/// Parameters of a stack that takes frames.
fn stack_parameters(channels: usize) -> Vec<Var> {
    let mut all = vec![var(&[channels], 1, 0.3), var(&[channels, 3, 3, 3], 2, 0.4)];
    all.extend([var(&[channels], 3, 1.0), var(&[channels], 4, 0.5)]);
    for i in 0..4 {
        all.extend([var(&[channels], 5 + i, 1.0), var(&[channels], 15 + i, 0.5)]);
        all.push(var(&[channels, channels, 3, 3], 25 + i, 0.1));
    }
    all
}

#[test]
fn two_stacks_in_bf16_are_close() {
    let (n, side) = (2, 16);
    let bytes: Vec<u8> = (0..n * side * side * 3).map(|i| (i * i / 7 * 31 % 253) as u8).collect();
    let frames = Tensor::from_vec(bytes, (n, side, side, 3), &Device::Cpu).unwrap();
    let mut vars = stack_parameters(16);
    let split = vars.len();
    vars.extend([var(&[16], 40, 1.0), var(&[16], 41, 0.5), var(&[32, 16, 3, 3], 42, 0.15)]);
    vars.extend(stack_parameters(32).into_iter().skip(2));
    // Rounding turns some maxima and ReLUs over, whose gradients then go elsewhere.
    check_bf16("stacks", 0.25, &vars, &|v| {
        let all: Vec<&Tensor> = v.iter().map(|v| v.as_tensor()).collect();
        let first = StackShape { channels_in: 3, channels: 16, height: side, width: side, planes: false };
        let half = side / 2;
        let second = StackShape { channels_in: 16, channels: 32, height: half, width: half, planes: true };
        ops::impala_stack(&ops::impala_stack(&frames, &all[..split], first)?, &all[split..], second)
    });
}

#[test]
fn squares_and_steps_over_many_tensors_are_those_of_one_at_a_time() {
    let step = |scale: f32| AdamStep {
        grad_scale: scale,
        beta1: 0.9,
        beta2: 0.99,
        step_size: 0.1,
        root_scale: 2.0,
        eps: 1e-3,
        coupled_decay: 0.01,
        shrink: 0.98,
    };
    // One of them takes three blocks.
    let sizes = [5, 40_000, 1];
    let gradients: Vec<Tensor> =
        (0..3).map(|i| var(&[sizes[i]], 60 + i as u64, 1.0).as_tensor().detach()).collect();
    let make = || (0..3).map(|i| var(&[sizes[i]], 50 + i as u64, 1.0)).collect::<Vec<_>>();
    let (one, all) = (make(), make());
    let mut want = 0.0;
    let mut kept = Vec::new();
    for (i, var) in one.iter().enumerate() {
        let (mut mean, mut square) = (vec![0.0; sizes[i]], vec![0.0; sizes[i]]);
        for _ in 0..2 {
            ops::adam_update(var, &gradients[i], (&mut mean, &mut square), step(i as f32 + 1.0)).unwrap();
        }
        kept.push((mean, square));
        want += flat(&gradients[i]).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    }
    let Some(()) = emulated::on(|| {
        let state: Vec<_> = all.iter().map(|var| moments(var).unwrap()).collect();
        let updates =
            all.iter().zip(&gradients).zip(&state).enumerate().map(|(i, ((parameter, grad), (m, s)))| {
                Update { parameter, grad, moments: (m, s), step: step(i as f32 + 1.0) }
            });
        let updates: Vec<_> = updates.collect();
        adam(&updates).unwrap();
        adam(&updates).unwrap();
        for (i, (mean, square)) in kept.iter().enumerate() {
            for (got, want) in [(&all[i], &flat(&one[i])), (&Var::from_tensor(&state[i].0).unwrap(), mean)] {
                let close = flat(got).iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6);
                assert!(close, "tensor {i}");
            }
            assert!(flat(&state[i].1).iter().zip(square).all(|(g, w)| (g - w).abs() < 1e-6));
        }
        let tensors: Vec<&Tensor> = gradients.iter().collect();
        assert!((sum_of_squares(&tensors).unwrap() / want - 1.0).abs() < 1e-12);
        let bad = Tensor::new(&[1.0f32, f32::NAN], &Device::Cpu).unwrap();
        assert!(!ops::all_finite(&[&gradients[0], &bad]).unwrap());
        assert!(ops::all_finite(&tensors).unwrap());
    }) else {
        return;
    };
}

#[test]
fn a_wrong_call_is_an_error() {
    emulated::on(|| {
        let unknown = Kernel::new("rows", "nothing").each(&Device::Cpu, 1).unwrap_err().to_string();
        assert!(unknown.contains("nothing"), "{unknown}");
        let wrong = Kernel::new("rows", "entropy").count(1).each(&Device::Cpu, 1).unwrap_err().to_string();
        assert!(wrong.contains("entropy"), "{wrong}");
    });
}

#[test]
fn a_convolution_by_products_is_the_same() {
    let (n, h, w, ci, co) = (3, 5, 4, 8, 6);
    let array = |shape: &[usize], seed, dtype| var(shape, seed, 1.0).to_dtype(dtype).unwrap();
    emulated::on(|| {
        for (dtype, most) in [(DType::F32, 1e-5), (DType::BF16, 0.02)] {
            let x = array(&[n, h, w, ci], 1, dtype);
            let f = array(&[co, 3, 3, ci], 2, dtype);
            let y = array(&[n, h, w, co], 3, dtype);
            for pass in [Pass::Forward, Pass::Images, Pass::Filters] {
                let of = [&x, &f, &y];
                let target = [2, 0, 1][pass as usize];
                let results = [backend::convolve, windows::convolve].map(|run| {
                    let to = Buffer::new(&Device::Cpu, dtype, of[target].shape()).unwrap();
                    let span = |i: usize| if i == target { to.span() } else { Span::of(of[i]) };
                    let (images, filters, results) = (span(0).unwrap(), span(1).unwrap(), span(2).unwrap());
                    run(&Convolution { pass, images, filters, results }).unwrap();
                    flat(&to.into_tensor().to_dtype(DType::F32).unwrap())
                });
                let size = results[0].iter().fold(0.0f32, |a, v| a.max(v.abs()));
                let close = results[0].iter().zip(&results[1]).all(|(a, b)| (a - b).abs() <= most * size);
                assert!(close && size > 0.0, "{pass:?} in {dtype:?}");
            }
        }
    });
}
