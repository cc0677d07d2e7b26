//! Cloning learns, resumes bit for bit, and reads data as documented.

mod ranks;

use super::*;
use crate::config::{LearnerConfig, LrSchedule, NullActions, Stage};
use crate::dataset::Demonstrations;
use crate::session::testing::{Bench, bench};
use crate::synthetic::{bits, buttons_of, record, tiny};
use vpt_proto::keys;

fn config(dir: &std::path::Path, max_updates: u64) -> LearnerConfig {
    let mut config = LearnerConfig { stage: Stage::Bc, out: dir.join("out"), ..LearnerConfig::default() };
    config.bc = BcConfig {
        data_dir: dir.join("data"),
        batch_sequences: 4,
        sequence_length: 8,
        lr: 3e-3,
        weight_decay: 0.0,
        lr_schedule: LrSchedule::Constant,
        max_updates,
        validation_every_updates: 0,
        validation_fraction: 0.1,
        ..BcConfig::default()
    };
    config.checkpoint.every_updates = 1000;
    config
}

fn train(dir: &std::path::Path, max_updates: u64) -> (Bench, Trainer) {
    let mut bench = bench(config(dir, max_updates), &tiny());
    let (mut trainer, stored) = bench.trainer();
    run(&mut bench.session, &mut trainer, stored.as_ref()).unwrap();
    (bench, trainer)
}

#[test]
fn cloning_learns_what_the_frame_says() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("data"), &tiny(), 20, 30);
    let (bench, trainer) = train(dir.path(), 150);
    let status = bench.session.status.snapshot();
    // Two equally likely actions that the frame tells apart: knowing the frame brings the loss below ln 2.
    assert!(status.loss < 0.35, "loss {}", status.loss);
    assert_eq!(trainer.counters.bc_updates, 150);
    assert_eq!(status.env_steps_trained, 150 * 32);
    let lines = std::fs::read_to_string(dir.path().join("out/metrics.jsonl")).unwrap();
    assert!(lines.contains("losses/validation_nll") && lines.contains("losses/bc_loss"), "{lines}");
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped() {
    let (straight, halved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&straight, &halved] {
        record(&dir.path().join("data"), &tiny(), 6, 21);
    }
    let (_, expected) = train(straight.path(), 14);
    drop(train(halved.path(), 5));
    let (bench, resumed) = train(halved.path(), 14);
    assert_eq!(resumed.counters.bc_updates, 14);
    assert_eq!(resumed.counters.optimizer_steps, 14);
    assert_eq!(bench.session.version.epoch, 2);
    assert!(bits(&expected.parameters) == bits(&resumed.parameters), "the weights differ");
    assert!(expected.optimizer_bytes().unwrap() == resumed.optimizer_bytes().unwrap(), "the moments differ");
}

#[test]
fn null_actions_are_dropped_masked_or_kept_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &tiny(), 3, 70);
    let read = |null_actions| {
        let bc = BcConfig {
            data_dir: dir.path().into(),
            null_actions,
            validation_fraction: 0.0,
            ..BcConfig::default()
        };
        let data = Demonstrations::open(&bc, &tiny(), 1).unwrap();
        let piece = |start, len| crate::dataset::Piece { episode: 1, start, len };
        let steps = data.steps(1);
        data.read(&[vec![piece(0, 11), piece(11, steps - 11)]]).unwrap()
    };
    let (kept, masked, dropped) = (read(NullActions::Keep), read(NullActions::Mask), read(NullActions::Drop));
    assert_eq!((kept.null_actions, kept.mask.iter().sum::<f32>()), (0, 70.0));
    assert!(masked.null_actions > 0);
    assert_eq!((&masked.frames, &masked.buttons), (&kept.frames, &kept.buttons));
    for (buttons, mask) in masked.buttons.iter().zip(&masked.mask) {
        assert_eq!(*buttons == 0, *mask == 0.0);
    }
    assert!(masked.buttons.contains(&buttons_of(keys::ATTACK)));

    // What is dropped is what would have been masked: nothing of it is left in the stream.
    let stays: Vec<usize> = (0..70).filter(|&i| masked.mask[i] == 1.0).collect();
    let frame_len = kept.frames.len() / 70;
    let frames: Vec<u8> =
        stays.iter().flat_map(|&i| &kept.frames[i * frame_len..(i + 1) * frame_len]).copied().collect();
    assert_eq!(dropped.null_actions, masked.null_actions);
    assert_eq!(dropped.buttons, stays.iter().map(|&i| kept.buttons[i]).collect::<Vec<_>>());
    assert_eq!(dropped.camera, stays.iter().map(|&i| kept.camera[i]).collect::<Vec<_>>());
    assert_eq!(dropped.mask, vec![1.0; stays.len()]);
    assert!(dropped.frames == frames, "other frames");
    for batch in [&kept, &masked, &dropped] {
        assert_eq!(batch.is_first[0], 1);
        assert_eq!(batch.is_first.iter().map(|&flag| u32::from(flag)).sum::<u32>(), 1);
    }
}

#[test]
fn data_that_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &tiny(), 2, 4);
    let other = vpt_policy::PolicyConfig { image_size: 32, ..tiny() };
    let open = |dir: &std::path::Path, config: &vpt_policy::PolicyConfig, validation_fraction| {
        let bc = BcConfig { data_dir: dir.into(), validation_fraction, ..BcConfig::default() };
        Demonstrations::open(&bc, config, 1)
    };
    let message = open(dir.path(), &other, 0.0).unwrap_err().to_string();
    assert!(message.contains("16 x 16") && message.contains("policy.image_size is 32"), "{message}");
    let message = open(&dir.path().join("none"), &other, 0.0).unwrap_err().to_string();
    assert!(message.contains("none"), "{message}");
    assert!(open(dir.path(), &tiny(), 0.9).is_err(), "nothing left to train on");
}

#[test]
fn limits_pace_the_learning_rate() {
    let config = BcConfig { epochs: 2, ..BcConfig::default() };
    let limits = Limits { pass_updates: 50, config: config.clone() };
    assert_eq!(limits.updates(), Some(100));
    assert_eq!(limits.progress(25, 1e9), 0.25);
    let timed = Limits { pass_updates: 50, config: BcConfig { max_seconds: 10.0, ..config.clone() } };
    assert_eq!((timed.updates(), timed.progress(1000, 5.0)), (None, 0.5));
    let both = BcConfig { max_seconds: 10.0, max_updates: 20, ..config };
    assert_eq!(Limits { pass_updates: 50, config: both }.progress(15, 5.0), 0.75);
    assert_eq!(LrSchedule::Linear.at(2.0, 0.75), 0.5);
}
