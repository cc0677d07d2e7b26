//! Frames per second of a learner's behavioural-cloning step (forward, backward, AdamW with clipping) with a published
//! network, on any device and in any precision that trains. Prints one line of JSON.
//!
//! `cargo run --release -p vpt-policy --example learner_step -- --model 1x --device cuda --precision bf16 --batch 16 --time 128`

use std::process::ExitCode;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use vpt_policy::{
    Adam, AdamConfig, CounterRng, Gradients, Parameters, Policy, PolicyConfig, PolicyError, Precision,
    RecurrentState, WeightDecay, device, distribution,
};

/// As in the `vpt` binary: with glibc's allocator fresh pages cost as much as the arithmetic.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line.
struct Options {
    model: String,
    device: String,
    precision: Precision,
    batch: usize,
    time: usize,
    warmup: usize,
    steps: usize,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            model: "1x".to_owned(),
            device: "auto".to_owned(),
            precision: Precision::F32,
            batch: 16,
            time: 128,
            warmup: 3,
            steps: 10,
        };
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            let count = || value.parse::<usize>().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--model" => options.model = value,
                "--device" => options.device = value,
                "--precision" => options.precision = value.parse().map_err(|e: PolicyError| e.to_string())?,
                "--batch" => options.batch = count()?,
                "--time" => options.time = count()?,
                "--warmup" => options.warmup = count()?,
                "--steps" => options.steps = count()?.max(1),
                _ => return Err(format!("there is no {name}: see the first lines of this example")),
            }
        }
        Ok(options)
    }

    fn config(&self) -> Result<PolicyConfig, String> {
        match self.model.as_str() {
            "tiny" => Ok(PolicyConfig::tiny()),
            "1x" => Ok(PolicyConfig::one_x()),
            "2x" => Ok(PolicyConfig::two_x()),
            "3x" => Ok(PolicyConfig::three_x()),
            other => Err(format!("--model {other}: tiny, 1x, 2x or 3x")),
        }
    }
}

/// A batch of recorded play, made up.
struct Batch {
    frames: Tensor,
    is_first: Tensor,
    buttons: Tensor,
    camera: Tensor,
}

impl Batch {
    fn new(options: &Options, side: usize, device: &Device) -> Result<Self, PolicyError> {
        let (batch, time) = (options.batch, options.time);
        let mut rng = CounterRng::new(&[1]);
        let mut bytes = |count: usize| (0..count).map(|_| rng.next_u64() as u8).collect::<Vec<u8>>();
        let frames =
            Tensor::from_vec(bytes(batch * time * side * side * 3), (batch, time, side, side, 3), device)?;
        let mut classes = |most: u64| {
            let drawn: Vec<u32> = (0..batch * time).map(|_| (rng.next_u64() % most) as u32).collect();
            Tensor::from_vec(drawn, batch * time, device)
        };
        Ok(Self {
            frames,
            is_first: Tensor::zeros((batch, time), DType::U8, device)?,
            buttons: classes(8641)?,
            camera: classes(121)?,
        })
    }
}

fn step(
    policy: &Policy,
    batch: &Batch,
    state: &RecurrentState,
    (parameters, adam): (&mut Parameters, &mut Adam),
) -> Result<(f32, RecurrentState), PolicyError> {
    let out = policy.forward(&batch.frames, &batch.is_first, state)?;
    let buttons = distribution::log_prob(&out.buttons_logits.flatten(0, 1)?, &batch.buttons)?;
    let camera = distribution::log_prob(&out.camera_logits.flatten(0, 1)?, &batch.camera)?;
    let loss = (buttons + camera)?.mean_all()?.neg()?;
    let gradients = Gradients::collect(parameters, &loss.backward()?)?;
    adam.step(parameters, &gradients, Some(5.0))?;
    // Reading the loss waits for all of the forward; the gradients' norm has waited for the backward.
    Ok((loss.to_scalar::<f32>()?, out.state))
}

fn run(options: &Options) -> Result<(), String> {
    let text = |error: PolicyError| error.to_string();
    let config = options.config()?;
    let opened = device::open(&options.device).map_err(text)?;
    if let Some(reason) = &opened.fallback {
        eprintln!("on the CPU: {reason}");
    }
    let device = opened.device;
    let mut parameters = Parameters::init(&config, 1, &device).map_err(text)?;
    let policy =
        Policy::new(&config, &parameters).and_then(|p| p.with_precision(options.precision)).map_err(text)?;
    let decay = WeightDecay::Decoupled;
    let adam = AdamConfig { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decay };
    let mut adam = Adam::new(&parameters, adam).map_err(text)?;
    let batch = Batch::new(options, config.image_size, &device).map_err(text)?;
    let mut state = RecurrentState::initial(&config, options.batch, &device).map_err(text)?;
    let (mut start, mut losses) = (Instant::now(), Vec::new());
    for i in 0..options.warmup + options.steps {
        if i == options.warmup {
            device.synchronize().map_err(|error| error.to_string())?;
            start = Instant::now();
        }
        let (loss, after) = step(&policy, &batch, &state, (&mut parameters, &mut adam)).map_err(text)?;
        losses.push(loss);
        state = after;
    }
    device.synchronize().map_err(|error| error.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let frames = options.batch * options.time * options.steps;
    let place = if device.is_cuda() { "cuda" } else { "cpu" };
    println!(
        "{{\"model\":\"{}\",\"device\":\"{place}\",\"precision\":\"{}\",\"batch\":{},\"time\":{},\"steps\":{},\
         \"seconds_per_step\":{:.6},\"frames_per_second\":{:.2},\"first_loss\":{},\"last_loss\":{}}}",
        options.model,
        options.precision.name(),
        options.batch,
        options.time,
        options.steps,
        seconds / options.steps as f64,
        frames as f64 / seconds,
        losses[0],
        losses[losses.len() - 1],
    );
    Ok(())
}

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
