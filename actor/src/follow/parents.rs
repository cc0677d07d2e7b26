//! Whom a follower asks: the first of a list that lives; when that one is back after a loss, it is returned to.

use crate::env_client::endpoint;
use crate::error::ActorError;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::{Channel, Endpoint};
use vpt_proto::learner::v1::weights_service_client::WeightsServiceClient;
use vpt_proto::limits::MAX_MESSAGE_BYTES;

/// Chunks that may be on their way at a time, in bytes.
const STREAM_WINDOW: u32 = 8 << 20;
/// How long the first parent may take to answer when it is tried again beside the one in use.
const PROBE: Duration = Duration::from_secs(1);

/// Parents in the order of preference.
#[derive(Debug)]
pub(crate) struct Parents {
    known: Vec<(String, Endpoint, Channel)>,
    now: usize,
    since: Instant,
    return_after: Duration,
}

impl Parents {
    /// `urls` as given under the config key `key`, one at least; connections are made when they are needed.
    pub(crate) fn new(
        urls: &[String],
        key: &'static str,
        connect: Duration,
        return_after: Duration,
    ) -> Result<Self, ActorError> {
        let mut known: Vec<(String, Endpoint, Channel)> = Vec::new();
        for url in urls {
            if known.iter().any(|(other, ..)| other == url) {
                continue;
            }
            let endpoint = endpoint(url, key, connect)?.initial_stream_window_size(STREAM_WINDOW);
            let channel = endpoint.connect_lazy();
            known.push((url.clone(), endpoint, channel));
        }
        if known.is_empty() {
            return Err(ActorError::Config { key, reason: "must name one URL at least".to_owned() });
        }
        Ok(Self { known, now: 0, since: Instant::now(), return_after })
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
            if let Ok(Ok(_)) = timeout(PROBE, self.known[0].1.connect()).await {
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
        let urls: Vec<String> = ["http://a:1", "http://b:2", "http://a:1"].map(str::to_owned).to_vec();
        let second = Duration::from_secs(1);
        let mut parents = Parents::new(&urls, "actor.weights", second, second).unwrap();
        assert_eq!(parents.url(), "http://a:1");
        assert!(parents.next());
        assert_eq!(parents.url(), "http://b:2");
        assert!(parents.next());
        assert_eq!(parents.url(), "http://a:1", "named twice, asked once");
        let mut single = Parents::new(&urls[..1], "actor.weights", second, second).unwrap();
        assert!(!single.next());
        let error = Parents::new(&["nonsense url".to_owned()], "actor.weights", second, second).unwrap_err();
        assert!(error.to_string().starts_with("actor.weights"), "{error}");
    }
}
