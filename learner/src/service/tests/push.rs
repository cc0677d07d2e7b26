//! Unrolls up.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_unroll_is_acked_and_received_bit_equal() {
    let server = Server::start(AdmissionConfig::default()).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    let sent = client.unroll(3, 7);
    for chunk in chunks(&sent, 100) {
        client.say(push_request::Kind::Chunk(chunk)).await;
    }
    let ack = client.ack().await;
    assert_eq!((ack.slot, ack.sequence, ack.outcome()), (3, 7, Outcome::Accepted), "{}", ack.detail);
    let received = server.consume().await.unwrap();
    assert_eq!(received.frames_raw, crate::admission::tests::frames(7));
    assert_eq!(received.unroll, Unroll { frames: bytes::Bytes::new(), ..sent });
    assert_eq!(server.learner.ledger.totals().in_flight, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resent_unroll_is_a_duplicate_also_over_a_new_stream() {
    let server = Server::start(AdmissionConfig::default()).await;
    let key = actor("actor-0", 1);
    let mut client = server.connect(&key).await;
    client.send(&client.unroll(0, 7)).await;
    assert_eq!(client.ack().await.outcome(), Outcome::Accepted);
    client.send(&client.unroll(0, 7)).await;
    assert_eq!(client.ack().await.outcome(), Outcome::Duplicate);
    let mut again = server.connect(&key).await;
    assert_eq!(client.end().await.code(), Code::Aborted);
    again.send(&again.unroll(0, 7)).await;
    assert_eq!(again.ack().await.outcome(), Outcome::Duplicate);
    again.send(&again.unroll(1, 7)).await;
    assert_eq!(again.ack().await.outcome(), Outcome::Accepted);
    assert_eq!(server.learner.queue.len(), 2);
    assert_eq!(server.learner.actors.list()[0].reconnects, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_and_invalid_unrolls_are_answered_and_counted() {
    let server = Server::start(AdmissionConfig { max_staleness: 2, ..AdmissionConfig::default() }).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    let mut stale = client.unroll(0, 0);
    stale.policy_version = Some(Version::new(2, 2).into());
    client.send(&stale).await;
    assert_eq!(client.ack().await.outcome(), Outcome::Stale);
    let mut lying = client.unroll(0, 1);
    lying.state[0].keys.as_mut().unwrap().shape = vec![u64::MAX, 8];
    client.send(&lying).await;
    let ack = client.ack().await;
    assert_eq!(ack.outcome(), Outcome::Invalid);
    assert!(ack.detail.contains("state"), "{}", ack.detail);
    let totals = server.learner.ledger.totals();
    assert_eq!((totals.dropped["stale"], totals.dropped["invalid"]), (4, 4));
    assert_eq!((totals.produced, totals.in_flight), (8, 0));
    assert!(server.learner.queue.is_empty());
    // The stream goes on, and both credits came back.
    client.send(&client.unroll(0, 2)).await;
    assert_eq!(client.ack().await.outcome(), Outcome::Accepted);
    assert_eq!(server.learner.queue.credits().in_use(), 16, "two credits for each of 8 slots");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_chunks_end_their_stream_and_no_other() {
    type Break = (Code, &'static str, fn(&mut UnrollChunk));
    let breaks: [Break; 5] = [
        (Code::DataLoss, "CRC-32C", |chunk| chunk.crc32c ^= 1),
        (Code::InvalidArgument, "announces", |chunk| chunk.total_bytes = u64::MAX),
        (Code::InvalidArgument, "starts at 5", |chunk| chunk.offset = 5),
        (Code::InvalidArgument, "left or allowed", |chunk| chunk.total_bytes -= 1),
        (Code::InvalidArgument, "announced 8 slots", |chunk| chunk.slot = 8),
    ];
    let server = Server::start(AdmissionConfig::default()).await;
    let mut good = server.connect(&actor("good", 1)).await;
    for (sequence, (code, words, breaks)) in breaks.into_iter().enumerate() {
        let mut bad = server.connect(&actor("bad", 1)).await;
        let mut chunk = chunks(&bad.unroll(0, 0), CHUNK_BYTES).remove(0);
        breaks(&mut chunk);
        bad.say(push_request::Kind::Chunk(chunk)).await;
        let status = bad.end().await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(words), "{status}");
        good.send(&good.unroll(0, sequence as u64)).await;
        assert_eq!(good.ack().await.outcome(), Outcome::Accepted);
    }
    assert_eq!(server.learner.queue.len(), 5);
    assert_eq!(server.learner.ledger.totals().produced, 20, "what never arrived whole is not booked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_inside_an_unroll_leaves_nothing_behind() {
    let server = Server::start(AdmissionConfig { queue_unrolls: 1, ..AdmissionConfig::default() }).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    client.say(push_request::Kind::Chunk(chunks(&client.unroll(0, 0), 50).remove(0))).await;
    client.sender = None;
    assert_eq!(client.reply().await.unwrap(), None);
    let mut next = server.connect(&actor("actor-1", 1)).await;
    next.await_credits(1).await;
    next.send(&next.unroll(0, 0)).await;
    assert_eq!(next.ack().await.outcome(), Outcome::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_ignores_credits_is_refused() {
    let server = Server::start(AdmissionConfig { queue_unrolls: 6, ..AdmissionConfig::default() }).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    assert_eq!(client.credits, 3);
    for sequence in 0..4 {
        client.send(&client.unroll(0, sequence)).await;
    }
    for _ in 0..3 {
        assert_eq!(client.ack().await.outcome(), Outcome::Accepted);
    }
    let status = client.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("without a credit"), "{status}");
    assert_eq!(server.learner.queue.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming_lets_a_held_back_actor_go_on() {
    let server = Server::start(AdmissionConfig { queue_unrolls: 4, ..AdmissionConfig::default() }).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    for sequence in 0..20 {
        client.await_credits(1).await;
        client.credits -= 1;
        client.send(&client.unroll(0, sequence)).await;
        assert_eq!(client.ack().await.outcome(), Outcome::Accepted);
        assert!(server.learner.queue.len() <= 2);
        if sequence >= 1 {
            assert_eq!(server.consume().await.unwrap().unroll.sequence, sequence - 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_does_not_fit_names_both_sides() {
    let server =
        Server::start(AdmissionConfig { hello_timeout_seconds: 0.05, ..AdmissionConfig::default() }).await;
    let fits = hello(&actor("actor-0", 1));
    let cases = [
        (Hello { protocol_version: 99, ..fits.clone() }, Code::FailedPrecondition, ["99", "learner 2 to 3"]),
        (
            Hello { architecture: "ffff".into(), ..fits.clone() },
            Code::FailedPrecondition,
            ["ffff", ARCHITECTURE],
        ),
        (Hello { slots: 0, ..fits.clone() }, Code::InvalidArgument, ["0 slots", "1024"]),
        (Hello { actor: None, ..fits }, Code::InvalidArgument, ["name", "128"]),
    ];
    for (hello, code, words) in cases {
        let mut client = server.stream().await;
        client.say(push_request::Kind::Hello(hello)).await;
        let status = client.end().await;
        assert_eq!(status.code(), code, "{status}");
        assert!(words.iter().all(|word| status.message().contains(word)), "{status}");
    }
    let mut silent = server.stream().await;
    assert_eq!(silent.end().await.code(), Code::DeadlineExceeded);
    let mut rude = server.stream().await;
    rude.say(push_request::Kind::Report(ActorReport::default())).await;
    assert_eq!(rude.end().await.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_of_old_and_new_protocol_versions_are_served_side_by_side() {
    let server = Server::start(AdmissionConfig::default()).await;
    let mut clients = Vec::new();
    for version in OLDEST_PROTOCOL_VERSION..=PROTOCOL_VERSION {
        let mut client = server.stream().await;
        client.actor = actor(&format!("actor-{version}"), 1);
        let hello = Hello { protocol_version: version, ..hello(&client.actor) };
        client.say(push_request::Kind::Hello(hello)).await;
        // An actor of that version refuses any other answer.
        assert_eq!(client.welcome().await.protocol_version, version);
        clients.push(client);
    }
    assert!(clients.len() > 1, "an update would stop every actor at once");
    for client in &mut clients {
        client.send(&client.unroll(0, 0)).await;
        assert_eq!(client.ack().await.outcome(), Outcome::Accepted);
    }
    assert_eq!(server.learner.actors.list().len(), clients.len());
    assert_eq!(server.learner.ledger.totals().in_flight, 4 * clients.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_takes_over_and_the_old_one_is_settled() {
    let server = Server::start(AdmissionConfig::default()).await;
    let mut old = server.connect(&actor("actor-0", 1)).await;
    let report = ActorReport {
        env_steps_produced: 100,
        env_steps_dropped: [("env_fault".to_owned(), 10)].into(),
        acting_version: Some(Version::new(2, 4).into()),
        ..ActorReport::default()
    };
    old.say(push_request::Kind::Report(report)).await;
    old.send(&old.unroll(0, 0)).await;
    old.ack().await;
    assert_eq!(server.learner.actors.list()[0].acting_version, Some(Version::new(2, 4)));
    let _new = server.connect(&actor("actor-0", 2)).await;
    assert_eq!(old.end().await.code(), Code::Aborted);
    let totals = server.learner.ledger.totals();
    assert_eq!((totals.produced, totals.in_flight), (100, 4));
    assert_eq!((totals.dropped["env_fault"], totals.dropped["actor_lost"]), (10, 86));
    let mut back = server.stream().await;
    back.say(push_request::Kind::Hello(hello(&actor("actor-0", 1)))).await;
    let status = back.end().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("actor.id"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_ends_by_itself() {
    let server =
        Server::start(AdmissionConfig { idle_timeout_seconds: 0.05, ..AdmissionConfig::default() }).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    assert_eq!(client.end().await.code(), Code::DeadlineExceeded);
    assert_eq!(server.learner.actors.connected(), 0);
    assert_eq!(server.learner.queue.credits().in_use(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_every_stream_in_time_even_with_a_mute_client() {
    let server = Server::start(AdmissionConfig::default()).await;
    let mut client = server.connect(&actor("actor-0", 1)).await;
    let host = server.address.trim_start_matches("http://").to_owned();
    // Dials and never speaks.
    let _mute = tokio::net::TcpStream::connect(host).await.unwrap();
    server.learner.queue.close();
    client.send(&client.unroll(0, 0)).await;
    assert_eq!(client.end().await.code(), Code::Unavailable, "unanswered, so the actor keeps it");
    let mut late = server.stream().await;
    late.say(push_request::Kind::Hello(hello(&actor("actor-1", 1)))).await;
    assert_eq!(late.end().await.code(), Code::Unavailable);
    let mut watching = server.stream().await;
    server.shutdown.cancel();
    assert_eq!(watching.end().await.code(), Code::Unavailable);
    tokio::time::timeout(PATIENCE, server.task).await.expect("stops in time").unwrap().unwrap();
}
