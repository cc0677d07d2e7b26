//! What processes export is what the code declares, and every name and label that dashboards, rules, manifests and the
//! runbook use exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use vpt_runtime::metrics::{COMMON, MetricKind, MetricSpec};
use vpt_tests::cluster::Cluster;
use vpt_tests::exposition::{self, Family};
use vpt_tests::promql::{References, Selector, references};
use vpt_tests::rules::{self, Rule};
use vpt_tests::tools::tool;
use vpt_tests::{http, wait::wait_until};

const NET: &[MetricSpec] = vpt_runtime::net::METRICS;
const TRACES: &[MetricSpec] = vpt_runtime::traces::METRICS;
const LEARNER: &[MetricSpec] = vpt_learner::metrics::SPECS;
const ACTOR: &[MetricSpec] = vpt_actor::metrics::METRICS;
const RELAY: &[MetricSpec] = vpt_actor::relay::metrics::METRICS;
const ENVSERVER: &[MetricSpec] = vpt_envserver::metrics::METRICS;

/// Labels that come with the scrape and a histogram's own.
const SCRAPED: [&str; 5] = ["namespace", "instance", "job", "le", "gpu"];

fn declared() -> BTreeMap<&'static str, &'static MetricSpec> {
    [COMMON, NET, TRACES, LEARNER, ACTOR, RELAY, ENVSERVER]
        .into_iter()
        .flatten()
        .map(|spec| (spec.name, spec))
        .collect()
}

#[test]
fn a_running_cluster_exports_what_is_declared() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut cluster = Cluster::start(dir.path(), 1, &[]);
    cluster.add_relay("relay");
    cluster.add_actor("actor");
    cluster.train_on(500);
    let roles: [(&str, &[&[MetricSpec]]); 4] = [
        ("learner", &[COMMON, NET, TRACES, LEARNER]),
        ("actor", &[COMMON, TRACES, ACTOR]),
        ("relay", &[COMMON, NET, RELAY]),
        ("envserver-0", &[COMMON, NET, ENVSERVER]),
    ];
    for (name, specs) in roles {
        let page = wait_until(&format!("the metrics of {name}"), 10, || {
            http::get(cluster.ops(name), "/metrics").filter(|(code, _)| *code == 200)
        });
        compare(name, &specs.concat(), &exposition::parse(&page.1));
        lint(name, &page.1);
    }
}

/// Exactly the declared metrics, each with its kind, help, labels and buckets.
fn compare(role: &str, specs: &[MetricSpec], page: &BTreeMap<String, Family>) {
    let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name).collect();
    let undeclared: Vec<_> = page.keys().filter(|name| !names.contains(name.as_str())).collect();
    assert!(undeclared.is_empty(), "{role} exports what nobody declares: {undeclared:?}");
    for spec in specs {
        // Series whose labels are not known beforehand come with their first value.
        let is_open = spec.labels.iter().any(|(_, values)| values.is_empty());
        let Some(family) = page.get(spec.name) else {
            assert!(is_open, "{role} does not export {}", spec.name);
            continue;
        };
        let kind = match spec.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        assert_eq!((family.kind.as_str(), family.help.as_str()), (kind, spec.help), "{role}: {}", spec.name);
        let bounds: BTreeSet<String> = spec.buckets.iter().map(f64::to_string).collect();
        assert_eq!(family.bounds, bounds, "{role}: buckets of {}", spec.name);
        let combinations: usize = spec.labels.iter().map(|(_, values)| values.len()).product();
        assert!(
            is_open || family.series.len() == combinations,
            "{role}: {} has {:?}",
            spec.name,
            family.series
        );
        for (label, value) in family.series.iter().flatten() {
            let values = spec.labels.iter().find(|(name, _)| name == label).map(|(_, values)| *values);
            let values = values.unwrap_or_else(|| panic!("{role}: {} has no label {label}", spec.name));
            assert!(values.is_empty() || values.contains(&value.as_str()), "{role}: {}: {value}", spec.name);
        }
    }
}

/// Prometheus' own opinion of the page.
fn lint(role: &str, page: &str) {
    let Some(promtool) = tool("promtool", "promtool check metrics") else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), page).expect("writable");
    let checked = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(file.path()).expect("readable"))
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "promtool on the metrics of {role}: {said}");
}

