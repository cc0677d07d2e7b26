//! The way up alone: given frames are made into unrolls, packed and sent as those of a rollout are, for
//! `vpt bench ingest`. Worlds and inference are left out, everything behind them is the actor's own.

use crate::acting_policy::Decision;
use crate::activity::Activity;
use crate::config::ActorConfig;
use crate::encoded_unroll::EncodedUnroll;
use crate::env_slot::Outcome;
use crate::error::ActorError;
use crate::ledger::Ledger;
use crate::policy_shelf::PolicyShelf;
use crate::terms::Terms;
use crate::unroll::{Bootstrap, Tags, UnrollBuilder};
use crate::uplink::Uplink;
use crate::version::Version;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Interval};
use tokio_util::sync::CancellationToken;
use vpt_policy::action::AgentAction;
use vpt_proto::common::v1::{ActorIdentity, PolicyVersion};
use vpt_proto::envserver::v1::Observation;
use vpt_runtime::Security;

/// What is sent where.
#[derive(Clone, Debug)]
pub struct Source {
    /// Address, slots and groups, as in a run.
    pub config: ActorConfig,
    /// Fingerprint that the learner expects.
    pub architecture: String,
    /// How the learner is reached.
    pub security: Security,
    /// Frames per second at most; none: as many as go.
    pub frames_per_second: Option<f64>,
    /// The version that acted, as the learner has published it.
    pub version: PolicyVersion,
    /// RGB frames, one after the other, used again and again.
    pub frames: Bytes,
    /// Rows and columns of a frame.
    pub frame_side: usize,
}

/// What was handed to the uplink so far.
#[derive(Debug, Default)]
pub struct Sent {
    /// Frames.
    pub frames: AtomicU64,
    /// Bytes of encoded unrolls.
    pub bytes: AtomicU64,
}

impl Source {
    /// The first frame, as an index into the source, of a slot's unroll: unrolls follow each other over all slots.
    #[must_use]
    pub fn first_frame(slot: u32, sequence: u64, slots: u32, length: usize, count: usize) -> usize {
        let unroll = sequence * u64::from(slots) + u64::from(slot);
        (unroll % (count / length) as u64) as usize * length
    }

    /// Ticks when a group is to send its next unrolls of `length` steps. What it could not send in time is made up for.
    fn pace(&self, length: usize) -> Option<Interval> {
        let frames = length * self.config.slots();
        let period = self.frames_per_second.map(|rate| Duration::from_secs_f64(frames as f64 / rate));
        period.map(tokio::time::interval)
    }

    /// Sends until `stop`, then drains.
    ///
    /// # Errors
    /// A learner that refuses for good, or settings that cannot be used.
    pub async fn push(self, sent: Arc<Sent>, stop: CancellationToken) -> Result<(), ActorError> {
        self.config.validate()?;
        let identity = ActorIdentity { actor_id: self.config.id.clone(), incarnation: 1 };
        let (terms_tx, terms) = watch::channel(None);
        let (_policies, policies) = watch::channel(None);
        let (outbox, inbox) = mpsc::channel(1);
        let ledger = Ledger::default();
        let uplink = Uplink {
            config: self.config.clone(),
            security: self.security.clone(),
            identity: identity.clone(),
            architecture: self.architecture.clone(),
            streams: AtomicU64::new(0),
            inbox,
            terms: terms_tx,
            shelf: PolicyShelf::new(),
            policies,
            ledger: ledger.clone(),
            predecessor: None,
            activity: Activity::new(self.config.groups),
            shutdown: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        let source = Arc::new(self);
        for group in 0..source.config.groups {
            let group = Group {
                source: source.clone(),
                index: group,
                identity: identity.clone(),
                sent: sent.clone(),
                outbox: outbox.clone(),
                ledger: ledger.clone(),
            };
            tasks.spawn(group.run(terms.clone(), stop.clone()));
        }
        drop(outbox);
        tasks.spawn(uplink.run());
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Slots whose unrolls end together.
struct Group {
    source: Arc<Source>,
    index: usize,
    identity: ActorIdentity,
    sent: Arc<Sent>,
    outbox: mpsc::Sender<EncodedUnroll>,
    ledger: Ledger,
}

impl Group {
    async fn run(
        self,
        mut terms: watch::Receiver<Option<Terms>>,
        stop: CancellationToken,
    ) -> Result<(), ActorError> {
        let length = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            terms = terms.wait_for(Option::is_some) => {
                terms.ok().and_then(|terms| terms.as_ref().map(|terms| terms.unroll_length))
            }
        };
        let (Some(length), slots) = (length, self.source.config.slots_per_group) else { return Ok(()) };
        let group = Arc::new(self);
        let mut pace = group.source.pace(length);
        for sequence in 0.. {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let packer = group.clone();
            let pack = move || {
                let slots = (packer.index * slots..(packer.index + 1) * slots).map(|slot| slot as u32);
                slots.map(|slot| packer.unroll(slot, sequence, length)).collect::<Vec<_>>()
            };
            for unroll in tokio::task::spawn_blocking(pack).await? {
                group.ledger.produced(unroll.steps);
                group.sent.frames.fetch_add(unroll.steps, Ordering::Relaxed);
                group.sent.bytes.fetch_add(unroll.len() as u64, Ordering::Relaxed);
                if stop.is_cancelled() || group.outbox.send(unroll).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// An unroll as a slot builds it, step by step.
    fn unroll(&self, slot: u32, sequence: u64, length: usize) -> EncodedUnroll {
        let source = &self.source;
        let frame_len = source.frame_side * source.frame_side * 3;
        let count = source.frames.len() / frame_len;
        let slots = source.config.slots() as u32;
        let first = Source::first_frame(slot, sequence, slots, length, count);
        let mut builder = UnrollBuilder::new(length, frame_len, 0);
        let decision = Decision {
            action: AgentAction { buttons: 0, camera: 0 },
            buttons_log_prob: -1.0,
            camera_log_prob: -1.0,
        };
        for frame in first..first + length {
            let frame = source.frames.slice(frame * frame_len..(frame + 1) * frame_len);
            builder.decide(&Observation { frame, ..Observation::default() }, &decision, 0.0);
            builder.settle(&Outcome::default(), None);
        }
        let version = Version::from(source.version);
        let actor = self.identity.clone();
        let tags = Tags { actor, slot, sequence, version, oldest_memory: version };
        let bootstrap = Bootstrap { value: 0.0, is_first: false };
        builder.finish(bootstrap, tags, source.frame_side).encode(&[], 0, source.config.state)
    }
}
