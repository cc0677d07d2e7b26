//! The first message of a push stream: who the actor is, and whether both sides fit.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Status, Streaming};
use vpt_proto::learner::v1::{Hello, PushRequest, Welcome, push_request};
use vpt_proto::limits::{OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, speaks};

use super::{Services, Shared};
use crate::ledger::ActorKey;

/// Bytes of an actor's name.
const ACTOR_ID_BYTES: usize = 128;

/// A stream the learner ends: what the actor is told, and the bounded label it is counted under.
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) status: Status,
}

pub(super) fn refuse(reason: &'static str, status: Status) -> Refusal {
    Refusal { reason, status }
}

/// Waits for the hello; what does not fit is refused with both sides named.
pub(super) async fn handshake(
    shared: &Shared,
    inbound: &mut Streaming<PushRequest>,
) -> Result<(ActorKey, Hello), Refusal> {
    let learner = &shared.learner;
    let wait = Duration::from_secs_f64(learner.admission.hello_timeout_seconds);
    let first = tokio::select! {
        () = shared.shutdown.cancelled() => return Err(draining()),
        first = timeout(wait, inbound.message()) => first,
    };
    let first = first
        .map_err(|_| refuse("deadline", Status::deadline_exceeded("no hello in time")))?
        .map_err(|status| refuse("protocol", status))?;
    let Some(push_request::Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
        return Err(refuse("protocol", Status::invalid_argument("the first message must be a hello")));
    };
    let fail = |message: String| refuse("handshake", Status::failed_precondition(message));
    if !speaks(hello.protocol_version) {
        return Err(fail(format!(
            "protocol version: actor {}, learner {OLDEST_PROTOCOL_VERSION} to {PROTOCOL_VERSION}; update the older \
             one, the learner before its actors",
            hello.protocol_version
        )));
    }
    if hello.architecture != learner.architecture {
        return Err(fail(format!(
            "network architecture: actor {:?}, learner {:?}; give both the same policy section",
            hello.architecture.chars().take(128).collect::<String>(),
            learner.architecture
        )));
    }
    let invalid = |message: String| refuse("handshake", Status::invalid_argument(message));
    let max_slots = learner.admission.max_slots_per_actor;
    if hello.slots == 0 || hello.slots > max_slots {
        return Err(invalid(format!("{} slots; 1 to {max_slots} are accepted", hello.slots)));
    }
    let identity = hello.actor.as_ref().filter(|actor| {
        (1..=ACTOR_ID_BYTES).contains(&actor.actor_id.len()) && !actor.actor_id.contains(char::is_control)
    });
    let Some(identity) = identity else {
        return Err(invalid(format!("the actor needs a name of 1 to {ACTOR_ID_BYTES} bytes")));
    };
    let actor = ActorKey { actor_id: identity.actor_id.clone(), incarnation: identity.incarnation };
    Ok((actor, hello))
}

/// What every actor is told, in the version it speaks.
pub(super) fn general_terms(learner: &Services, protocol_version: u32) -> Welcome {
    Welcome {
        protocol_version,
        run_id: learner.run_id.clone(),
        unroll_length: learner.spec.unroll_length as u32,
        current: learner.weights.current().map(Into::into),
        ..Welcome::default()
    }
}

pub(super) fn draining() -> Refusal {
    refuse("draining", Status::unavailable("the learner is stopping; reconnect later"))
}
