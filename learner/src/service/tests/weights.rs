//! Weights down, and status.

use std::time::Instant;

use vpt_proto::learner::v1::status_service_client::StatusServiceClient;
use vpt_proto::learner::v1::weights_service_client::WeightsServiceClient;
use vpt_proto::learner::v1::{FetchRequest, GetStatusRequest, WatchRequest, WeightsManifest};
use vpt_proto::weights::{CHUNK_BYTES, ChunkHashes};

use super::*;

fn watch() -> WatchRequest {
    WatchRequest { actor_id: "actor-0".to_owned(), architecture: ARCHITECTURE.to_owned() }
}

async fn next(stream: &mut Streaming<WeightsManifest>) -> WeightsManifest {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("in time").unwrap().unwrap()
}

/// The payload from `offset` on, chunks checked as an actor checks them.
async fn fetch(
    client: &mut WeightsServiceClient<Channel>,
    version: Version,
    offset: u64,
) -> Result<Vec<u8>, Status> {
    let request = FetchRequest { version: Some(version.into()), offset, delta: false };
    let mut stream = client.fetch(request).await?.into_inner();
    let mut payload = Vec::new();
    while let Some(chunk) = stream.message().await? {
        assert_eq!(chunk.offset, offset + payload.len() as u64);
        assert!(chunk.data.len() <= CHUNK_BYTES);
        payload.extend_from_slice(&chunk.data);
    }
    Ok(payload)
}

// One thread, so that the reader sleeps while the loop below publishes.
#[tokio::test]
async fn watching_tells_the_newest_version_at_once_and_each_newer_one() {
    let server = Server::start(AdmissionConfig::default()).await;
    let mut client = WeightsServiceClient::new(server.channel().await);
    let publish = |sequence| {
        let payload = format!("weights {sequence}").into();
        server.learner.weights.publish(Version::new(2, sequence), payload, "f32", ARCHITECTURE).unwrap()
    };
    publish(6);
    publish(7);
    let mut stream = client.watch(watch()).await.unwrap().into_inner();
    let manifest = next(&mut stream).await;
    assert_eq!(manifest.version, Some(Version::new(2, 7).into()), "older ones are not told");
    assert_eq!(manifest.blake3, blake3::hash(b"weights 7").to_hex().to_string());
    assert_eq!((manifest.total_bytes, manifest.dtype.as_str()), (9, "f32"));
    publish(8);
    assert_eq!(next(&mut stream).await.version, Some(Version::new(2, 8).into()));
    // A reader that sleeps through many publishes gets only the newest.
    for sequence in 9..=200 {
        publish(sequence);
    }
    assert_eq!(next(&mut stream).await.version, Some(Version::new(2, 200).into()));
    server.shutdown.cancel();
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_resumes_from_a_chunk() {
    let server = Server::start(AdmissionConfig::default()).await;
    let payload: Vec<u8> = (0..2_500_000_u32).map(|index| (index % 251) as u8).collect();
    let version = Version::new(2, 6);
    server.learner.weights.publish(version, payload.clone().into(), "bf16", ARCHITECTURE).unwrap();
    let mut client = WeightsServiceClient::new(server.channel().await);
    let fetched = fetch(&mut client, version, 0).await.unwrap();
    assert_eq!(fetched, payload);
    let manifest = server.learner.weights.store().newest().unwrap().manifest();
    let hashes =
        ChunkHashes::from_wire(2_500_000, &manifest.chunk_hashes, &manifest.blake3, 1 << 30).unwrap();
    assert!((0..hashes.chunks()).all(|index| hashes.verify(index, &fetched[hashes.range(index)])));
    let third = 2 * CHUNK_BYTES;
    assert_eq!(fetch(&mut client, version, third as u64).await.unwrap(), payload[third..]);
    assert!(fetch(&mut client, version, 2_500_000).await.unwrap().is_empty());
    assert_eq!(fetch(&mut client, version, 2_500_001).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(fetch(&mut client, version, 1_234_567).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_and_other_architectures_are_refused() {
    let server = Server::start(AdmissionConfig::default()).await;
    for sequence in 6..=8 {
        let weights = &server.learner.weights;
        weights.publish(Version::new(2, sequence), "w".into(), "f32", ARCHITECTURE).unwrap();
    }
    let mut client = WeightsServiceClient::new(server.channel().await);
    assert!(fetch(&mut client, Version::new(2, 6), 0).await.is_ok());
    let status = fetch(&mut client, Version::new(2, 5), 0).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("2-5") && status.message().contains("2-8"), "{status}");
    let other = WatchRequest { architecture: "ffff".to_owned(), ..watch() };
    let status = client.watch(other).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("ffff") && status.message().contains(ARCHITECTURE), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_training_ledger_and_actors() {
    let before = Instant::now();
    let server = Server::start(AdmissionConfig::default()).await;
    let started = Instant::now();
    let mut actor = server.connect(&actor("actor-0", 1)).await;
    actor.send(&actor.unroll(0, 0)).await;
    actor.ack().await;
    server.learner.status.update(|status| {
        status.phase = "policy_phase".to_owned();
        status.staleness = 1.5;
    });
    let mut client = StatusServiceClient::new(server.channel().await);
    let least = started.elapsed().as_secs_f64();
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.run_id.as_str(), status.stage.as_str()), ("run", "ppg"));
    assert_eq!((status.phase.as_str(), status.staleness), ("policy_phase", 1.5));
    assert_eq!(status.verdict.unwrap().held_back_by, "unknown", "nothing is sampled here");
    let spent: f64 = status.time_seconds.values().sum();
    let lived = least..=before.elapsed().as_secs_f64();
    assert!(lived.contains(&spent) && lived.contains(&status.uptime_seconds), "{spent} of {lived:?}");
    assert_eq!((status.credits, status.queue_capacity_unrolls), (64, 64));
    assert_eq!(status.version, Some(Version::new(2, 5).into()));
    assert_eq!((status.connected_actors, status.queue_unrolls), (1, 1));
    let ledger = status.ledger.unwrap();
    assert_eq!((ledger.produced, ledger.trained, ledger.in_flight), (4, 0, 4));
    assert_eq!((status.actors[0].actor_id.as_str(), status.actors[0].env_steps_produced), ("actor-0", 4));
}
