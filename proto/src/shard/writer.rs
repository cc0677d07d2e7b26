//! Writes a dataset: shards under temporary names, renamed when complete, `dataset.json` last.

use super::wire::{Block, Index, IndexBlock, IndexEpisode, Step};
use super::{
    BLOCK_STEPS, DATASET_FILE, DatasetFile, DatasetInfo, HEADER_BYTES, HEADER_MAGIC, INDEX_MAGIC,
    RecordedEpisode, SHARD_FORMAT_VERSION, ShardEntry, ShardError,
};
use crate::frame_codec;
use bytes::Bytes;
use prost::Message;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A shard is closed once it holds this many bytes, so that copies and failures stay small.
const SHARD_BYTES: u64 = 256 * 1024 * 1024;

/// Appends episodes to a new dataset.
#[derive(Debug)]
pub struct ShardWriter {
    dir: PathBuf,
    info: DatasetInfo,
    shard_bytes: u64,
    open: Option<OpenShard>,
    done: Vec<ShardEntry>,
    episodes: u64,
    steps: u64,
}

#[derive(Debug)]
struct OpenShard {
    file: BufWriter<File>,
    temporary: PathBuf,
    name: String,
    offset: u64,
    index: Index,
}

impl ShardWriter {
    /// Starts a dataset in `dir`, which is created when missing.
    ///
    /// # Errors
    /// When the folder holds a dataset already or cannot be written.
    pub fn create(dir: &Path, info: DatasetInfo) -> Result<Self, ShardError> {
        info.validate(dir)?;
        std::fs::create_dir_all(dir).map_err(ShardError::io("create", dir))?;
        if dir.join(DATASET_FILE).exists() {
            return Err(ShardError::Exists { path: dir.to_owned() });
        }
        Ok(Self {
            dir: dir.to_owned(),
            info,
            shard_bytes: SHARD_BYTES,
            open: None,
            done: Vec::new(),
            episodes: 0,
            steps: 0,
        })
    }

    /// Closes shards at this size instead of the default; at least one episode goes into each.
    pub fn with_shard_bytes(mut self, bytes: u64) -> Self {
        self.shard_bytes = bytes;
        self
    }

    /// Appends one episode.
    ///
    /// # Errors
    /// When frames and steps do not match or the file cannot be written.
    pub fn push(&mut self, episode: &RecordedEpisode) -> Result<(), ShardError> {
        let frame_len = self.info.frame_len();
        let steps = episode.steps.len();
        if episode.frames.len() != steps * frame_len {
            return Err(ShardError::BadEpisode { steps, bytes: episode.frames.len(), frame_len });
        }
        if self.open.is_none() {
            self.open = Some(OpenShard::create(&self.dir, self.done.len(), &self.info)?);
        }
        let shard = self.open.as_mut().expect("opened above");
        let mut blocks = Vec::with_capacity(steps.div_ceil(BLOCK_STEPS));
        let chunks = episode.steps.chunks(BLOCK_STEPS).zip(episode.frames.chunks(BLOCK_STEPS * frame_len));
        for (steps, frames) in chunks {
            let (codec, frames) = frame_codec::encode(Bytes::copy_from_slice(frames), frame_len);
            let block = Block { codec: codec.into(), frames, steps: steps.iter().map(Step::from).collect() };
            blocks.push(shard.append(&block.encode_to_vec(), steps.len())?);
        }
        let episode_return = episode.steps.iter().map(|step| f64::from(step.reward)).sum::<f64>() as f32;
        shard.index.episodes.push(IndexEpisode { seed: episode.seed, episode_return, blocks });
        self.episodes += 1;
        self.steps += steps as u64;
        if shard.offset >= self.shard_bytes {
            self.close_shard()?;
        }
        Ok(())
    }

    /// Completes the dataset.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<(), ShardError> {
        self.close_shard()?;
        let file = DatasetFile {
            format_version: SHARD_FORMAT_VERSION,
            info: self.info.clone(),
            episodes: self.episodes,
            steps: self.steps,
            shards: std::mem::take(&mut self.done),
        };
        let text = serde_json::to_string_pretty(&file).expect("plain data serialises") + "\n";
        let temporary = self.dir.join(".dataset.json.tmp");
        let mut out = File::create(&temporary).map_err(ShardError::io("create", &temporary))?;
        out.write_all(text.as_bytes())
            .and_then(|()| out.sync_all())
            .map_err(ShardError::io("write", &temporary))?;
        rename(&temporary, &self.dir.join(DATASET_FILE))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(ShardError::io("sync", &self.dir))
    }

    fn close_shard(&mut self) -> Result<(), ShardError> {
        let Some(shard) = self.open.take() else {
            return Ok(());
        };
        let entry = shard.close(&self.dir)?;
        self.done.push(entry);
        Ok(())
    }
}

impl OpenShard {
    fn create(dir: &Path, number: usize, info: &DatasetInfo) -> Result<Self, ShardError> {
        let name = format!("shard-{number:05}.vpts");
        let temporary = dir.join(format!(".{name}.tmp"));
        let file = File::create(&temporary).map_err(ShardError::io("create", &temporary))?;
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(HEADER_MAGIC);
        for word in [SHARD_FORMAT_VERSION, info.frame_height, info.frame_width] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        let mut shard =
            Self { file: BufWriter::new(file), temporary, name, offset: 0, index: Index::default() };
        shard.write(&header)?;
        Ok(shard)
    }

    fn append(&mut self, block: &[u8], steps: usize) -> Result<IndexBlock, ShardError> {
        let entry = IndexBlock {
            offset: self.offset,
            bytes: u32::try_from(block.len()).expect("a block is far below 4 GiB"),
            crc32c: crc32c::crc32c(block),
            steps: steps as u32,
        };
        self.write(block)?;
        Ok(entry)
    }

    fn close(mut self, dir: &Path) -> Result<ShardEntry, ShardError> {
        let index = self.index.encode_to_vec();
        self.write(&index)?;
        self.write(&crc32c::crc32c(&index).to_le_bytes())?;
        self.write(&(index.len() as u64).to_le_bytes())?;
        self.write(INDEX_MAGIC)?;
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(ShardError::io("write", &self.temporary))?;
        rename(&self.temporary, &dir.join(&self.name))?;
        Ok(ShardEntry { episodes: self.index.episodes.len() as u64, bytes: self.offset, file: self.name })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ShardError> {
        self.file.write_all(bytes).map_err(ShardError::io("write", &self.temporary))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), ShardError> {
    std::fs::rename(from, to).map_err(ShardError::io("rename into place", to))
}
