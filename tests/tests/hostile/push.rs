//! Attacks by somebody who holds an actor's certificate and the run's token.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::learner::v1::trajectory_service_client::TrajectoryServiceClient;
use vpt_proto::learner::v1::{
    Hello, PushRequest, PushResponse, Unroll, UnrollChunk, Welcome, push_request, push_response,
};
use vpt_proto::limits::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION, UNROLL_FORMAT_VERSION};
use vpt_runtime::net::Channel;
use vpt_runtime::security::Role;
use vpt_tests::tiny;

use super::calls::channel;
use super::site::Site;
use super::{Attack, Held};

pub(crate) fn attacks(site: &Site) -> Vec<Attack> {
    let refused = |reason: &str| -> &'static str {
        format!("vpt_learner_push_refused_total{{reason=\"{reason}\"}}").leak()
    };
    let url = format!("https://{}", site.learner);
    let to = || channel(&site.security(Role::Actor, None), &url).expect("a channel");
    let invalid = "vpt_learner_unrolls_total{outcome=\"invalid\"}";
    let streams = "vpt_net_requests_refused_total{reason=\"streams\"}";
    vec![
        Attack::new("a hello that never comes", refused("deadline"), no_hello(to())),
        Attack::new("a hello of another network", refused("handshake"), other_network(to())),
        Attack::new("a hello that is sent again", refused("replay"), replay(to(), to())),
        Attack::new("two hellos", refused("protocol"), twice(to())),
        Attack::new("a message of 2 MiB", refused("protocol"), oversized(to())),
        Attack::new("a chunk in the wrong place", refused("protocol"), lie(to(), |chunk| chunk.offset = 7)),
        Attack::new(
            "an unroll of 16 EiB",
            refused("protocol"),
            lie(to(), |chunk| chunk.total_bytes = u64::MAX),
        ),
        Attack::new("a wrong checksum", refused("data_loss"), lie(to(), |chunk| chunk.crc32c ^= 1)),
        Attack::new("chunks that trickle for ever", refused("deadline"), trickle(to())),
        Attack::new("shapes that lie", invalid, lie(to(), |_| {})),
        Attack::new("too many streams", streams, many_streams(to())),
    ]
}

/// A push stream.
struct Pusher {
    requests: mpsc::Sender<PushRequest>,
    replies: Streaming<PushResponse>,
}

impl Pusher {
    async fn open(channel: Channel) -> anyhow::Result<Self> {
        let (requests, outbound) = mpsc::channel(64);
        let mut client = TrajectoryServiceClient::new(channel).max_encoding_message_size(usize::MAX);
        let replies = client.push(ReceiverStream::new(outbound)).await.context("push")?.into_inner();
        Ok(Self { requests, replies })
    }

    /// A stream after its handshake, and what it was told.
    async fn welcomed(channel: Channel, hello: Hello) -> anyhow::Result<(Self, Welcome)> {
        let mut pusher = Self::open(channel).await?;
        pusher.say(push_request::Kind::Hello(hello)).await?;
        match pusher.replies.message().await?.and_then(|reply| reply.kind) {
            Some(push_response::Kind::Welcome(welcome)) => Ok((pusher, *welcome)),
            other => bail!("no welcome but {other:?}"),
        }
    }

    async fn say(&self, kind: push_request::Kind) -> anyhow::Result<()> {
        self.requests.send(PushRequest { kind: Some(kind) }).await.context("the stream is closed")
    }

    /// Waits for a credit, of which the honest actor may have taken all for a moment.
    async fn credit(&mut self, welcome: &Welcome) -> anyhow::Result<()> {
        let mut credits = welcome.credits;
        while credits == 0 {
            let reply = self.replies.message().await?.context("no credit")?;
            if let Some(push_response::Kind::Credit(credit)) = reply.kind {
                credits += credit.unrolls;
            }
        }
        Ok(())
    }
}

