//! `vpt bench pool`: an env server's sessions at full load for minutes. Every world answers, so every session that the
//! server gives up as hung is a false alarm.

use std::time::Duration;

use serde_json::json;
use vpt_envserver::bench::stream::{BenchStreamConfig, Length, bench_stream};

use crate::cli::bench::BenchPoolArgs;

pub(crate) fn run(args: &BenchPoolArgs) -> anyhow::Result<()> {
    let time = Duration::from_secs_f64(args.minutes.clamp(0.0, 10_000.0) * 60.0);
    let config = BenchStreamConfig {
        world: args.world.clone(),
        task: if args.world == "null" { String::new() } else { args.task.clone() },
        sessions: args.sessions,
        length: Length::Time(time),
        size: args.size,
    };
    let report = crate::commands::runtime()?.block_on(bench_stream(&config))?;
    for reason in &report.reasons {
        eprintln!("given up: {reason}");
    }
    let mut line = serde_json::to_value(&report)?;
    line["bench"] = json!("pool");
    line["about"] =
        json!({ "world": args.world, "task": config.task, "size": args.size, "minutes": args.minutes });
    println!("{line}");
    Ok(())
}
