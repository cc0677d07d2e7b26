//! Published weights for whoever wants them without playing: tools, benches, tests.

use crate::error::ActorError;
use crate::follow::{Family, Fault, Follower, Parents, Recipient, Timing};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use vpt_proto::weights::{Store, WeightSet};
use vpt_runtime::Security;

/// Follows published weights as actors do, and says when a version is all there.
#[derive(Clone)]
pub struct Subscriber {
    /// What it is called where it asks.
    pub name: String,
    /// Fingerprint of the network whose weights are wanted.
    pub architecture: String,
    /// The largest payload that is taken.
    pub limit: u64,
    /// How connections are protected.
    pub security: Security,
    /// URLs to ask, tried in order.
    pub parents: Vec<String>,
    /// Deadline for an answer and for a chunk.
    pub wait: Duration,
    /// First and longest delay before asking again.
    pub reconnect: (Duration, Duration),
    /// How often the first parent is tried again while another one is in use.
    pub return_after: Duration,
    /// Where versions arrive.
    pub store: Arc<Store>,
    /// Called with each version that has arrived and whose hash is right.
    pub whole: Arc<dyn Fn(&WeightSet) + Send + Sync>,
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("name", &self.name).field("parents", &self.parents).finish()
    }
}

impl Subscriber {
    /// Follows until `shutdown`.
    ///
    /// # Errors
    /// URLs that are none; a parent that refuses for good.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ActorError> {
        let follower = Follower {
            parents: Parents::new(&Family {
                security: &self.security,
                urls: &self.parents,
                key: "parents",
                connect: self.wait,
                return_after: self.return_after,
            })?,
            timing: Timing { wait: self.wait, reconnect: self.reconnect, orphan_after: Duration::MAX },
            name: self.name,
            architecture: self.architecture,
            limit: self.limit,
            store: self.store,
            recipient: Told(self.whole),
            shutdown,
        };
        follower.run().await
    }
}

struct Told(Arc<dyn Fn(&WeightSet) + Send + Sync>);

impl Recipient for Told {
    async fn arrived(&self, set: &WeightSet) -> Result<(), Fault> {
        (self.0)(set);
        Ok(())
    }

    fn fault(&self, _: &'static str) {}

    fn received(&self, _: &'static str, _: u64) {}

    fn moved(&self, _: &'static str) {}
}
