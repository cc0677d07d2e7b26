//! Learning curves of several runs with different seeds in one plot, and what their arms reached in a table.
//!
//! `cargo run --release -p vpt --example learning_curves -- PLOT.png RUN_DIR...`, with folders that
//! `vpt up --set up.ablations=true --set run.seed=N --out RUN_DIR` left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use vpt::report::curves::{self, Point};
use vpt::report::plots;
use vpt::up::summary::{self, Arm};

/// Points of a mean curve.
const POINTS: usize = 60;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let plot = arguments.next().context("usage: learning_curves PLOT.png RUN_DIR...")?;
    let runs: Vec<PathBuf> = arguments.collect();
    if runs.is_empty() {
        bail!("name the folder of one run at least");
    }
    let mut by_arm: BTreeMap<usize, Vec<Vec<Point>>> = BTreeMap::new();
    for run in &runs {
        for (arm, curve) in curves::returns(run)? {
            let place =
                Arm::LEARNERS.iter().position(|&other| other == arm).context("an arm without a place")?;
            by_arm.entry(place).or_default().push(curve);
        }
    }
    let named: Vec<(String, Vec<Point>)> = by_arm
        .iter()
        .map(|(&place, curves)| (Arm::LEARNERS[place].label().to_owned(), curves::mean(curves, POINTS)))
        .collect();
    let of = if runs.len() == 1 { "one seed".to_owned() } else { format!("mean of {} seeds", runs.len()) };
    let title = format!("return per episode while training, {of}");
    plots::curves(&plot, &title, "env steps", &named)?;
    print!("{}", table(&runs)?);
    Ok(())
}

/// One row an arm: the held-out return by seed, its mean and the standard error over seeds.
fn table(runs: &[PathBuf]) -> anyhow::Result<String> {
    let summaries =
        runs.iter().map(|run: &PathBuf| summary::read(Path::new(run))).collect::<Result<Vec<_>, _>>()?;
    let mut text =
        format!("| arm |{} mean |\n|---|{}---|\n", " seed |".repeat(runs.len()), "---|".repeat(runs.len()));
    for arm in Arm::ALL {
        let name = arm.to_string();
        let means: Vec<f64> =
            summaries.iter().filter_map(|summary| summary[&name]["mean"].as_f64()).collect();
        if means.is_empty() {
            continue;
        }
        let count = means.len() as f64;
        let mean = means.iter().sum::<f64>() / count;
        let variance = means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / (count - 1.0).max(1.0);
        let cells: String = means.iter().map(|mean| format!(" {mean:.3} |")).collect();
        text += &format!("| {} |{cells} {mean:.3} ± {:.3} |\n", arm.label(), (variance / count).sqrt());
    }
    Ok(text)
}
