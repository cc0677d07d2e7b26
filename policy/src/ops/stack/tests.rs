//! A stack against its layers in the plain version, on every instruction set.

use candle_core::{Device, Result, Tensor, Var};

use super::{PackedStack, StackShape, stack_at};
use crate::ops::reference;
use crate::ops::simd::Level;
use crate::ops::tests::{check, flat, values};
use crate::precision::Precision;

/// The stack in f64: `x` `[N, Ci, H, W]` and the parameters to `[N, C, H/2, W/2]`.
fn plain(x: &[f64], parameters: &[Vec<f64>], n: usize, shape: StackShape) -> Vec<f64> {
    let StackShape { channels_in: ci, channels: co, height: h, width: w, .. } = shape;
    let mut next = parameters.iter();
    let mut take = || next.next().unwrap();
    let conv = |x: &[f64], dims, weight: &[f64], bias| {
        reference::relu(reference::conv3x3(x, dims, weight, co, bias))
    };
    let first = if ci == 3 {
        let bias = take();
        conv(x, (n, ci, h, w), take(), Some(bias.as_slice()))
    } else {
        let normed = reference::norm(x, take(), take(), h * w);
        conv(&normed, (n, ci, h, w), take(), None)
    };
    let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
    let mut x = reference::norm(&reference::max_pool(&first, (n, co, h, w)), take(), take(), oh * ow);
    for _ in 0..2 {
        let mut y = x.clone();
        for _ in 0..2 {
            let normed = reference::norm(&y, take(), take(), oh * ow);
            y = conv(&normed, (n, co, oh, ow), take(), None);
        }
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
    x
}

/// Shapes and values of a stack's parameters.
fn parameters(shape: StackShape) -> Vec<(Vec<usize>, Vec<f32>)> {
    let (ci, co) = (shape.channels_in, shape.channels);
    let mut sizes = if ci == 3 { vec![vec![co]] } else { vec![vec![ci]; 2] };
    sizes.push(vec![co, ci, 3, 3]);
    sizes.extend(vec![vec![co]; 2]);
    for _ in 0..4 {
        sizes.extend([vec![co], vec![co], vec![co, co, 3, 3]]);
    }
    let each = |(i, size): (usize, Vec<usize>)| {
        let scale = if size.len() == 4 { 0.1 } else { 0.7 };
        let values = values(size.iter().product(), 40 + i as u64, scale);
        (size, values)
    };
    sizes.into_iter().enumerate().map(each).collect()
}

/// From `[N, C, H, W]` to `[N, C/16, H, W, 16]`.
fn to_blocks(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.reshape((n, c / 16, 16, h, w))?.permute((0, 1, 3, 4, 2))?.contiguous()
}

fn from_blocks(x: &Tensor) -> Result<Tensor> {
    let (n, blocks, h, w, _) = x.dims5()?;
    x.permute((0, 1, 4, 2, 3))?.reshape((n, blocks * 16, h, w))
}

#[test]
fn a_stack_agrees_with_its_layers() {
    for (n, ci, co, height, width, planes) in
        [(2, 16, 16, 8, 8, false), (1, 16, 32, 7, 5, true), (1, 32, 16, 33, 34, true)]
    {
        let shape = StackShape { channels_in: ci, channels: co, height, width, planes };
        let parameters = parameters(shape);
        let xs = [n, ci, height, width];
        let mut inputs: Vec<(&[usize], _)> = vec![(&xs, values(n * ci * height * width, 9, 1.0))];
        inputs.extend(parameters.iter().map(|(s, v)| (s.as_slice(), v.clone())));
        let op = |level, t: &[Tensor]| {
            let parameters: Vec<&Tensor> = t[1..].iter().collect();
            let y = stack_at(level, &to_blocks(&t[0])?, &parameters, shape)?;
            match (planes, y.rank()) {
                (true, _) => Ok(y),
                // On a GPU channels are last between stacks.
                (false, 4) => y.permute((0, 3, 1, 2))?.contiguous(),
                (false, _) => from_blocks(&y),
            }
        };
        let plain = |t: &[Vec<f64>]| plain(&t[0], &t[1..], n, shape);
        check(&format!("stack {shape:?}"), &op, &plain, &inputs, 1e-5);
    }
}

#[test]
fn a_stack_reads_frames() {
    for (n, height, width) in [(1, 64, 64), (3, 5, 9)] {
        let shape = StackShape { channels_in: 3, channels: 16, height, width, planes: true };
        let bytes: Vec<u8> = (0..n * height * width * 3).map(|i| (i * i / 7 * 31 % 253) as u8).collect();
        let frames = Tensor::from_vec(bytes, (n, height, width, 3), &Device::Cpu).unwrap();
        let input: Vec<f64> =
            flat(&crate::ops::frames_to_input(&frames).unwrap()).into_iter().map(f64::from).collect();
        let parameters = parameters(shape);
        let inputs: Vec<(&[usize], _)> = parameters.iter().map(|(s, v)| (s.as_slice(), v.clone())).collect();
        let op = |level, t: &[Tensor]| {
            stack_at(level, &frames.to_device(t[0].device())?, &t.iter().collect::<Vec<_>>(), shape)
        };
        check("stack of frames", &op, &|t| plain(&input, t, n, shape), &inputs, 1e-5);
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch_and_threads_do_not_matter() {
    let shape = StackShape { channels_in: 16, channels: 32, height: 8, width: 8, planes: true };
    let x = Tensor::from_vec(values(33 * 16 * 64, 1, 1.0), (33, 1, 8, 8, 16), &Device::Cpu).unwrap();
    let vars: Vec<Var> = parameters(shape)
        .into_iter()
        .map(|(s, v)| Var::from_tensor(&Tensor::from_vec(v, s, &Device::Cpu).unwrap()).unwrap())
        .collect();
    let parameters: Vec<&Tensor> = vars.iter().map(|v| v.as_tensor()).collect();
    let run = |x: &Tensor| super::impala_stack(x, &parameters, shape).unwrap();
    let all = run(&x);
    for i in [0, 7, 32] {
        assert_eq!(flat(&run(&x.narrow(0, i, 1).unwrap())), flat(&all.narrow(0, i, 1).unwrap()));
    }
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = Var::from_tensor(&x).unwrap();
            let grads = run(&x).sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = vec![flat(grads.get(&x).unwrap())];
            all.extend(vars.iter().map(|v| flat(grads.get(v).unwrap())));
            all
        })
    };
    assert_eq!(gradients(1), gradients(5));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let shape = StackShape { channels_in: 16, channels: 16, height: 4, width: 4, planes: true };
    let t = |size: &[usize]| Tensor::zeros(size, candle_core::DType::F32, &Device::Cpu).unwrap();
    let good: Vec<Tensor> = parameters(shape).iter().map(|(s, _)| t(s)).collect();
    let good: Vec<&Tensor> = good.iter().collect();
    let level = Level::best();
    assert!(stack_at(level, &t(&[1, 1, 4, 4, 16]), &good, shape).is_ok());
    assert!(stack_at(level, &t(&[1, 1, 4, 5, 16]), &good, shape).is_err());
    assert!(stack_at(level, &t(&[1, 16, 4, 4]), &good, shape).is_err());
    assert!(stack_at(level, &t(&[1, 1, 4, 4, 16]), &good[1..], shape).is_err());
    let odd = StackShape { channels: 8, ..shape };
    assert!(stack_at(level, &t(&[1, 1, 4, 4, 16]), &good, odd).is_err());
}

