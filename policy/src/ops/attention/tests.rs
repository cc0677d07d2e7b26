//! Attention that only acts against attention that trains, on every instruction set.

use candle_core::{Device, Tensor};

use super::attention;
use super::memory::{MemoryQuery, memory_attention_at};
use crate::ops::simd::Level;
use crate::ops::tests::{flat, values};

fn tensor(len: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(values(len.iter().product(), seed, 1.0), len, &Device::Cpu).unwrap()
}

#[test]
fn memory_attention_agrees_and_slides_the_memory() {
    for (batch, time, maxlen, heads, size) in [(2, 1, 7, 3, 20), (1, 5, 4, 2, 8), (3, 2, 16, 1, 70)] {
        let (width, keys_seen) = (heads * size, maxlen + time);
        let rows = [batch * time, width];
        let (q, k, v) = (tensor(&rows, 1), tensor(&rows, 2), tensor(&rows, 3));
        let (relative, bases) = (tensor(&[batch * time, heads * 4], 4), tensor(&[4, maxlen], 5));
        let memory = [batch, maxlen, width];
        let (mk, mv) = (tensor(&memory, 6), tensor(&memory, 7));
        let sees = |t: usize, j: usize| {
            j > t && j <= t + maxlen && (j == t + maxlen || !(j * 7 + t).is_multiple_of(3))
        };
        let mask: Vec<u8> = (0..batch * time * keys_seen)
            .map(|i| u8::from(sees(i / keys_seen % time, i % keys_seen)))
            .collect();
        let mask = Tensor::from_vec(mask, (batch, time, keys_seen), &Device::Cpu).unwrap();

        let all = |memory: &Tensor, new: &Tensor| {
            Tensor::cat(&[memory, &new.reshape((batch, time, width)).unwrap()], 1).unwrap()
        };
        let (keys, values) = (all(&mk, &k), all(&mv, &v));
        let split = |rows: &Tensor| {
            let rows = rows.reshape((batch, (), heads, size)).unwrap();
            rows.transpose(1, 2).unwrap().contiguous().unwrap()
        };
        let (weights, base) = (flat(&relative), flat(&bases));
        let bias = |at: usize| {
            let (b, h) = (at / (heads * time * keys_seen), at / (time * keys_seen) % heads);
            let (t, j) = (at / keys_seen % time, at % keys_seen);
            let distance = (t + maxlen).checked_sub(j).filter(|d| *d < maxlen);
            let row = (b * time + t) * heads * 4 + h * 4;
            distance.map_or(0.0, |d| (0..4).map(|n| weights[row + n] * base[n * maxlen + d]).sum())
        };
        let bias: Vec<f32> = (0..batch * heads * time * keys_seen).map(bias).collect();
        let bias = Tensor::from_vec(bias, (batch, heads, time, keys_seen), &Device::Cpu).unwrap();
        let query = split(&q.reshape((batch, time, width)).unwrap());
        let want = attention(&query, &split(&keys), &split(&values), &bias, &mask, 0.3).unwrap();
        let want = flat(&want.transpose(1, 2).unwrap().contiguous().unwrap());
        for level in Level::all() {
            let [out, new_keys, new_values] = memory_attention_at(
                level,
                MemoryQuery {
                    queries: &q,
                    keys: &k,
                    values: &v,
                    relative: &relative,
                    bases: &bases,
                    memory_keys: &mk,
                    memory_values: &mv,
                    mask: &mask,
                    heads,
                    scale: 0.3,
                },
            )
            .unwrap();
            for (got, want) in flat(&out).iter().zip(&want) {
                assert!((got - want).abs() < 2e-6, "{level:?}: {got} is not {want}");
            }
            let newest = |rows: &Tensor| flat(&rows.narrow(1, time, maxlen).unwrap().contiguous().unwrap());
            assert_eq!((flat(&new_keys), flat(&new_values)), (newest(&keys), newest(&values)));
        }
    }
}