#[test]
fn every_name_and_label_in_an_expression_exists() {
    let declared = declared();
    let rules = rules::all();
    let recorded: BTreeSet<&str> =
        rules.iter().filter(|rule| rule.kind == "record").map(|rule| rule.name.as_str()).collect();
    let mut expressions: Vec<(String, String, String)> =
        rules.iter().map(|rule| (rule.name.clone(), rule.expression.clone(), String::new())).collect();
    for (path, board) in dashboards() {
        for (title, expression, legend) in targets(&board) {
            expressions.push((format!("{}: {title}", path.display()), expression, legend));
        }
    }
    assert!(expressions.len() > 100, "only {} expressions were found", expressions.len());
    for (place, expression, legend) in &expressions {
        let found = references(expression);
        assert!(!found.selectors.is_empty(), "{place}: nothing is selected by {expression}");
        let mut labels: BTreeSet<&str> = SCRAPED.into();
        for selector in &found.selectors {
            labels.extend(check_selector(place, selector, &declared, &recorded));
        }
        check_labels(place, &found, legend, &labels);
    }
}

/// The labels of a selected metric, whose matchers must name them and values they can have.
fn check_selector<'a>(
    place: &str,
    selector: &Selector,
    declared: &BTreeMap<&'static str, &'a MetricSpec>,
    recorded: &BTreeSet<&str>,
) -> Vec<&'a str> {
    let name = selector.name.as_str();
    if recorded.contains(name) || name.starts_with("DCGM_") || name == "ALERTS" {
        return Vec::new();
    }
    let spec = lookup(name, declared).unwrap_or_else(|| panic!("{place}: nobody declares {name}"));
    for (label, operator, value) in &selector.matchers {
        if SCRAPED.contains(&label.as_str()) {
            continue;
        }
        let values = spec.labels.iter().find(|(known, _)| known == label).map(|(_, values)| *values);
        let values = values.unwrap_or_else(|| panic!("{place}: {name} has no label {label}"));
        let asked: Vec<&str> = if operator.ends_with('~') { value.split('|').collect() } else { vec![value] };
        for asked in asked {
            assert!(
                values.is_empty() || values.contains(&asked),
                "{place}: {name}: {label} is never {asked}"
            );
        }
    }
    spec.labels.iter().map(|(label, _)| *label).collect()
}

/// Groups and legends name labels that the selected metrics have.
fn check_labels(place: &str, found: &References, legend: &str, labels: &BTreeSet<&str>) {
    let in_legend =
        legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label);
    for label in found.grouped.iter().map(String::as_str).chain(in_legend) {
        assert!(labels.contains(label), "{place}: no selected metric has a label {label}");
    }
}

/// The metric that a name or a part of a histogram belongs to.
fn lookup<'a>(name: &str, declared: &BTreeMap<&'static str, &'a MetricSpec>) -> Option<&'a MetricSpec> {
    let whole = declared.get(name).filter(|spec| spec.kind != MetricKind::Histogram);
    let part = || {
        let stem = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix))?;
        declared.get(stem).filter(|spec| spec.kind == MetricKind::Histogram)
    };
    whole.or_else(part).copied()
}

#[test]
fn every_name_in_documents_and_manifests_exists() {
    let (declared, rules) = (declared(), rules::all());
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let mut files = vec![deploy.join("../README.md"), deploy.join("../ARCHITECTURE.md")];
    collect(&deploy, &mut files);
    let mut names = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        for name in words(&text) {
            names += 1;
            let is_recorded = rules.iter().any(|rule| rule.name == name);
            let is_histogram = declared.contains_key(name);
            assert!(
                is_recorded || is_histogram || lookup(name, &declared).is_some(),
                "{}: {name} does not exist",
                file.display()
            );
        }
    }
    assert!(names > 300, "only {names} names were found");
}

/// Text files below a folder that may name metrics.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|it| ["md", "yml", "yaml", "json"].iter().any(|ours| it == *ours))
        {
            files.push(path);
        }
    }
}

/// Metric names of ours in a text: `vpt_` and a role, or `vpt:`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(move |c| !is_name(c)).map(|word| word.trim_end_matches(':')).filter(|word| {
        let of_role = ["actor", "learner", "envserver", "relay", "net", "runtime", "build"];
        let rest = word.strip_prefix("vpt_");
        word.starts_with("vpt:")
            || rest.is_some_and(|it| of_role.iter().any(|role| it.starts_with(&format!("{role}_"))))
    })
}

