//! What is seen of training from outside, and what happens when its numbers are not finite.

use super::*;
use crate::config::NonFiniteConfig;
use crate::metrics::PHASES;
use crate::nonfinite::NonFiniteGuard;

/// Every diagnostic that is logged each phase, under its tag.
const TAGS: &[&str] = &[
    "losses/loss",
    "losses/policy_loss",
    "losses/value_loss",
    "losses/entropy",
    "losses/entropy_buttons",
    "losses/entropy_camera",
    "losses/approx_kl",
    "losses/true_kl",
    "losses/clipfrac",
    "losses/ratio_min",
    "losses/ratio_max",
    "losses/explained_variance",
    "losses/grad_norm",
    "losses/kl_to_pretrained",
    "losses/kl_coef",
    "losses/advantage_mean",
    "losses/advantage_std",
    "losses/advantage_min",
    "losses/advantage_max",
    "losses/aux_value_loss",
    "losses/aux_true_value_loss",
    "losses/aux_clone_kl",
    "losses/aux_grad_norm",
    "charts/learning_rate",
    "charts/SPS",
    "charts/wait_share",
    "charts/staleness",
    "charts/staleness_versions",
    "charts/sample_reuse",
    "charts/aux_sample_reuse",
    "charts/mean_reward",
    "charts/episodic_return",
    "charts/episodic_length",
];

fn lines(dir: &std::path::Path) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_diagnostic_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.ppg.true_kl_every_phases = 1;
    let mut bench = bench(config, &tiny());
    let (mut trainer, _) = bench.trainer();
    let frozen = weights(&tiny(), 3);
    let frozen = FrozenPolicy::new(crate::compute::Compute::cpu(), &frozen, &tiny(), 1 << 20).unwrap();
    run_with_actor(&mut bench, &mut trainer, Some(frozen));
    let lines = lines(dir.path());
    for tag in TAGS {
        assert!(lines.iter().any(|line| line.contains_key(*tag)), "{tag} is not logged");
    }
    let last = lines.last().unwrap();
    assert_eq!(last["charts/sample_reuse"], 2.0, "two epochs");
    let unrolls = |pairs: &serde_json::Value| -> u64 {
        pairs.as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()).sum()
    };
    assert_eq!(unrolls(&last["charts/staleness_versions"]), 8, "every unroll of the batch");
}

#[test]
fn rewards_and_shares_are_logged_by_item() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    let batch_config = bench.session.setup.learner.ppg.clone();
    let mut unrolls = batch(&trainer, &mut slots(8), &batch_config);
    let item = |item: &str, reward| vpt_proto::learner::v1::UnrollEvent {
        item: item.into(),
        reward,
        ..Default::default()
    };
    let mut ppg = loop_over(&mut bench, &mut trainer, None);
    ppg.item_rewards.add(&[item("log", 0.5), item("log", 0.5), item("coal", 0.4)]);
    let summary = ppg.summarise(&mut unrolls, 0.0).unwrap();
    let statistics = ppg.policy_phase(&unrolls).unwrap();
    ppg.report(&summary, &statistics, 1.0);
    bench.session.finish_log();
    let lines = lines(dir.path());
    assert_eq!(lines[0]["items/log_reward"], 1.0 / 64.0, "per env step");
    assert!(lines[0].contains_key("items/coal_reward"));
}

#[test]
fn the_true_kl_is_zero_without_a_step_and_near_the_approximate_one_after_some() {
    let dir = tempfile::tempdir().unwrap();
    let mut kls = Vec::new();
    for lr in [0.0, 2e-3] {
        let mut config = config(dir.path());
        config.ppg = PpgConfig { lr, true_kl_every_phases: 1, ..config.ppg };
        let mut bench = bench(config, &tiny());
        let (mut trainer, _) = bench.trainer();
        let config = bench.session.setup.learner.ppg.clone();
        let mut unrolls = batch(&trainer, &mut slots(8), &config);
        let mut ppg = loop_over(&mut bench, &mut trainer, None);
        ppg.summarise(&mut unrolls, 0.0).unwrap();
        kls.push(ppg.policy_phase(&unrolls).unwrap().true_kl.unwrap());
    }
    assert!(kls[0].abs() < 1e-6 && kls[1] > 1e-5, "{kls:?}");
}

