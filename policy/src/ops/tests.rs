//! Every op on every instruction set of this machine: forward against the plain version, gradients against central
//! differences of the plain version.

use candle_core::{Device, Result, Tensor, Var};

use super::categorical::{entropy_at, kl_at, log_prob_at};
use super::conv::{Extra, Shape3x3, conv_at};
use super::cuda::emulated;
use super::linear::linear_at;
use super::norm::norm_at;
use super::pool::max_pool_at;
use super::simd::{Kernel, Level, Simd};
use super::softmax::{masked_softmax_at, softmax_at};
use super::{attention, frames_to_input, log_sum_exp_rows, reference};

pub(super) type Op<'a> = &'a dyn Fn(Level, &[Tensor]) -> Result<Tensor>;
pub(super) type Plain<'a> = &'a dyn Fn(&[Vec<f64>]) -> Vec<f64>;

/// Numbers of roughly unit size, from a fixed recurrence.
pub(super) fn values(len: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 3.4 * scale
        })
        .collect()
}

pub(super) fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Runs a check on every instruction set of this machine, with the GPU's kernels on the CPU, and on a GPU if there is one.
pub(super) fn everywhere(run: impl Fn(&str, Level, &Device)) {
    for level in Level::all() {
        run(&format!("{level:?}"), level, &Device::Cpu);
    }
    emulated::on(|| run("emulated GPU", Level::best(), &Device::Cpu));
    for gpu in &crate::device::for_tests()[1..] {
        run("GPU", Level::best(), gpu);
    }
}

fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let size = want.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= tolerance * size, "{what}[{i}]: {g} instead of {w}");
    }
}

/// Compares `op` with `plain` on `inputs` (shape, values), forward and in every gradient.
pub(super) fn check(
    what: &str,
    op: Op<'_>,
    plain: Plain<'_>,
    inputs: &[(&[usize], Vec<f32>)],
    tolerance: f64,
) {
    let exact: Vec<Vec<f64>> =
        inputs.iter().map(|(_, v)| v.iter().map(|x| f64::from(*x)).collect()).collect();
    let want = plain(&exact);
    let weight = values(want.len(), 77, 1.0);
    let loss = |at: &[Vec<f64>]| plain(at).iter().zip(&weight).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
    // Central differences of the plain version, at some places of every input.
    let mut slopes = Vec::new();
    for (k, input) in exact.iter().enumerate() {
        let step = input.len().div_ceil(24);
        for i in (0..input.len()).step_by(step) {
            let mut moved = exact.clone();
            moved[k][i] = input[i] + 1e-6;
            let up = loss(&moved);
            moved[k][i] = input[i] - 1e-6;
            slopes.push((k, i, (up - loss(&moved)) / 2e-6));
        }
    }
    everywhere(|place, level, device| {
        let what = format!("{what} with {place}");
        // cuDNN is free to choose algorithms that round more.
        let (tolerance, slack) =
            if device.is_cuda() { (tolerance.max(2e-5), 1e-4) } else { (tolerance, 2e-5) };
        let vars: Vec<Var> = inputs
            .iter()
            .map(|(s, v)| Var::from_tensor(&Tensor::from_vec(v.clone(), *s, device).unwrap()).unwrap())
            .collect();
        let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let out = op(level, &tracked).unwrap();
        assert_close(&what, &flat(&out), &want, tolerance);
        let untracked: Vec<Tensor> = tracked.iter().map(Tensor::detach).collect();
        assert_eq!(
            flat(&op(level, &untracked).unwrap()),
            flat(&out),
            "{what}: inference differs from training"
        );
        let m = Tensor::from_vec(weight.clone(), out.shape(), device).unwrap();
        let grads = (out * m).unwrap().sum_all().unwrap().backward().unwrap();
        let grads: Vec<Vec<f32>> = vars.iter().map(|v| flat(grads.get(v).expect("a gradient"))).collect();
        for (k, i, slope) in &slopes {
            let scale = grads[*k].iter().fold(1.0f64, |a, b| a.max(f64::from(b.abs())));
            let got = f64::from(grads[*k][*i]);
            assert!(
                (got - slope).abs() <= slack * scale,
                "{what}: gradient {k}[{i}] is {got}, should be {slope}"
            );
        }
    });
}

