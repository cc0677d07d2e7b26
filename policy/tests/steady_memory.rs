//! Memory over many steps: what the heap holds after a hundred steps of acting and training it holds after a thousand.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

use candle_core::{DType, Device, Tensor};
use vpt_policy::{
    Adam, AdamConfig, Gradients, Parameters, Policy, PolicyConfig, Precision, RecurrentState, WeightDecay,
    distribution,
};

/// The system's allocator with a count of the bytes that are out.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that one-off structures of threads may take meanwhile.
const SLACK: i64 = 64 << 10;

fn config() -> PolicyConfig {
    PolicyConfig {
        image_size: 16,
        hidsize: 32,
        attention_heads: 2,
        attention_memory_size: 8,
        timesteps: 4,
        ..PolicyConfig::tiny()
    }
}

fn inputs(config: &PolicyConfig, time: usize) -> (Tensor, Tensor) {
    let side = config.image_size;
    let bytes: Vec<u8> = (0..time * side * side * 3).map(|i| (i * 31 % 251) as u8).collect();
    let frames = Tensor::from_vec(bytes, (1, time, side, side, 3), &Device::Cpu).unwrap();
    (frames, Tensor::zeros((1, time), DType::U8, &Device::Cpu).unwrap())
}

fn assert_steady(what: &str, mut step: impl FnMut()) {
    (0..100).for_each(|_| step());
    let early = LIVE.load(Ordering::Relaxed);
    (0..900).for_each(|_| step());
    let grown = LIVE.load(Ordering::Relaxed) - early;
    assert!(grown <= SLACK, "{what}: {grown} bytes more after 1,000 steps than after 100");
}

// One test, since the count is the whole process's.
#[test]
fn a_thousand_steps_take_no_more_memory_than_a_hundred() {
    let config = config();
    let mut parameters = Parameters::init(&config, 1, &Device::Cpu).unwrap();
    let (frames, first) = inputs(&config, 1);
    for precision in Precision::ALL {
        let policy = Policy::new(&config, &parameters).unwrap().for_acting(precision).unwrap();
        let mut state = RecurrentState::initial(&config, 1, &Device::Cpu).unwrap();
        assert_steady(precision.name(), || {
            state = policy.forward(&frames, &first, &state).unwrap().state;
        });
    }
    let (weight_decay, decay) = (0.01, WeightDecay::Decoupled);
    let adam = AdamConfig { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decay };
    let mut adam = Adam::new(&parameters, adam).unwrap();
    let policy = Policy::new(&config, &parameters).unwrap();
    let (frames, first) = inputs(&config, 4);
    let mut state = RecurrentState::initial(&config, 1, &Device::Cpu).unwrap();
    let index = Tensor::zeros(4, DType::U32, &Device::Cpu).unwrap();
    assert_steady("training", || {
        let out = policy.forward(&frames, &first, &state).unwrap();
        let log_prob = distribution::log_prob(&out.buttons_logits.flatten(0, 1).unwrap(), &index).unwrap();
        let loss = log_prob.mean_all().unwrap().neg().unwrap();
        let gradients = Gradients::collect(&parameters, &loss.backward().unwrap()).unwrap();
        adam.step(&mut parameters, &gradients, Some(5.0)).unwrap();
        state = out.state;
    });
}
