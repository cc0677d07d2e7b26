//! The stream logic in double precision: a small attention network of the policy's kind (a window of steps per layer,
//! episodes apart), run along streams with carried memory, against the same network over whole streams at once.
//!
//! What is compared is exact up to f64 rounding, so that a state lost, doubled or out of order, or a mask that is one step
//! too short, cannot hide in the tolerance. The rounding of the real network is not part of it.

use vpt_policy::CounterRng;

use super::super::streams::{Advance, SlotStreams, StreamNetwork};
use super::long_stream::{arriving, stream};
use crate::error::LearnerError;
use crate::experience::Experience;

const WIDTH: usize = 6;
const CLASSES: usize = 9;
const LAYERS: usize = 3;
/// Steps a layer sees, itself included.
const WINDOW: usize = 5;
/// Nats a step.
const TOLERANCE: f64 = 1e-6;

type Row = Vec<f64>;
type Matrix = Vec<Row>;

fn matrix(rng: &mut CounterRng, rows: usize, columns: usize) -> Matrix {
    let scale = 1.5 / (columns as f64).sqrt();
    (0..rows).map(|_| (0..columns).map(|_| scale * f64::from(rng.normal_f32())).collect()).collect()
}

fn times(matrix: &Matrix, x: &[f64]) -> Row {
    matrix.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}

struct Layer {
    query: Matrix,
    key: Matrix,
    value: Matrix,
}

/// Frames to a row, attention layers with a skip, a head.
struct DoubleNetwork {
    embed: Matrix,
    layers: Vec<Layer>,
    head: Matrix,
}

/// Per layer the keys and values of the episode in progress, newest last, as many as a later step can see.
type Memory = Vec<Vec<(Row, Row)>>;

impl DoubleNetwork {
    fn new(seed: u64) -> Self {
        let mut rng = CounterRng::new(&[seed, 64]);
        let mut square = || matrix(&mut rng, WIDTH, WIDTH);
        let layers = (0..LAYERS).map(|_| Layer { query: square(), key: square(), value: square() }).collect();
        Self { embed: matrix(&mut rng, WIDTH, WIDTH), layers, head: matrix(&mut rng, CLASSES, WIDTH) }
    }

    /// The frame's row: the means of some of its parts.
    fn embed(&self, frame: &[u8]) -> Row {
        let part = frame.len() / WIDTH;
        let mean = |bytes: &[u8]| {
            let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
            (sum as f64 / bytes.len() as f64 - 127.5) / 4.0
        };
        let means: Row = frame.chunks_exact(part).take(WIDTH).map(mean).collect();
        times(&self.embed, &means)
    }