fn poisoned(trainer: &Trainer, config: &PpgConfig) -> Vec<Experience> {
    let mut unrolls = batch(trainer, &mut slots(8), config);
    for unroll in &mut unrolls {
        unroll.value_targets[1] = f32::NAN;
    }
    unrolls
}

#[test]
fn a_skipped_minibatch_leaves_the_normaliser_alone_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    let config = bench.session.setup.learner.ppg.clone();
    trainer.nonfinite = NonFiniteGuard::new(&NonFiniteConfig { dump_limit: 2, stop_after: 0 }, dir.path());
    let unrolls = poisoned(&trainer, &config);
    let before = trainer.parameters.normalizer().unwrap();
    loop_over(&mut bench, &mut trainer, None).policy_phase(&unrolls).unwrap();
    assert_eq!(trainer.parameters.normalizer().unwrap(), before, "its means would stay NaN for good");
    assert_eq!(trainer.counters.nonfinite_batches, 4);
    drop(trainer);
    let text = std::fs::read_to_string(dir.path().join("nonfinite/1.json")).unwrap();
    let dump: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dump["phase"], "policy");
    assert_eq!(dump["unrolls"].as_array().unwrap().len(), 4);
    assert_eq!(dump["unrolls"][0]["actor_id"], "synthetic");
    let names = dump["not_finite"].as_array().unwrap();
    for name in ["loss.total", "loss.value", "input.value_targets"] {
        assert!(names.contains(&name.into()), "{name} is missing from {names:?}");
    }
    assert!(!names.contains(&"input.rewards".into()));
    let tensors = candle_core::safetensors::load(dir.path().join("nonfinite/1.safetensors"), &Device::Cpu);
    let tensors = tensors.unwrap();
    assert_eq!(tensors["frames"].dims(), [4, STEPS as usize, 16 * 16 * 3]);
    assert!(tensors.contains_key("layer0.keys") && tensors.contains_key("buttons"));
    assert!(!dir.path().join("nonfinite/3.json").exists());
}

#[test]
fn too_many_skipped_minibatches_end_training_at_the_last_good_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    trainer.nonfinite = NonFiniteGuard::new(&NonFiniteConfig { dump_limit: 1, stop_after: 3 }, dir.path());
    bench.session.last_checkpoint(&mut trainer, Vec::new()).unwrap();
    let good = trainer.parameters.to_safetensors(ExportDType::F32, true).unwrap();
    for mut slot in slots(8) {
        let mut played = slot.play(&trainer.parameters, STEPS, Version::new(1, 1));
        played.unroll.reward[0] = f32::INFINITY;
        bench.queue.push(played).unwrap();
    }
    let error = run(&mut bench.session, &mut trainer, None).unwrap_err();
    assert!(matches!(error, LearnerError::NonFinite { skipped: 3, .. }), "{error}");
    assert!(dir.path().join("nonfinite/1.json").exists());
    drop(bench);
    let stored = crate::checkpoint::load_policy(&dir.path().join("checkpoints")).unwrap();
    assert_eq!(stored.version, Version::new(1, 0), "no checkpoint after it");
    assert_eq!(stored.parameters, good);
}

/// What the calling thread has done to files and sockets so far: write calls, bytes fetched from storage, bytes for
/// storage; none where the system does not say. (Read calls would not do: candle's matrix product looks up the number of
/// cores in `/proc` unless `RAYON_NUM_THREADS` says it, as the `vpt` binary makes it do.)
fn input_and_output() -> Option<[u64; 3]> {
    let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let count = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.trim().parse().ok())
    };
    Some([count("syscw:")?, count("read_bytes:")?, count("write_bytes:")?])
}

