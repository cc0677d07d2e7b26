//! The one thread that runs the policy. It keeps nothing between requests: memory comes with each and goes back.

use crate::acting_policy::{ActingPolicy, Batch, Verdict};
use crate::error::ActorError;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use tokio::sync::oneshot;
use vpt_runtime::faults::{self, Part};

const THREAD: &str = "vpt-inference";
/// Candle walks graphs recursively; acting builds none, but the head room costs only address space.
const STACK_BYTES: usize = 16 * 1024 * 1024;

struct Job {
    policy: Arc<ActingPolicy>,
    batch: Batch,
    reply: oneshot::Sender<Result<Verdict, ActorError>>,
}

/// Hands batches to the inference thread. Clones share it; it ends when the last one is gone.
#[derive(Clone)]
pub(crate) struct Inference {
    jobs: Sender<Job>,
}

impl Inference {
    /// Starts the thread; `clients` is how many may have a request under way at a time.
    pub(crate) fn start(clients: usize) -> Result<Self, ActorError> {
        let (jobs, inbox) = crossbeam_channel::bounded(clients.max(1));
        std::thread::Builder::new()
            .name(THREAD.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&inbox))
            .map_err(|_| ActorError::ThreadGone { name: THREAD })?;
        Ok(Self { jobs })
    }

    /// Runs `policy` on `batch`; at most one request a client at a time.
    pub(crate) async fn decide(
        &self,
        policy: &Arc<ActingPolicy>,
        batch: Batch,
    ) -> Result<Verdict, ActorError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { policy: policy.clone(), batch, reply };
        self.jobs.try_send(job).map_err(|_| ActorError::ThreadGone { name: THREAD })?;
        // No deadline: the thread answers every job or drops its sender, and large networks take what they take.
        answer.await.map_err(|_| ActorError::ThreadGone { name: THREAD })?
    }
}

fn serve(inbox: &Receiver<Job>) {
    while let Ok(Job { policy, batch, reply }) = inbox.recv() {
        faults::sleep(Part::Inference);
        // A client that went away wants no answer.
        let _ = reply.send(policy.decide(batch));
    }
}
