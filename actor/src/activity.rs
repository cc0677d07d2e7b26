//! Where the actor's wall clock goes: what its groups of slots do, and what holds up the unrolls on their way to the
//! learner.
//!
//! Groups do different things at the same time, so the account of the actor is the mean over its groups: half a second of
//! inference means one of two groups for a second. Both accounts add up to the time since the actor started, and go to the
//! learner in every report, which is how it knows what the actors wait for.

use crate::metrics;
use std::sync::{Arc, Mutex, PoisonError};
use vpt_proto::learner::v1::{ActorTime, UplinkTime};
use vpt_runtime::clock::TimeAccount;
use vpt_runtime::pool_account::{PoolAccount, Worker};

/// The actor's accounts. Clones share them.
#[derive(Clone)]
pub(crate) struct Activity {
    account: PoolAccount,
    groups: Arc<Mutex<Vec<Worker>>>,
    uplink: TimeAccount,
}

impl Activity {
    pub(crate) fn new(groups: usize) -> Self {
        let account = PoolAccount::new(metrics::TIME, metrics::STATES).mean_over(groups);
        let workers = (0..groups).map(|_| account.join("start")).collect();
        let uplink = TimeAccount::new(metrics::UPLINK_TIME, metrics::UPLINK_STATES);
        Self { account, groups: Arc::new(Mutex::new(workers)), uplink }
    }

    /// Notes what `group` does from now on; one of [`metrics::STATES`].
    pub(crate) fn enter(&self, group: usize, state: &'static str) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups[group].enter(state);
    }

    /// Notes what holds up unrolls from now on; one of [`metrics::UPLINK_STATES`].
    pub(crate) fn uplink(&self, state: &'static str) {
        if self.uplink.state() != state {
            self.uplink.enter(state);
        }
    }

    /// Seconds by what the groups did, the mean over them.
    pub(crate) fn actor_time(&self) -> ActorTime {
        let mut time = ActorTime::default();
        for (state, seconds) in self.account.seconds() {
            match state {
                "start" => time.start = seconds,
                "infer" => time.infer = seconds,
                "wait_env" => time.wait_env = seconds,
                "encode" => time.encode = seconds,
                "wait_outbox" => time.wait_outbox = seconds,
                "wait_weights" => time.wait_weights = seconds,
                "wait_learner" => time.wait_learner = seconds,
                _ => time.drain = seconds,
            }
        }
        time
    }

    /// Seconds by what held up unrolls.
    pub(crate) fn uplink_time(&self) -> UplinkTime {
        let mut time = UplinkTime::default();
        for (state, seconds) in self.uplink.seconds() {
            match state {
                "idle" => time.idle = seconds,
                "wait_credit" => time.wait_credit = seconds,
                "send" => time.send = seconds,
                "wait_ack" => time.wait_ack = seconds,
                _ => time.away = seconds,
            }
        }
        time
    }

    /// Brings the exported figures up to now.
    pub(crate) fn export(&self) {
        self.account.export();
        self.uplink.export();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_mean_over_groups_adds_up_to_the_wall_clock() {
        let began = Instant::now();
        let activity = Activity::new(2);
        let born = began.elapsed().as_secs_f64();
        activity.enter(0, "wait_env");
        activity.enter(1, "infer");
        activity.uplink("send");
        std::thread::sleep(Duration::from_millis(20));
        activity.enter(1, "wait_outbox");
        activity.uplink("wait_ack");
        let (time, uplink) = (activity.actor_time(), activity.uplink_time());
        let age = began.elapsed().as_secs_f64();
        assert!(time.infer >= 0.01 && time.infer < age * 0.75, "half of the groups: {time:?}");
        let groups = time.start + time.infer + time.wait_env + time.wait_outbox;
        let uplink = uplink.away + uplink.send + uplink.wait_ack;
        for sum in [groups, uplink] {
            assert!(sum >= (age - born) * 0.99 - 1e-3 && sum <= age, "{sum} of {age}");
        }
    }
}