fn hello(actor_id: &str) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        actor: Some(ActorIdentity { actor_id: actor_id.to_owned(), incarnation: 1 }),
        architecture: tiny::policy().fingerprint(),
        slots: 2,
        stream: 1,
        ..Hello::default()
    }
}

/// The only chunk of an unroll that decodes, of frames that are not the size they say.
fn chunk(actor_id: &str, welcome: &Welcome) -> UnrollChunk {
    let unroll = Unroll {
        format_version: UNROLL_FORMAT_VERSION,
        actor: hello(actor_id).actor,
        policy_version: welcome.current,
        length: welcome.unroll_length,
        frame_height: 60_000,
        frame_width: 60_000,
        frames: Bytes::from_static(&[0xff; 16]),
        ..Unroll::default()
    };
    let data = Bytes::from(unroll.encode_to_vec());
    let total_bytes = data.len() as u64;
    let crc32c = crc32c::crc32c(&data);
    UnrollChunk { slot: 0, sequence: 0, offset: 0, total_bytes, crc32c, data }
}

async fn no_hello(channel: Channel) -> anyhow::Result<Held> {
    Ok(Box::new(Pusher::open(channel).await?))
}

async fn other_network(channel: Channel) -> anyhow::Result<Held> {
    let pusher = Pusher::open(channel).await?;
    let other = Hello { architecture: "0123".to_owned(), ..hello("other") };
    pusher.say(push_request::Kind::Hello(other)).await?;
    Ok(Box::new(pusher))
}

async fn replay(first: Channel, second: Channel) -> anyhow::Result<Held> {
    let (living, _) = Pusher::welcomed(first, hello("replayed")).await?;
    let again = Pusher::open(second).await?;
    again.say(push_request::Kind::Hello(hello("replayed"))).await?;
    Ok(Box::new((living, again)))
}

async fn twice(channel: Channel) -> anyhow::Result<Held> {
    let (pusher, _) = Pusher::welcomed(channel, hello("twice")).await?;
    pusher.say(push_request::Kind::Hello(hello("twice"))).await?;
    Ok(Box::new(pusher))
}

async fn oversized(channel: Channel) -> anyhow::Result<Held> {
    let (pusher, welcome) = Pusher::welcomed(channel, hello("oversized")).await?;
    let data = vec![0; 2 * MAX_MESSAGE_BYTES].into();
    let chunk = UnrollChunk { data, ..chunk("oversized", &welcome) };
    pusher.say(push_request::Kind::Chunk(chunk)).await?;
    Ok(Box::new(pusher))
}

async fn lie(channel: Channel, change: fn(&mut UnrollChunk)) -> anyhow::Result<Held> {
    let mut about = chunk("probe", &Welcome::default());
    change(&mut about);
    // Each lie is another actor's, whose first stream this is.
    let name = format!("liar-{}-{}-{}", about.offset, about.total_bytes, about.crc32c);
    let (mut pusher, welcome) = Pusher::welcomed(channel, hello(&name)).await?;
    pusher.credit(&welcome).await?;
    let mut chunk = chunk(&name, &welcome);
    change(&mut chunk);
    pusher.say(push_request::Kind::Chunk(chunk)).await?;
    Ok(Box::new(pusher))
}

async fn trickle(channel: Channel) -> anyhow::Result<Held> {
    let (mut pusher, welcome) = Pusher::welcomed(channel, hello("trickle")).await?;
    pusher.credit(&welcome).await?;
    let whole = chunk("trickle", &welcome);
    for (offset, byte) in whole.data.iter().enumerate() {
        let data = vec![*byte].into();
        let piece = UnrollChunk { offset: offset as u64, data, ..whole.clone() };
        if pusher.say(push_request::Kind::Chunk(piece)).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Box::new(pusher))
}

async fn many_streams(channel: Channel) -> anyhow::Result<Held> {
    let mut streams = Vec::new();
    for _ in 0..40 {
        match Pusher::open(channel.clone()).await {
            Ok(pusher) => streams.push(pusher),
            Err(_) => break,
        }
    }
    Ok(Box::new(streams))
}
