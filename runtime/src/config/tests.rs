//! Layers, precedence and what errors name.

use serde::Deserialize;

use super::*;

#[derive(Debug, Serialize, Deserialize, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
struct Config {
    seed: u64,
    learner: Learner,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
struct Learner {
    batch: u32,
    rate: f64,
    name: String,
    sizes: Vec<u32>,
    inner: Inner,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
struct Inner {
    on: bool,
}

const BASE: &str = "seed = 1\n[learner]\nbatch = 1\nrate = 0.1\nname = \"base\"\nsizes = [1, 2, 3]\n";

fn run(file: &str, env: &[(&str, &str)], sets: &[&str]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, file).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let sets: Vec<_> = sets.iter().map(|s| (*s).to_owned()).collect();
    load_with_env(Some(&path), BASE, env, &sets).map_err(|e| {
        assert_eq!(e.exit_code(), 64);
        e.to_string()
    })
}

#[test]
fn each_layer_overrides_the_one_before() {
    let file = "[learner]\nbatch = 2\nrate = 0.2\nsizes = [9]\n";
    let env = [("VPT__LEARNER__BATCH", "3"), ("VPT__LEARNER__INNER__ON", "true"), ("VPT_LOG", "debug")];
    let config = run(file, &env, &["learner.batch=4", "learner.name=up and away"]).unwrap();
    let learner = Learner {
        batch: 4,
        rate: 0.2,
        name: "up and away".to_owned(),
        sizes: vec![9],
        inner: Inner { on: true },
    };
    assert_eq!(config, Config { seed: 1, learner });
    assert_eq!(run("", &[("VPT__LEARNER__BATCH", "3")], &[]).unwrap().learner.batch, 3);
    assert_eq!(run(file, &[], &[]).unwrap().learner.batch, 2);
    assert_eq!(run("", &[], &["learner.sizes=[4, 5]"]).unwrap().learner.sizes, [4, 5]);
    assert_eq!(run("", &[], &["learner.name=\"7\""]).unwrap().learner.name, "7");
}

#[test]
fn unknown_keys_name_key_and_source() {
    let error = run("seed = 2\n[learner]\nbatch = 2\nbtach = 3\n", &[], &[]).unwrap_err();
    assert!(error.contains("run.toml line 4: learner.btach: unknown key `btach`"), "{error}");
    assert!(error.contains("`batch`"), "{error}");
    let error = run("", &[("VPT__LEARNER__INNER__OFF", "1")], &[]).unwrap_err();
    assert!(error.starts_with("environment variable VPT__LEARNER__INNER__OFF: learner.inner.off"), "{error}");
    let error = run("", &[], &["sed=3"]).unwrap_err();
    assert!(error.starts_with("--set sed=3: sed: unknown key"), "{error}");
}

#[test]
fn values_of_the_wrong_type_name_key_and_source() {
    let error = run("[learner]\nbatch = \"many\"\n", &[], &["seed=5"]).unwrap_err();
    assert!(error.contains("run.toml line 2: learner.batch: invalid type: string"), "{error}");
    let error = run("", &[], &["learner.batch=-1"]).unwrap_err();
    assert!(error.starts_with("--set learner.batch=-1: learner.batch: invalid value"), "{error}");
    let error = run("", &[], &["learner=3"]).unwrap_err();
    assert!(error.contains("learner is a section"), "{error}");
    let error = run("", &[], &["seed.x=3"]).unwrap_err();
    assert!(error.contains("seed is a value (integer)"), "{error}");
}

#[test]
fn unreadable_layers_name_themselves() {
    let error = load::<Config>(Some(Path::new("/nonexistent/run.toml")), "", &[]).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/run.toml"), "{error}");
    let error = run("[learner\n", &[], &[]).unwrap_err();
    assert!(error.contains("run.toml is not valid TOML") && error.contains("line 1"), "{error}");
    assert!(run("", &[], &["learner.batch"]).unwrap_err().contains("KEY=VALUE"));
    assert!(run("", &[], &["learner..batch=1"]).unwrap_err().contains("empty part"));
}

#[test]
fn a_dump_loads_back() {
    let config = run("", &[], &["learner.batch=7"]).unwrap();
    let text = dump(&config).unwrap();
    assert_eq!(load_with_env::<Config>(None, &text, [], &[]).unwrap(), config);
}