/// A packed stack, what it is given, and the exact result.
fn packed_case(shape: StackShape, n: usize) -> (Tensor, Vec<Tensor>, Vec<f64>) {
    let StackShape { channels_in: ci, height: h, width: w, .. } = shape;
    let parameters = parameters(shape);
    let exact = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let (x, input) = if ci == 3 {
        let bytes: Vec<u8> = (0..n * h * w * 3).map(|i| (i * i / 7 * 31 % 253) as u8).collect();
        let frames = Tensor::from_vec(bytes, (n, h, w, 3), &Device::Cpu).unwrap();
        let input = exact(&flat(&crate::ops::frames_to_input(&frames).unwrap()));
        (frames, input)
    } else {
        let x = Tensor::from_vec(values(n * ci * h * w, 9, 1.0), (n, ci, h, w), &Device::Cpu).unwrap();
        (to_blocks(&x).unwrap(), exact(&flat(&x)))
    };
    let all: Vec<Vec<f64>> = parameters.iter().map(|(_, v)| exact(v)).collect();
    let tensors = parameters.into_iter().map(|(s, v)| Tensor::from_vec(v, s, &Device::Cpu).unwrap());
    (x, tensors.collect(), plain(&input, &all, n, shape))
}

#[test]
fn a_packed_stack_agrees_in_every_precision_and_on_every_instruction_set() {
    for (n, ci, co, height, width) in
        [(2, 3, 16, 16, 24), (1, 16, 32, 7, 5), (1, 32, 48, 24, 20), (1, 16, 16, 8, 8)]
    {
        let shape = StackShape { channels_in: ci, channels: co, height, width, planes: true };
        let (x, parameters, want) = packed_case(shape, n);
        let parameters: Vec<&Tensor> = parameters.iter().collect();
        let size = want.iter().map(|w| w * w).sum::<f64>().sqrt();
        for level in Level::all() {
            for (precision, most) in
                [(Precision::F32, 1e-6), (Precision::Bf16, 8e-3), (Precision::Int8, 4e-2)]
            {
                let packed = PackedStack::at(level, &parameters, shape, precision).unwrap();
                let got = flat(&packed.forward(&x).unwrap());
                let apart = got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum::<f64>();
                let apart = apart.sqrt() / size;
                assert!(apart <= most, "{shape:?} {precision:?} {level:?}: relative L2 {apart}");
                let again = flat(&packed.forward(&x).unwrap());
                assert_eq!(got, again, "buffers that were used before");
                if precision == Precision::F32 {
                    let trains = flat(&stack_at(level, &x, &parameters, shape).unwrap());
                    assert_eq!(got, trains, "{shape:?} {level:?}: acting is not training");
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so_in_every_precision() {
    let shape = StackShape { channels_in: 16, channels: 16, height: 8, width: 8, planes: true };
    let (x, parameters, _) = packed_case(shape, 1);
    let parameters: Vec<&Tensor> = parameters.iter().collect();
    let mut spoilt = flat(&x);
    spoilt[5] = f32::NAN;
    let spoilt = Tensor::from_vec(spoilt, x.shape(), &Device::Cpu).unwrap();
    for precision in Precision::ALL {
        let packed = PackedStack::new(&parameters, shape, precision).unwrap();
        let out = flat(&packed.forward(&spoilt).unwrap());
        assert!(out.iter().all(|v| v.is_nan()), "{precision:?}: {:?}", &out[..8]);
        let fine = flat(&packed.forward(&x).unwrap());
        assert!(fine.iter().all(|v| v.is_finite()), "{precision:?}: {:?}", &fine[..8]);
        assert!(packed.forward(&x.narrow(2, 0, 4).unwrap()).is_err());
    }
}
