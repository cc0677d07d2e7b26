//! V-trace: advantages and value targets of an unroll that other weights acted in than those being trained.
//!
//! Espeholt et al. 2018 (arXiv 1802.01561), equation 1, with lambda as in its remark 2:
//! `v_s = V(x_s) + sum_t g^(t-s) (c_s ... c_(t-1)) rho_t (r_t + g V(x_(t+1)) - V(x_t))`, where
//! `rho_t = min(rho_clip, ratio_t)` and `c_t = lambda min(c_clip, ratio_t)`.
//!
//! The advantage is `r_s + g (lambda v_(s+1) + (1 - lambda) V(x_(s+1))) - V(x_s)`, so that ratios of 1 give back
//! generalised advantage estimation. Deviations: the paper has `lambda = 1` there and multiplies the advantage by
//! `rho_s`, which PPO's surrogate does with the ratio that it clips; V is the acting weights' value where the paper has
//! the trained ones', because the frame after an unroll is not part of it.

use super::gae::{GaeConfig, GaeInput, GaeOutput, successors};

/// Bounds of the importance weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VtraceConfig {
    /// Discount, lambda, and what a time limit means.
    pub gae: GaeConfig,
    /// Bound of the weight on each temporal difference (the paper's `rho` with a bar): decides what is estimated.
    pub rho_clip: f64,
    /// Bound of the weight on what follows (`c` with a bar), at most `rho_clip`: decides how fast.
    pub c_clip: f64,
}

