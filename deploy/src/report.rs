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
    if let Some(curve) = metrics.with_errors("charts/episodic_return", "charts/episodic_return_stderr") {
        let path = dir.join("return.png");
        plots::curves(&path, "return per episode while PPG acts", "env steps", &[("return".into(), curve)])?;
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
