//! Reads a dataset: whole episodes or ranges of them, from any thread.

use super::wire::{Block, BlockSteps, Index, IndexBlock, Step};
use super::{
    BLOCK_STEPS, DATASET_FILE, DatasetFile, DatasetInfo, HEADER_BYTES, HEADER_MAGIC, INDEX_MAGIC,
    RecordedEpisode, RecordedStep, SHARD_FORMAT_VERSION, ShardEntry, ShardError, TRAILER_BYTES,
};
use crate::frame_codec;
use prost::Message;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest `dataset.json` that is read.
const MAX_DATASET_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What is known of an episode without reading it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpisodeEntry {
    /// Seed of the world.
    pub seed: u64,
    /// Length.
    pub steps: u32,
    /// Sum of its rewards.
    pub episode_return: f32,
}

/// An open dataset. Reads are positioned, so one value serves several threads.
#[derive(Debug)]
pub struct Dataset {
    info: DatasetInfo,
    shards: Vec<OpenedShard>,
    episodes: Vec<EpisodeEntry>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct OpenedShard {
    file: File,
    path: PathBuf,
}

#[derive(Debug)]
struct Place {
    shard: usize,
    blocks: Vec<IndexBlock>,
}

impl Dataset {
    /// Opens the dataset in `dir` and reads the index of every shard.
    ///
    /// # Errors
    /// When something is missing, damaged or of another version.
    pub fn open(dir: &Path) -> Result<Self, ShardError> {
        let path = dir.join(DATASET_FILE);
        let file = read_dataset_file(dir, &path)?;
        file.info.validate(&path)?;
        let mut dataset =
            Self { info: file.info, shards: Vec::new(), episodes: Vec::new(), places: Vec::new() };
        for entry in &file.shards {
            dataset.open_shard(dir, &path, entry)?;
        }
        let steps: u64 = dataset.episodes.iter().map(|episode| u64::from(episode.steps)).sum();
        if dataset.episodes.len() as u64 != file.episodes || steps != file.steps {
            let found = format!("shards hold {} episodes and {steps} steps", dataset.episodes.len());
            let reason = format!("{found}, it lists {} and {}", file.episodes, file.steps);
            return Err(ShardError::Corrupt { path, reason });
        }
        Ok(dataset)
    }

    /// What was played.
    pub fn info(&self) -> &DatasetInfo {
        &self.info
    }

    /// Every episode, in the order they were written.
    pub fn episodes(&self) -> &[EpisodeEntry] {
        &self.episodes
    }

    /// Reads episode `index`.
    ///
    /// # Errors
    /// When there is no such episode or its blocks are damaged.
    pub fn read(&self, index: usize) -> Result<RecordedEpisode, ShardError> {
        let steps = self.episodes.get(index).map_or(0, |episode| episode.steps as usize);
        self.read_range(index, 0, steps)
    }

    /// Reads steps `start..start + len` of episode `index`; only the blocks that overlap are touched.
    ///
    /// # Errors
    /// When the range does not exist or a block is damaged.
    pub fn read_range(&self, index: usize, start: usize, len: usize) -> Result<RecordedEpisode, ShardError> {
        let out_of_range = ShardError::OutOfRange { episode: index, start, len };
        let Some((entry, place)) = self.episodes.get(index).zip(self.places.get(index)) else {
            return Err(out_of_range);
        };
        let end = start.checked_add(len).filter(|&end| end <= entry.steps as usize);
        let Some(end) = end else {
            return Err(out_of_range);
        };
        let frame_len = self.info.frame_len();
        let mut episode = RecordedEpisode { seed: entry.seed, ..RecordedEpisode::default() };
        let mut first = 0;
        for block in &place.blocks {
            let after = first + block.steps as usize;
            let (from, to) = (start.max(first), end.min(after));
            if from < to {
                let (frames, steps) = self.read_block(place.shard, block)?;
                let bytes = (from - first) * frame_len..(to - first) * frame_len;
                episode.frames.extend_from_slice(&frames[bytes]);
                let wanted = steps.into_iter().skip(from - first).take(to - from);
                episode.steps.extend(wanted.map(Into::into));
            }
            first = after;
        }
        Ok(episode)
    }

    /// Reads the steps of episode `index` without unpacking its frames.
    ///
    /// # Errors
    /// When there is no such episode or its blocks are damaged.
    pub fn read_steps(&self, index: usize) -> Result<Vec<RecordedStep>, ShardError> {
        let place =
            self.places.get(index).ok_or(ShardError::OutOfRange { episode: index, start: 0, len: 0 })?;
        let mut episode = Vec::new();
        for block in &place.blocks {
            let shard = &self.shards[place.shard];
            let BlockSteps { steps } = shard.decode(block)?;
            shard.check_steps(block, &steps)?;
            episode.extend(steps.into_iter().map(RecordedStep::from));
        }
        Ok(episode)
    }

    fn read_block(&self, shard: usize, block: &IndexBlock) -> Result<(Vec<u8>, Vec<Step>), ShardError> {
        let shard = &self.shards[shard];
        let Block { codec, frames, steps } = shard.decode(block)?;
        shard.check_steps(block, &steps)?;
        let frames = frame_codec::decode_wire(codec, &frames, self.info.frame_len(), steps.len())
            .map_err(|source| ShardError::Frames { path: shard.path.clone(), source })?;
        Ok((frames, steps))
    }

