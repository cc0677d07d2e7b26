//! The report of a run: PNG plots of return and item shares over time with standard errors, and `report.html`.

pub mod curves;
pub mod html;
pub mod plots;

use std::path::Path;

use crate::run_config::RunConfig;
use crate::up::summary;

/// Writes `report.html` and its plots from `metrics.jsonl` and `summary.json` in `dir`.
///
/// # Errors
/// Missing or damaged input, or a file that cannot be written; the message names it.
pub fn write(dir: &Path, config: &RunConfig) -> anyhow::Result<()> {
    let summary = summary::read(dir)?;
    let metrics = curves::read(&dir.join("metrics.jsonl"))?;
    let mut images = Vec::new();
    let returns = curves::returns(dir)?;
    if !returns.is_empty() {
        let path = dir.join("return.png");
        let named: Vec<_> = returns.into_iter().map(|(arm, curve)| (arm.label().to_owned(), curve)).collect();
        plots::curves(&path, "return per episode while training", "env steps", &named)?;
        images.push(("return.png", "Mean return of the acting policy, one standard error shaded."));
    }
    let shares = metrics.item_shares();
    if !shares.is_empty() {
        plots::curves(&dir.join("items.png"), "share of episodes with each item", "env steps", &shares)?;
        images.push((
            "items.png",
            "Share of episodes in which each item was obtained, one standard error shaded.",
        ));
    }
    plots::arms(&dir.join("arms.png"), "mean return on held-out seeds", &summary)?;
    images.push(("arms.png", "Every arm on the same held-out seeds, with standard errors."));
    html::write(&dir.join("report.html"), config, &summary, &images)
}
