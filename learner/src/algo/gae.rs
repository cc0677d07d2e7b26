//! Generalised advantage estimation over one unroll that may span episodes.
//!
//! Schulman et al. 2016 (arXiv 1506.02438), equation 16, in the form of openai/phasic-policy-gradient
//! `ppo.py:compute_gae`. Known deviation: that code treats every episode end as terminal; here a truncated episode
//! bootstraps from the value of its final frame unless [`GaeConfig::time_limit_is_terminal`] asks for its behaviour.

/// Discounting and what a time limit means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaeConfig {
    /// Per-step discount of rewards.
    pub discount: f64,
    /// Exponential weight of longer advantage estimates, 0 to 1.
    pub gae_lambda: f64,
    /// Treats a truncated episode as if it had terminated (value of its final frame: 0).
    pub time_limit_is_terminal: bool,
}

/// One unroll as the estimator sees it; every slice is `[T]` in time order, values denormalised.
#[derive(Clone, Copy, Debug)]
pub struct GaeInput<'a> {
    /// Reward that followed action t.
    pub rewards: &'a [f32],
    /// Behaviour policy's value of frame t.
    pub values: &'a [f32],
    /// `is_first` of frame t + 1; the last entry is that of the bootstrap frame.
    pub is_first_next: &'a [bool],
    /// Whether action t ended its episode for good.
    pub terminated: &'a [bool],
    /// Whether action t's episode was cut by a limit.
    pub truncated: &'a [bool],
    /// Value of the final frame of each truncated episode, in order.
    pub truncation_values: &'a [f32],
    /// Value of frame T, used when no episode ends at step T - 1.
    pub bootstrap_value: f32,
}

/// What training needs of one unroll, `[T]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct GaeOutput {
    /// Advantage of action t.
    pub advantages: Vec<f32>,
    /// Regression target of the value of frame t: `values + advantages`, denormalised.
    pub value_targets: Vec<f32>,
}

/// Estimates advantages: `delta_t = r_t + g V(t+1) - V(t)` and `A_t = delta_t + g l A_{t+1}`, where an episode's end
/// replaces V(t+1) (0 when terminated, the truncation value when truncated) and stops the sum.
///
/// A step whose next frame starts an episode although nothing ended (a slot whose world was restarted) counts as
/// terminal. Returns `None` when lengths disagree or there are not as many truncation values as truncated steps.
#[must_use]
pub fn compute_gae(config: GaeConfig, input: GaeInput<'_>) -> Option<GaeOutput> {
    let successors = successors(config.time_limit_is_terminal, input)?;
    let mut advantages = vec![0.0f32; successors.len()];
    let mut next_advantage = 0.0f64;
    for (t, next) in successors.iter().enumerate().rev() {
        if !next.continues {
            next_advantage = 0.0;
        }
        let delta = f64::from(input.rewards[t]) + config.discount * next.value - f64::from(input.values[t]);
        next_advantage = delta + config.discount * config.gae_lambda * next_advantage;
        advantages[t] = next_advantage as f32;
    }
    let value_targets = advantages.iter().zip(input.values).map(|(a, v)| a + v).collect();
    Some(GaeOutput { advantages, value_targets })
}

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Successor {
    /// Value of the next frame: 0 when the episode terminated, that of its final frame when it was truncated.
    pub(super) value: f64,
    /// Whether later steps belong to the same episode.
    pub(super) continues: bool,
}