    /// Attention of one step over the keys and values it sees, with its skip.
    fn attend<'a>(layer: &Layer, x: &[f64], seen: impl Iterator<Item = &'a (Row, Row)>) -> Row {
        let query = times(&layer.query, x);
        let seen: Vec<&(Row, Row)> = seen.collect();
        let score = |key: &Row| query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() / WIDTH as f64;
        let scores: Row = seen.iter().map(|(key, _)| score(key)).collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Row = scores.iter().map(|score| (score - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut out = x.to_vec();
        for (weight, (_, value)) in weights.iter().zip(&seen) {
            out.iter_mut().zip(value).for_each(|(out, value)| *out += weight / total * value.tanh());
        }
        out
    }

    /// A whole stream at once, layer by layer, without memory: each step sees its episode's steps of the window.
    fn whole(&self, frames: &[&[u8]], is_first: &[u8]) -> Matrix {
        let mut rows: Matrix = frames.iter().map(|frame| self.embed(frame)).collect();
        let mut start = 0;
        let starts: Vec<usize> = is_first
            .iter()
            .enumerate()
            .map(|(t, &first)| {
                start = if first != 0 { t } else { start };
                start
            })
            .collect();
        for layer in &self.layers {
            let pairs: Vec<(Row, Row)> =
                rows.iter().map(|x| (times(&layer.key, x), times(&layer.value, x))).collect();
            let seen = |t: usize| &pairs[starts[t].max((t + 1).saturating_sub(WINDOW))..=t];
            rows = rows.iter().enumerate().map(|(t, x)| Self::attend(layer, x, seen(t).iter())).collect();
        }
        rows.iter().map(|x| times(&self.head, x)).collect()
    }

    /// One step on top of a memory.
    fn step(&self, frame: &[u8], first: bool, memory: &mut Memory) -> Row {
        let mut x = self.embed(frame);
        for (layer, memory) in self.layers.iter().zip(memory) {
            if first {
                memory.clear();
            }
            memory.push((times(&layer.key, &x), times(&layer.value, &x)));
            x = Self::attend(layer, &x, memory.iter());
            if memory.len() == WINDOW {
                memory.remove(0);
            }
        }
        times(&self.head, &x)
    }
}

impl StreamNetwork for DoubleNetwork {
    type State = Memory;
    type Output = Matrix;

    fn initial(&self) -> Result<Memory, LearnerError> {
        Ok(vec![Vec::new(); LAYERS])
    }

    fn steps_seen_before(&self) -> usize {
        LAYERS * (WINDOW - 1)
    }

    fn forward(
        &self,
        unrolls: &[&Experience],
        states: &[&Memory],
    ) -> Result<Vec<Advance<Self>>, LearnerError> {
        let run = |(unroll, memory): (&&Experience, &&Memory)| {
            let mut memory = (*memory).clone();
            let frames = frames_of(unroll).into_iter().zip(&unroll.is_first);
            let logits = frames.map(|(frame, &first)| self.step(frame, first != 0, &mut memory)).collect();
            (logits, memory)
        };
        Ok(unrolls.iter().zip(states).map(run).collect())
    }
}

fn frames_of(unroll: &Experience) -> Vec<&[u8]> {
    unroll.frames.chunks_exact(unroll.frames.len() / unroll.steps()).collect()
}

fn kl(p: &[f64], q: &[f64]) -> f64 {
    let log_softmax = |x: &[f64]| -> Row {
        let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = x.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
        x.iter().map(|v| v - top - log_sum).collect()
    };
    let (p, q) = (log_softmax(p), log_softmax(q));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// Largest difference in KL over kept and masked steps, and how many are kept.
fn compare(network: &DoubleNetwork, streams: &mut SlotStreams<Memory>) -> (f64, f64, usize) {
    let current = DoubleNetwork::new(2);
    let whole = |network: &DoubleNetwork, slot: u32| {
        let unrolls = stream(slot);
        let frames: Vec<&[u8]> = unrolls.iter().flat_map(frames_of).collect();
        let flags: Vec<u8> = unrolls.iter().flat_map(|unroll| unroll.is_first.clone()).collect();
        network.whole(&frames, &flags)
    };
    let long: Vec<(Matrix, Matrix)> =
        (0..3).map(|slot| (whole(network, slot), whole(&current, slot))).collect();
    let (mut kept, mut masked, mut compared) = (0.0f64, 0.0f64, 0);
    for unrolls in arriving() {
        let outputs = streams.follow(network, &unrolls).unwrap();
        for (unroll, (logits, mask)) in unrolls.iter().zip(&outputs) {
            let (pretrained, current) = &long[unroll.slot.slot as usize];
            for (t, logits) in logits.iter().enumerate() {
                let at = unroll.sequence as usize * unroll.steps() + t;
                let difference = (kl(logits, &current[at]) - kl(&pretrained[at], &current[at])).abs();
                if mask[t] == 1.0 {
                    compared += 1;
                    kept = kept.max(difference);
                } else {
                    masked = masked.max(difference);
                }
            }
        }
    }
    (kept, masked, compared)
}

#[test]
fn in_double_precision_streams_are_exact() {
    let (kept, masked, compared) = compare(&DoubleNetwork::new(1), &mut SlotStreams::new(16));
    println!("{compared} steps, differences up to {kept:e} (masked {masked:e})");
    assert!(kept <= TOLERANCE, "{kept:e} nats");
    assert!(masked > TOLERANCE, "masking must be needed: {masked:e}");
    assert!(compared > 350, "{compared}");
}

#[test]
fn evicted_streams_are_masked_and_exact_again() {
    let (kept, masked, compared) = compare(&DoubleNetwork::new(1), &mut SlotStreams::new(1));
    assert!(kept <= TOLERANCE && masked > TOLERANCE, "{kept:e} {masked:e}");
    assert!(compared > 100, "{compared}");
}
