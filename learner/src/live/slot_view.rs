//! The newest unroll of an env slot that somebody looks at.
//!
//! Nothing is kept for slots that nobody has asked for lately, and few slots are looked at at once, so the memory is that
//! of a few unrolls' frames, which are shared with the queue while they are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use vpt_policy::action::{self, AgentAction, buttons};

use crate::queue::ReceivedUnroll;

/// Slots that are looked at at once; one more takes the place of the one asked for longest ago.
const WATCHED: usize = 4;
/// Who has not asked for so long looks no more.
const INTEREST: Duration = Duration::from_secs(5);
/// Frames of an unroll that are shown at most.
const FRAMES: usize = 64;

/// Keys by the names they have in the game.
const KEYS: [(u32, &str); 11] = [
    (buttons::FORWARD, "forward"),
    (buttons::BACK, "back"),
    (buttons::LEFT, "left"),
    (buttons::RIGHT, "right"),
    (buttons::JUMP, "jump"),
    (buttons::SPRINT, "sprint"),
    (buttons::SNEAK, "sneak"),
    (buttons::ATTACK, "attack"),
    (buttons::USE, "use"),
    (buttons::DROP, "drop"),
    (buttons::INVENTORY, "inventory"),
];

/// One slot that somebody looks at.
#[derive(Debug)]
struct Watched {
    actor_id: String,
    slot: u32,
    asked: Instant,
    seen: Option<Seen>,
}

/// What is kept of an unroll.
#[derive(Debug)]
struct Seen {
    sequence: u64,
    version: String,
    frames: Bytes,
    size: (u32, u32),
    actions: Vec<AgentAction>,
    rewards: Vec<f32>,
    values: Vec<f32>,
    firsts: Vec<bool>,
}

/// The slots that are looked at.
#[derive(Debug, Default)]
pub(crate) struct SlotView {
    /// Whether there are any, so that nobody looking costs nothing.
    any: AtomicBool,
    watched: Mutex<Vec<Watched>>,
}

