//! Speed of the tiny trunk made of the ops alone: frames per second of process CPU time, forward and with backward.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p vpt-policy --example ops_speed`

use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use vpt_policy::ops;

/// What the `vpt` binary uses: large buffers are reused instead of returned and faulted in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES: [usize; 2] = [16, 512];

/// Weights of the tiny convolutional trunk and of the buttons head.
struct Trunk {
    vars: Vec<Var>,
}

impl Trunk {
    fn new() -> Result<Self> {
        let mut vars = Vec::new();
        let mut add = |shape: &[usize], fan_in: usize| -> Result<()> {
            let len: usize = shape.iter().product();
            let value = |i: usize| (((i * 7919 + 13) % 1000) as f32 / 500.0 - 1.0) / (fan_in as f32).sqrt();
            let values: Vec<f32> = (0..len).map(value).collect();
            vars.push(Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)?);
            Ok(())
        };
        for (ci, co, first) in [(3, 16, true), (16, 16, false), (16, 32, false)] {
            for (i, o) in [(ci, co), (co, co), (co, co), (co, co), (co, co)] {
                if !(first && i == 3) {
                    add(&[i], 1)?;
                    add(&[i], 1)?;
                }
                add(&[o, i, 3, 3], i * 9)?;
            }
        }
        for (i, o) in [(2048, 256), (256, 128), (128, 8641)] {
            add(&[i], 1)?;
            add(&[i], 1)?;
            add(&[o, i], i)?;
        }
        Ok(Self { vars })
    }

    /// u8 [N, 64, 64, 3] to logits [N, 8641].
    fn forward(&self, frames: &Tensor, track: bool) -> Result<Tensor> {
        let mut weights =
            self.vars.iter().map(|v| if track { v.as_tensor().clone() } else { v.as_detached_tensor() });
        let mut next = || weights.next().expect("as many weights as layers");
        let mut x = ops::frames_to_input(frames)?;
        for stack in 0..3 {
            x = if stack == 0 {
                ops::conv3x3_relu_pool(&x, &next(), None)?
            } else {
                ops::norm_conv3x3_relu(&x, &next(), &next(), &next(), true)?
            };
            for _ in 0..2 {
                let y = ops::norm_conv3x3_relu(&x, &next(), &next(), &next(), false)?;
                x = (x + ops::norm_conv3x3_relu(&y, &next(), &next(), &next(), false)?)?;
            }
        }
        let mut x = x.flatten_from(1)?;
        for layer in 0..3 {
            x = ops::linear(&ops::norm(&x, &next(), &next())?, &next(), None, layer < 2)?;
        }
        Ok(x)
    }
}

/// Seconds of CPU this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let own = stat.split(' ').next().and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) * 1e-9;
    let tasks = std::fs::read_dir("/proc/self/task").map(|dir| {
        dir.flatten()
            .filter_map(|t| std::fs::read_to_string(t.path().join("schedstat")).ok())
            .filter_map(|s| s.split(' ').next().and_then(|v| v.parse::<f64>().ok()))
            .sum::<f64>()
            * 1e-9
    });
    tasks.unwrap_or(own)
}

fn measure(name: &str, frames: usize, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    // An argument picks measurements by their name's end, for a profiler.
    if std::env::args().nth(1).is_some_and(|only| !name.ends_with(&only)) {
        return Ok(());
    }
    run()?;
    let rounds = (4096 / frames).clamp(3, 100);
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    for _ in 0..rounds {
        run()?;
    }
    let total = (rounds * frames) as f64;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{name:<28} {:>8.0} frames/s of CPU {:>8.0} frames/s of wall", total / cpu, total / wall);
    Ok(())
}

fn main() -> Result<()> {
    println!("{} threads", rayon::current_num_threads());
    let trunk = Trunk::new()?;
    for batch in BATCHES {
        let bytes: Vec<u8> = (0..batch * 64 * 64 * 3).map(|i| (i * 31 % 251) as u8).collect();
        let frames = Tensor::from_vec(bytes, (batch, 64, 64, 3), &Device::Cpu)?;
        let index = Tensor::zeros(batch, candle_core::DType::U32, &Device::Cpu)?;
        measure(&format!("batch {batch} forward"), batch, || trunk.forward(&frames, false).map(drop))?;
        measure(&format!("batch {batch} forward, backward"), batch, || {
            ops::log_prob(&trunk.forward(&frames, true)?, &index)?.mean_all()?.backward().map(drop)
        })?;
    }
    Ok(())
}
