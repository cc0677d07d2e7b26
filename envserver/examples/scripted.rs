//! Plays episodes with the scripted player and prints what they returned, with the time resets and steps took:
//! `cargo run -p vpt-envserver --example scripted -- TASK EPISODES [FIRST_SEED]`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vpt_envserver::episode::Episode;
use vpt_envserver::native::NativeWorld;
use vpt_envserver::task::Task;
use vpt_envserver::world::World;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let task = Task::resolve(&arguments.next().unwrap_or_else(|| "chop".to_owned()))?;
    let episodes: u64 = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let first: u64 = arguments.next().map_or(Ok(5000), |text| text.parse())?;
    let mut world = NativeWorld::new();
    let mut episode = Episode::new(task, 0);
    let mut returns = Vec::new();
    let mut combinations = BTreeMap::<(u32, bool), u64>::new();
    let (mut resets, mut steps) = (Duration::ZERO, Duration::ZERO);
    for seed in first..first + episodes {
        let start = Instant::now();
        episode.start(&mut world, seed)?;
        resets += start.elapsed();
        let start = Instant::now();
        let mut total = 0.0;
        loop {
            let action = world.advise();
            let camera = action.pitch_delta != 0.0 || action.yaw_delta != 0.0;
            *combinations.entry((action.keys, camera)).or_default() += 1;
            let outcome = episode.step(&mut world, &action);
            total += outcome.reward;
            if outcome.is_last() {
                break;
            }
        }
        steps += start.elapsed();
        returns.push(total);
    }
    let count = episodes as f32;
    let mean = returns.iter().sum::<f32>() / count;
    let variance =
        returns.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / (count - 1.0).max(1.0);
    println!("returns {returns:?}");
    println!("mean {mean:.3} ± {:.3} over {episodes} episodes", (variance / count).sqrt());
    println!("reset {:.2} ms each", 1e3 * resets.as_secs_f64() / episodes as f64);
    let played = episodes as f64 * f64::from(episode.max_steps());
    println!("step with advice, without rendering: {:.1} µs each", 1e6 * steps.as_secs_f64() / played);
    for ((keys, camera), uses) in combinations {
        println!("keys {keys:#x} camera {camera}: {:.1} %", 100.0 * uses as f64 / played);
    }
    Ok(())
}
