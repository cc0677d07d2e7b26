//! Attention over the memory and a chunk's own steps, without gradients: keys are read where they lie, what is not
//! visible is not read, and the new memory is written on the way.

use candle_core::{Result, Tensor};

use crate::ops::simd::{Kernel, Level, Simd};
use crate::ops::storage::{SharedMut, View, tensor, written};
use crate::ops::tasks::each;

/// What a chunk of T steps of B environments asks its memory of M steps: rows are `[B * T, E]`.
#[derive(Clone, Copy, Debug)]
pub struct MemoryQuery<'a> {
    /// f32 `[B * T, E]`.
    pub queries: &'a Tensor,
    /// f32 `[B * T, E]`.
    pub keys: &'a Tensor,
    /// f32 `[B * T, E]`.
    pub values: &'a Tensor,
    /// f32 `[B * T, H * N]`: the weights of the bias's basis functions, head by head.
    pub relative: &'a Tensor,
    /// f32 `[N, M]`: the basis functions by distance, 0 the query itself.
    pub bases: &'a Tensor,
    /// f32 `[B, M, E]`, oldest first.
    pub memory_keys: &'a Tensor,
    /// f32 `[B, M, E]`, oldest first.
    pub memory_values: &'a Tensor,
    /// u8 `[B, T, M + T]`, 1 where a step sees a key; it must hide what is M steps away or more.
    pub mask: &'a Tensor,
    /// Heads.
    pub heads: usize,
    /// What products of queries and keys are multiplied with.
    pub scale: f32,
}

/// The attention's result `[B * T, E]`, and the last M rows of keys and values, `[B, M, E]` each.
///
/// # Errors
/// Tensors whose shapes do not fit each other.
pub fn memory_attention(query: MemoryQuery<'_>) -> Result<[Tensor; 3]> {
    memory_attention_at(Level::best(), query)
}

pub(crate) fn memory_attention_at(level: Level, query: MemoryQuery<'_>) -> Result<[Tensor; 3]> {
    let (batch, maxlen, width) = query.memory_keys.dims3()?;
    let (rows, functions) = (query.queries.dim(0)?, query.bases.dim(0)?);
    let (time, heads) = (rows / batch.max(1), query.heads);
    let fits = batch * time == rows
        && [query.queries, query.keys, query.values].iter().all(|t| t.dims() == [rows, width])
        && query.memory_values.dims() == query.memory_keys.dims()
        && query.relative.dims() == [rows, heads * functions]
        && query.bases.dims() == [functions, maxlen]
        && query.mask.dims() == [batch, time, maxlen + time]
        && heads > 0
        && width % heads == 0;
    if !fits || rows == 0 {
        candle_core::bail!("memory_attention: shapes do not fit: {query:?}");
    }
    let [queries, keys, values, relative, bases, memory_keys, memory_values, mask] = [
        query.queries,
        query.keys,
        query.values,
        query.relative,
        query.bases,
        query.memory_keys,
        query.memory_values,
        query.mask,
    ]
    .map(Tensor::contiguous);
    let (queries, keys, values, relative) = (queries?, keys?, values?, relative?);
    let (bases, memory_keys, memory_values, mask) = (bases?, memory_keys?, memory_values?, mask?);
    let (q, k, v) = (View::<f32>::new(&queries)?, View::<f32>::new(&keys)?, View::<f32>::new(&values)?);
    let (r, b) = (View::<f32>::new(&relative)?, View::<f32>::new(&bases)?);
    let (mk, mv) = (View::<f32>::new(&memory_keys)?, View::<f32>::new(&memory_values)?);
    let mask = View::<u8>::new(&mask)?;
    let sizes = Sizes { maxlen, time, width, heads, size: width / heads, functions, scale: query.scale };
    let all = All { q: &q, k: &k, v: &v, r: &r, b: &b, mk: &mk, mv: &mv, mask: &mask };
    let memory = batch * maxlen * width;
    let (mut new_keys, mut new_values) = (Vec::new(), Vec::new());
    // SAFETY: the tasks cover all environments and heads, and each writes its own columns of all three results.
    let out = unsafe {
        written(rows * width, |out| {
            new_keys = written(memory, |keys| {
                new_values = written(memory, |values| {
                    each(batch * heads, rows * maxlen * width, |task| {
                        let (env, head) = (task / heads, task % heads);
                        level.run(Head { all, sizes, env, head, out, keys, values });
                    });
                });
            });
        })
    };
    let memory = (batch, maxlen, width);
    Ok([tensor(out, (rows, width))?, tensor(new_keys, memory)?, tensor(new_values, memory)?])
}

#[derive(Clone, Copy)]
struct Sizes {
    maxlen: usize,
    time: usize,
    width: usize,
    heads: usize,
    /// Of a head.
    size: usize,
    functions: usize,
    scale: f32,
}

#[derive(Clone, Copy)]
struct All<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    r: &'a [f32],
    b: &'a [f32],
    mk: &'a [f32],
    mv: &'a [f32],
    mask: &'a [u8],
}

/// One head of one environment: all its steps, and its columns of the new memory.
struct Head<'a> {
    all: All<'a>,
    sizes: Sizes,
    env: usize,
    head: usize,
    out: SharedMut<f32>,
    keys: SharedMut<f32>,
    values: SharedMut<f32>,
}

