//! What every group of an actor shares, and the waits before the first step.

use crate::acting_policy::{ActingPolicy, DrawKey};
use crate::activity::Activity;
use crate::config::ActorConfig;
use crate::encoded_unroll::EncodedUnroll;
use crate::env_client::EnvClient;
use crate::inference::Inference;
use crate::lane::Lane;
use crate::ledger::Ledger;
use crate::policy_shelf::PolicyShelf;
use crate::terms::Terms;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::envserver::v1::OpenSession;
use vpt_runtime::counter_hash::counter_hash;
use vpt_runtime::ops::Health;
use vpt_runtime::traces::{self, Trace};

/// The role's word in randomness keys: "actr".
const ROLE: u64 = 0x6163_7472;
/// How often a waiting group says that it is alive.
const BEAT: Duration = Duration::from_millis(500);

/// Shared by the groups of an actor.
#[derive(Clone)]
pub(crate) struct RolloutContext {
    pub(crate) config: ActorConfig,
    pub(crate) identity: ActorIdentity,
    pub(crate) run_seed: u64,
    /// What every session asks for; seeds are filled in by slot.
    pub(crate) open: OpenSession,
    pub(crate) env: EnvClient,
    pub(crate) inference: Inference,
    pub(crate) policies: watch::Receiver<Option<Arc<ActingPolicy>>>,
    pub(crate) terms: watch::Receiver<Option<Terms>>,
    pub(crate) shelf: Arc<PolicyShelf>,
    pub(crate) outbox: mpsc::Sender<EncodedUnroll>,
    pub(crate) ledger: Ledger,
    pub(crate) activity: Activity,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
}

impl RolloutContext {
    /// Waits for the first weights; none when told to stop.
    pub(super) async fn first_policy(&self, group: usize) -> Option<Arc<ActingPolicy>> {
        let mut policies = self.policies.clone();
        let first = async { policies.wait_for(Option::is_some).await.ok().and_then(|policy| policy.clone()) };
        self.waiting(group, "wait_weights", first).await.flatten()
    }

    /// What the learner asks for, waiting until it has said so; none when told to stop.
    pub(super) async fn terms(&self, group: usize) -> Option<Terms> {
        let mut terms = self.terms.clone();
        if let Some(terms) = terms.borrow().clone() {
            return Some(terms);
        }
        let known = async { terms.wait_for(Option::is_some).await.ok().and_then(|terms| terms.clone()) };
        self.waiting(group, "wait_learner", known).await.flatten()
    }

    /// The version of `sequence`, waiting until it has come; none when told to stop.
    pub(super) async fn scheduled_policy(&self, group: usize, sequence: u64) -> Option<Arc<ActingPolicy>> {
        if let Some(policy) = self.shelf.get(sequence) {
            return Some(policy);
        }
        let mut policies = self.policies.clone();
        let arrival = async {
            loop {
                // Marked as seen before the look, so that none that comes in between is missed.
                policies.borrow_and_update();
                if let Some(policy) = self.shelf.get(sequence) {
                    return Some(policy);
                }
                policies.changed().await.ok()?;
            }
        };
        self.waiting(group, "wait_weights", arrival).await.flatten()
    }

    /// The slots of `group`, their sessions being opened.
    pub(super) fn lanes(&self, group: usize) -> Vec<Lane> {
        let per_group = self.config.slots_per_group;
        (0..per_group)
            .map(|row| {
                let slot = (group * per_group + row) as u32;
                let session_seed = counter_hash(&[self.run_seed, ROLE, self.actor_hash(), u64::from(slot)]);
                let first_episode_steps = self.first_episode_steps(slot);
                let open = OpenSession { session_seed, first_episode_steps, ..self.open.clone() };
                Lane::start(slot, open, &self.env, &self.config)
            })
            .collect()
    }

    /// Spreads the slots evenly over an episode by shortening the first one of each but the last; 0, which shortens
    /// nothing, also when the length is left to the task.
    fn first_episode_steps(&self, slot: u32) -> u32 {
        let length = self.open.max_episode_steps;
        let share = (u64::from(slot) + 1) * u64::from(length);
        let steps = share.div_ceil(self.config.slots() as u64) as u32;
        if steps < length { steps } else { 0 }
    }

    pub(super) fn draw_key(&self, slot: u32, episode: u64, step: u32) -> DrawKey {
        [self.run_seed, ROLE, self.actor_hash(), u64::from(slot), episode, u64::from(step)]
    }

    /// The trace of an unroll that begins now, if chance has it so.
    pub(super) fn trace(&self, slot: u32, sequence: u64) -> Trace {
        let key = || counter_hash(&[self.run_seed, ROLE, self.actor_hash(), u64::from(slot), sequence]);
        traces::sample("unroll", key)
    }

    /// Bytes of one frame.
    pub(super) fn frame_len(&self) -> usize {
        self.open.frame_height as usize * self.open.frame_width as usize * 3
    }

    /// Waits in `state` for `work`, saying now and then that the actor lives; none when told to stop first.
    pub(super) async fn waiting<T>(
        &self,
        group: usize,
        state: &'static str,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        self.activity.enter(group, state);
        let mut beat = tokio::time::interval(BEAT);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.shutdown.cancelled() => return None,
                _ = beat.tick() => self.health.heartbeat(),
            }
        }
    }

    fn actor_hash(&self) -> u64 {
        let words: Vec<u64> = self.identity.actor_id.bytes().map(u64::from).collect();
        counter_hash(&words)
    }
}