#[test]
fn convolution_agrees_with_the_plain_one() {
    let shapes = [
        (1, 3, 16, 64, 64),
        (3, 16, 32, 8, 8),
        (9, 32, 5, 8, 8),
        (3, 16, 16, 16, 16),
        (2, 48, 5, 7, 9),
        (1, 2, 1, 1, 1),
    ];
    for (n, ci, co, h, w) in shapes {
        for (with_bias, relu) in [(false, false), (true, true)] {
            let mut inputs: Vec<(&[usize], _)> = Vec::new();
            let (xs, ws, bs) = ([n, ci, h, w], [co, ci, 3, 3], [co]);
            inputs.push((&xs, values(n * ci * h * w, 1, 1.0)));
            inputs.push((&ws, values(co * ci * 9, 2, 0.2)));
            if with_bias {
                inputs.push((&bs, values(co, 3, 1.0)));
            }
            let op = |level, t: &[Tensor]| {
                conv_at(level, &t[0], &t[1], Extra::from(t.get(2)), Shape3x3 { relu, pool: false })
            };
            let plain = |t: &[Vec<f64>]| {
                let y = reference::conv3x3(&t[0], (n, ci, h, w), &t[1], co, t.get(2).map(Vec::as_slice));
                if relu { reference::relu(y) } else { y }
            };
            check(&format!("conv {n}x{ci}->{co}x{h}x{w}"), &op, &plain, &inputs, 2e-6);
        }
    }
}

#[test]
fn convolution_with_pool_agrees_with_the_plain_one() {
    for (n, ci, co, h, w) in [(1, 3, 16, 64, 64), (5, 16, 32, 16, 16), (2, 4, 5, 7, 9)] {
        let (xs, ws, bs) = ([n, ci, h, w], [co, ci, 3, 3], [co]);
        let inputs: [(&[usize], _); 3] = [
            (&xs, values(n * ci * h * w, 1, 1.0)),
            (&ws, values(co * ci * 9, 2, 0.2)),
            (&bs, values(co, 3, 0.3)),
        ];
        let op = |level, t: &[Tensor]| {
            conv_at(level, &t[0], &t[1], Extra::Bias(t[2].clone()), Shape3x3 { relu: true, pool: true })
        };
        let plain = |t: &[Vec<f64>]| {
            let y = reference::relu(reference::conv3x3(&t[0], (n, ci, h, w), &t[1], co, Some(&t[2])));
            reference::max_pool(&y, (n, co, h, w))
        };
        check(&format!("conv, pool {n}x{ci}->{co}x{h}x{w}"), &op, &plain, &inputs, 2e-6);
    }
}

#[test]
fn norm_then_convolution_agrees_with_the_plain_one() {
    for (n, ci, co, h, w, pool) in
        [(3, 16, 16, 8, 8, false), (1, 16, 32, 16, 16, true), (2, 5, 3, 6, 7, true)]
    {
        let (xs, ws, gs) = ([n, ci, h, w], [co, ci, 3, 3], [ci]);
        let inputs: [(&[usize], _); 4] = [
            (&xs, values(n * ci * h * w, 1, 1.0).iter().map(|v| v + 0.7).collect()),
            (&gs, values(ci, 5, 1.0)),
            (&gs, values(ci, 6, 1.0)),
            (&ws, values(co * ci * 9, 2, 0.2)),
        ];
        let op = |level, t: &[Tensor]| {
            let affine = Tensor::cat(&[&t[1], &t[2]], 0)?;
            conv_at(level, &t[0], &t[3], Extra::Norm(affine), Shape3x3 { relu: true, pool })
        };
        let plain = |t: &[Vec<f64>]| {
            let x = reference::norm(&t[0], &t[1], &t[2], h * w);
            let y = reference::relu(reference::conv3x3(&x, (n, ci, h, w), &t[3], co, None));
            if pool { reference::max_pool(&y, (n, co, h, w)) } else { y }
        };
        check(&format!("norm, conv {n}x{ci}->{co}x{h}x{w}"), &op, &plain, &inputs, 5e-6);
    }
}

