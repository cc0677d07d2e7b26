//! One env slot: the session it plays, the frame it is to act on, and the account of the episode in progress.

use crate::env_client::{EnvClient, EnvFault, OpenedSession, PlayStream};
use crate::metrics;
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::time::Instant;
use vpt_proto::envserver::v1::item_event::Kind;
use vpt_proto::envserver::v1::{HumanAction, ItemEvent, Observation, OpenSession};

/// What an episode amounted to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct EpisodeTotals {
    pub(crate) episode_return: f64,
    pub(crate) length: u32,
    /// Items obtained: pickups and crafts.
    pub(crate) items: BTreeMap<String, u32>,
}

impl EpisodeTotals {
    fn add(&mut self, reward: f32, events: &[ItemEvent]) {
        self.episode_return += f64::from(reward);
        self.length += 1;
        for event in events {
            if event.kind == Kind::Pickup as i32 || event.kind == Kind::CraftItem as i32 {
                let count = self.items.entry(event.item.clone()).or_default();
                *count = count.saturating_add(event.quantity);
            }
        }
    }
}

/// What came of one action.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) reward: f32,
    /// At most one of these two is set.
    pub(crate) terminated: bool,
    pub(crate) truncated: bool,
    pub(crate) events: Vec<ItemEvent>,
    /// The episode that ended with it.
    pub(crate) ended: Option<Ended>,
}

/// An episode's end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) final_frame: Bytes,
    pub(crate) totals: EpisodeTotals,
    /// The slot's shortened first episode, which says nothing about how well the policy plays.
    pub(crate) shortened: bool,
}

/// A slot whose session is open.
pub(crate) struct EnvSlot {
    stream: PlayStream,
    task: String,
    current: Option<Observation>,
    episode: u64,
    totals: EpisodeTotals,
    shortened: bool,
}

impl EnvSlot {
    /// Opens a session.
    pub(crate) async fn open(client: &EnvClient, open: OpenSession) -> Result<Self, EnvFault> {
        let (episode, shortened) = (open.first_episode, open.first_episode_steps > 0);
        let OpenedSession { stream, opened, first } = client.open(open).await?;
        let totals = EpisodeTotals::default();
        Ok(Self { stream, task: opened.task, current: Some(first), episode, totals, shortened })
    }

    /// The frame to act on; `None` when every episode of the session has been played.
    pub(crate) fn current(&self) -> Option<&Observation> {
        self.current.as_ref()
    }

    /// Which episode is played, counted from the session's `first_episode`.
    pub(crate) fn episode(&self) -> u64 {
        self.episode
    }

    /// Actions taken in this episode.
    pub(crate) fn step(&self) -> u32 {
        self.totals.length
    }

    /// Sends the action; [`receive`](Self::receive) is next.
    pub(crate) fn send(&mut self, action: HumanAction) -> Result<(), EnvFault> {
        self.stream.send(action)
    }

    /// When what came of an action sent now must be there.
    pub(crate) fn deadline(&self) -> Instant {
        self.stream.deadline()
    }

    /// Waits until `deadline` for what came of the action, and then for the reset frame after an episode's end.
    pub(crate) async fn receive(&mut self, deadline: Instant) -> Result<Outcome, EnvFault> {
        let over =
            || EnvFault { reason: "ended", detail: "the session ended mid-episode".into(), fatal: false };
        let Some(observation) = self.stream.receive(deadline).await? else {
            return Err(over());
        };
        if observation.is_first {
            let detail = "a reset frame came without the final one".to_owned();
            return Err(EnvFault { reason: "protocol", detail, fatal: false });
        }
        let (reward, terminated) = (observation.reward, observation.terminated);
        let truncated = observation.truncated && !terminated;
        let events = observation.events.clone();
        self.totals.add(reward, &events);
        for event in events.iter().filter(|event| event.reward > 0.0) {
            metrics::item_reward(&event.item, event.reward);
        }
        let ended = if terminated || truncated {
            let totals = std::mem::take(&mut self.totals);
            let shortened = std::mem::take(&mut self.shortened);
            if !shortened {
                metrics::episode(&self.task, terminated, totals.episode_return as f32, totals.length);
            }
            let ended = Ended { final_frame: observation.frame, totals, shortened };
            self.current = self.stream.receive_reset().await?;
            if self.current.as_ref().is_some_and(|reset| !reset.is_first) {
                let detail = "a final frame came without a reset frame".to_owned();
                return Err(EnvFault { reason: "protocol", detail, fatal: false });
            }
            self.episode += 1;
            Some(ended)
        } else {
            self.current = Some(observation);
            None
        };
        metrics::env_steps(&self.task, 1, 1 + u64::from(ended.is_some()));
        Ok(Outcome { reward, terminated, truncated, events, ended })
    }
}
