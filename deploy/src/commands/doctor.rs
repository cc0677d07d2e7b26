//! `vpt doctor`: whether a run is possible on this machine, and what to install or set where it is not.

mod minerl;

use std::time::Instant;

use vpt_envserver::luanti::LuantiWorld;
use vpt_envserver::luanti::programs::Programs;
use vpt_envserver::minerl::MineRlWorld;
use vpt_envserver::task::Task;
use vpt_envserver::world::World;
use vpt_runtime::net;

use crate::run_config::RunConfig;

/// What one game of world `luanti` takes, bytes, its X server included.
const GAME_BYTES: u64 = 800 << 20;
/// What everything else of a run takes, bytes, roughly.
const RUN_BYTES: u64 = 2 << 30;

/// What was found about one thing.
enum Finding {
    Good(String),
    /// Not there, and this run does not need it.
    Absent(String),
    Bad(String),
}

impl Finding {
    fn of(found: Result<String, String>, is_needed: bool) -> Self {
        match found {
            Ok(text) => Self::Good(text),
            Err(problem) if is_needed => Self::Bad(problem),
            Err(problem) => Self::Absent(problem),
        }
    }
}

/// Prints a line for each thing; fails when the run needs one that is not there.
pub(crate) fn run(config: &RunConfig) -> anyhow::Result<()> {
    let needs_game = config.world.name == LuantiWorld::NAME;
    let needs_minecraft = config.world.name == MineRlWorld::NAME;
    let mut findings = vec![("memory", memory(config))];
    for (key, address) in [
        ("learner.listen", &config.learner.listen),
        ("envserver.listen", &config.envserver.listen),
        ("envserver.ops_listen", &config.envserver.ops_listen),
    ] {
        findings.push((key, port(key, address)));
    }
    findings.push(("luanti", Finding::of(game(config), needs_game)));
    for (name, found) in minerl::look(&config.envserver.minerl, needs_minecraft) {
        findings.push((name, Finding::of(found, needs_minecraft)));
    }
    let mut bad = 0;
    for (name, finding) in findings {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok", text),
            Finding::Absent(text) => ("--", format!("not needed by this run; {text}")),
            Finding::Bad(text) => {
                bad += 1;
                ("NO", text)
            }
        };
        println!("{mark}  {name:<22}{text}");
    }
    anyhow::ensure!(bad == 0, "{bad} of these must be put right before this run");
    Ok(())
}

fn memory(config: &RunConfig) -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    let Some(free) = kilobytes.map(|kilobytes| kilobytes << 10) else {
        return Finding::Good("unknown: no /proc/meminfo here".to_owned());
    };
    let (games, each) = match config.world.name.as_str() {
        LuantiWorld::NAME => (most_games(config), GAME_BYTES),
        // Where the next episode's world is made ahead, it is made in a second game.
        MineRlWorld::NAME if config.envserver.spare_threads > 0 => {
            (2 * most_games(config), minerl::game_bytes(&config.envserver.minerl))
        }
        MineRlWorld::NAME => (most_games(config), minerl::game_bytes(&config.envserver.minerl)),
        _ => (0, 0),
    };
    let needed = RUN_BYTES + games * each;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let text = format!("{:.1} GiB free, about {:.1} needed", gib(free), gib(needed));
    match (free >= needed, games) {
        (true, _) => Finding::Good(text),
        (false, 0) => Finding::Bad(format!("{text}: end other programs")),
        (false, _) => Finding::Bad(format!(
            "{text} by {games} games at once: lower up.actors, actor.slots_per_group, demonstrations.slots or evaluation.slots"
        )),
    }
}

/// Games that run at once in the stage that has most.
fn most_games(config: &RunConfig) -> u64 {
    let acting = config.up.actors * config.actor.groups * config.actor.slots_per_group;
    acting.max(config.demonstrations.slots).max(config.evaluation.slots) as u64
}

fn port(key: &'static str, address: &str) -> Finding {
    match net::bind(address, key) {
        Ok(_) => Finding::Good(format!("{address} is free")),
        // `vpt up` takes free ports; only roles started one by one listen there.
        Err(error) => Finding::Absent(format!("{error} (`vpt up` takes free ports)")),
    }
}

/// Plays the first moment of an episode.
fn game(config: &RunConfig) -> Result<String, String> {
    let luanti = &config.envserver.luanti;
    let programs = Programs::find(luanti).map_err(|error| error.to_string())?;
    let task = Task::resolve("free").map_err(|error| error.to_string())?.in_world(LuantiWorld::NAME);
    let mut world = LuantiWorld::new(luanti.clone());
    let began = Instant::now();
    world.reset(1, &task).map_err(|error| error.to_string())?;
    let (game, version, seconds) = (programs.game.display(), programs.version, began.elapsed().as_secs_f64());
    Ok(format!("{game} ({version}) and {} start in {seconds:.1} s", programs.xvfb.display()))
}
