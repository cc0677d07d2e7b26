//! Every instruction set against plain arithmetic, on the products and conversions of quantised acting.

use super::*;

/// Sixteen lanes' worth of one operation, in as many vectors as the set needs.
struct Products<'a> {
    x: u32,
    w: &'a [u32; 16],
    sums: &'a [u32; 16],
    bf16: bool,
}

impl Kernel for Products<'_> {
    type Output = [u32; 16];
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [u32; 16] {
        let mut out = [0u32; 16];
        for i in (0..16).step_by(S::LANES) {
            // SAFETY: i + LANES <= 16.
            unsafe {
                let (w, sums) =
                    (s.load(self.w.as_ptr().add(i).cast()), s.load(self.sums.as_ptr().add(i).cast()));
                let sums = if self.bf16 { s.dot_bf16(sums, self.x, w) } else { s.dot_i8(sums, self.x, w) };
                s.store(out.as_mut_ptr().add(i).cast(), sums);
            }
        }
        out
    }
}

struct Stores<'a>(&'a [f32; 16]);

impl Kernel for Stores<'_> {
    type Output = ([u16; 16], [u8; 16], [f32; 16]);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut out = ([0; 16], [0; 16], [0.0; 16]);
        for i in (0..16).step_by(S::LANES) {
            // SAFETY: i + LANES <= 16.
            unsafe {
                let v = s.load(self.0.as_ptr().add(i));
                s.store_bf16(out.0.as_mut_ptr().add(i), v);
                s.store_offset_i8(out.1.as_mut_ptr().add(i), v);
                s.store(out.2.as_mut_ptr().add(i), s.int_to_float(v));
            }
        }
        out
    }
}

#[test]
fn byte_products_are_exact_at_their_extremes() {
    let w: [u32; 16] = std::array::from_fn(|i| {
        [0x8080_8080, 0x7f7f_7f7f, 0xff01_80fe, 0x0102_0304, 0x80ff_7f00][i % 5] ^ (i as u32) << 3
    });
    let sums: [u32; 16] = std::array::from_fn(|i| (i as i32 * 1_000_003 - 7_000_000) as u32);
    for x in [0xffff_ffff_u32, 0x0000_0000, 0x8000_7fff, 0x0180_fe40] {
        let expected: Vec<u32> = w
            .iter()
            .zip(&sums)
            .map(|(w, sum)| {
                let products = x.to_le_bytes().into_iter().zip(w.to_le_bytes());
                let sum = *sum as i32 + products.map(|(x, w)| i32::from(x) * i32::from(w as i8)).sum::<i32>();
                sum as u32
            })
            .collect();
        for level in Level::all() {
            let got = level.run(Products { x, w: &w, sums: &sums, bf16: false });
            assert_eq!(got.to_vec(), expected, "{level:?}");
        }
    }
}

#[test]
fn bf16_products_agree_with_f64() {
    let bits = |v: f32| u32::from(half::bf16::from_f32(v).to_bits());
    let value = |bits: u32| f64::from(f32::from_bits(bits << 16));
    let pair = |a: f32, b: f32| bits(a) | bits(b) << 16;
    let w: [u32; 16] = std::array::from_fn(|i| pair(i as f32 * 0.37 - 2.0, 1.7 - i as f32 * 0.21));
    let sums: [f32; 16] = std::array::from_fn(|i| i as f32 * 0.11 - 0.5);
    let x = pair(1.234, -0.777);
    for level in Level::all() {
        let got = level.run(Products { x, w: &w, sums: &sums.map(f32::to_bits), bf16: true });
        for i in 0..16 {
            let exact = f64::from(sums[i])
                + value(x & 0xffff) * value(w[i] & 0xffff)
                + value(x >> 16) * value(w[i] >> 16);
            let got = f64::from(f32::from_bits(got[i]));
            assert!((got - exact).abs() < 1e-6, "{level:?} lane {i}: {got} and {exact}");
        }
    }
}

#[test]
fn stores_round_to_even_and_saturate() {
    let tie = f32::from_bits(0x3f80_8000);
    let odd_tie = f32::from_bits(0x3f81_8000);
    let v = [
        0.5,
        1.5,
        -0.5,
        -1.5,
        126.6,
        127.5,
        300.0,
        -127.6,
        -128.9,
        -1e30,
        1.0,
        tie,
        odd_tie,
        f32::NAN,
        -0.0,
        1e-3,
    ];
    let bytes = [128, 130, 128, 126, 255, 255, 255, 0, 0, 0, 129, 129, 129, 0, 128, 128];
    for level in Level::all() {
        let (bf16, offset, ints) = level.run(Stores(&v));
        assert_eq!(offset, bytes, "{level:?}");
        for ((v, bf16), int) in v.iter().zip(bf16).zip(ints) {
            let got = half::bf16::from_bits(bf16);
            assert!(got == half::bf16::from_f32(*v) || (v.is_nan() && got.is_nan()), "{level:?} {v}");
            assert_eq!(int, v.to_bits() as i32 as f32, "{level:?}");
        }
    }
}
