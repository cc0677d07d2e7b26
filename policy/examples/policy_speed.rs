//! Frames per second of acting (B=16, T=1) and of training (B=16, T=32: forward, backward, Adam) with the tiny
//! network. CPU time is what counts on a shared machine; `RAYON_NUM_THREADS` chooses the threads.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p vpt-policy --example policy_speed`

use std::time::Instant;

use candle_core::{Device, Tensor};
use vpt_policy::{
    Adam, AdamConfig, CounterRng, Gradients, Parameters, Policy, PolicyConfig, PolicyError, RecurrentState,
    WeightDecay, distribution,
};

/// As in the `vpt` binary: with glibc's allocator fresh pages cost as much as the arithmetic.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 16;
const TIME: usize = 32;

/// Seconds of processor time this process has used, all threads together.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn measure(
    what: &str,
    frames: usize,
    mut run: impl FnMut() -> Result<(), PolicyError>,
) -> Result<(), PolicyError> {
    // An argument picks a measurement by its name, for a profiler.
    if std::env::args().nth(1).is_some_and(|only| only != what) {
        return Ok(());
    }
    // The allocator has all the memory it will want after a few rounds.
    for _ in 0..4 {
        run()?;
    }
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut rounds = 0;
    while cpu_seconds() - cpu < 4.0 {
        run()?;
        rounds += 1;
    }
    let total = (rounds * frames) as f64;
    println!(
        "{what}: {:.0} frames per CPU second, {:.0} per wall second",
        total / (cpu_seconds() - cpu),
        total / start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn main() -> Result<(), PolicyError> {
    let config = PolicyConfig::tiny();
    let device = Device::Cpu;
    let mut rng = CounterRng::new(&[1]);
    let side = config.image_size;
    let mut frames = |time: usize| {
        let bytes: Vec<u8> = (0..BATCH * time * side * side * 3).map(|_| rng.next_u64() as u8).collect();
        Tensor::from_vec(bytes, (BATCH, time, side, side, 3), &device)
    };
    let (step, chunk) = (frames(1)?, frames(TIME)?);
    let flags = |time: usize| Tensor::zeros((BATCH, time), candle_core::DType::U8, &device);
    let mut parameters = Parameters::init(&config, 1, &device)?;

    let frozen = parameters.frozen_copy()?;
    let actor = Policy::new(&config, &frozen)?;
    let mut state = RecurrentState::initial(&config, BATCH, &device)?;
    let mut draws = CounterRng::new(&[2]);
    measure("act", BATCH, || {
        let out = actor.forward(&step, &flags(1)?, &state)?;
        for row in out.buttons_logits.flatten(0, 1)?.to_vec2::<f32>()? {
            distribution::sample(&row, 1.0, &mut draws)?;
        }
        state = out.state;
        Ok(())
    })?;

    let policy = Policy::new(&config, &parameters)?;
    let mut adam = Adam::new(
        &parameters,
        AdamConfig {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decay: WeightDecay::Decoupled,
        },
    )?;
    let state = RecurrentState::initial(&config, BATCH, &device)?;
    let index = Tensor::zeros(BATCH * TIME, candle_core::DType::U32, &device)?;
    measure("train", BATCH * TIME, || {
        let out = policy.forward(&chunk, &flags(TIME)?, &state)?;
        let buttons = distribution::log_prob(&out.buttons_logits.flatten(0, 1)?, &index)?;
        let camera = distribution::log_prob(&out.camera_logits.flatten(0, 1)?, &index)?;
        let loss = ((buttons + camera)?.mean_all()?.neg()? + out.value.sqr()?.mean_all()?)?;
        let gradients = Gradients::collect(&parameters, &loss.backward()?)?;
        adam.step(&mut parameters, &gradients, Some(5.0))?;
        Ok(())
    })
}