impl SlotView {
    /// Keeps an unroll if it is of a slot that somebody looks at.
    pub(crate) fn offer(&self, received: &ReceivedUnroll) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let unroll = &received.unroll;
        let Some(actor) = &unroll.actor else { return };
        let mut watched = self.lock();
        let place = watched.iter_mut().find(|it| it.actor_id == actor.actor_id && it.slot == unroll.slot);
        if let Some(place) = place {
            place.seen = Some(Seen::of(received));
        }
    }

    /// Looks at a slot: its newest unroll unless that is number `known`; none until one has come.
    pub(super) fn look(&self, actor_id: &str, slot: u32, known: Option<u64>) -> Option<Vec<u8>> {
        let mut watched = self.lock();
        let now = Instant::now();
        if let Some(place) = watched.iter_mut().find(|it| it.actor_id == actor_id && it.slot == slot) {
            place.asked = now;
            let newer = place.seen.as_ref().filter(|seen| Some(seen.sequence) != known);
            return newer.map(Seen::to_bytes);
        }
        if watched.len() >= WATCHED
            && let Some(oldest) = (0..watched.len()).min_by_key(|&index| watched[index].asked)
        {
            watched.swap_remove(oldest);
        }
        watched.push(Watched { actor_id: actor_id.to_owned(), slot, asked: now, seen: None });
        self.any.store(true, Ordering::Relaxed);
        None
    }

    /// Lets go of what nobody has asked for lately.
    pub(super) fn forget_unwatched(&self) {
        self.forget_before(INTEREST);
    }

    fn forget_before(&self, interest: Duration) {
        let mut watched = self.lock();
        watched.retain(|it| it.asked.elapsed() < interest);
        self.any.store(!watched.is_empty(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn of(received: &ReceivedUnroll) -> Self {
        let unroll = &received.unroll;
        let actions = unroll.buttons.iter().zip(&unroll.camera);
        Self {
            sequence: unroll.sequence,
            version: received.version.to_string(),
            frames: received.frames_raw.clone(),
            size: (unroll.frame_width, unroll.frame_height),
            actions: actions.map(|(&buttons, &camera)| AgentAction { buttons, camera }).collect(),
            rewards: unroll.reward.clone(),
            values: unroll.value.clone(),
            firsts: unroll.is_first.clone(),
        }
    }

    /// The length of a JSON header (u32, little endian), the header, the frames it names as RGB.
    fn to_bytes(&self) -> Vec<u8> {
        let steps = self.rewards.len();
        let stride = steps.div_ceil(FRAMES).max(1);
        let shown: Vec<usize> = (0..steps).step_by(stride).collect();
        let frame_bytes = self.size.0 as usize * self.size.1 as usize * 3;
        let frames: Vec<_> = shown
            .iter()
            .map(|&step| {
                // What pays between two frames that are shown belongs to the first of them.
                let pays: f32 = self.rewards[step..(step + stride).min(steps)].iter().sum();
                json!({
                    "step": step,
                    "action": self.actions.get(step).map(|&action| in_words(action)),
                    "reward": pays,
                    "value": self.values.get(step),
                    "first": self.firsts.get(step),
                })
            })
            .collect();
        let header = json!({
            "sequence": self.sequence,
            "version": self.version,
            "steps": steps,
            "width": self.size.0,
            "height": self.size.1,
            "frames": frames,
        })
        .to_string();
        let mut bytes = Vec::with_capacity(4 + header.len() + shown.len() * frame_bytes);
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        for step in shown {
            if let Some(frame) = self.frames.get(step * frame_bytes..(step + 1) * frame_bytes) {
                bytes.extend_from_slice(frame);
            }
        }
        bytes
    }
}

/// Keys and mouse of an action.
fn in_words(chosen: AgentAction) -> String {
    if !chosen.is_valid() {
        return String::new();
    }
    let human = action::to_env(chosen);
    let mut words: Vec<String> =
        KEYS.iter().filter(|(key, _)| human.keys & key != 0).map(|(_, name)| (*name).to_owned()).collect();
    let hotbar = buttons::HOTBAR.iter().position(|key| human.keys & key != 0);
    words.extend(hotbar.map(|place| format!("hotbar {}", place + 1)));
    if (human.pitch, human.yaw) != (0.0, 0.0) {
        words.push(format!("mouse {:+.1}° {:+.1}°", human.yaw, human.pitch));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use vpt_proto::common::v1::ActorIdentity;
    use vpt_proto::learner::v1::Unroll;

    use super::*;

    /// Frames of 2x1 whose bytes are the number of their step.
    fn received(actor: &str, slot: u32, sequence: u64, steps: usize) -> ReceivedUnroll {
        let frames: Vec<u8> = (0..steps).flat_map(|step| [step as u8; 6]).collect();
        ReceivedUnroll {
            unroll: Unroll {
                actor: Some(ActorIdentity { actor_id: actor.to_owned(), incarnation: 1 }),
                slot,
                sequence,
                frame_width: 2,
                frame_height: 1,
                buttons: vec![0; steps],
                camera: vec![60; steps],
                reward: vec![0.5; steps],
                value: vec![2.0; steps],
                is_first: vec![false; steps],
                ..Unroll::default()
            },
            frames_raw: frames.into(),
            ..ReceivedUnroll::default()
        }
    }

    fn parts(bytes: &[u8]) -> (serde_json::Value, &[u8]) {
        let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
        let (header, frames) = rest.split_at(u32::from_le_bytes(*length) as usize);
        (serde_json::from_slice(header).unwrap(), frames)
    }

    #[test]
    fn the_newest_unroll_of_a_slot_that_is_looked_at_is_shown_once() {
        let view = SlotView::default();
        view.offer(&received("a", 0, 1, 3));
        assert!(view.look("a", 0, None).is_none(), "nobody looked when it came");
        for (actor, slot, sequence) in [("a", 0, 2), ("a", 0, 3), ("a", 1, 9), ("b", 0, 9)] {
            view.offer(&received(actor, slot, sequence, 3));
        }
        let bytes = view.look("a", 0, None).unwrap();
        let (header, frames) = parts(&bytes);
        assert_eq!(
            (&header["sequence"], &header["width"], &header["steps"]),
            (&3.into(), &2.into(), &3.into())
        );
        assert_eq!(frames, [[0_u8; 6], [1; 6], [2; 6]].concat());
        assert_eq!(header["frames"][1]["reward"], 0.5);
        assert!(view.look("a", 0, Some(3)).is_none(), "it is known");
        view.offer(&received("a", 0, 4, 3));
        assert!(view.look("a", 0, Some(3)).is_some());
    }

    #[test]
    fn long_unrolls_are_thinned_and_no_reward_is_lost() {
        let view = SlotView::default();
        view.look("a", 0, None);
        view.offer(&received("a", 0, 1, 200));
        let bytes = view.look("a", 0, None).unwrap();
        let (header, frames) = parts(&bytes);
        let shown = header["frames"].as_array().unwrap();
        assert_eq!((shown.len(), frames.len()), (50, 300));
        assert_eq!((&shown[1]["step"], frames[6]), (&4.into(), 4));
        let total: f64 = shown.iter().map(|frame| frame["reward"].as_f64().unwrap()).sum();
        assert_eq!(total, 100.0);
    }

    #[test]
    fn few_slots_are_looked_at_and_nothing_is_kept_for_long() {
        let view = SlotView::default();
        for slot in 0..10 {
            view.look("a", slot, None);
        }
        assert_eq!(view.lock().len(), WATCHED);
        view.forget_before(Duration::ZERO);
        assert!(view.lock().is_empty() && !view.any.load(Ordering::Relaxed));
    }

    #[test]
    fn actions_are_put_in_words() {
        let keys = buttons::FORWARD | buttons::ATTACK | buttons::HOTBAR[2];
        let pressed = action::EnvAction { keys, pitch: 10.0, yaw: -10.0 };
        let words = in_words(action::to_agent(&pressed));
        assert!(words.starts_with("forward, attack, hotbar 3, mouse -10.0° +10.0°"), "{words}");
        assert_eq!(in_words(action::to_agent(&action::EnvAction::default())), "");
        assert_eq!(in_words(AgentAction { buttons: u32::MAX, camera: 0 }), "");
    }
}
