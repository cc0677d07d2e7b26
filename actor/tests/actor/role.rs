//! The actor role: complete unrolls, credits, restarts of the learner and of the envserver, drain.

use crate::fake_learner::{FakeLearner, wait_until};
use crate::stage::{Running, actor, actor_config, envserver, learner, parameters, policy, weights, world};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use vpt_actor::ActorError;
use vpt_policy::{Policy, RawLayerState, RecurrentState, distribution};
use vpt_proto::learner::v1::{ActorReport, Unroll};
use vpt_proto::{frame_codec, tensor};

/// Episodes that end inside unrolls of 8 steps and not at their boundaries.
const EPISODE: u32 = 13;

fn check(unroll: &Unroll) {
    let steps = 8;
    assert_eq!((unroll.length, unroll.frame_height, unroll.frame_width), (8, 16, 16));
    for length in [
        unroll.buttons.len(),
        unroll.camera.len(),
        unroll.buttons_log_prob.len(),
        unroll.value.len(),
        unroll.reward.len(),
        unroll.is_first.len(),
        unroll.terminated.len(),
        unroll.truncated.len(),
    ] {
        assert_eq!(length, steps);
    }
    let next = unroll.is_first.iter().skip(1).chain([&unroll.bootstrap_is_first]);
    for ((next, terminated), truncated) in next.zip(&unroll.terminated).zip(&unroll.truncated) {
        assert_eq!(*next, terminated | truncated);
    }
    let truncated = unroll.truncated.iter().filter(|&&truncated| truncated).count();
    assert_eq!(unroll.truncation_value.len(), truncated);
    // The first episode of a session is a shortened one, whose end is not reported.
    let reported = unroll.episode_ends.len();
    assert!(reported == truncated || reported + 1 == truncated, "{reported} of {truncated} ends reported");
    for end in &unroll.episode_ends {
        assert_eq!(end.episode_length, EPISODE);
    }
    frame_codec::decode_wire(unroll.frame_codec, &unroll.frames, 768, steps).unwrap();
}

fn by_slot(unrolls: &[Unroll]) -> BTreeMap<u32, Vec<&Unroll>> {
    let mut slots: BTreeMap<u32, Vec<&Unroll>> = BTreeMap::new();
    for unroll in unrolls {
        slots.entry(unroll.slot).or_default().push(unroll);
    }
    slots
}

/// The log-probabilities that the weights of `seed` give to the unroll's actions, from the state it carries.
fn recomputed(unroll: &Unroll, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let config = policy();
    let network = Policy::new(&config, &parameters(seed)).unwrap();
    let (m, e) = (config.maxlen(), config.hidsize);
    let layer = |state: &vpt_proto::learner::v1::LayerState| RawLayerState {
        mask: tensor::to_u8(state.mask.as_ref().unwrap(), &[m]).unwrap().to_vec(),
        keys: tensor::to_f32(state.keys.as_ref().unwrap(), &[m, e]).unwrap(),
        values: tensor::to_f32(state.values.as_ref().unwrap(), &[m, e]).unwrap(),
    };
    let raw: Vec<_> = unroll.state.iter().map(layer).collect();
    let state = RecurrentState::from_raw(&raw, &config, &Device::Cpu).unwrap();
    let frames = frame_codec::decode_wire(unroll.frame_codec, &unroll.frames, 768, 8).unwrap();
    let frames = Tensor::from_vec(frames.to_vec(), (1, 8, 16, 16, 3), &Device::Cpu).unwrap();
    let is_first = unroll.is_first.iter().map(|&first| u8::from(first)).collect::<Vec<_>>();
    let is_first = Tensor::from_vec(is_first, (1, 8), &Device::Cpu).unwrap();
    let output = network.forward(&frames, &is_first, &state).unwrap();
    let log_prob = |logits: Tensor, index: &[u32]| {
        let index = Tensor::from_slice(index, 8, &Device::Cpu).unwrap();
        distribution::log_prob(&logits.squeeze(0).unwrap(), &index).unwrap().to_vec1::<f32>().unwrap()
    };
    (log_prob(output.buttons_logits, &unroll.buttons), log_prob(output.camera_logits, &unroll.camera))
}

/// produced = sent + dropped, once an actor has stopped.
fn balances(report: &ActorReport) {
    let dropped: u64 = report.env_steps_dropped.values().sum();
    assert_eq!(report.env_steps_produced, report.env_steps_sent + dropped, "{report:?}");
}

