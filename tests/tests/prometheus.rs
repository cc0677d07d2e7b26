//! Rules and dashboards in a real Prometheus: unit tests of the rules and of those tests, and a server that scrapes real
//! processes. Without `promtool` and `prometheus` on `PATH` these are skipped and say so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use vpt_tests::cluster::{Cluster, Role, free_address};
use vpt_tests::process::Process;
use vpt_tests::rules::{self, monitoring, with_expression};
use vpt_tests::tools::tool;
use vpt_tests::{http, wait::wait_until};

fn promtool(promtool: &Path, arguments: &[&str]) -> Output {
    Command::new(promtool)
        .args(arguments)
        .current_dir(monitoring().join("rules"))
        .output()
        .expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

#[test]
fn rules_and_configuration_are_sound_and_pass_their_tests() {
    let Some(program) = tool("promtool", "promtool check and test") else { return };
    for arguments in [
        &["check", "rules", "alerts.yml", "recording.yml"][..],
        &["check", "config", "../prometheus.yml"],
        &["test", "rules", "tests/alerts_test.yml", "tests/recording_test.yml"],
    ] {
        let output = promtool(&program, arguments);
        assert!(output.status.success(), "promtool {arguments:?}: {}", said(&output));
    }
}

/// An alert that never fires fails its firing case, one that always fires its silent one.
#[test]
fn the_tests_of_the_rules_can_fail() {
    let Some(program) = tool("promtool", "tests of the alerts' tests") else { return };
    let rules_folder = monitoring().join("rules");
    let text = std::fs::read_to_string(rules_folder.join("alerts.yml")).expect("readable");
    let cases = std::fs::read_to_string(rules_folder.join("tests/alerts_test.yml")).expect("readable");
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::create_dir(dir.path().join("tests")).expect("writable");
    std::fs::copy(rules_folder.join("recording.yml"), dir.path().join("recording.yml")).expect("readable");
    for alert in rules::parse(&text) {
        let only = cases_of(&cases, &alert.name);
        std::fs::write(dir.path().join("tests/one.yml"), only).expect("writable");
        for (mutation, fails) in [("vector(1) > 1", "fires"), ("vector(1)", "is silent")] {
            std::fs::write(dir.path().join("alerts.yml"), with_expression(&text, &alert.name, mutation))
                .expect("writable");
            let test = dir.path().join("tests/one.yml");
            let output = promtool(&program, &["test", "rules", test.to_str().expect("UTF-8")]);
            let said = said(&output);
            assert!(!output.status.success(), "{} {fails} with {mutation}", alert.name);
            assert!(said.contains(&format!("{} {fails}", alert.name)), "{}: {said}", alert.name);
        }
        std::fs::write(dir.path().join("alerts.yml"), &text).expect("writable");
    }
}

/// The cases of one alert, so that a mutation is judged by them alone.
fn cases_of(cases: &str, alert: &str) -> String {
    let (head, rest) = cases.split_once("tests:\n").expect("a list of tests");
    let blocks = rest.split("  - name: ").filter(|block| block.starts_with(&format!("\"{alert} ")));
    let blocks: String = blocks.map(|block| format!("  - name: {block}")).collect();
    format!("{head}tests:\n{blocks}")
}

/// What a run of the null world on a CPU has nothing of: GPUs, items, alerts that fire.
const NOTHING_TO_SHOW: [&str; 4] = ["DCGM_", "ALERTS", "vpt_learner_item_", "vpt_actor_item_"];
/// After the targets answer, every panel must have something by then.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_real_server_scrapes_real_processes_and_every_panel_has_something_to_show() {
    let Some(server) = tool("prometheus", "a real Prometheus server") else { return };
    let Some(program) = tool("promtool", "a real Prometheus server") else { return };
    let dir = tempfile::tempdir().expect("tempdir");
    let mut cluster = Cluster::start(dir.path(), 1, &[]);
    cluster.add_relay("relay");
    cluster.add_actor("actor-0");
    cluster.add_actor("actor-1");
    let (prometheus, address) = serve(&server, &cluster, dir.path());
    // Beyond the first checkpoint.
    cluster.train_on(4000);
    let query = |expression: &str| {
        let output = promtool(&program, &["query", "instant", &format!("http://{address}"), expression]);
        assert!(output.status.success(), "{expression}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    wait_until("targets that answer and rules that were evaluated", 120, || {
        cluster.check_alive();
        let up = query("sum(up)").contains("=> 5 ");
        (up && !query("vpt:actor_replicas:desired").is_empty()
            && !query("vpt:actors_behind:ratio").is_empty())
        .then_some(())
    });
    let mut empty = panel_expressions();
    let evaluated = empty.len();
    empty.retain(|expression| !NOTHING_TO_SHOW.iter().any(|name| expression.contains(name)));
    // Rates and quantiles want two scrapes, and rules one evaluation more.
    let deadline = Instant::now() + SHOWN_WITHIN;
    while !empty.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} of {evaluated} panels' expressions show nothing: {empty:#?}",
            empty.len()
        );
        empty.retain(|expression| query(expression).is_empty());
    }
    let desired = query("vpt:actor_replicas:desired");
    let count: f64 = desired
        .split("=> ")
        .nth(1)
        .and_then(|it| it.split(' ').next())
        .expect("a value")
        .parse()
        .expect("a number");
    assert!((1.0..100_000.0).contains(&count), "{desired}");

    // Whoever is gone is seen to be gone.
    for name in cluster.names(Role::Actor) {
        cluster.kill(&name);
    }
    wait_until("the alert NoActors to wait for its time", 120, || {
        query("ALERTS{alertname=\"NoActors\",alertstate=\"pending\"}").contains("=> 1 ").then_some(())
    });
    assert!(query("up{job=\"vpt-actor\"} == 1").is_empty());
    assert!(
        http::get(&address, "/-/healthy").is_some_and(|(code, _)| code == 200),
        "{}",
        prometheus.output()
    );
}

