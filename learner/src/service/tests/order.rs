//! Deterministic runs: whatever order unrolls come in, they go on in the schedule's; and what is journalled is not lost.

use super::*;
use crate::config::LearnerConfig;
use crate::journal::{JournalConfig, JournalMode, Record};
use crate::schedule::{Schedule, ScheduleConfig};

/// Two actors, of eight slots each by their hello; phases of 16 unrolls.
fn schedule() -> Schedule {
    let mut config = LearnerConfig {
        deterministic: true,
        schedule: ScheduleConfig { actors: 2, lag_phases: 1 },
        ..LearnerConfig::default()
    };
    config.ppg.batch_unrolls = 16;
    Schedule::of(&config).unwrap()
}

fn payload() -> JournalConfig {
    JournalConfig { mode: JournalMode::Payload, ..JournalConfig::default() }
}

async fn server(dir: &std::path::Path) -> Server {
    let journal = Journal::open(dir, &payload()).unwrap();
    Server::start_with(AdmissionConfig::default(), journal, Some(schedule())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrolls_go_on_in_the_order_of_the_schedule() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let mut b = server.connect(&actor("b", 1)).await;
    // Everything of the second actor comes first, backwards.
    for slot in (0..8).rev() {
        b.send(&b.unroll(slot, 0)).await;
    }
    let mut a = server.connect(&actor("a", 1)).await;
    for slot in [3, 0, 1, 2, 7, 6, 5, 4] {
        a.send(&a.unroll(slot, 0)).await;
    }
    for client in [&mut a, &mut b] {
        let mut acked = Vec::new();
        for _ in 0..8 {
            let ack = client.ack().await;
            assert_eq!(ack.outcome(), Outcome::Accepted);
            acked.push(ack.slot);
        }
        acked.sort_unstable();
        assert_eq!(acked, (0..8).collect::<Vec<u32>>());
    }
    let mut order = Vec::new();
    for _ in 0..16 {
        let unroll = server.consume().await.unwrap().unroll;
        order.push((unroll.actor.unwrap().actor_id, unroll.slot));
    }
    let expected: Vec<_> =
        ["a", "b"].iter().flat_map(|id| (0..8).map(|slot| ((*id).to_owned(), slot))).collect();
    assert_eq!(order, expected);
    // The journal has the same order.
    let mut replay = server.learner.journal.replay_from(0).unwrap();
    let mut recorded = Vec::new();
    while let Some(Record::Unroll { entry, encoded }) = replay.next().unwrap() {
        assert!(!encoded.is_empty());
        recorded.push((entry.actor.actor_id, entry.slot));
    }
    assert_eq!(recorded, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_turn_may_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let first = server.connect(&actor("b", 1)).await;
    first.send(&first.unroll(0, 0)).await;
    let mut again = server.connect(&actor("b", 1)).await;
    again.send(&again.unroll(0, 0)).await;
    let a = server.connect(&actor("a", 1)).await;
    for slot in 0..8 {
        a.send(&a.unroll(slot, 0)).await;
    }
    assert_eq!(again.ack().await.outcome(), Outcome::Accepted);
    assert_eq!(server.learner.journal.next_index(), 9);
    assert_eq!(server.learner.ledger.totals().in_flight, 9 * 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_ends_its_stream_is_not_kept_waiting_for_what_waits_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let mut b = server.connect(&actor("b", 1)).await;
    b.send(&b.unroll(0, 0)).await;
    b.sender = None;
    assert_eq!(b.reply().await.unwrap(), None, "the end of the stream, and no ack before it");
    // Its unroll goes on all the same when its turn has come.
    let mut a = server.connect(&actor("a", 1)).await;
    for slot in 0..8 {
        a.send(&a.unroll(slot, 0)).await;
        assert_eq!(a.ack().await.outcome(), Outcome::Accepted);
    }
    assert_eq!(server.learner.journal.next_index(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_complete_takes_no_other_actor_and_no_restarted_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let mut a = server.connect(&actor("a", 1)).await;
    let _b = server.connect(&actor("b", 1)).await;
    for slot in 0..8 {
        a.send(&a.unroll(slot, 0)).await;
        assert_eq!(a.ack().await.outcome(), Outcome::Accepted);
    }
    let refusals = [
        (hello(&actor("c", 1)), "complete with a, b"),
        (hello(&actor("a", 2)), "was restarted"),
        (Hello { slots: 4, ..hello(&actor("b", 1)) }, "same number, here 8"),
    ];
    for (hello, words) in refusals {
        let mut client = server.stream().await;
        client.say(push_request::Kind::Hello(hello)).await;
        let status = client.end().await;
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains(words), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unroll_that_cannot_be_recorded_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    // A file stands where the journal's folder should be made.
    let journal = Journal::open(dir.path(), &payload()).unwrap();
    std::fs::write(dir.path().join("journal"), b"").unwrap();
    let server = Server::start_with(AdmissionConfig::default(), journal, None).await;
    let mut client = server.connect(&actor("a", 1)).await;
    client.send(&client.unroll(0, 0)).await;
    let status = client.end().await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("journal"), "{status}");
    assert_eq!(server.learner.queue.len(), 0);
    std::fs::remove_file(dir.path().join("journal")).unwrap();
    let mut again = server.connect(&actor("a", 1)).await;
    again.send(&again.unroll(0, 0)).await;
    assert_eq!(again.ack().await.outcome(), Outcome::Accepted);
}
