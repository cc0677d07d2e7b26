//! Appending to the journal: one lock for the order of records and of the queue, a new file at every checkpoint.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use vpt_runtime::faults::{self, Part};

use super::segment::{self, HEADER_BYTES, SegmentReader};
use super::{Entry, JournalConfig, JournalError, JournalMode, PublishMark, Record, Replay};
use crate::metrics;

/// Bytes of a segment after which a new one begins, so that old records can go before the next checkpoint but one.
const SEGMENT_BYTES: u64 = 256 << 20;

/// The journal of a run.
#[derive(Debug)]
pub struct Journal {
    mode: JournalMode,
    max_bytes: u64,
    dir: PathBuf,
    is_read_only: bool,
    /// Bytes on disk, as the state has them.
    size: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// All segments, oldest first; the last one is written to.
    segments: Vec<Segment>,
    /// None until something is written.
    file: Option<File>,
    /// Unrolls recorded since the run began.
    next: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    first: u64,
    bytes: u64,
}

impl Journal {
    /// Opens `out/journal` and finds its end; a record that a crash cut off there is removed.
    ///
    /// # Errors
    /// When the folder cannot be used, or a file is damaged elsewhere than at the end.
    pub fn open(out: &Path, config: &JournalConfig) -> Result<Self, JournalError> {
        let dir = out.join("journal");
        let (mut segments, mut next) = (Vec::new(), 0);
        if dir.exists() {
            let paths = segment_paths(&dir)?;
            let last = paths.len().saturating_sub(1);
            for (n, path) in paths.into_iter().enumerate() {
                let segment = match measure(&path, n == last, &mut next) {
                    Ok(segment) => segment,
                    // Made in the moment of a crash: nothing was written to it.
                    Err(_) if n == last && fs::metadata(&path).is_ok_and(|m| m.len() < HEADER_BYTES) => {
                        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                segments.push(segment);
            }
        }
        let state = State { segments, file: None, next };
        Ok(Self {
            mode: config.mode,
            max_bytes: config.max_bytes,
            dir,
            is_read_only: false,
            size: AtomicU64::new(state.bytes()),
            state: Mutex::new(state),
        })
    }

    /// A journal that keeps nothing.
    #[must_use]
    pub fn off() -> Self {
        let state = State { segments: Vec::new(), file: None, next: 0 };
        Self {
            mode: JournalMode::Off,
            max_bytes: u64::MAX,
            dir: PathBuf::new(),
            is_read_only: false,
            size: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    /// A journal that keeps nothing and stands for one that has everything: training behaves as it did with that.
    pub(crate) fn read_only() -> Self {
        Self { is_read_only: true, mode: JournalMode::Payload, ..Self::off() }
    }

    /// What it keeps.
    #[must_use]
    pub fn mode(&self) -> JournalMode {
        self.mode
    }

    /// Whether it has everything that training consumes.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        self.mode == JournalMode::Payload
    }

    /// Index of the next unroll: how many were recorded since the run began.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.lock().next
    }

    /// Whether so much is on disk that a checkpoint is due. Never waits for a record that is being written: the training
    /// thread asks.
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        self.size.load(Ordering::Relaxed) > self.max_bytes
    }

    /// Notes how much is on disk.
    fn measured(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Relaxed);
        metrics::journal_bytes(bytes);
    }

    /// Records an unroll if it is `wanted` and then does `then`, all before any other unroll is looked at; none when it
    /// is not wanted.
    ///
    /// # Errors
    /// When the record cannot be written; `then` has not run.
    pub fn record<T>(
        &self,
        entry: &Entry,
        encoded: &Bytes,
        wanted: impl FnOnce() -> bool,
        then: impl FnOnce() -> T,
    ) -> Result<Option<T>, JournalError> {
        let mut state = self.lock();
        if !wanted() {
            return Ok(None);
        }
        if self.mode != JournalMode::Off {
            let bytes = state.bytes();
            if bytes > self.max_bytes.saturating_mul(2) {
                return Err(JournalError::Full { bytes });
            }
            let encoded: &[u8] = if self.has_payload() { encoded } else { &[] };
            self.append(&mut state, &segment::unroll_prefix(entry, encoded), encoded)?;
        }
        state.next += 1;
        Ok(Some(then()))
    }

    /// Runs `look` while no unroll is being given its place.
    pub(crate) fn held_still<T>(&self, look: impl FnOnce() -> T) -> T {
        let _state = self.lock();
        look()
    }

    /// The same, unless one is being given its place just now: who must not wait for the disk looks again later.
    pub(crate) fn held_still_if_free<T>(&self, look: impl FnOnce() -> T) -> Option<T> {
        let _state = self.state.try_lock().ok()?;
        Some(look())
    }

