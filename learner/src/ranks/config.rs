//! The section `[learner.ranks]`, and what cannot be combined with several ranks.

use serde::{Deserialize, Serialize};

use crate::config::{LearnerConfig, Stage};
use crate::error::LearnerError;
use crate::journal::JournalMode;

/// Several learner processes that train one model, each on its share of every batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RanksConfig {
    /// Which one this is, from 0; rank 0 brings the others together and writes the checkpoints.
    pub rank: usize,
    /// How many there are. `bc.batch_sequences`, `ppg.batch_unrolls`, `ppg.minibatch_unrolls` and `ppg.aux_unrolls` are
    /// those of all together and must be divisible by it.
    pub count: usize,
    /// Where rank 0 listens for the others, host:port.
    pub rendezvous: String,
    /// URL at which actors reach this rank; empty takes learner.listen, which must then name an address that others can
    /// reach.
    pub advertise: String,
    /// Longest wait for another rank, in seconds: at the start, and later between two exchanges. More than the longest
    /// gradient step; waiting for unrolls does not count.
    pub timeout_seconds: f64,
    /// How gradients travel: "tcp"; "nccl" between GPUs; "auto" for NCCL where the device is a GPU and this build has
    /// it (feature `nccl`), else TCP.
    pub transport: Transport,
}

/// How gradients travel between ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// NCCL where it can be had, else TCP.
    Auto,
    /// From host to host.
    Tcp,
    /// From GPU to GPU.
    Nccl,
}

impl Default for RanksConfig {
    fn default() -> Self {
        Self {
            rank: 0,
            count: 1,
            rendezvous: "127.0.0.1:50053".into(),
            advertise: String::new(),
            timeout_seconds: 120.0,
            transport: Transport::Auto,
        }
    }
}

impl RanksConfig {
    /// Checks what the type system cannot, naming the key at fault.
    ///
    /// # Errors
    /// [`LearnerError::Config`] for the first value that makes no sense.
    pub(crate) fn validate(&self, learner: &LearnerConfig) -> Result<(), LearnerError> {
        let whole = |number: usize| number.is_multiple_of(self.count.max(1));
        let (alone, is_ppg) = (self.count == 1, learner.stage == Stage::Ppg);
        let rules: [(&'static str, bool, &'static str); 11] = [
            ("ranks.count", (1..=1024).contains(&self.count), "must be between 1 and 1024"),
            ("ranks.rank", self.rank < self.count, "must be below learner.ranks.count"),
            ("ranks.timeout_seconds", self.timeout_seconds >= 1.0, "must be at least 1"),
            (
                "ranks.timeout_seconds",
                alone || 2.0 * self.timeout_seconds < learner.heartbeat_deadline_seconds,
                "must be less than half of learner.heartbeat_deadline_seconds",
            ),
            ("bc.batch_sequences", is_ppg || whole(learner.bc.batch_sequences), SHARED),
            ("ppg.batch_unrolls", !is_ppg || whole(learner.ppg.batch_unrolls), SHARED),
            ("ppg.minibatch_unrolls", !is_ppg || whole(learner.ppg.minibatch_unrolls), SHARED),
            ("ppg.aux_unrolls", !is_ppg || whole(learner.ppg.aux_unrolls), SHARED),
            (
                if is_ppg { "ppg.max_seconds" } else { "bc.max_seconds" },
                alone || (if is_ppg { learner.ppg.max_seconds } else { learner.bc.max_seconds }) == 0.0,
                "must be 0 with several ranks: their clocks differ",
            ),
            (
                "deterministic",
                alone || !is_ppg || !learner.deterministic,
                "must be false for ppg with several ranks",
            ),
            (
                "journal.mode",
                alone || !is_ppg || learner.journal.mode != JournalMode::Payload,
                "must not be \"payload\" with several ranks",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, reason)) => Err(LearnerError::Config { key, reason: reason.into() }),
            None => Ok(()),
        }
    }
}

const SHARED: &str = "must be divisible by learner.ranks.count";

impl LearnerConfig {
    /// This rank's share of what the config says for all: its part of a PPG batch, and from rank 1 on a folder of its
    /// own. BC keeps its batch whole, because its plan is made for all lanes.
    pub(crate) fn of_this_rank(mut self) -> Self {
        let RanksConfig { rank, count, .. } = self.ranks;
        self.ppg.batch_unrolls /= count;
        self.ppg.minibatch_unrolls /= count;
        self.ppg.aux_unrolls /= count;
        if rank > 0 {
            self.out = self.out.join(format!("rank-{rank}"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(rank: usize) -> LearnerConfig {
        let mut config = LearnerConfig { stage: Stage::Ppg, ..LearnerConfig::default() };
        config.ranks = RanksConfig { rank, count: 2, ..RanksConfig::default() };
        config
    }

    #[test]
    fn every_rank_has_its_share_and_a_folder() {
        let config = two(1);
        config.validate().unwrap();
        let share = config.clone().of_this_rank();
        assert_eq!(share.ppg.batch_unrolls * 2, config.ppg.batch_unrolls);
        assert_eq!(share.ppg.minibatch_unrolls * 2, config.ppg.minibatch_unrolls);
        assert!(share.out.ends_with("rank-1"));
        assert_eq!(two(0).of_this_rank().out, two(0).out);
        let alone = LearnerConfig::default();
        assert_eq!(alone.clone().of_this_rank(), alone);
    }

    #[test]
    fn what_cannot_be_shared_is_named() {
        type Change = fn(&mut LearnerConfig);
        let cases: [(&str, Change); 7] = [
            ("learner.ranks.rank", |c| c.ranks.rank = 2),
            ("learner.ranks.count", |c| c.ranks.count = 0),
            ("learner.ppg.batch_unrolls", |c| c.ppg.batch_unrolls = 65),
            ("learner.ppg.max_seconds", |c| c.ppg.max_seconds = 5.0),
            ("learner.deterministic", |c| c.deterministic = true),
            ("learner.journal.mode", |c| c.journal.mode = JournalMode::Payload),
            ("learner.ranks.timeout_seconds", |c| c.ranks.timeout_seconds = 1e3),
        ];
        for (key, change) in cases {
            let mut config = two(0);
            change(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        }
    }
}
