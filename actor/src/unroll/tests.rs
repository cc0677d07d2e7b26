//! Boundaries, order of truncation values, episodes that span unrolls, and the encoded message.

use super::*;
use crate::env_slot::Ended;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use vpt_policy::action::AgentAction;
use vpt_proto::envserver::v1::ItemEvent;
use vpt_proto::envserver::v1::item_event::Kind;

const SIDE: usize = 4;
const FRAME: usize = SIDE * SIDE * 3;

/// Frame number `n` of a slot's life, recognisable by its bytes.
fn frame(n: usize, is_first: bool) -> Observation {
    let frame = Bytes::from(vec![(n % 251) as u8; FRAME]);
    Observation { frame, is_first, ..Observation::default() }
}

fn decision(n: usize) -> Decision {
    Decision {
        action: AgentAction { buttons: n as u32, camera: n as u32 % 121 },
        buttons_log_prob: -(n as f32),
        camera_log_prob: -0.5,
    }
}

/// What comes of action `n` when episodes last `episode` steps and every other one is truncated.
fn outcome(n: usize, episode: usize) -> Outcome {
    let ends = (n + 1).is_multiple_of(episode);
    let truncated = ends && (n / episode).is_multiple_of(2);
    let totals =
        EpisodeTotals { episode_return: 1.5, length: episode as u32, items: [("log".into(), 2)].into() };
    let log = ItemEvent { kind: Kind::Pickup.into(), item: "log".into(), quantity: 1, reward: 1.0 };
    Outcome {
        reward: n as f32,
        terminated: ends && !truncated,
        truncated,
        events: if n.is_multiple_of(3) { vec![log] } else { Vec::new() },
        ended: ends.then(|| Ended { final_frame: Bytes::new(), totals, shortened: false }),
    }
}

/// Plays `count` unrolls of `length` steps in one go, as the rollout does.
fn play(length: usize, count: usize, episode: usize) -> Vec<FinishedUnroll> {
    let first = |n: usize| n.is_multiple_of(episode);
    let mut unrolls = Vec::new();
    for u in 0..count {
        let mut builder = UnrollBuilder::new(length, FRAME, 0);
        for n in u * length..(u + 1) * length {
            assert!(!builder.is_full());
            builder.decide(&frame(n, first(n)), &decision(n), n as f32 * 0.1);
            let outcome = outcome(n, episode);
            builder.settle(&outcome, outcome.truncated.then_some(1000.0 + n as f32));
        }
        let next = (u + 1) * length;
        let tags = Tags {
            actor: ActorIdentity { actor_id: "a".into(), incarnation: 5 },
            slot: 2,
            sequence: u as u64,
            version: Version { epoch: 1, sequence: 9 },
            oldest_memory: Version { epoch: 1, sequence: 8 },
        };
        let bootstrap = Bootstrap { value: next as f32 * 0.1, is_first: first(next) };
        unrolls.push(builder.finish(bootstrap, tags, SIDE));
    }
    unrolls
}

proptest! {
    #[test]
    fn unrolls_reassemble_the_trajectory(length in 1usize..12, count in 1usize..6, episode in 1usize..15) {
        let unrolls = play(length, count, episode);
        let steps = length * count;
        let all = |pick: fn(&Unroll) -> Vec<f32>| -> Vec<f32> {
            unrolls.iter().flat_map(|u| pick(&u.unroll)).collect()
        };
        prop_assert_eq!(all(|u| u.reward.clone()), (0..steps).map(|n| n as f32).collect::<Vec<_>>());
        prop_assert_eq!(all(|u| u.buttons_log_prob.clone()), (0..steps).map(|n| -(n as f32)).collect::<Vec<_>>());
        let frames: Vec<u8> = unrolls.iter().flat_map(|u| u.frames.clone()).collect();
        prop_assert_eq!(frames, (0..steps).flat_map(|n| frame(n, false).frame.to_vec()).collect::<Vec<_>>());
        // One value per truncated step, in order.
        let truncated = (0..steps).filter(|&n| outcome(n, episode).truncated);
        prop_assert_eq!(all(|u| u.truncation_value.clone()), truncated.map(|n| 1000.0 + n as f32).collect::<Vec<_>>());
        for (u, unroll) in unrolls.iter().map(|u| &u.unroll).enumerate() {
            prop_assert_eq!(unroll.is_first.len(), length);
            // is_first of a frame is exactly the end of the step before it, across the boundary too.
            let next_first = unroll.is_first.iter().skip(1).chain([&unroll.bootstrap_is_first]);
            for ((next, terminated), truncated) in next_first.zip(&unroll.terminated).zip(&unroll.truncated) {
                prop_assert_eq!(*next, *terminated || *truncated);
            }
            prop_assert_eq!(unroll.episode_ends.len(), (u * length..(u + 1) * length).filter(|n| (n + 1) % episode == 0).count());
            for event in &unroll.events {
                prop_assert!((u * length + event.step as usize).is_multiple_of(3));
            }
            if let Some(next) = unrolls.get(u + 1) {
                prop_assert_eq!(unroll.bootstrap_value, next.unroll.value[0]);
                prop_assert_eq!(unroll.bootstrap_is_first, next.unroll.is_first[0]);
            }
        }
    }
}

#[test]
fn the_encoded_message_holds_everything() {
    let unroll = play(6, 1, 4).remove(0);
    let frames = unroll.frames.clone();
    let state = [RawLayerState { mask: vec![0, 1], keys: vec![1.0, 2.0, 3.0, 4.01], values: vec![5.0; 4] }];
    let encoded = unroll.encode(&state, 2, StateMode::FullF32);
    assert_eq!((encoded.slot, encoded.sequence, encoded.steps), (2, 0, 6));
    assert_eq!(encoded.crc32c, crc32c::crc32c(&encoded.to_bytes()));
    let decoded = Unroll::decode(encoded.to_bytes()).unwrap();
    let back = frame_codec::decode_wire(decoded.frame_codec, &decoded.frames, FRAME, 6).unwrap();
    assert_eq!(back, frames);
    assert_eq!((decoded.frame_height, decoded.length), (SIDE as u32, 6));
    let layer = &decoded.state[0];
    assert_eq!(&tensor::to_u8(layer.mask.as_ref().unwrap(), &[2]).unwrap()[..], &[0, 1]);
    assert_eq!(tensor::to_f32(layer.keys.as_ref().unwrap(), &[2, 2]).unwrap(), state[0].keys);
    assert_eq!(decoded.episode_ends[0].items["log"], 2);
    assert!(decoded.episode_ends[0].episode_length == 4 && !decoded.episode_ends[0].terminated);
}

#[test]
fn bf16_halves_the_state() {
    let state = [RawLayerState { mask: vec![1; 64], keys: vec![0.1; 64 * 128], values: vec![0.2; 64 * 128] }];
    let size = |mode| play(2, 1, 4).remove(0).encode(&state, 128, mode).len();
    assert!(size(StateMode::FullBf16) * 10 < size(StateMode::FullF32) * 6);
}