#[test]
fn pool_agrees_with_the_plain_one_and_gives_ties_to_the_first() {
    for (h, w) in [(8, 8), (5, 9), (1, 1), (64, 64)] {
        let xs = [2, 3, h, w];
        let plain = |t: &[Vec<f64>]| reference::max_pool(&t[0], (2, 3, h, w));
        let op = |level, t: &[Tensor]| max_pool_at(level, &t[0]);
        check(&format!("pool {h}x{w}"), &op, &plain, &[(&xs, values(6 * h * w, 4, 1.0))], 1e-7);
    }
    everywhere(|_, level, device| {
        let x = Var::ones((1, 1, 4, 4), candle_core::DType::F32, device).unwrap();
        let grads = max_pool_at(level, &x).unwrap().sum_all().unwrap().backward().unwrap();
        let want = [1., 1., 0., 0., 1., 1., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.];
        assert_eq!(flat(grads.get(&x).unwrap()), want);
    });
}

#[test]
fn norm_agrees_with_the_plain_one() {
    let cases: [(&[usize], usize); 5] =
        [(&[5, 64], 1), (&[33, 7], 1), (&[1, 2048], 1), (&[3, 16, 8, 8], 64), (&[17, 3, 5, 1], 5)];
    for (shape, inner) in cases {
        let (len, channels) = (shape.iter().product(), [shape[1]]);
        let x: Vec<f32> = values(len, 1, 1.0).iter().map(|v| v * 3.0 + 20.0).collect();
        let inputs: [(&[usize], _); 3] =
            [(shape, x), (&channels, values(shape[1], 2, 1.0)), (&channels, values(shape[1], 3, 1.0))];
        let plain = |t: &[Vec<f64>]| reference::norm(&t[0], &t[1], &t[2], inner);
        let op = |level, t: &[Tensor]| norm_at(level, &t[0], &t[1], &t[2]);
        check(&format!("norm {shape:?}"), &op, &plain, &inputs, 5e-6);
    }
}

#[test]
fn linear_agrees_with_the_plain_one() {
    for (n, k, o) in [(1, 128, 121), (3, 40, 24), (17, 33, 7), (65, 130, 200), (2, 2048, 5)] {
        for (with_bias, relu) in [(false, false), (true, true)] {
            let (xs, ws, bs) = ([n, k], [o, k], [o]);
            let mut inputs: Vec<(&[usize], _)> =
                vec![(&xs, values(n * k, 1, 1.0)), (&ws, values(o * k, 2, 0.3))];
            if with_bias {
                inputs.push((&bs, values(o, 3, 1.0)));
            }
            let op = |level, t: &[Tensor]| linear_at(level, &t[0], &t[1], t.get(2), relu);
            let plain = |t: &[Vec<f64>]| {
                let y = reference::linear(&t[0], k, &t[1], t.get(2).map(Vec::as_slice));
                if relu { reference::relu(y) } else { y }
            };
            check(&format!("linear {n}x{k}->{o}"), &op, &plain, &inputs, 2e-6);
        }
    }
}

#[test]
fn softmax_agrees_with_the_plain_one() {
    let plain = |t: &[Vec<f64>]| reference::log_softmax(&t[0], 37).iter().map(|l| l.exp()).collect();
    check("softmax", &|l, t| softmax_at(l, &t[0]), &plain, &[(&[2, 3, 37], values(6 * 37, 1, 2.0))], 1e-6);
    let (b, h, t, s) = (2, 3, 4, 21);
    let shape = [b, h, t, s];
    let mask: Vec<u8> = (0..b * t * s).map(|i| u8::from(i % 3 != 0 && i / s != 5)).collect();
    let shown = Tensor::from_vec(mask.clone(), (b, t, s), &Device::Cpu).unwrap();
    let inputs: [(&[usize], _); 2] =
        [(&shape, values(b * h * t * s, 1, 2.0)), (&shape, values(b * h * t * s, 2, 1.0))];
    let op =
        |level, x: &[Tensor]| masked_softmax_at(level, &x[0], &x[1], &shown.to_device(x[0].device())?, 0.25);
    let plain = |x: &[Vec<f64>]| reference::masked_softmax(&x[0], &x[1], &mask, (b, h, t, s), 0.25);
    check("masked softmax", &op, &plain, &inputs, 1e-6);
}