impl Kernel for Head<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Sizes { maxlen, time, width, size, .. } = self.sizes;
        let mut scores = vec![0.0f32; maxlen + time];
        for t in 0..time {
            let seen = &self.all.mask[(self.env * time + t) * (maxlen + time)..][..maxlen + time];
            self.score(s, t, seen, &mut scores);
            softmax(s, &mut scores[t + 1..=t + maxlen]);
            let out = ((self.env * time + t) * width) + self.head * size;
            // SAFETY: this head's columns of this step's row.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.at(out), size) };
            self.mix(s, t, &scores, out);
        }
        for j in 0..maxlen {
            let at = (self.env * maxlen + j) * width + self.head * size;
            let (key, value) =
                (self.row(self.all.mk, self.all.k, j + time), self.row(self.all.mv, self.all.v, j + time));
            // SAFETY: this head's columns of a row of this environment's new memory.
            unsafe {
                std::slice::from_raw_parts_mut(self.keys.at(at), size).copy_from_slice(key);
                std::slice::from_raw_parts_mut(self.values.at(at), size).copy_from_slice(value);
            }
        }
    }
}

impl Head<'_> {
    /// This head's part of row `j`, memory first, then the chunk.
    #[inline(always)]
    fn row<'a>(&self, memory: &'a [f32], chunk: &'a [f32], j: usize) -> &'a [f32] {
        let Sizes { maxlen, time, width, size, .. } = self.sizes;
        let (from, row) = match j.checked_sub(maxlen) {
            None => (memory, self.env * maxlen + j),
            Some(t) => (chunk, self.env * time + t),
        };
        &from[row * width + self.head * size..][..size]
    }

    /// Scores of the keys that step `t` may see; the others' are -∞.
    #[inline(always)]
    fn score<S: Simd>(&self, s: S, t: usize, seen: &[u8], scores: &mut [f32]) {
        let Sizes { maxlen, time, width, heads, size, functions, scale } = self.sizes;
        let step = self.env * time + t;
        let query = &self.all.q[step * width + self.head * size..][..size];
        let weights = &self.all.r[step * heads * functions + self.head * functions..][..functions];
        // Distance d is key t + maxlen - d.
        let window = &mut scores[t + 1..=t + maxlen];
        window.fill(0.0);
        for (weight, base) in weights.iter().zip(self.all.b.chunks_exact(maxlen)) {
            window.iter_mut().zip(base.iter().rev()).for_each(|(score, b)| *score += weight * b);
        }
        for (j, score) in (t + 1..).zip(window) {
            let key = self.row(self.all.mk, self.all.k, j);
            *score = if seen[j] == 0 { f32::NEG_INFINITY } else { dot(s, query, key) * scale + *score };
        }
    }

    /// The values that step `t` sees, weighed.
    #[inline(always)]
    fn mix<S: Simd>(&self, s: S, t: usize, weights: &[f32], out: &mut [f32]) {
        let seen = || (t + 1..=t + self.sizes.maxlen).filter(|&j| weights[j] != 0.0);
        let len = out.len();
        for i in (0..len).step_by(4 * S::LANES) {
            let mut acc = [s.splat(0.0); 4];
            let n = |v: usize| len.saturating_sub(i + v * S::LANES).min(S::LANES);
            for j in seen() {
                let value = self.row(self.all.mv, self.all.v, j);
                let weight = s.splat(weights[j]);
                for (v, acc) in acc.iter_mut().enumerate().filter(|(v, _)| n(*v) > 0) {
                    // SAFETY: n values are left of the row from there on.
                    let value = unsafe { s.load_first(value.as_ptr().add(i + v * S::LANES), n(v), 0.0) };
                    *acc = s.fma(weight, value, *acc);
                }
            }
            for (v, acc) in acc.iter().enumerate().filter(|(v, _)| n(*v) > 0) {
                // SAFETY: as above, of the result.
                unsafe { s.store_first(out.as_mut_ptr().add(i + v * S::LANES), *acc, n(v)) };
            }
        }
    }
}

#[inline(always)]
fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let mut acc = [s.splat(0.0); 4];
    for (k, i) in (0..a.len()).step_by(S::LANES).enumerate() {
        let n = (a.len() - i).min(S::LANES);
        // SAFETY: n values are left in both, which are equally long.
        unsafe {
            let (a, b) = (s.load_first(a.as_ptr().add(i), n, 0.0), s.load_first(b.as_ptr().add(i), n, 0.0));
            acc[k % 4] = s.fma(a, b, acc[k % 4]);
        }
    }
    s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])))
}

/// In place; -∞ becomes exactly 0.
#[inline(always)]
fn softmax<S: Simd>(s: S, scores: &mut [f32]) {
    // Not `f32::max`: a NaN must come through.
    let most = scores.iter().fold(f32::NEG_INFINITY, |most, &x| if most > x { most } else { x });
    let mut total = s.splat(0.0);
    for i in (0..scores.len()).step_by(S::LANES) {
        let n = (scores.len() - i).min(S::LANES);
        // SAFETY: n scores are left; lanes beyond them are -∞ and weigh nothing.
        unsafe {
            let at = scores.as_mut_ptr().add(i);
            let e = s.exp(s.sub(s.load_first(at, n, f32::NEG_INFINITY), s.splat(most)));
            total = s.add(total, e);
            s.store_first(at, e, n);
        }
    }
    let share = 1.0 / s.sum(total);
    scores.iter_mut().for_each(|e| *e *= share);
}