/// What follows each step of an unroll; `None` for an unroll that [`compute_gae`] refuses.
pub(super) fn successors(time_limit_is_terminal: bool, input: GaeInput<'_>) -> Option<Vec<Successor>> {
    let steps = input.rewards.len();
    let same = [input.values.len(), input.is_first_next.len(), input.terminated.len(), input.truncated.len()]
        .iter()
        .all(|&length| length == steps);
    let cuts = input.truncated.iter().filter(|&&truncated| truncated).count();
    if !same || cuts != input.truncation_values.len() {
        return None;
    }
    let mut truncation_values = input.truncation_values.iter();
    let later_values = input.values.iter().skip(1).chain([&input.bootstrap_value]);
    let successor = |(t, &value): (usize, &f32)| {
        let cut = if input.truncated[t] { truncation_values.next().copied() } else { None };
        if !(input.terminated[t] || input.truncated[t] || input.is_first_next[t]) {
            return Successor { value: f64::from(value), continues: true };
        }
        let bootstraps = !input.terminated[t] && !time_limit_is_terminal;
        let value = cut.filter(|_| bootstraps).map_or(0.0, f64::from);
        Successor { value, continues: false }
    };
    Some(later_values.take(steps).enumerate().map(successor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: GaeConfig = GaeConfig { discount: 0.9, gae_lambda: 0.8, time_limit_is_terminal: false };

    fn input<'a>(
        rewards: &'a [f32],
        values: &'a [f32],
        flags: [&'a [bool]; 3],
        cuts: &'a [f32],
    ) -> GaeInput<'a> {
        GaeInput {
            rewards,
            values,
            is_first_next: flags[0],
            terminated: flags[1],
            truncated: flags[2],
            truncation_values: cuts,
            bootstrap_value: 7.0,
        }
    }

    #[test]
    fn termination_does_not_bootstrap_and_truncation_does() {
        let no = [false];
        let yes = [true];
        let run = |config, flags, cuts| {
            compute_gae(config, input(&[1.0], &[0.5], flags, cuts)).unwrap().advantages[0]
        };
        assert!((run(CONFIG, [&no, &no, &no], &[]) - (1.0 + 0.9 * 7.0 - 0.5)).abs() < 1e-6);
        assert!((run(CONFIG, [&yes, &yes, &no], &[]) - 0.5).abs() < 1e-6);
        assert!((run(CONFIG, [&yes, &no, &yes], &[3.0]) - (1.0 + 0.9 * 3.0 - 0.5)).abs() < 1e-6);
        let terminal = GaeConfig { time_limit_is_terminal: true, ..CONFIG };
        assert!((run(terminal, [&yes, &no, &yes], &[3.0]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn disagreeing_lengths_are_refused() {
        let flag = [false];
        assert!(compute_gae(CONFIG, input(&[1.0, 2.0], &[0.5], [&flag, &flag, &flag], &[])).is_none());
        assert!(compute_gae(CONFIG, input(&[1.0], &[0.5], [&[true], &flag, &[true]], &[])).is_none());
    }

    proptest! {
        /// The recursion equals the definition: a sum over all later deltas of the same episode.
        #[test]
        fn recursion_matches_the_quadratic_definition(
            steps in prop::collection::vec((-1.0f32..1.0, -2.0f32..2.0, 0u8..8, -2.0f32..2.0), 1..24)
        ) {
            let rewards: Vec<f32> = steps.iter().map(|s| s.0).collect();
            let values: Vec<f32> = steps.iter().map(|s| s.1).collect();
            let terminated: Vec<bool> = steps.iter().map(|s| s.2 == 0).collect();
            let truncated: Vec<bool> = steps.iter().map(|s| s.2 == 1).collect();
            let ends: Vec<bool> = steps.iter().map(|s| s.2 < 2).collect();
            let cuts: Vec<f32> = steps.iter().filter(|s| s.2 == 1).map(|s| s.3).collect();
            let got = compute_gae(CONFIG, input(&rewards, &values, [&ends, &terminated, &truncated], &cuts)).unwrap();
            let last = steps.len() - 1;
            let delta = |t: usize| {
                let next = match steps[t].2 {
                    0 => 0.0,
                    1 => f64::from(steps[t].3),
                    _ if t == last => 7.0,
                    _ => f64::from(values[t + 1]),
                };
                f64::from(rewards[t]) + CONFIG.discount * next - f64::from(values[t])
            };
            for (t, value) in values.iter().enumerate() {
                let mut expected = 0.0;
                let mut weight = 1.0;
                for (k, ended) in ends.iter().enumerate().skip(t) {
                    expected += weight * delta(k);
                    weight *= CONFIG.discount * CONFIG.gae_lambda;
                    if *ended {
                        break;
                    }
                }
                prop_assert!((f64::from(got.advantages[t]) - expected).abs() < 1e-4);
                prop_assert!((got.value_targets[t] - got.advantages[t] - value).abs() < 1e-6);
            }
        }
    }
}
