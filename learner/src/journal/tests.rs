//! Records come back as they went in, whatever a crash cut off.

use std::fs;
use std::path::Path;

use super::*;

fn entry(sequence: u64) -> Entry {
    Entry { actor: ActorKey { actor_id: "actor-0".into(), incarnation: 7 }, slot: 3, sequence, steps: 32 }
}

fn payload(sequence: u64) -> Bytes {
    Bytes::from(vec![sequence as u8; 100 + sequence as usize])
}

fn mark(sequence: u64, consumed: u64) -> PublishMark {
    PublishMark { version: Version::new(2, sequence), consumed, blake3: [sequence as u8; 32] }
}

fn open(out: &Path, mode: JournalMode) -> Journal {
    Journal::open(out, &JournalConfig { mode, ..JournalConfig::default() }).unwrap()
}

fn fill(journal: &Journal, range: std::ops::Range<u64>) {
    for sequence in range {
        let recorded = journal.record(&entry(sequence), &payload(sequence), || true, || sequence);
        assert_eq!(recorded.unwrap(), Some(sequence));
    }
}

/// Sequences of the unrolls from `index` on, all else checked.
fn sequences(journal: &Journal, index: u64) -> Vec<u64> {
    let mut replay = journal.replay_from(index).unwrap();
    let mut found = Vec::new();
    while let Some(record) = replay.next().unwrap() {
        if let Record::Unroll { entry: read, encoded } = record {
            assert_eq!(read, entry(read.sequence));
            let expected = if journal.has_payload() { payload(read.sequence) } else { Bytes::new() };
            assert_eq!(encoded, expected);
            found.push(read.sequence);
        }
    }
    assert_eq!(replay.left(), 0);
    found
}

#[test]
fn records_come_back_in_order_after_a_restart() {
    for mode in [JournalMode::Metadata, JournalMode::Payload] {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path(), mode);
        fill(&journal, 0..3);
        journal.mark(&mark(9, 2)).unwrap();
        journal.rotate(0);
        fill(&journal, 3..6);
        drop(journal);
        let journal = open(dir.path(), mode);
        assert_eq!(journal.next_index(), 6);
        assert_eq!(sequences(&journal, 0), [0, 1, 2, 3, 4, 5]);
        fill(&journal, 6..7);
        assert_eq!(sequences(&journal, 5), [5, 6]);
    }
}

#[test]
fn what_is_not_wanted_leaves_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalMode::Payload);
    assert_eq!(journal.record(&entry(0), &payload(0), || false, || ()).unwrap(), None);
    assert_eq!(journal.next_index(), 0);
}

#[test]
fn nothing_is_kept_when_it_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalMode::Off);
    fill(&journal, 0..3);
    assert_eq!(journal.next_index(), 3);
    assert!(!dir.path().join("journal").exists());
}

#[test]
fn publications_are_kept_between_the_unrolls() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalMode::Payload);
    fill(&journal, 0..2);
    journal.mark(&mark(5, 2)).unwrap();
    fill(&journal, 2..3);
    let mut replay = journal.replay_from(1).unwrap();
    assert_eq!(replay.left(), 2);
    assert!(matches!(replay.next().unwrap(), Some(Record::Unroll { entry, .. }) if entry.sequence == 1));
    assert_eq!(replay.next().unwrap(), Some(Record::Published(mark(5, 2))));
    assert!(matches!(replay.next().unwrap(), Some(Record::Unroll { .. })));
    assert_eq!(replay.next().unwrap(), None);
}

#[test]
fn what_no_checkpoint_needs_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalMode::Payload);
    for part in 0..4 {
        fill(&journal, part * 10..part * 10 + 10);
        journal.rotate(part * 10 + 5);
    }
    // The record at 35 lies in the file that begins at 30.
    assert_eq!(sequences(&journal, 35), [35, 36, 37, 38, 39]);
    let error = journal.replay_from(29).unwrap_err().to_string();
    assert!(error.contains("from 29 on") && error.contains("is 30"), "{error}");
    assert_eq!(open(dir.path(), JournalMode::Payload).next_index(), 40);
}

#[test]
fn a_record_cut_off_at_any_byte_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalMode::Payload);
    fill(&journal, 0..2);
    let path = dir.path().join("journal/000000000000.log");
    let two = fs::read(&path).unwrap();
    fill(&journal, 2..3);
    let three = fs::read(&path).unwrap();
    drop(journal);
    for length in two.len()..three.len() {
        fs::write(&path, &three[..length]).unwrap();
        let journal = open(dir.path(), JournalMode::Payload);
        assert_eq!(journal.next_index(), 2);
        fill(&journal, 2..3);
        assert_eq!(fs::read(&path).unwrap(), two, "a new file follows");
        assert_eq!(sequences(&journal, 0), [0, 1, 2]);
        drop(journal);
        fs::remove_file(dir.path().join("journal/000000000002.log")).unwrap();
    }
}

#[test]
fn damage_before_the_end_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalMode::Payload);
    fill(&journal, 0..3);
    journal.rotate(0);
    fill(&journal, 3..4);
    drop(journal);
    let path = dir.path().join("journal/000000000000.log");
    let good = fs::read(&path).unwrap();
    let config = JournalConfig { mode: JournalMode::Payload, ..JournalConfig::default() };
    let mut bad = good.clone();
    bad[60] ^= 1;
    fs::write(&path, bad).unwrap();
    let error = Journal::open(dir.path(), &config).unwrap_err().to_string();
    assert!(error.contains("at byte 20") && error.contains("checksum"), "{error}");
    let mut other = good;
    other[8] = 9;
    fs::write(&path, other).unwrap();
    let error = Journal::open(dir.path(), &config).unwrap_err().to_string();
    assert!(error.contains("format version 9"), "{error}");
}

#[test]
fn the_bound_asks_for_a_checkpoint_and_then_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { mode: JournalMode::Payload, max_bytes: 1000 };
    let journal = Journal::open(dir.path(), &config).unwrap();
    let mut recorded = 0;
    let error = loop {
        match journal.record(&entry(recorded), &payload(recorded), || true, || ()) {
            Ok(_) => recorded += 1,
            Err(error) => break error,
        }
        assert_eq!(journal.wants_checkpoint(), recorded > 6, "{recorded}");
    };
    assert!(error.to_string().contains("learner.journal.max_bytes"), "{error}");
    assert_eq!(journal.next_index(), recorded);
    journal.rotate(recorded);
    fill(&journal, recorded..recorded + 1);
    journal.rotate(recorded);
    assert!(!journal.wants_checkpoint());
    assert_eq!(sequences(&journal, recorded), [recorded]);
}