/// Several phases with checkpoints on the way: all of it is on the clock, and the training thread leaves files and sockets
/// to others.
#[test]
fn the_training_thread_accounts_for_its_time_and_does_no_input_or_output() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.checkpoint.every_phases = 1;
    let mut bench = bench(config, &tiny());
    let (mut trainer, _) = bench.trainer();
    let account = |bench: &Bench| -> std::collections::BTreeMap<String, f64> {
        bench
            .session
            .stopwatch
            .by_state()
            .into_iter()
            .map(|(state, seconds)| (state.to_owned(), seconds))
            .collect()
    };
    let (before, calls, started) = (account(&bench), input_and_output(), Instant::now());
    run_with_actor(&mut bench, &mut trainer, None);
    let (wall, calls_after) = (started.elapsed().as_secs_f64(), input_and_output());
    let after = account(&bench);
    let spent = |state: &str| after[state] - before[state];
    let sum: f64 = PHASES.iter().map(|state| spent(state)).sum();
    println!(
        "{wall:.3} s, {:.1} % in states, {:.1} % in other",
        100.0 * sum / wall,
        100.0 * spent("other") / wall
    );
    assert!(sum >= 0.99 * wall, "{sum} of {wall} seconds are accounted for");
    for state in ["wait_data", "batch", "forward", "backward", "optimizer", "publish", "checkpoint", "report"]
    {
        assert!(spent(state) > 0.0, "no time in {state}");
    }
    assert_eq!(calls, calls_after, "writes, bytes read, bytes written");
}

#[test]
fn vtrace_corrects_what_other_weights_played_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (trainer, _) = bench.trainer();
    let config = PpgConfig { vtrace: true, ..bench.session.setup.learner.ppg.clone() };
    let played = batch(&trainer, &mut slots(8), &config);
    let corrected = |change: &dyn Fn(&mut Experience)| {
        let mut unrolls = played.clone();
        unrolls.iter_mut().for_each(change);
        off_policy::correct(&trainer, &config, &mut unrolls).unwrap();
        unrolls
    };
    let close = |a: &[Experience], b: &[Experience]| {
        let pairs = |field: fn(&Experience) -> &Vec<f32>| {
            a.iter()
                .zip(b)
                .flat_map(|(a, b)| field(a).iter().zip(field(b)).collect::<Vec<_>>())
                .all(|(a, b)| (a - b).abs() < 1e-4)
        };
        pairs(|unroll| &unroll.advantages) && pairs(|unroll| &unroll.value_targets)
    };
    // The same weights under an older number: the ratios are 1.
    assert!(close(&corrected(&|unroll| unroll.staleness = 2), &played));
    let unlikely = |staleness| {
        move |unroll: &mut Experience| {
            unroll.staleness = staleness;
            unroll.behaviour_log_prob.iter_mut().for_each(|log_prob| *log_prob += 1.0);
        }
    };
    assert!(!close(&corrected(&unlikely(1)), &played), "actions have become less likely");
    assert!(close(&corrected(&unlikely(0)), &played), "what is not stale is left alone");
}

#[test]
fn an_unroll_serves_auxiliary_phases_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    bench.session.setup.learner.ppg.aux_epochs = 2;
    bench.session.setup.learner.ppg.aux_max_reuse = 5;
    let (mut trainer, _) = bench.trainer();
    let config = bench.session.setup.learner.ppg.clone();
    let mut slots = slots(4);
    let batches: Vec<_> = (0..4).map(|_| batch(&trainer, &mut slots, &config)).collect();
    let mut ppg = loop_over(&mut bench, &mut trainer, None);
    let mut uses = Vec::new();
    for unrolls in batches {
        ppg.keep(unrolls);
        ppg.aux_phase().unwrap();
        uses.push(ppg.buffer.iter().map(|unroll| unroll.aux_uses).collect::<Vec<_>>());
    }
    let [one, two] = [[2u64; 4], [4; 4]].map(Vec::from);
    // After the third phase the first batch has had its five passes: one of them in that phase.
    assert_eq!(
        uses,
        [
            one.clone(),
            [two.clone(), one.clone()].concat(),
            [two.clone(), one.clone()].concat(),
            [two, one].concat()
        ]
    );
}