#[test]
fn every_alert_is_explained_and_tested() {
    let monitoring = rules::monitoring();
    let runbook = std::fs::read_to_string(monitoring.join("../RUNBOOK.md")).expect("readable");
    let headings: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let cases = std::fs::read_to_string(monitoring.join("rules/tests/alerts_test.yml")).expect("readable");
    let alerts: Vec<Rule> = rules::all().into_iter().filter(|rule| rule.kind == "alert").collect();
    for alert in &alerts {
        let name = &alert.name;
        assert!(headings.contains(name.as_str()), "{name} has no heading in RUNBOOK.md");
        assert!(["warning", "critical"].contains(&alert.setting("severity")), "{name}");
        assert!(!alert.setting("for").is_empty() && alert.setting("summary").ends_with('.'), "{name}");
        let link = format!("deploy/RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(alert.setting("runbook"), link, "{name}");
        for case in ["fires", "is silent"] {
            assert!(cases.contains(&format!("- name: \"{name} {case}\"")), "{name} {case}: no such case");
        }
    }
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(headings, names, "headings of the runbook and alerts");
}

#[test]
fn dashboards_are_portable_and_their_units_fit() {
    let declared = declared();
    let mut uids = BTreeSet::new();
    for (path, board) in dashboards() {
        let at = path.display();
        assert!(uids.insert(board["uid"].as_str().expect("a string").to_owned()), "{at}: its uid is taken");
        let variables: Vec<_> =
            board["templating"]["list"].as_array().expect("a list").iter().map(|it| &it["name"]).collect();
        assert_eq!(variables, ["datasource", "namespace"], "{at}");
        let text = board.to_string();
        assert_eq!(
            text.matches("\"uid\":\"${datasource}\"").count() + 1,
            text.matches("\"uid\":").count(),
            "{at}"
        );
        let panels = board["panels"].as_array().expect("a list");
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
        assert_eq!(ids.len(), panels.len(), "{at}: ids of panels repeat");
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().expect("a string");
            for target in panel["targets"].as_array().expect("a list") {
                let expression = target["expr"].as_str().expect("a string");
                assert!(expression.contains("namespace=~\"$namespace\""), "{at}: {expression} mixes runs");
                for selector in references(expression).selectors {
                    if let Some(spec) = lookup(&selector.name, &declared) {
                        assert!(fits(spec, expression, unit), "{at}: {expression} in {unit}");
                    }
                }
            }
        }
    }
    assert_eq!(uids.len(), 4);
}

/// Whether a unit of Grafana can be that of an expression over a metric.
fn fits(spec: &MetricSpec, expression: &str, unit: &str) -> bool {
    let of_bytes = spec.name.trim_end_matches("_total").ends_with("_bytes");
    let is_rate = expression.contains("rate(");
    match spec.unit {
        _ if of_bytes && expression.contains('/') => unit == "none",
        _ if of_bytes => unit == if is_rate { "Bps" } else { "bytes" },
        // Seconds a second are a share, or a number of threads.
        "seconds" if is_rate && !expression.contains("histogram_quantile") => {
            ["percentunit", "none"].contains(&unit)
        }
        "seconds" => unit == "s",
        // Of probabilities: no share.
        "ratio" if spec.name == "vpt_learner_policy_ratio" => unit == "none",
        "ratio" => unit == "percentunit",
        _ => !["s", "bytes", "Bps"].contains(&unit),
    }
}

fn dashboards() -> Vec<(PathBuf, serde_json::Value)> {
    let folder = rules::monitoring().join("grafana/dashboards");
    let read = |path: PathBuf| {
        let board = serde_json::from_str(&std::fs::read_to_string(&path).expect("readable")).expect("JSON");
        (path, board)
    };
    let files = std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    files.map(read).collect()
}

/// Panel, expression and legend of everything a dashboard asks for.
fn targets(board: &serde_json::Value) -> Vec<(String, String, String)> {
    let panels = board["panels"].as_array().expect("a list").iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    panels
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            targets
                .into_iter()
                .map(move |it| (text(&panel["title"]), text(&it["expr"]), text(&it["legendFormat"])))
        })
        .collect()
}
