//! What starting episodes costs: cold, by a spare made in the background, and by going back to a snapshot; and the
//! memory of a session's worlds.
//!
//! `cargo run --release -p vpt-envserver --example resets -- [TASK [EPISODES]]`

use std::time::{Duration, Instant};

use vpt_envserver::Worlds;
use vpt_envserver::native::NativeWorld;
use vpt_envserver::spare::{SparePool, Spares, Swap};
use vpt_envserver::task::Task;
use vpt_envserver::world::World;

const SIDE: usize = 128;
/// Between two episodes: long enough for a spare to be made.
const PLAY: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |at: usize| std::env::args().nth(at);
    let task = Task::resolve(argument(1).as_deref().unwrap_or("diamond_pickaxe"))?;
    let episodes: u64 = argument(2).map_or(Ok(20), |text| text.parse())?;
    let mut frame = Vec::new();
    let before = resident_mib();
    let mut world: Box<dyn World> = Box::new(NativeWorld::new());
    world.reset(1_000_000, &task)?;
    world.render(SIDE, SIDE, &mut frame);
    let one = resident_mib();

    let mut cold = Vec::new();
    for seed in 0..episodes {
        let began = Instant::now();
        world.reset(seed, &task)?;
        cold.push(began.elapsed());
    }
    report("cold reset", cold);

    let mut spares = Spares::new(&SparePool::new(1), &Worlds::built_in(), &task, world.as_ref());
    let (mut swaps, mut firsts, mut ready) = (Vec::new(), Vec::new(), 0);
    for seed in 0..episodes {
        spares.prepare(seed);
        std::thread::sleep(PLAY);
        let began = Instant::now();
        let swap = spares.swap(&mut world, seed);
        swaps.push(began.elapsed());
        if !swap.is_in_place() {
            world.reset(seed, &task)?;
        }
        ready += u64::from(swap == Swap::Ready);
        world.render(SIDE, SIDE, &mut frame);
        firsts.push(began.elapsed());
    }
    report("swap of a spare", swaps);
    report("the same with the first frame", firsts);
    println!("spares ready: {ready} of {episodes}");
    println!("memory: one world {:.1} MiB, with its spare {:.1} MiB", one - before, resident_mib() - before);

    let (mut taken, mut restored) = (Vec::new(), Vec::new());
    for _ in 0..episodes {
        let began = Instant::now();
        let snapshot = world.snapshot()?;
        taken.push(began.elapsed());
        let began = Instant::now();
        world.restore(&snapshot)?;
        restored.push(began.elapsed());
    }
    report("snapshot", taken);
    report("restore", restored);
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) else { return };
    println!("{what:<30} median {median:>10.1?}, longest {longest:>10.1?}");
}

/// Memory of this process that is in use, MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
