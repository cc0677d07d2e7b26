//! `StatusService`: one screen of what the learner is doing.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vpt_proto::learner::v1::status_service_server::StatusService;
use vpt_proto::learner::v1::{ActorStatus, GetStatusRequest, GetStatusResponse};

use super::Shared;

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
        let actor = |info: &crate::actors::ActorInfo| ActorStatus {
            actor_id: info.key.actor_id.clone(),
            connected: info.connected,
            env_steps_produced: learner.ledger.produced_by(&info.key),
            reconnects: info.reconnects,
            acting_version: info.acting_version.map(Into::into),
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
            time_seconds: training.time_seconds.into_iter().collect(),
            uptime_seconds: learner.status.uptime_seconds(),
            actors: actors.iter().map(actor).collect(),
        }))
    }
}
