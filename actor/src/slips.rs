//! Slips of a demonstrator's hand: now and then the keys are let go for a moment and the mouse twitches. What is recorded
//! is what was done, slips included, and the player's way back from them: people err, and what their clone errs in
//! with them is for reward to take away. Which steps slip is a hash of (seed, episode, step).

use vpt_proto::envserver::v1::HumanAction;
use vpt_runtime::counter_hash::{counter_hash, counter_uniform};

/// Names this stream of random numbers: "slip".
const KEY: u64 = 0x736c_6970;

/// The longest slip, in steps.
const LONGEST: u64 = 4;

/// Mouse movement of a slip, in degrees a step: one of the policy's own camera bins.
const TWITCH: f32 = 1.609_498_6;

/// When and how a hand slips.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slips {
    pub(crate) seed: u64,
    /// Chance that a slip begins at a step.
    pub(crate) probability: f64,
}

impl Slips {
    /// What the hand does at `step` of `episode` instead of what was meant; `None` when it does as meant.
    pub(crate) fn at(&self, episode: u64, step: u64) -> Option<HumanAction> {
        if self.probability <= 0.0 {
            return None;
        }
        (0..LONGEST.min(step + 1)).map(|age| (age, step - age)).find_map(|(age, start)| {
            let begins = counter_uniform(&[KEY, self.seed, episode, start]) < self.probability;
            let draw = counter_hash(&[KEY, self.seed, episode, start, 1]);
            (begins && age <= draw % LONGEST).then(|| twitch(draw >> 8))
        })
    }
}

fn twitch(draw: u64) -> HumanAction {
    let yaw_delta = if draw & 1 == 1 { TWITCH } else { -TWITCH };
    HumanAction { keys: 0, pitch_delta: 0.0, yaw_delta }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_as_frequent_as_said_short_and_repeatable() {
        let slips = Slips { seed: 3, probability: 0.02 };
        let run = |slips: Slips| -> Vec<_> {
            (0..100).flat_map(|episode| (0..200).map(move |step| slips.at(episode, step))).collect()
        };
        let steps = run(slips);
        assert_eq!(steps, run(slips));
        let share = steps.iter().flatten().count() as f64 / steps.len() as f64;
        assert!((0.035..0.065).contains(&share), "2 % begin, 2.5 steps each on average: {share}");
        assert!(run(Slips { probability: 0.0, ..slips }).iter().all(Option::is_none));
    }
}