/// A server on the real rules; jobs as in `prometheus.yml`, at this cluster's addresses.
fn serve(server: &Path, cluster: &Cluster, dir: &Path) -> (Process, String) {
    let names = [
        ("learner", Role::Learner),
        ("actor", Role::Actor),
        ("envserver", Role::Envserver),
        ("relay", Role::Relay),
    ];
    let original = std::fs::read_to_string(monitoring().join("prometheus.yml")).expect("readable");
    let mut config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}/*.yml']\nscrape_configs:\n",
        monitoring().join("rules").canonicalize().expect("a folder").display()
    );
    for (job, role) in names {
        assert!(original.contains(&format!("job_name: vpt-{job}\n")), "no job vpt-{job} in prometheus.yml");
        let addresses: Vec<String> =
            cluster.names(role).iter().map(|name| format!("'{}'", cluster.ops(name))).collect();
        config.push_str(&format!(
            "  - job_name: vpt-{job}\n    static_configs: [{{targets: [{}], labels: {{namespace: run}}}}]\n",
            addresses.join(", ")
        ));
    }
    let file = dir.join("prometheus.yml");
    std::fs::write(&file, config).expect("writable");
    let address = free_address();
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", dir.join("tsdb").display()),
        format!("--web.listen-address={address}"),
    ];
    let process = Process::start_command(Command::new(server).args(arguments), &dir.join("prometheus.log"));
    (process, address)
}

/// Every expression of every dashboard, as Grafana would ask with all namespaces chosen.
fn panel_expressions() -> BTreeSet<String> {
    let folder = monitoring().join("grafana/dashboards");
    let mut expressions = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("readable") {
        let text = std::fs::read_to_string(entry.expect("readable").path()).expect("readable");
        let board: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for panel in board["panels"].as_array().expect("a list") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().expect("a string");
                expressions.insert(expression.replace("$namespace", ".*").replace("$__rate_interval", "15s"));
            }
        }
    }
    expressions
}