#[test]
fn attention_ignores_hidden_keys_and_reaches_every_input() {
    everywhere(|_, _, device| attention_on(device));
}

fn attention_on(device: &Device) {
    let make = |seed, shape: &[usize]| {
        let values = values(shape.iter().product(), seed, 1.0);
        Var::from_tensor(&Tensor::from_vec(values, shape, device).unwrap()).unwrap()
    };
    let (q, k, v) = (make(1, &[1, 2, 3, 4]), make(2, &[1, 2, 5, 4]), make(3, &[1, 2, 5, 4]));
    let bias = make(4, &[1, 2, 3, 5]);
    let mask = Tensor::new(&[[[0u8, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 0]]], device).unwrap();
    let out = attention(&q, &k, &v, &bias, &mask, 0.5).unwrap();
    // One visible key: the result is its value.
    assert_eq!(flat(&out)[..4], flat(&v)[4..8]);
    let grads = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for var in [&q, &k, &v, &bias] {
        assert!(flat(grads.get(var).unwrap()).iter().any(|g| *g != 0.0));
    }
    assert!(flat(grads.get(&v).unwrap())[..4].iter().all(|g| *g == 0.0), "key 0 is hidden from all");
}

#[test]
fn categorical_functions_agree_with_the_plain_ones() {
    for c in [2, 16, 121, 8641] {
        let shape = [3, c];
        let (p, q) = (values(3 * c, 1, 2.0), values(3 * c, 2, 2.0));
        let index = Tensor::new(&[0u32, c as u32 - 1, c as u32 / 2], &Device::Cpu).unwrap();
        let plain = |t: &[Vec<f64>]| {
            let l = reference::log_softmax(&t[0], c);
            vec![l[0], l[2 * c - 1], l[2 * c + c / 2]]
        };
        check(
            "log_prob",
            &|l, t| log_prob_at(l, &t[0], &index.to_device(t[0].device())?),
            &plain,
            &[(&shape, p.clone())],
            1e-6,
        );
        let plain = |t: &[Vec<f64>]| reference::entropy(&t[0], c);
        check("entropy", &|l, t| entropy_at(l, &t[0]), &plain, &[(&shape, p.clone())], 1e-6);
        let plain = |t: &[Vec<f64>]| reference::kl(&t[0], &t[1], c);
        check("kl", &|l, t| kl_at(l, &t[0], &t[1]), &plain, &[(&shape, p), (&shape, q)], 2e-6);
    }
}

#[test]
fn extreme_logits_stay_finite_and_exact() {
    let rows = [1e4f32, -1e4, 0.0, 1e4, 9999.0, -1e4];
    let p = Tensor::from_vec(rows.to_vec(), (2, 3), &Device::Cpu).unwrap();
    let q = Tensor::from_vec(vec![0.0f32, 0.0, 0.0, -1e4, 1e4, 0.0], (2, 3), &Device::Cpu).unwrap();
    let exact: Vec<f64> = rows.iter().map(|v| f64::from(*v)).collect();
    let q_exact: Vec<f64> = flat(&q).iter().map(|v| f64::from(*v)).collect();
    everywhere(|_, level, device| {
        let (p, q) = (p.to_device(device).unwrap(), q.to_device(device).unwrap());
        let index = Tensor::new(&[1u32, 1], device).unwrap();
        let l = reference::log_softmax(&exact, 3);
        assert_close("log_prob", &flat(&log_prob_at(level, &p, &index).unwrap()), &[l[1], l[4]], 1e-7);
        assert_close("entropy", &flat(&entropy_at(level, &p).unwrap()), &reference::entropy(&exact, 3), 1e-6);
        assert_close("kl", &flat(&kl_at(level, &p, &q).unwrap()), &reference::kl(&exact, &q_exact, 3), 1e-6);
        let var = Var::from_tensor(&p).unwrap();
        let all = (kl_at(level, &var, &q).unwrap() + entropy_at(level, &var).unwrap()).unwrap();
        let grads = all.sum_all().unwrap().backward().unwrap();
        assert!(flat(grads.get(&var).unwrap()).iter().all(|g| g.is_finite()));
    });
    let sums = log_sum_exp_rows(&rows, 3);
    assert!((sums[0] - 1e4).abs() < 1e-2 && (sums[1] - 10_000.313).abs() < 1e-2, "{sums:?}");
}

