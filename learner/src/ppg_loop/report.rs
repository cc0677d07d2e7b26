//! What a policy phase and an auxiliary phase looked like, for Prometheus and the event log (CleanRL's tags).

use std::collections::BTreeMap;

use super::PpgLoop;
use crate::algo::advantage_norm::{AdvantageStatistics, advantage_statistics, normalize_advantages_over};
use crate::algo::ppo::explained_variance;
use crate::aux_phase::AuxPhaseStatistics;
use crate::error::LearnerError;
use crate::experience::{Experience, concat};
use crate::metrics;
use crate::policy_phase::PolicyPhaseStatistics;
use crate::returns::ItemRewards;

/// What the unrolls of one batch looked like.
pub(super) struct BatchSummary {
    pub(super) steps: u64,
    /// Unrolls by staleness.
    pub(super) staleness: BTreeMap<u64, u64>,
    pub(super) mean_reward: f64,
    pub(super) explained_variance: f64,
    /// Before they are normalised.
    pub(super) advantages: AdvantageStatistics,
    pub(super) item_rewards: ItemRewards,
    pub(super) wait_seconds: f64,
}

impl BatchSummary {
    /// Looks at a batch whose advantages are not normalised yet.
    fn of(batch: &[Experience], item_rewards: ItemRewards, wait_seconds: f64) -> Self {
        let all: Vec<&Experience> = batch.iter().collect();
        let values = concat(&all, |unroll| &unroll.values);
        let targets = concat(&all, |unroll| &unroll.value_targets);
        let rewards = concat(&all, |unroll| &unroll.rewards);
        let steps = rewards.len() as u64;
        let mut staleness = BTreeMap::new();
        for unroll in batch {
            *staleness.entry(unroll.staleness).or_default() += 1;
        }
        Self {
            steps,
            staleness,
            mean_reward: rewards.iter().map(|&r| f64::from(r)).sum::<f64>() / steps.max(1) as f64,
            explained_variance: explained_variance(&values, &targets),
            advantages: advantage_statistics(&concat(&all, |unroll| &unroll.advantages)),
            item_rewards,
            wait_seconds,
        }
    }

    fn mean_staleness(&self) -> f64 {
        let unrolls: u64 = self.staleness.values().sum();
        let versions: u64 = self.staleness.iter().map(|(versions, count)| versions * count).sum();
        versions as f64 / unrolls.max(1) as f64
    }
}