    fn open_shard(&mut self, dir: &Path, listed_in: &Path, entry: &ShardEntry) -> Result<(), ShardError> {
        if Path::new(&entry.file).file_name() != Some(entry.file.as_ref()) {
            let reason = format!("shard {:?} is not a plain file name", entry.file);
            return Err(ShardError::Corrupt { path: listed_in.to_owned(), reason });
        }
        let path = dir.join(&entry.file);
        let file = File::open(&path).map_err(ShardError::io("open", &path))?;
        let length = file.metadata().map_err(ShardError::io("stat", &path))?.len();
        let damaged = |reason: String| ShardError::Corrupt { path: path.clone(), reason };
        if length != entry.bytes || length < HEADER_BYTES + TRAILER_BYTES {
            return Err(damaged(format!("{length} bytes long, dataset.json says {}", entry.bytes)));
        }
        self.check_header(&file, &path)?;
        let (index, blocks_end) = read_index(&file, &path, length)?;
        if index.episodes.len() as u64 != entry.episodes {
            return Err(damaged(format!(
                "{} episodes, dataset.json says {}",
                index.episodes.len(),
                entry.episodes
            )));
        }
        let mut offset = HEADER_BYTES;
        for episode in index.episodes {
            let mut steps = 0u32;
            for block in &episode.blocks {
                // Blocks lie one behind the other: whatever else the index says is damage.
                let sound = block.offset == offset && (1..=BLOCK_STEPS as u32).contains(&block.steps);
                offset += u64::from(block.bytes);
                steps = steps.saturating_add(block.steps);
                if !sound || offset > blocks_end {
                    return Err(damaged(format!(
                        "the index entry of the block at {} is impossible",
                        block.offset
                    )));
                }
            }
            self.episodes.push(EpisodeEntry {
                seed: episode.seed,
                steps,
                episode_return: episode.episode_return,
            });
            self.places.push(Place { shard: self.shards.len(), blocks: episode.blocks });
        }
        self.shards.push(OpenedShard { file, path });
        Ok(())
    }

    fn check_header(&self, file: &File, path: &Path) -> Result<(), ShardError> {
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut header, 0).map_err(ShardError::io("read", path))?;
        let damaged = |reason: &str| ShardError::Corrupt { path: path.to_owned(), reason: reason.to_owned() };
        if header[..8] != *HEADER_MAGIC {
            return Err(damaged("it is not a shard"));
        }
        let version = word(&header, 8);
        if version != SHARD_FORMAT_VERSION {
            return Err(ShardError::Version { path: path.to_owned(), found: version });
        }
        if word(&header, 20) != crc32c::crc32c(&header[..20]) {
            return Err(damaged("the header fails its checksum"));
        }
        if (word(&header, 12), word(&header, 16)) != (self.info.frame_height, self.info.frame_width) {
            return Err(damaged("its frame size differs from dataset.json"));
        }
        Ok(())
    }
}

impl OpenedShard {
    fn decode<M: Message + Default>(&self, block: &IndexBlock) -> Result<M, ShardError> {
        let mut bytes = vec![0; block.bytes as usize];
        self.file.read_exact_at(&mut bytes, block.offset).map_err(ShardError::io("read", &self.path))?;
        if crc32c::crc32c(&bytes) != block.crc32c {
            return Err(self.damaged(format!("the block at byte {} fails its checksum", block.offset)));
        }
        M::decode(bytes.as_slice()).map_err(|error| self.damaged(error.to_string()))
    }

    fn check_steps(&self, block: &IndexBlock, steps: &[Step]) -> Result<(), ShardError> {
        if steps.len() == block.steps as usize {
            return Ok(());
        }
        Err(self.damaged(format!("a block of {} steps is indexed as {}", steps.len(), block.steps)))
    }

    fn damaged(&self, reason: String) -> ShardError {
        ShardError::Corrupt { path: self.path.clone(), reason }
    }
}

fn read_dataset_file(dir: &Path, path: &Path) -> Result<DatasetFile, ShardError> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ShardError::NotADataset { path: dir.to_owned() });
        }
        Err(source) => return Err(ShardError::io("stat", path)(source)),
    };
    let damaged = |reason: String| ShardError::Corrupt { path: path.to_owned(), reason };
    if length > MAX_DATASET_FILE_BYTES {
        return Err(damaged(format!("{length} bytes long")));
    }
    let bytes = std::fs::read(path).map_err(ShardError::io("read", path))?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    // The version first: another version may have other keys.
    let version = value.get("format_version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if version != u64::from(SHARD_FORMAT_VERSION) {
        let found = u32::try_from(version).unwrap_or(u32::MAX);
        return Err(ShardError::Version { path: path.to_owned(), found });
    }
    serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
}

fn read_index(file: &File, path: &Path, length: u64) -> Result<(Index, u64), ShardError> {
    let damaged = |reason: &str| ShardError::Corrupt { path: path.to_owned(), reason: reason.to_owned() };
    let mut trailer = [0; TRAILER_BYTES as usize];
    file.read_exact_at(&mut trailer, length - TRAILER_BYTES).map_err(ShardError::io("read", path))?;
    if trailer[12..] != *INDEX_MAGIC {
        return Err(damaged("it does not end in an index"));
    }
    let index_bytes = u64::from(word(&trailer, 4)) | u64::from(word(&trailer, 8)) << 32;
    let room = length - HEADER_BYTES - TRAILER_BYTES;
    if index_bytes > room {
        return Err(damaged("its index is longer than the file"));
    }
    let start = length - TRAILER_BYTES - index_bytes;
    let mut bytes = vec![0; index_bytes as usize];
    file.read_exact_at(&mut bytes, start).map_err(ShardError::io("read", path))?;
    if crc32c::crc32c(&bytes) != word(&trailer, 0) {
        return Err(damaged("the index fails its checksum"));
    }
    let index = Index::decode(bytes.as_slice())
        .map_err(|error| ShardError::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
    Ok((index, start))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
