//! Fetches a body chunk by chunk, from the first that is missing on.

use super::{Fault, Follower, Recipient};
use tokio::time::timeout;
use tonic::Code;
use vpt_proto::common::v1::PolicyVersion;
use vpt_proto::learner::v1::FetchRequest;
use vpt_proto::weights::Body;

/// What came of it.
pub(super) enum Fetched {
    /// All of it is there.
    Whole,
    /// It is no longer kept where it was asked for.
    Gone,
}

impl<R: Recipient> Follower<R> {
    /// Brings all of `body` here, the payload of `version` or the delta that ends in it. What has come when this fails
    /// stays, for another try with another parent.
    pub(super) async fn fetch(
        &self,
        version: PolicyVersion,
        body: &Body,
        kind: &'static str,
    ) -> Result<Fetched, Fault> {
        if body.payload().is_some() {
            return Ok(Fetched::Whole);
        }
        let late = |_| Fault::new("timeout", "no chunk of weights in time");
        let offset = body.hashes().range(body.arrived()).start as u64;
        let request = FetchRequest { version: Some(version), offset, delta: kind == "delta" };
        let mut client = self.parents.client();
        let mut chunks = match timeout(self.timing.wait, client.fetch(request)).await.map_err(late)? {
            Ok(chunks) => chunks.into_inner(),
            Err(status) if status.code() == Code::FailedPrecondition => return Ok(Fetched::Gone),
            Err(status) => return Err(Fault::status(&status)),
        };
        while body.payload().is_none() {
            let chunk = timeout(self.timing.wait, chunks.message()).await.map_err(late)?;
            let Some(chunk) = chunk.map_err(|status| Fault::status(&status))? else {
                return Err(Fault::new("length", "the stream ends before the weights do"));
            };
            if chunk.offset != body.hashes().range(body.arrived()).start as u64 {
                return Err(Fault::new("length", format!("a chunk at {} where it cannot be", chunk.offset)));
            }
            self.recipient.received(kind, chunk.data.len() as u64);
            body.push(&chunk.data).map_err(|tampered| Fault::new("hash", tampered.to_string()))?;
        }
        Ok(Fetched::Whole)
    }
}