impl PpgLoop<'_> {
    /// Looks at this rank's batch as a whole, then normalises advantages over the batches of all ranks.
    pub(super) fn summarise(
        &mut self,
        batch: &mut [Experience],
        wait_seconds: f64,
    ) -> Result<BatchSummary, LearnerError> {
        let summary = BatchSummary::of(batch, std::mem::take(&mut self.item_rewards), wait_seconds);
        if self.config.normalize_advantages {
            let mut advantages: Vec<Vec<f32>> =
                batch.iter_mut().map(|unroll| std::mem::take(&mut unroll.advantages)).collect();
            normalize_advantages_over(&mut advantages, |numbers| {
                self.session.ranks.sum("advantages", numbers)
            })?;
            for (unroll, advantages) in batch.iter_mut().zip(advantages) {
                unroll.advantages = advantages;
            }
        }
        Ok(summary)
    }

    pub(super) fn report(&mut self, batch: &BatchSummary, phase: &PolicyPhaseStatistics, seconds: f64) {
        let sps = batch.steps as f64 / seconds.max(1e-9);
        metrics::capacity(batch.steps as f64 / (seconds - batch.wait_seconds).max(1e-9));
        let step = self.trainer.counters.env_steps_trained;
        self.report_losses(step, phase);
        self.report_batch(step, batch);
        let lr = self.config.lr_schedule.at(self.config.lr, self.progress());
        self.session.scalars(
            step,
            [
                ("charts/learning_rate", lr),
                ("charts/SPS", sps),
                ("charts/wait_share", batch.wait_seconds / seconds.max(1e-9)),
            ],
        );
        self.report_returns(step);
        self.session.flush();
        self.session.update_status(self.trainer, phase.loss, sps, self.config.total_env_steps.max(step));
        self.session.status.update(|status| {
            status.kl_to_pretrained = phase.kl_to_pretrained;
            status.staleness = batch.mean_staleness();
        });
    }

    fn report_losses(&mut self, step: u64, phase: &PolicyPhaseStatistics) {
        let entropy = phase.entropy_buttons + phase.entropy_camera;
        metrics::loss("policy", phase.policy_loss);
        metrics::loss("value", phase.value_loss);
        metrics::loss("entropy", entropy);
        metrics::loss("kl_pretrained", phase.kl_to_pretrained);
        metrics::loss("total", phase.loss);
        metrics::approx_kl(phase.approx_kl);
        metrics::clip_fraction(phase.clip_fraction);
        metrics::policy_ratio(phase.ratio_min, phase.ratio_max);
        metrics::kl_to_pretrained(phase.kl_to_pretrained);
        metrics::entropy("buttons", phase.entropy_buttons);
        metrics::entropy("camera", phase.entropy_camera);
        self.session.scalars(
            step,
            [
                ("losses/loss", phase.loss),
                ("losses/policy_loss", phase.policy_loss),
                ("losses/value_loss", phase.value_loss),
                ("losses/entropy", entropy),
                ("losses/entropy_buttons", phase.entropy_buttons),
                ("losses/entropy_camera", phase.entropy_camera),
                ("losses/approx_kl", phase.approx_kl),
                ("losses/clipfrac", phase.clip_fraction),
                ("losses/kl_to_pretrained", phase.kl_to_pretrained),
                ("losses/kl_coef", phase.kl_coef),
                ("losses/grad_norm", phase.grad_norm),
                ("losses/ratio_min", phase.ratio_min),
                ("losses/ratio_max", phase.ratio_max),
            ],
        );
        if let Some(nats) = phase.true_kl {
            metrics::true_kl(nats);
            self.session.scalars(step, [("losses/true_kl", nats)]);
        }
        if let Some(nats) = phase.precision_kl {
            metrics::precision_kl(nats);
            self.session.scalars(step, [("losses/precision_kl", nats)]);
        }
        let reuse = phase.uses as f64 / phase.trained.len().max(1) as f64;
        metrics::sample_reuse("policy", reuse);
        self.session.scalars(step, [("charts/sample_reuse", reuse)]);
    }

    fn report_batch(&mut self, step: u64, batch: &BatchSummary) {
        let AdvantageStatistics { mean, std, min, max } = batch.advantages;
        metrics::explained_variance(batch.explained_variance);
        for (statistic, value) in [("mean", mean), ("std", std), ("min", min), ("max", max)] {
            metrics::advantage(statistic, value);
        }
        self.session.scalars(
            step,
            [
                ("losses/explained_variance", batch.explained_variance),
                ("losses/advantage_mean", mean),
                ("losses/advantage_std", std),
                ("losses/advantage_min", min),
                ("losses/advantage_max", max),
                ("charts/staleness", batch.mean_staleness()),
                ("charts/mean_reward", batch.mean_reward),
            ],
        );
        self.session.counts(step, "charts/staleness_versions", &batch.staleness);
        let rewards: Vec<(String, f64)> = batch
            .item_rewards
            .iter()
            .map(|(item, sum)| {
                let per_step = sum / batch.steps.max(1) as f64;
                metrics::item_reward(item, per_step);
                (format!("items/{item}_reward"), per_step)
            })
            .collect();
        self.session.scalars(step, rewards.iter().map(|(tag, value)| (tag.as_str(), *value)));
    }

    pub(super) fn report_aux(&mut self, statistics: AuxPhaseStatistics, unrolls: usize) {
        let reuse = statistics.uses as f64 / unrolls.max(1) as f64;
        metrics::loss("aux_value", statistics.aux_value_loss);
        metrics::loss("aux_true_value", statistics.true_value_loss);
        metrics::loss("aux_clone", statistics.clone_kl);
        metrics::sample_reuse("auxiliary", reuse);
        self.session.scalars(
            self.trainer.counters.env_steps_trained,
            [
                ("losses/aux_value_loss", statistics.aux_value_loss),
                ("losses/aux_true_value_loss", statistics.true_value_loss),
                ("losses/aux_clone_kl", statistics.clone_kl),
                ("losses/aux_grad_norm", statistics.grad_norm),
                ("charts/aux_sample_reuse", reuse),
            ],
        );
    }

    fn report_returns(&mut self, step: u64) {
        if self.session.returns.is_empty() {
            return;
        }
        let (returns, length) = (self.session.returns.returns(), self.session.returns.length());
        metrics::episodes(returns.mean, length);
        let items: Vec<(String, f64)> = self
            .session
            .returns
            .item_shares()
            .into_iter()
            .flat_map(|(item, share)| {
                metrics::item_share(item, share.mean);
                [
                    (format!("items/{item}_share"), share.mean),
                    (format!("items/{item}_share_stderr"), share.stderr),
                ]
            })
            .collect();
        self.session.scalars(
            step,
            [
                ("charts/episodic_return", returns.mean),
                ("charts/episodic_return_stderr", returns.stderr),
                ("charts/episodic_length", length),
            ],
        );
        self.session.scalars(step, items.iter().map(|(tag, value)| (tag.as_str(), *value)));
    }
}
