//! Round trips, range reads, and what damage comes out as.

use super::*;
use crate::envserver::v1::item_event::Kind;
use proptest::prelude::*;

fn info() -> DatasetInfo {
    DatasetInfo {
        world: "native".to_owned(),
        task: "chop".to_owned(),
        player: "scripted".to_owned(),
        frame_height: 4,
        frame_width: 6,
    }
}

fn episode(seed: u64, steps: usize) -> RecordedEpisode {
    let frame_len = info().frame_len();
    let frames = (0..steps * frame_len).map(|i| (i % frame_len + (i / frame_len + seed as usize) / 5) as u8);
    let steps = (0..steps).map(|t| RecordedStep {
        action: HumanAction { keys: t as u32 * 3, pitch_delta: t as f32 * 0.5, yaw_delta: -1.61 },
        reward: if t % 7 == 3 { 1.0 } else { 0.0 },
        is_first: t == 0,
        terminated: false,
        truncated: t + 1 == steps,
        gui_open: t % 5 == 1,
        events: (t % 7 == 3)
            .then(|| ItemEvent {
                kind: Kind::Pickup.into(),
                item: "log".to_owned(),
                quantity: 1,
                reward: 1.0,
            })
            .into_iter()
            .collect(),
    });
    RecordedEpisode { seed, frames: frames.collect(), steps: steps.collect() }
}

fn write(dir: &Path, episodes: &[RecordedEpisode], shard_bytes: u64) {
    let mut writer = ShardWriter::create(dir, info()).unwrap().with_shard_bytes(shard_bytes);
    for episode in episodes {
        writer.push(episode).unwrap();
    }
    writer.finish().unwrap();
}

fn read_all(dir: &Path) -> Result<Vec<RecordedEpisode>, ShardError> {
    let dataset = Dataset::open(dir)?;
    (0..dataset.episodes().len()).map(|index| dataset.read(index)).collect()
}

#[test]
fn episodes_come_back_from_several_shards() {
    let dir = tempfile::tempdir().unwrap();
    let episodes: Vec<_> =
        [70, 32, 1, 33, 64, 0].iter().zip(10..).map(|(&n, seed)| episode(seed, n)).collect();
    write(dir.path(), &episodes, 600);
    let shards = std::fs::read_dir(dir.path()).unwrap().count() - 1;
    assert!(shards > 1, "{shards}");
    let dataset = Dataset::open(dir.path()).unwrap();
    for (index, episode) in episodes.iter().enumerate() {
        assert_eq!(dataset.read_steps(index).unwrap(), episode.steps);
    }
    assert!(dataset.read_steps(episodes.len()).is_err());
    let dataset = Dataset::open(dir.path()).unwrap();
    assert_eq!(dataset.info(), &info());
    assert_eq!(dataset.episodes()[0], EpisodeEntry { seed: 10, steps: 70, episode_return: 10.0 });
    assert_eq!(read_all(dir.path()).unwrap(), episodes);
}

#[test]
fn an_existing_dataset_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[episode(1, 3)], 1000);
    let error = ShardWriter::create(dir.path(), info()).unwrap_err();
    assert!(matches!(error, ShardError::Exists { .. }), "{error}");
}

#[test]
fn an_unfinished_recording_is_not_a_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(dir.path(), info()).unwrap();
    writer.push(&episode(1, 3)).unwrap();
    drop(writer);
    let error = Dataset::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("did not finish"), "{error}");
}

#[test]
fn frames_and_steps_must_match() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(dir.path(), info()).unwrap();
    let mut short = episode(1, 3);
    short.frames.pop();
    assert!(matches!(writer.push(&short), Err(ShardError::BadEpisode { steps: 3, .. })));
}

#[test]
fn another_version_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[episode(1, 3)], 1000);
    let path = dir.path().join(DATASET_FILE);
    let text =
        std::fs::read_to_string(&path).unwrap().replace("\"format_version\": 1", "\"format_version\": 7");
    std::fs::write(&path, text).unwrap();
    assert!(matches!(Dataset::open(dir.path()), Err(ShardError::Version { found: 7, .. })));
}

#[test]
fn a_shard_cannot_be_named_outside_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[episode(1, 3)], 1000);
    let path = dir.path().join(DATASET_FILE);
    let text = std::fs::read_to_string(&path).unwrap().replace("shard-00000", "../shard-00000");
    std::fs::write(&path, text).unwrap();
    assert!(matches!(Dataset::open(dir.path()), Err(ShardError::Corrupt { .. })));
}

#[test]
fn every_truncation_and_every_bit_flip_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[episode(3, 5), episode(4, 35)], 1 << 20);
    let path = dir.path().join("shard-00000.vpts");
    let good = std::fs::read(&path).unwrap();
    assert!(good.len() < 4000, "{} bytes: keep this test small", good.len());
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(read_all(dir.path()).is_err(), "cut to {length}");
    }
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        assert!(read_all(dir.path()).is_err(), "bit flip in byte {at}");
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(read_all(dir.path()).unwrap().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_range_equals_the_same_part_of_the_whole(steps in 1usize..100, a in 0usize..100, b in 0usize..100) {
        let dir = tempfile::tempdir().unwrap();
        let whole = episode(9, steps);
        write(dir.path(), std::slice::from_ref(&whole), 1 << 20);
        let dataset = Dataset::open(dir.path()).unwrap();
        let (start, end) = (a.min(b), a.max(b));
        let range = dataset.read_range(0, start, end - start);
        if end > steps {
            prop_assert!(range.is_err(), "past the end");
        } else {
            let range = range.unwrap();
            let frame_len = info().frame_len();
            prop_assert_eq!(&range.frames[..], &whole.frames[start * frame_len..end * frame_len]);
            prop_assert_eq!(&range.steps[..], &whole.steps[start..end]);
        }
    }

    #[test]
    fn damaged_dataset_json_never_panics(at in 0usize..10_000, bit in 0u8..8, cut in 0usize..10_000) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[episode(1, 3)], 1000);
        let path = dir.path().join(DATASET_FILE);
        let good = std::fs::read(&path).unwrap();
        let mut damaged = good.clone();
        let place = at % damaged.len();
        damaged[place] ^= 1 << bit;
        std::fs::write(&path, &damaged).unwrap();
        let _ = read_all(dir.path());
        // Without its last newline the file is still whole.
        std::fs::write(&path, &good[..cut % (good.len() - 1)]).unwrap();
        prop_assert!(read_all(dir.path()).is_err());
    }
}
