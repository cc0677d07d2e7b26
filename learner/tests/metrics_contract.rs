//! What is declared is what is served; in a process of its own, because the recorder is one a process.

use vpt_learner::metrics::{SPECS, item_reward, item_share, loss, phase_duration};

#[test]
fn every_declared_metric_is_served_and_has_a_setter() {
    let handle = vpt_runtime::metrics::install(&[SPECS]).expect("declarations keep the naming rules");
    phase_duration("forward", 0.1);
    loss("policy", 1.5);
    // Their labels are not known before the first one.
    item_reward("log", 0.125);
    item_share("log", 0.5);
    handle.run_upkeep();
    let text = handle.render();
    for spec in SPECS {
        assert!(text.contains(&format!("# HELP {} ", spec.name)), "{} is missing", spec.name);
    }
    for line in [
        "vpt_learner_env_steps_dropped_total{reason=\"actor_lost\"} 0",
        "vpt_learner_unrolls_total{outcome=\"accepted\"} 0",
        "vpt_learner_loss{term=\"policy\"} 1.5",
        "vpt_learner_step_phase_duration_seconds_bucket{phase=\"forward\",le=\"0.1\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
    let source = include_str!("../src/metrics.rs");
    let (_, setters) = source.split_once("pub fn phase_duration").expect("setters follow the declarations");
    for spec in SPECS {
        assert!(setters.contains(&format!("\"{}\"", spec.name)), "{} has no setter", spec.name);
    }
}
