//! Packed layers against plain products, on every instruction set.

use candle_core::{Device, Tensor};

use super::PackedLinear;
use crate::ops::simd::Level;
use crate::ops::tests::{flat, values};
use crate::precision::Precision;

fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn a_packed_layer_agrees_in_every_precision() {
    // Steps of 128 and of 8192 inputs begun and not ended, outputs that fill no panel, rows that fill no tile.
    for (n, k, o) in [(1, 37, 45), (9, 300, 33), (13, 64, 8), (2, 16_391, 3), (1, 1, 1)] {
        let (x, w, b) = (values(n * k, 1, 1.0), values(o * k, 2, 0.3), values(o, 3, 1.0));
        let exact = |relu: bool| -> Vec<f64> {
            let at = |i: usize| {
                let (row, column) = (&x[i / o * k..][..k], &w[i % o * k..][..k]);
                let products = row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let sum = f64::from(b[i % o]) + products.sum::<f64>();
                if relu { sum.max(0.0) } else { sum }
            };
            (0..n * o).map(at).collect()
        };
        let (xs, ws, bs) = (tensor(x.clone(), &[n, k]), tensor(w.clone(), &[o, k]), tensor(b.clone(), &[o]));
        for (level, relu) in Level::all().into_iter().flat_map(|l| [(l, false), (l, true)]) {
            let want = exact(relu);
            // What the sum of k products is made of.
            let size = (k as f64).sqrt();
            for (precision, most) in
                [(Precision::F32, 2e-6), (Precision::Bf16, 1e-2), (Precision::Int8, 2e-2)]
            {
                let packed = PackedLinear::at(level, &ws, precision).unwrap();
                let got = flat(&packed.forward(&xs, Some(&bs), relu).unwrap());
                for (got, want) in got.iter().zip(&want) {
                    let apart = (f64::from(*got) - want).abs() / size;
                    assert!(apart <= most, "{n}x{k}x{o} {precision:?} {level:?}: {got} is not {want}");
                }
            }
        }
    }
}

#[test]
fn bytes_give_the_same_on_every_instruction_set() {
    let (x, w) = (tensor(values(5 * 200, 4, 1.0), &[5, 200]), tensor(values(40 * 200, 5, 1.0), &[40, 200]));
    let of =
        |level| flat(&PackedLinear::at(level, &w, Precision::Int8).unwrap().forward(&x, None, true).unwrap());
    let plain = of(Level::all()[0]);
    for level in Level::all() {
        assert_eq!(of(level), plain, "{level:?}");
    }
}

#[test]
fn zeros_and_what_is_not_a_number_come_through() {
    let w = tensor(values(3 * 8, 6, 1.0), &[3, 8]);
    let mut x = vec![0.0; 16];
    x[3] = f32::NAN;
    let x = tensor(x, &[2, 8]);
    for precision in Precision::ALL {
        let packed = PackedLinear::new(&w, precision).unwrap();
        let out = flat(&packed.forward(&x, None, false).unwrap());
        assert!(out[..3].iter().all(|v| v.is_nan()) && out[3..] == [0.0; 3], "{precision:?}: {out:?}");
        assert!(packed.forward(&x.t().unwrap(), None, false).is_err());
    }
}
