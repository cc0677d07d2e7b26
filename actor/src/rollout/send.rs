//! The end of an unroll: pack what the slots collected and hand it to the uplink, waiting when that is full.

use super::Group;
use crate::encoded_unroll::EncodedUnroll;
use crate::error::ActorError;
use crate::metrics;
use crate::unroll::{Bootstrap, Tags};
use std::time::{Duration, Instant};
use vpt_policy::RecurrentState;

/// How often a group that waits for the uplink says that it is alive.
const BEAT: Duration = Duration::from_millis(500);

impl Group {
    /// Sends the unroll of every slot that finished one; `start` is the group's memory before frame 0.
    pub(super) async fn send_unrolls(&mut self, start: RecurrentState) -> Result<(), ActorError> {
        let began = Instant::now();
        self.context.activity.enter(self.index, "encode");
        let unrolls = self.pack(start).await?;
        metrics::phase("encode", began.elapsed());
        let began = Instant::now();
        self.context.activity.enter(self.index, "wait_outbox");
        for unroll in unrolls {
            self.hand_over(unroll).await;
        }
        metrics::phase("send", began.elapsed());
        Ok(())
    }

    async fn pack(&mut self, start: RecurrentState) -> Result<Vec<EncodedUnroll>, ActorError> {
        let next = self.next.as_ref().expect("frame T was inferred");
        let side = self.policy.config().image_size;
        let first_step = self.steps;
        let mut finished = Vec::new();
        for (row, lane) in self.lanes.iter_mut().enumerate() {
            let Some(builder) = lane.builder.take() else {
                continue;
            };
            let bootstrap_is_first =
                lane.running().and_then(|env| Some(env.current()?.is_first)).unwrap_or(true);
            let began = first_step - builder.steps() as u64;
            let oldest_memory = self.memory_age.oldest(began, builder.episode_start());
            let tags = Tags {
                actor: self.context.identity.clone(),
                slot: lane.slot,
                sequence: lane.sequence,
                version: self.policy.version(),
                oldest_memory,
            };
            lane.sequence += 1;
            let bootstrap = Bootstrap { value: next.values[row], is_first: bootstrap_is_first };
            finished.push((row, builder.finish(bootstrap, tags, side)));
        }
        let (mode, width) = (self.context.config.state, self.policy.config().hidsize);
        tokio::task::spawn_blocking(move || {
            let encode = |(row, unroll): (usize, crate::unroll::FinishedUnroll)| {
                Ok(unroll.encode(&start.row(row)?.to_raw()?, width, mode))
            };
            finished.into_iter().map(encode).collect()
        })
        .await?
    }

    /// Waits for room; a stopping actor waits too, until the uplink gives up.
    async fn hand_over(&self, unroll: EncodedUnroll) {
        let steps = unroll.steps;
        let sent = self.context.outbox.send(unroll);
        tokio::pin!(sent);
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                result = &mut sent => {
                    if let Err(unsent) = result {
                        unsent.0.trace.lost("undelivered");
                        self.context.ledger.dropped("undelivered", steps);
                        metrics::unroll("dropped");
                    }
                    return;
                }
                _ = beat.tick() => self.context.health.heartbeat(),
            }
        }
    }
}
