//! `StatusService`: one screen of what the learner is doing.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};
use vpt_proto::learner::v1::status_service_server::StatusService;
use vpt_proto::learner::v1::{ActorStatus, GetStatusRequest, GetStatusResponse, Verdict};

use super::Shared;
use crate::accounts::{MINUTE, NOW};
use crate::actors::ActorInfo;
use crate::config::Stage;
use crate::verdict::{self, judge};

/// Status out.
#[derive(Debug)]
pub(crate) struct StatusReader {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl StatusService for StatusReader {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let learner = &self.shared.learner;
        let training = learner.status.snapshot();
        let actors = learner.actors.list();
        let accounts = learner.status.accounts();
        let recorded = training.stage == Stage::Bc.name();
        let credits = learner.queue.credits();
        let actor = |info: &ActorInfo| {
            let [time, uplink] = accounts.actor_shares(&info.key);
            ActorStatus {
                actor_id: info.key.actor_id.clone(),
                connected: info.connected,
                env_steps_produced: learner.ledger.produced_by(&info.key),
                reconnects: info.reconnects,
                acting_version: info.acting_version.map(Into::into),
                time_share: owned(time),
                uplink_share: owned(uplink),
            }
        };
        Ok(Response::new(GetStatusResponse {
            run_id: training.run_id,
            stage: training.stage,
            phase: training.phase,
            version: Some(learner.weights.current().unwrap_or(training.version).into()),
            env_steps_trained: training.env_steps_trained,
            env_steps_target: training.env_steps_target,
            optimizer_steps: training.optimizer_steps,
            env_steps_per_second: training.env_steps_per_second,
            mean_return: training.mean_return,
            episodes: training.episodes,
            kl_to_pretrained: training.kl_to_pretrained,
            loss: training.loss,
            connected_actors: actors.iter().filter(|info| info.connected).count() as u32,
            queue_unrolls: learner.queue.len() as u64,
            ledger: Some(learner.ledger.totals().into()),
            time_seconds: owned(accounts.training().by_state()),
            uptime_seconds: learner.status.uptime_seconds(),
            actors: actors.iter().map(actor).collect(),
            verdict: Some(judge(&accounts.shares(NOW, recorded)).into()),
            verdict_minute: Some(judge(&accounts.shares(MINUTE, recorded)).into()),
            recent: accounts.window(NOW).map(|window| window.to_wire()),
            queue_capacity_unrolls: learner.queue.capacity() as u64,
            queue_bytes: learner.queue.bytes(),
            credits_in_use: credits.in_use(),
            credits: credits.capacity(),
            staleness: training.staleness,
            max_staleness: learner.queue.max_staleness(),
        }))
    }
}

impl From<verdict::Verdict> for Verdict {
    fn from(verdict: verdict::Verdict) -> Self {
        Self {
            held_back_by: verdict.cause.label().to_owned(),
            evidence: verdict.evidence,
            hint: verdict.cause.hint().to_owned(),
        }
    }
}

fn owned(account: Vec<(&'static str, f64)>) -> HashMap<String, f64> {
    account.into_iter().map(|(state, number)| (state.to_owned(), number)).collect()
}
