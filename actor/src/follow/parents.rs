//! Whom a follower asks: the first of a list that lives; when that one is back after a loss, it is returned to.

use crate::env_client::endpoint;
use crate::error::ActorError;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Endpoint;
use vpt_proto::learner::v1::weights_service_client::WeightsServiceClient;
use vpt_proto::limits::MAX_MESSAGE_BYTES;
use vpt_runtime::net::{self, Channel};
use vpt_runtime::security::{Role, Security};

/// Chunks that may be on their way at a time, in bytes.
const STREAM_WINDOW: u32 = 8 << 20;
/// How long the first parent may take to answer when it is tried again beside the one in use.
const PROBE: Duration = Duration::from_secs(1);

/// Who serves weights.
const SERVE_WEIGHTS: &[Role] = &[Role::Learner, Role::Relay];

/// What parents are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family<'a> {
    pub(crate) security: &'a Security,
    /// One at least.
    pub(crate) urls: &'a [String],
    /// The config key that named them.
    pub(crate) key: &'static str,
    /// Deadline for a connection.
    pub(crate) connect: Duration,
    /// How often the first one is tried again while another one is in use.
    pub(crate) return_after: Duration,
}

/// Parents in the order of preference.
#[derive(Debug)]
pub(crate) struct Parents {
    security: Security,
    known: Vec<(String, Endpoint, Channel)>,
    now: usize,
    since: Instant,
    return_after: Duration,
}

impl Parents {
    /// Connections are made when they are needed.
    pub(crate) fn new(family: &Family<'_>) -> Result<Self, ActorError> {
        let Family { security, urls, key, connect, return_after } = *family;
        let mut known: Vec<(String, Endpoint, Channel)> = Vec::new();
        for url in urls {
            if known.iter().any(|(other, ..)| other == url) {
                continue;
            }
            let endpoint = endpoint(security, url, key, connect)?.initial_stream_window_size(STREAM_WINDOW);
            let channel = security.channel(&endpoint, SERVE_WEIGHTS)?;
            known.push((url.clone(), endpoint, channel));
        }
        if known.is_empty() {
            return Err(ActorError::Config { key, reason: "must name one URL at least".to_owned() });
        }
        Ok(Self { security: security.clone(), known, now: 0, since: Instant::now(), return_after })
    }

    /// The URL of the parent in use.
    pub(crate) fn url(&self) -> &str {
        &self.known[self.now].0
    }

    /// A client of the parent in use.
    pub(super) fn client(&self) -> WeightsServiceClient<Channel> {
        WeightsServiceClient::new(self.known[self.now].2.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Goes on to the next one; false when there is only one.
    pub(super) fn next(&mut self) -> bool {
        self.now = (self.now + 1) % self.known.len();
        self.since = Instant::now();
        self.known.len() > 1
    }

    /// Goes back to the first one.
    pub(super) fn first(&mut self) {
        self.now = 0;
    }

    /// Waits until the first parent can be reached again; for ever while it is the one in use.
    pub(super) async fn first_is_back(&self) {
        if self.now == 0 {
            return std::future::pending().await;
        }
        let mut due = self.since + self.return_after;
        loop {
            sleep_until(due).await;
            if let Ok(Ok(_)) =
                timeout(PROBE, net::reach(&self.security, &self.known[0].1, SERVE_WEIGHTS)).await
            {
                return;
            }
            due = Instant::now() + self.return_after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parents_take_turns_and_a_single_one_stays() {
        let urls: Vec<String> =
            ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:1"].map(str::to_owned).to_vec();
        let second = Duration::from_secs(1);
        let security = Security::loopback();
        let parents = |urls: &[String]| {
            let (key, connect, return_after) = ("actor.weights", second, second);
            Parents::new(&Family { security: &security, urls, key, connect, return_after })
        };
        let mut several = parents(&urls).unwrap();
        assert_eq!(several.url(), "http://127.0.0.1:1");
        assert!(several.next());
        assert_eq!(several.url(), "http://127.0.0.1:2");
        assert!(several.next());
        assert_eq!(several.url(), "http://127.0.0.1:1", "named twice, asked once");
        let mut single = parents(&urls[..1]).unwrap();
        assert!(!single.next());
        let error = parents(&["nonsense url".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("actor.weights"), "{error}");
    }
}