async fn stop(running: Running<Result<(), ActorError>>) {
    running.stopped().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrolls_are_complete_and_their_ratio_is_one() {
    let envs = envserver("127.0.0.1:0").await;
    let fake = FakeLearner::new(weights(1, 1));
    let serving = learner(&fake, "127.0.0.1:0").await;
    let running = actor(actor_config(envs.url(), serving.url()), world("native", EPISODE)).await;
    wait_until("every slot has sent three unrolls", || fake.seen().unrolls.len() >= 12).await;
    fake.weights.send_replace(weights(2, 2));
    let acted = |unroll: &Unroll| unroll.policy_version.unwrap().sequence;
    wait_until("both groups act with the second version", || {
        by_slot(&fake.seen().unrolls).values().all(|slot| slot.iter().filter(|u| acted(u) == 2).count() >= 3)
    })
    .await;
    // An older version is not followed.
    fake.weights.send_replace(weights(1, 1));
    let before = fake.seen().unrolls.len();
    wait_until("more has come", || fake.seen().unrolls.len() >= before + 8).await;
    stop(running).await;

    let seen = fake.seen();
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    assert!(seen.half_closed);
    balances(seen.report.as_ref().unwrap());
    let sent = seen.report.as_ref().unwrap().env_steps_sent;
    assert_eq!(sent, seen.unrolls.len() as u64 * 8);
    for (slot, unrolls) in by_slot(&seen.unrolls) {
        for (sequence, unroll) in unrolls.iter().enumerate() {
            check(unroll);
            assert_eq!(unroll.sequence, sequence as u64, "slot {slot}");
            let (buttons, camera) = recomputed(unroll, acted(unroll));
            // Memory made by the first weights is carried over as it was, so this holds across the swap too.
            for (now, then) in
                buttons.iter().zip(&unroll.buttons_log_prob).chain(camera.iter().zip(&unroll.camera_log_prob))
            {
                assert!((now - then).abs() < 1e-4, "slot {slot} sequence {sequence}: {now} {then}");
            }
        }
        for pair in unrolls.windows(2) {
            assert!(acted(pair[0]) <= acted(pair[1]), "the version never goes down");
            assert_eq!(pair[0].bootstrap_is_first, pair[1].is_first[0]);
            let oldest = pair[1].oldest_memory_version.unwrap().sequence;
            assert!(oldest <= acted(pair[1]));
            if acted(pair[0]) == acted(pair[1]) {
                assert_eq!(pair[0].bootstrap_value, pair[1].value[0]);
            } else {
                assert_ne!(pair[0].bootstrap_value, pair[1].value[0], "frame T runs again with new weights");
            }
        }
        assert_eq!(acted(unrolls[0]), 1);
        assert_eq!(acted(unrolls[unrolls.len() - 1]), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credits_the_actor_waits() {
    let envs = envserver("127.0.0.1:0").await;
    let mut fake = FakeLearner::new(weights(1, 1));
    (fake.credits, fake.regrant) = (3, false);
    let serving = learner(&fake, "127.0.0.1:0").await;
    let running = actor(actor_config(envs.url(), serving.url()), world("null", EPISODE)).await;
    wait_until("the first credits are used up", || fake.seen().unrolls.len() == 3).await;
    for more in 1..=5 {
        // Whatever is sent beyond the credits is a violation, found below.
        wait_until("production stands still", || {
            let report = fake.seen().report.clone();
            report.is_some_and(|r| r.env_steps_produced > (3 + more - 1) * 8)
        })
        .await;
        fake.grant(1);
        wait_until("one more comes", || fake.seen().unrolls.len() as u64 == 3 + more).await;
    }
    {
        let seen = fake.seen();
        let produced = seen.report.as_ref().unwrap().env_steps_produced;
        // 8 acknowledged, 6 pending, at most 1 on its way and 4 slots with one unroll each in hand or in progress.
        assert!(produced <= (8 + 6 + 1 + 4 + 4) * 8, "{produced}");
    }
    fake.grant(1000);
    stop(running).await;
    assert!(fake.seen().violations.is_empty(), "{:?}", fake.seen().violations);
    balances(fake.seen().report.as_ref().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_learner_gets_what_was_not_acknowledged() {
    let envs = envserver("127.0.0.1:0").await;
    let mut deaf = FakeLearner::new(weights(1, 1));
    (deaf.acks, deaf.regrant) = (false, false);
    let first = learner(&deaf, "127.0.0.1:0").await;
    let address = first.address.to_string();
    let running = actor(actor_config(envs.url(), first.url()), world("null", EPISODE)).await;
    wait_until("the outbox is full of unacknowledged unrolls", || deaf.seen().unrolls.len() >= 6).await;
    first.stopped().await;

    let fake = FakeLearner::new(weights(2, 2));
    let _second = learner(&fake, &address).await;
    wait_until("more than the resent has come", || fake.seen().unrolls.len() >= 16).await;
    stop(running).await;
    let (before, after) = (deaf.seen(), fake.seen());
    assert_eq!(before.incarnations[0], after.incarnations[0]);
    for unroll in &before.unrolls {
        let again = after.unrolls.iter().find(|u| (u.slot, u.sequence) == (unroll.slot, unroll.sequence));
        assert_eq!(again, Some(unroll), "slot {} sequence {}", unroll.slot, unroll.sequence);
    }
    for (slot, unrolls) in by_slot(&after.unrolls) {
        let sequences: Vec<u64> = unrolls.iter().map(|unroll| unroll.sequence).collect();
        assert_eq!(sequences, (0..sequences.len() as u64).collect::<Vec<_>>(), "slot {slot}");
    }
    assert!(after.violations.is_empty(), "{:?}", after.violations);
    let report = after.report.as_ref().unwrap();
    balances(report);
    assert_eq!(report.env_steps_sent, after.unrolls.len() as u64 * 8, "what goes up twice counts once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_envserver_is_found_again() {
    let envs = envserver("127.0.0.1:0").await;
    let (address, url) = (envs.address.to_string(), envs.url());
    let fake = FakeLearner::new(weights(1, 1));
    let serving = learner(&fake, "127.0.0.1:0").await;
    let running = actor(actor_config(url, serving.url()), world("null", EPISODE)).await;
    wait_until("unrolls come", || fake.seen().unrolls.len() >= 8).await;
    envs.stopped().await;
    wait_until("the break is noticed by every slot", || {
        fake.seen().report.as_ref().is_some_and(|report| report.env_restarts >= 4)
    })
    .await;
    let at_break = fake.seen().unrolls.len();
    let _envs = envserver(&address).await;
    // A slot that came back starts with a fresh episode at an unroll's boundary. Slots come back one by one,
    // each after its own wait, so every one of them is waited for.
    wait_until("every slot starts afresh", || {
        let seen = fake.seen();
        let slots = by_slot(&seen.unrolls[at_break..]);
        slots.len() == 4 && slots.values().all(|slot| slot.iter().any(|unroll| unroll.is_first[0]))
    })
    .await;
    stop(running).await;
    let seen = fake.seen();
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    balances(seen.report.as_ref().unwrap());
    seen.unrolls.iter().for_each(check);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_end_the_actor_with_their_reason() {
    let envs = envserver("127.0.0.1:0").await;
    let mut other = weights(1, 1);
    other.architecture = "another".into();
    let fake = FakeLearner::new(other);
    let serving = learner(&fake, "127.0.0.1:0").await;
    let running = actor(actor_config(envs.url(), serving.url()), world("null", EPISODE)).await;
    let error = running.task.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, ActorError::LearnerRefused { reason, .. } if reason.contains("another")),
        "{error}"
    );

    let fake = FakeLearner::new(weights(1, 1));
    let serving = learner(&fake, "127.0.0.1:0").await;
    let mut nowhere = world("null", EPISODE);
    nowhere.name = "nowhere".into();
    let running = actor(actor_config(envs.url(), serving.url()), nowhere).await;
    let error = running.task.await.unwrap().unwrap_err();
    assert!(matches!(&error, ActorError::EnvRefused { reason, .. } if reason.contains("nowhere")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_is_away_does_not_keep_a_stopping_actor() {
    let envs = envserver("127.0.0.1:0").await;
    let mut fake = FakeLearner::new(weights(1, 1));
    (fake.acks, fake.regrant) = (false, false);
    let serving = learner(&fake, "127.0.0.1:0").await;
    let running = actor(actor_config(envs.url(), serving.url()), world("null", EPISODE)).await;
    wait_until("unrolls come", || fake.seen().unrolls.len() >= 4).await;
    serving.stopped().await;
    stop(running).await;
}
