//! One slot's place in a group: the running session or the attempt to get one, and the unroll in progress.

use crate::config::{ActorConfig, seconds};
use crate::env_client::{EnvClient, EnvFault};
use crate::env_slot::EnvSlot;
use crate::error::ActorError;
use crate::ledger::Ledger;
use crate::metrics;
use crate::unroll::UnrollBuilder;
use tokio_util::task::AbortOnDropHandle;
use vpt_proto::envserver::v1::OpenSession;
use vpt_runtime::Backoff;

/// A slot, whatever becomes of its sessions.
pub(crate) struct Lane {
    /// Number of the slot within the actor.
    pub(crate) slot: u32,
    /// Sequence of its next unroll.
    pub(crate) sequence: u64,
    /// The unroll in progress; none while the session is broken.
    pub(crate) builder: Option<UnrollBuilder>,
    /// The group's step at which the episode in memory began.
    pub(crate) episode_start: u64,
    pub(crate) place: Place,
    open: OpenSession,
}

/// Where a slot is.
pub(crate) enum Place {
    /// Its session runs.
    Running(Box<EnvSlot>),
    /// A session is being opened.
    Opening(AbortOnDropHandle<Result<EnvSlot, ActorError>>),
}

impl Lane {
    /// A slot whose first session is being opened.
    pub(crate) fn start(slot: u32, open: OpenSession, client: &EnvClient, config: &ActorConfig) -> Self {
        let place = opening(slot, open.clone(), client, config);
        Self { slot, sequence: 0, builder: None, episode_start: 0, place, open }
    }

    /// The session, when it runs.
    pub(crate) fn running(&mut self) -> Option<&mut EnvSlot> {
        match &mut self.place {
            Place::Running(slot) => Some(slot.as_mut()),
            Place::Opening(_) => None,
        }
    }

    /// Takes over a session that has been opened meanwhile; true when there is a new one.
    pub(crate) async fn admit(&mut self) -> Result<bool, ActorError> {
        let Place::Opening(handle) = &mut self.place else {
            return Ok(false);
        };
        if !handle.is_finished() {
            return Ok(false);
        }
        let slot = handle.await.map_err(|_| ActorError::ThreadGone { name: "session" })??;
        self.place = Place::Running(Box::new(slot));
        Ok(true)
    }

    /// Gives the session up, drops the unroll in progress and starts to open another session.
    pub(crate) fn break_off(
        &mut self,
        fault: &EnvFault,
        client: &EnvClient,
        config: &ActorConfig,
        ledger: &Ledger,
    ) {
        tracing::warn!(slot = self.slot, reason = fault.reason, detail = fault.detail, "env session broke");
        ledger.env_restart(fault.reason);
        self.drop_unroll("env_fault", ledger);
        if let Place::Running(slot) = &self.place {
            // The broken episode is not repeated: whatever broke it might come with its seed.
            self.open.first_episode = slot.episode() + 1;
        }
        self.place = opening(self.slot, self.open.clone(), client, config);
    }

    /// Drops the unroll in progress, its steps counted.
    pub(crate) fn drop_unroll(&mut self, reason: &'static str, ledger: &Ledger) {
        if let Some(builder) = self.builder.take() {
            builder.trace().lost(reason);
            ledger.dropped(reason, builder.steps() as u64);
            metrics::unroll("dropped_partial");
        }
    }
}

/// Opens a session, as often as it takes; ends early only when the envserver refuses for good.
fn opening(slot: u32, open: OpenSession, client: &EnvClient, config: &ActorConfig) -> Place {
    let client = client.clone();
    let mut backoff = Backoff::new(
        seconds(config.reconnect_first_seconds),
        seconds(config.reconnect_cap_seconds),
        u64::from(slot),
    );
    Place::Opening(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let fault = match EnvSlot::open(&client, open.clone()).await {
                Ok(slot) => return Ok(slot),
                Err(fault) => fault,
            };
            if fault.fatal {
                let address = client.address().to_owned();
                return Err(ActorError::EnvRefused { address, reason: fault.detail });
            }
            if backoff.attempts().is_power_of_two() || backoff.attempts() == 0 {
                tracing::warn!(
                    slot,
                    reason = fault.reason,
                    detail = fault.detail,
                    "env session does not open"
                );
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    })))
}