/// Estimates advantages and value targets `[T]` of one unroll from `log_ratios` `[T]`, ln of the trained policy's over
/// the acting policy's probability of each action. Ends of episodes count as in
/// [`compute_gae`](super::gae::compute_gae).
///
/// Returns `None` when lengths disagree or there are not as many truncation values as truncated steps.
#[must_use]
pub fn compute_vtrace(config: VtraceConfig, input: GaeInput<'_>, log_ratios: &[f32]) -> Option<GaeOutput> {
    let GaeConfig { discount, gae_lambda, time_limit_is_terminal } = config.gae;
    let successors = successors(time_limit_is_terminal, input)?;
    if log_ratios.len() != successors.len() {
        return None;
    }
    let mut output =
        GaeOutput { advantages: vec![0.0; log_ratios.len()], value_targets: vec![0.0; log_ratios.len()] };
    // v - V of the step after.
    let mut next_correction = 0.0f64;
    for (t, next) in successors.iter().enumerate().rev() {
        if !next.continues {
            next_correction = 0.0;
        }
        let value = f64::from(input.values[t]);
        let ratio = f64::from(log_ratios[t]).exp();
        let delta = f64::from(input.rewards[t]) + discount * next.value - value;
        output.advantages[t] = (delta + discount * gae_lambda * next_correction) as f32;
        let rho = ratio.min(config.rho_clip);
        let c = gae_lambda * ratio.min(config.c_clip);
        next_correction = rho * delta + discount * c * next_correction;
        output.value_targets[t] = (value + next_correction) as f32;
    }
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algo::gae::compute_gae;
    use proptest::prelude::*;

    const CONFIG: VtraceConfig = VtraceConfig {
        gae: GaeConfig { discount: 0.9, gae_lambda: 0.8, time_limit_is_terminal: false },
        rho_clip: 1.2,
        c_clip: 0.9,
    };
    const BOOTSTRAP: f32 = 7.0;

    /// One random step: reward, value, how it ends (0 terminated, 1 truncated), truncation value, ln ratio.
    type Step = (f32, f32, u8, f32, f32);

    /// An unroll of such steps.
    struct Unroll {
        rewards: Vec<f32>,
        values: Vec<f32>,
        terminated: Vec<bool>,
        truncated: Vec<bool>,
        ends: Vec<bool>,
        cuts: Vec<f32>,
        log_ratios: Vec<f32>,
    }

    impl Unroll {
        fn of(steps: &[Step]) -> Self {
            Self {
                rewards: steps.iter().map(|s| s.0).collect(),
                values: steps.iter().map(|s| s.1).collect(),
                terminated: steps.iter().map(|s| s.2 == 0).collect(),
                truncated: steps.iter().map(|s| s.2 == 1).collect(),
                ends: steps.iter().map(|s| s.2 < 2).collect(),
                cuts: steps.iter().filter(|s| s.2 == 1).map(|s| s.3).collect(),
                log_ratios: steps.iter().map(|s| s.4).collect(),
            }
        }

        fn input(&self) -> GaeInput<'_> {
            GaeInput {
                rewards: &self.rewards,
                values: &self.values,
                is_first_next: &self.ends,
                terminated: &self.terminated,
                truncated: &self.truncated,
                truncation_values: &self.cuts,
                bootstrap_value: BOOTSTRAP,
            }
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (-1.0f32..1.0, -2.0f32..2.0, 0u8..8, -2.0f32..2.0, -1.0f32..1.0);
        prop::collection::vec(step, 1..24)
    }

    /// Equation 1 as it is written: a sum over all later steps of the episode, each with its product of weights.
    fn definition(steps: &[Step], s: usize) -> f64 {
        let GaeConfig { discount, gae_lambda, .. } = CONFIG.gae;
        let mut target = f64::from(steps[s].1);
        for t in s..steps.len() {
            let trace: f64 =
                steps[s..t].iter().map(|i| gae_lambda * f64::from(i.4).exp().min(CONFIG.c_clip)).product();
            let rho = f64::from(steps[t].4).exp().min(CONFIG.rho_clip);
            let next = match steps[t].2 {
                0 => 0.0,
                1 => f64::from(steps[t].3),
                _ => f64::from(steps.get(t + 1).map_or(BOOTSTRAP, |next| next.1)),
            };
            let delta = f64::from(steps[t].0) + discount * next - f64::from(steps[t].1);
            target += discount.powi((t - s) as i32) * trace * rho * delta;
            if steps[t].2 < 2 {
                break;
            }
        }
        target
    }

    #[test]
    fn termination_does_not_bootstrap_and_truncation_does() {
        let target = |step: Step| {
            let unroll = Unroll::of(&[step]);
            compute_vtrace(CONFIG, unroll.input(), &unroll.log_ratios).unwrap().value_targets[0]
        };
        assert!((target((1.0, 0.5, 2, 0.0, 0.0)) - (1.0 + 0.9 * 7.0)).abs() < 1e-6);
        assert!((target((1.0, 0.5, 0, 0.0, 0.0)) - 1.0).abs() < 1e-6);
        assert!((target((1.0, 0.5, 1, 3.0, 0.0)) - (1.0 + 0.9 * 3.0)).abs() < 1e-6);
        // A ratio of e is clipped to 1.2.
        assert!((target((1.0, 0.5, 0, 0.0, 1.0)) - (0.5 + 1.2 * 0.5)).abs() < 1e-6);
    }

    #[test]
    fn disagreeing_lengths_are_refused() {
        let unroll = Unroll::of(&[(1.0, 0.5, 2, 0.0, 0.0)]);
        assert!(compute_vtrace(CONFIG, unroll.input(), &[]).is_none());
        let input = GaeInput { truncation_values: &[1.0], ..unroll.input() };
        assert!(compute_vtrace(CONFIG, input, &unroll.log_ratios).is_none());
    }

    proptest! {
        #[test]
        fn recursion_matches_the_quadratic_definition(steps in steps()) {
            let unroll = Unroll::of(&steps);
            let got = compute_vtrace(CONFIG, unroll.input(), &unroll.log_ratios).unwrap();
            let GaeConfig { discount, gae_lambda, .. } = CONFIG.gae;
            for (s, step) in steps.iter().enumerate() {
                prop_assert!((f64::from(got.value_targets[s]) - definition(&steps, s)).abs() < 1e-4);
                let bootstrap = match (step.2, steps.get(s + 1)) {
                    (0, _) => 0.0,
                    (1, _) => f64::from(step.3),
                    (_, None) => f64::from(BOOTSTRAP),
                    (_, Some(next)) => {
                        gae_lambda * definition(&steps, s + 1) + (1.0 - gae_lambda) * f64::from(next.1)
                    }
                };
                let advantage = f64::from(step.0) + discount * bootstrap - f64::from(step.1);
                prop_assert!((f64::from(got.advantages[s]) - advantage).abs() < 1e-4);
            }
        }

        #[test]
        fn ratios_of_one_give_back_generalised_advantage_estimation(steps in steps()) {
            let unroll = Unroll::of(&steps);
            let on_policy = vec![0.0; steps.len()];
            let config = VtraceConfig { rho_clip: 1.0, c_clip: 1.0, ..CONFIG };
            let got = compute_vtrace(config, unroll.input(), &on_policy).unwrap();
            let expected = compute_gae(config.gae, unroll.input()).unwrap();
            for t in 0..steps.len() {
                prop_assert!((got.advantages[t] - expected.advantages[t]).abs() < 1e-5);
                prop_assert!((got.value_targets[t] - expected.value_targets[t]).abs() < 1e-5);
            }
        }
    }
}