    /// Records that a version was published.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn mark(&self, mark: &PublishMark) -> Result<(), JournalError> {
        if !self.has_payload() || self.is_read_only {
            return Ok(());
        }
        self.append(&mut self.lock(), &segment::publish_record(mark), &[])
    }

    /// Makes what was recorded durable; before a checkpoint that counts on it.
    ///
    /// # Errors
    /// When the system cannot sync.
    pub fn sync(&self) -> Result<(), JournalError> {
        let state = self.lock();
        let (Some(file), Some(segment)) = (&state.file, state.segments.last()) else { return Ok(()) };
        let file = file.try_clone().map_err(JournalError::io("sync", &segment.path))?;
        let path = segment.path.clone();
        // Not under the lock: unrolls go on being recorded.
        drop(state);
        faults::sleep(Part::Disk);
        file.sync_data().map_err(JournalError::io("sync", &path))
    }

    /// After a checkpoint: records from here on go to a new file, and files with nothing at or after unroll `keep_from`
    /// are deleted.
    pub fn rotate(&self, keep_from: u64) {
        let mut state = self.lock();
        if state.segments.is_empty() {
            return;
        }
        // At once, for its header keeps the count when all before it are gone.
        if let Err(error) = self.begin_segment(&mut state) {
            metrics::journal_failure();
            return tracing::warn!(%error, "old journal files not deleted");
        }
        while state.segments.get(1).is_some_and(|next| next.first <= keep_from) {
            let segment = state.segments.remove(0);
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "old journal file not deleted");
            }
        }
        self.measured(state.bytes());
    }

    /// Every unroll at or after `index`, in order.
    ///
    /// # Errors
    /// When earlier records than there are would be needed.
    pub(crate) fn replay_from(&self, index: u64) -> Result<Replay, JournalError> {
        let state = self.lock();
        let first = state.segments.first().map_or(state.next, |segment| segment.first);
        if index < first {
            return Err(JournalError::Missing { wanted: index, first });
        }
        let paths = state.segments.iter().map(|segment| segment.path.clone()).collect();
        Ok(Replay::new(paths, index, state.next))
    }

    /// Deletes everything and begins at unroll `index`: what is recorded is of no use any more.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn restart_at(&self, index: u64) -> Result<(), JournalError> {
        let mut state = self.lock();
        state.file = None;
        for segment in std::mem::take(&mut state.segments) {
            fs::remove_file(&segment.path).map_err(JournalError::io("remove", &segment.path))?;
        }
        state.next = index;
        Ok(())
    }

    fn append(&self, state: &mut State, prefix: &[u8], encoded: &[u8]) -> Result<(), JournalError> {
        if state.file.is_none() || state.segments.last().is_none_or(|last| last.bytes > SEGMENT_BYTES) {
            self.begin_segment(state)?;
        }
        let (Some(file), Some(segment)) = (&mut state.file, state.segments.last_mut()) else {
            return Ok(());
        };
        faults::sleep(Part::Disk);
        let written = file.write_all(prefix).and_then(|()| file.write_all(encoded));
        if let Err(source) = written {
            // Half a record must not stand before the next one.
            let _ = file.set_len(segment.bytes);
            state.file = None;
            metrics::journal_failure();
            return Err(JournalError::io("write", &segment.path)(source));
        }
        segment.bytes += (prefix.len() + encoded.len()) as u64;
        self.measured(state.bytes());
        Ok(())
    }

    fn begin_segment(&self, state: &mut State) -> Result<(), JournalError> {
        let first = state.next;
        fs::create_dir_all(&self.dir).map_err(JournalError::io("create", &self.dir))?;
        let mut path = self.dir.join(format!("{first:012}.log"));
        // Publications may have filled a file that no unroll went to.
        for again in 1.. {
            if !path.exists() {
                break;
            }
            path = self.dir.join(format!("{first:012}-{again:04}.log"));
        }
        faults::sleep(Part::Disk);
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(JournalError::io("create", &path))?;
        if let Err(source) = file.write_all(&segment::header(first)) {
            // A disk that is full has room for names: without this every try would leave one.
            let _ = fs::remove_file(&path);
            metrics::journal_failure();
            return Err(JournalError::io("write", &path)(source));
        }
        state.segments.push(Segment { path, first, bytes: HEADER_BYTES });
        state.file = Some(file);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every update is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// The files of a journal, oldest first.
pub(super) fn segment_paths(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let listing = fs::read_dir(dir).map_err(JournalError::io("list", dir))?;
    let mut paths: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    // The dash of a later file sorts before the dot of the first one.
    paths.sort_by_key(|path| path.file_stem().map(std::ffi::OsStr::to_owned));
    Ok(paths)
}

/// Reads a segment to its end; `next` goes on counting its unrolls. At the end of the last one a cut record is removed.
fn measure(path: &Path, is_last: bool, next: &mut u64) -> Result<Segment, JournalError> {
    let mut reader = SegmentReader::open(path)?;
    let first = reader.first;
    *next = first.max(*next);
    loop {
        match reader.next() {
            Ok(Some(Record::Unroll { .. })) => *next += 1,
            Ok(Some(Record::Published(_))) => {}
            Ok(None) => break,
            Err(error @ JournalError::Damaged { .. }) if is_last => {
                tracing::warn!(%error, "the journal's last record was cut off; it was never acknowledged");
                let file =
                    OpenOptions::new().write(true).open(path).map_err(JournalError::io("open", path))?;
                file.set_len(reader.offset()).map_err(JournalError::io("shorten", path))?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Segment { path: path.to_owned(), first, bytes: reader.offset() })
}
