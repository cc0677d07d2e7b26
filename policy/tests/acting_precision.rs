//! Networks that act, against the network that trains: in f32 they are the reference's too, in bf16 and int8 they stay as
//! near to f32 as an actor needs. Published channels and sizes, golden weights and frames.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[path = "golden/formulas.rs"]
mod formulas;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use vpt_policy::{Parameters, Policy, PolicyConfig, PolicyOutput, Precision, RecurrentState, distribution};

const BATCH: usize = 2;
const FRAMES_SEED: u64 = 71;

/// Resets of the golden stream: of environment 0 at steps 0, 10 and 12, of environment 1 at 0, 4 and 15.
fn flags(first: usize, length: usize) -> Tensor {
    let resets = [[0, 10, 12], [0, 4, 15]];
    let all: Vec<u8> = resets
        .iter()
        .flat_map(|of| (first..first + length).map(move |t| u8::from(of.contains(&t))))
        .collect();
    Tensor::from_vec(all, (BATCH, length), &Device::Cpu).unwrap()
}

fn parameters(config: &PolicyConfig) -> Parameters {
    let shapes = Parameters::init(config, 0, &Device::Cpu).unwrap();
    let named = shapes.names().filter(|name| !name.starts_with("aux_value_head"));
    let tensors: BTreeMap<String, Tensor> = named
        .map(|name| {
            let shape = shapes.get(name).unwrap().shape();
            let values = formulas::parameter(1, name, shape.dims());
            (name.to_owned(), Tensor::from_vec(values, shape.clone(), &Device::Cpu).unwrap())
        })
        .collect();
    Parameters::from_tensors(&tensors, config, false, &Device::Cpu).unwrap()
}

/// The golden network (channels that are no multiples of 16) and its memory of 8 steps.
fn small() -> PolicyConfig {
    PolicyConfig {
        image_size: 128,
        impala_chans: vec![4, 6, 2],
        hidsize: 32,
        attention_heads: 2,
        attention_memory_size: 12,
        timesteps: 4,
        ..PolicyConfig::tiny()
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn furthest(a: &Tensor, b: &Tensor) -> f32 {
    let apart = (a - b).unwrap().abs().unwrap();
    apart.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// Runs the golden stream in chunks of `length` steps.
fn run(policy: &Policy, config: &PolicyConfig, length: usize) -> Vec<PolicyOutput> {
    let mut state = RecurrentState::initial(config, BATCH, &Device::Cpu).unwrap();
    (0..16 / length)
        .map(|chunk| {
            let frames = formulas::frames(FRAMES_SEED, BATCH, chunk * length, length, config.image_size);
            let out = policy.forward(&frames, &flags(chunk * length, length), &state).unwrap();
            state = out.state.clone();
            out
        })
        .collect()
}

#[test]
fn in_f32_the_acting_network_is_the_training_one() {
    for config in [small(), PolicyConfig::tiny()] {
        let parameters = parameters(&config);
        let trains = Policy::new(&config, &parameters).unwrap();
        let acts = Policy::new(&config, &parameters).unwrap().for_acting(Precision::F32).unwrap();
        for length in [1, 4, 16] {
            for (a, b) in run(&trains, &config, length).iter().zip(run(&acts, &config, length)) {
                assert!(furthest(&a.buttons_logits, &b.buttons_logits) < 1e-5);
                assert!(furthest(&a.camera_logits, &b.camera_logits) < 1e-5);
                assert!(furthest(&a.value, &b.value) < 1e-5);
                for (a, b) in a.state.layers.iter().zip(&b.state.layers) {
                    let mask = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<u8>().unwrap();
                    assert_eq!(mask(&a.mask), mask(&b.mask));
                    assert!(furthest(&a.keys, &b.keys) < 1e-5 && furthest(&a.values, &b.values) < 1e-5);
                }
            }
        }
    }
}

/// Mean KL(f32 ‖ other) of a step, both heads, over the golden stream.
fn divergence(exact: &[PolicyOutput], other: &[PolicyOutput]) -> f64 {
    let mut total = 0.0;
    for (p, q) in exact.iter().zip(other) {
        for (p, q) in [(&p.buttons_logits, &q.buttons_logits), (&p.camera_logits, &q.camera_logits)] {
            let kl = distribution::kl(&p.flatten_to(1).unwrap(), &q.flatten_to(1).unwrap()).unwrap();
            total += f64::from(kl.mean_all().unwrap().to_scalar::<f32>().unwrap());
        }
        assert!(numbers(&q.value).iter().all(|v| v.is_finite()));
    }
    total / exact.len() as f64
}

#[test]
fn bf16_and_int8_stay_near_f32_at_the_published_size() {
    let config = PolicyConfig::one_x();
    let parameters = parameters(&config);
    let network = || Policy::new(&config, &parameters).unwrap();
    let exact = run(&network().for_acting(Precision::F32).unwrap(), &config, 2);
    for (precision, most) in [(Precision::Bf16, 0.01), (Precision::Int8, 0.05)] {
        let other = run(&network().for_acting(precision).unwrap(), &config, 2);
        let kl = divergence(&exact, &other);
        println!("{} 1x: mean KL to f32 {kl:.2e} nats", precision.name());
        assert!(kl > 0.0 && kl <= most, "{}: {kl}", precision.name());
    }
}

#[test]
fn an_environment_does_not_depend_on_its_batch_nor_on_threads() {
    let config = PolicyConfig::tiny();
    let parameters = parameters(&config);
    let frames = formulas::frames(FRAMES_SEED, 9, 0, 1, config.image_size);
    let first = Tensor::zeros((9, 1), DType::U8, &Device::Cpu).unwrap();
    let state = |batch| RecurrentState::initial(&config, batch, &Device::Cpu).unwrap();
    for precision in Precision::ALL {
        let policy = Policy::new(&config, &parameters).unwrap().for_acting(precision).unwrap();
        let with = |threads: usize, rows: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (frames, first) =
                (frames.narrow(0, 9 - rows, rows).unwrap(), first.narrow(0, 0, rows).unwrap());
            let out = pool.install(|| policy.forward(&frames, &first, &state(rows)).unwrap());
            numbers(&out.buttons_logits.get(rows - 1).unwrap())
        };
        let alone = with(1, 1);
        for (threads, rows) in [(5, 1), (1, 9), (3, 9), (2, 4)] {
            assert_eq!(with(threads, rows), alone, "{precision:?}: {rows} rows on {threads} threads");
        }
    }
}
