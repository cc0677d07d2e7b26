//! How far the scripted player gets on the road to the diamond pickaxe, seed by seed, through the same interface as any
//! agent: actions in, events out.
//!
//! `cargo run --release -p vpt-envserver --example road -- [SEEDS [FIRST [none|passive|all]]]`: the last are the mobs,
//! if others than the task's.

use vpt_envserver::episode::Episode;
use vpt_envserver::native::NativeWorld;
use vpt_envserver::task::{Mobs, Task};
use vpt_envserver::world::{EventKind, World};

const TICKS: u32 = 24_000;
const GOALS: [&str; 5] = ["wooden_pickaxe", "stone_pickaxe", "iron_ingot", "iron_pickaxe", "diamond_pickaxe"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number =
        |at: usize, otherwise: u64| std::env::args().nth(at).map_or(Ok(otherwise), |text| text.parse());
    let (seeds, first) = (number(1, 50)?, number(2, 0)?);
    let mut task = Task { episode_steps: TICKS, ..Task::resolve("diamond_pickaxe")? };
    task.mobs = match std::env::args().nth(3).as_deref() {
        None => task.mobs,
        Some("none") => Mobs::None,
        Some("passive") => Mobs::Passive,
        Some("all") => Mobs::All,
        Some(other) => return Err(format!("no such mobs: {other}").into()),
    };
    let mut arrived = Vec::new();
    for seed in first..first + seeds {
        let mut world = NativeWorld::new();
        let mut episode = Episode::new(task.clone(), 0);
        episode.start(&mut world, seed)?;
        let mut reached = [None; GOALS.len()];
        let (mut reward, mut end) = (0.0, "time is up");
        for tick in 1..=TICKS {
            let action = world.advise();
            let outcome = episode.step(&mut world, &action);
            reward += outcome.reward;
            for event in outcome.events.iter().filter(|paid| paid.event.kind == EventKind::CraftItem) {
                if let Some(goal) = GOALS.iter().position(|goal| *goal == event.event.item) {
                    reached[goal].get_or_insert(tick);
                }
            }
            if reached[GOALS.len() - 1].is_some() {
                end = "arrived";
                break;
            }
            if outcome.is_last() {
                end = if outcome.terminated { "died" } else { end };
                break;
            }
        }
        let times: Vec<String> =
            reached.iter().map(|at| at.map_or("-".to_owned(), |t| t.to_string())).collect();
        println!("seed {seed:>3}: {end:<10} reward {reward:>6.2}, ticks {}", times.join(" "));
        arrived.extend(reached[GOALS.len() - 1]);
    }
    arrived.sort_unstable();
    let median = arrived.get(arrived.len() / 2).copied().unwrap_or(0);
    println!(
        "{} of {seeds} reached the diamond pickaxe within {TICKS} ticks; median {median}",
        arrived.len()
    );
    Ok(())
}
