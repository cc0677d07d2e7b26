//! Fresh values: the reference's initialisation from counter-based numbers.

use super::layout::{Initial, Spec};
use crate::rng::CounterRng;

/// The starting values of a parameter; a function of its name, its shape and the seed.
pub(super) fn values(spec: &Spec, seed: u64) -> Vec<f32> {
    let count = spec.count();
    let mut rng = CounterRng::new(&[seed, name_key(&spec.name)]);
    match spec.initial {
        Initial::Zeros | Initial::Statistic => vec![0.0; count],
        Initial::Ones => vec![1.0; count],
        Initial::Normal(std) => (0..count).map(|_| (f64::from(rng.normal_f32()) * std) as f32).collect(),
        Initial::Uniform { fan_in } => {
            let bound = (fan_in as f64).sqrt().recip();
            (0..count).map(|_| ((rng.uniform_f64() * 2.0 - 1.0) * bound) as f32).collect()
        }
        Initial::RowNorm(scale) => {
            let row_length = spec.shape[1..].iter().product::<usize>();
            let mut values = Vec::with_capacity(count);
            for _ in 0..spec.shape[0] {
                // The range of torch's default cancels in the rescaling.
                let row: Vec<f64> = (0..row_length).map(|_| rng.uniform_f64() * 2.0 - 1.0).collect();
                let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                values.extend(row.iter().map(|x| (x / norm * scale) as f32));
            }
            values
        }
    }
}

fn name_key(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}