#[test]
fn exponential_is_accurate_to_two_in_ten_million() {
    struct Exp(f32);
    impl Kernel for Exp {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            s.max_lane(s.exp(s.splat(self.0)))
        }
    }
    for level in Level::all() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0 + 3e-5;
            if !(-87.0..=88.0).contains(&x) {
                continue;
            }
            let (got, want) = (f64::from(level.run(Exp(x))), f64::from(x).exp());
            assert!((got / want - 1.0).abs() <= 2e-7, "{level:?}: e^{x} = {got}, should be {want}");
        }
        assert_eq!(level.run(Exp(-1e4)), 0.0);
        assert_eq!(level.run(Exp(0.0)), 1.0);
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch_and_threads_do_not_matter() {
    let d = &Device::Cpu;
    let x = Tensor::from_vec(values(33 * 16 * 64, 1, 1.0), (33, 16, 8, 8), d).unwrap();
    let w = Tensor::from_vec(values(32 * 144, 2, 0.2), (32, 16, 3, 3), d).unwrap();
    let dense = Tensor::from_vec(values(70 * 1024, 3, 0.1), (70, 1024), d).unwrap();
    let gain = Tensor::from_vec(values(16, 5, 1.0), 16, d).unwrap();
    let run = |x: &Tensor| {
        let y = super::norm_conv3x3_relu(x, &gain, &gain, &w, false).unwrap();
        let z = super::linear(&x.flatten_from(1).unwrap(), &dense, None, true).unwrap();
        (y, z)
    };
    let (y, z) = run(&x);
    for i in [0, 7, 32] {
        let (y1, z1) = run(&x.narrow(0, i, 1).unwrap());
        assert_eq!(flat(&y1), flat(&y.narrow(0, i, 1).unwrap()));
        assert_eq!(flat(&z1), flat(&z.narrow(0, i, 1).unwrap()));
    }
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let vars = [&x, &w, &gain, &dense].map(|t| Var::from_tensor(t).unwrap());
            let y = super::norm_conv3x3_relu(&vars[0], &vars[2], &vars[2], &vars[1], true).unwrap();
            let z = super::linear(&vars[0].flatten_from(1).unwrap(), &vars[3], None, true).unwrap();
            let loss = (y.sqr().unwrap().sum_all().unwrap() + z.sqr().unwrap().sum_all().unwrap()).unwrap();
            let grads = loss.backward().unwrap();
            vars.iter().map(|v| flat(grads.get(v).unwrap())).collect::<Vec<_>>()
        })
    };
    assert_eq!(gradients(1), gradients(5));
}

#[test]
fn frames_become_planes_between_zero_and_one() {
    let frames =
        Tensor::from_vec((0..2 * 2 * 3 * 3).map(|i| i as u8 * 7).collect(), (2, 2, 3, 3), &Device::Cpu);
    let frames = frames.unwrap();
    // Division, not multiplication by the reciprocal (as candle does): the reference divides.
    let want: Vec<f32> =
        flat(&frames.permute((0, 3, 1, 2)).unwrap().to_dtype(candle_core::DType::F32).unwrap())
            .iter()
            .map(|v| v / 255.0)
            .collect();
    everywhere(|_, _, device| {
        assert_eq!(flat(&frames_to_input(&frames.to_device(device).unwrap()).unwrap()), want);
    });
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let t = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(super::conv3x3(&t(&[1, 3, 4, 4]), &t(&[2, 4, 3, 3]), None, true).is_err());
    assert!(super::conv3x3(&t(&[1, 3, 4, 4]), &t(&[2, 3, 3, 3]), Some(&t(&[3])), true).is_err());
    assert!(super::conv3x3(&t(&[1, 3, 0, 4]), &t(&[2, 3, 3, 3]), None, true).is_err());
    assert!(super::linear(&t(&[2, 3]), &t(&[2, 4]), None, false).is_err());
    assert!(super::norm(&t(&[2, 3]), &t(&[2]), &t(&[2])).is_err());
    assert!(super::log_prob(&t(&[1, 3]), &Tensor::new(&[3u32], &Device::Cpu).unwrap()).is_err());
}
