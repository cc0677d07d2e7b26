//! `report.html`: one page that says what a run did and how well, next to its plots.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use vpt_runtime::{atomic_file, config};

use crate::run_config::RunConfig;
use crate::up::summary::Arm;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}img{max-width:100%}pre{background:#f6f6f6;padding:1rem;overflow:auto}";

/// Writes the page; `images` are file names beside it with their captions.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, run: &RunConfig, summary: &Value, images: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>vpt run {name}</title><style>{STYLE}</style></head><body>\n\
         <h1>Run {name}</h1>\n<p>Task <b>{task}</b>, seed {seed}, {seconds:.0} seconds. Every arm plays the same held-out world seeds \
         with sampled actions at the same temperature.</p>\n",
        name = escape(&run.run.name),
        task = escape(&run.world.task),
        seed = run.run.seed,
        seconds = summary["run_seconds"].as_f64().unwrap_or_default(),
    );
    page += &arms(summary);
    for (file, caption) in images {
        let (file, caption) = (escape(file), escape(caption));
        page += &format!(
            "<figure><img src=\"{file}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>\n"
        );
    }
    page += &pairs("Seconds by stage", &summary["stage_seconds"]);
    page += &pairs("Restarts by process", &summary["restarts"]);
    page += &format!("<h2>Configuration</h2>\n<pre>{}</pre>\n</body></html>\n", escape(&config::dump(run)?));
    atomic_file::write(path, page.as_bytes())?;
    Ok(())
}

fn arms(summary: &Value) -> String {
    let mut table = String::from(
        "<table><tr><th>arm</th><th>mean return</th><th>standard error</th><th>episodes</th><th>items</th></tr>\n",
    );
    for name in Arm::ALL.map(|arm| arm.to_string()) {
        let Some(arm) = summary.get(&name) else { continue };
        let shares = arm["item_shares"].as_object().map(|shares| {
            let share = |(item, value): (&String, &Value)| {
                let (share, stderr) =
                    (value[0].as_f64().unwrap_or_default(), value[1].as_f64().unwrap_or_default());
                format!("{} {:.0} ± {:.0} %", escape(item), 100.0 * share, 100.0 * stderr)
            };
            shares.iter().map(share).collect::<Vec<_>>().join(", ")
        });
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "<tr><td>{name}</td><td>{:.3}</td><td>{:.3}</td><td>{}</td><td>{}</td></tr>",
            arm["mean"].as_f64().unwrap_or_default(),
            arm["stderr"].as_f64().unwrap_or_default(),
            arm["episodes"],
            shares.unwrap_or_default(),
        );
    }
    table + "</table>\n"
}

fn pairs(title: &str, object: &Value) -> String {
    let Some(object) = object.as_object().filter(|object| !object.is_empty()) else { return String::new() };
    let row = |(key, value): (&String, &Value)| {
        let value = value.as_f64().map_or_else(|| value.to_string(), |number| format!("{number:.0}"));
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(key), escape(&value))
    };
    format!("<h2>{title}</h2>\n<table>{}</table>\n", object.iter().map(row).collect::<String>())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_shows_every_arm_and_escapes_what_it_quotes() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut run = RunConfig::load(None, &[]).expect("built-in run");
        run.world.task = "<chop>".into();
        let summary = json!({
            "run_seconds": 12.0, "stage_seconds": {"bc": 7.4}, "restarts": {"actor-0": 1},
            "ppg": {"mean": 1.25, "stderr": 0.1, "episodes": 64, "item_shares": {"log": [0.5, 0.06]}},
        });
        let path = dir.path().join("report.html");
        write(&path, &run, &summary, &[("return.png", "return")]).expect("write");
        let page = std::fs::read_to_string(&path).expect("page");
        for expected in ["&lt;chop&gt;", "1.250", "log 50 ± 6 %", "return.png", "actor-0", "[learner"] {
            assert!(page.contains(expected), "{expected} is missing");
        }
        assert!(!page.contains("<chop>"));
    }
}
