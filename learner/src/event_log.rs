//! Scalars over steps, written twice: as TensorBoard event files and as `metrics.jsonl` for scripts.
//!
//! Every start of a run opens a new event file in the same folder; TensorBoard joins them. Tags are CleanRL's
//! (`losses/policy_loss`, `charts/SPS`).

mod summary;
mod tfrecord;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use vpt_runtime::clock;

use summary::{Event, FILE_VERSION, Histogram, Summary, Value};

/// Scalars held before they are written without being asked.
const BUFFERED_SCALARS: usize = 4096;

/// Files of one folder that may be created within one second.
const NAMES_PER_SECOND: u32 = 1000;

/// The event log could not be written.
#[derive(Debug, thiserror::Error)]
#[error("event log {}: {source}", path.display())]
pub struct EventLogError {
    path: PathBuf,
    source: std::io::Error,
}

/// What is said under a tag.
#[derive(Debug)]
enum Entry {
    Scalar(f64),
    /// How often each number occurred.
    Counts(BTreeMap<u64, u64>),
}

/// Appends scalars to a folder that TensorBoard reads.
#[derive(Debug)]
pub struct EventLog {
    events: BufWriter<File>,
    events_path: PathBuf,
    lines: BufWriter<File>,
    lines_path: PathBuf,
    // One entry a step, in the order of steps; tags keep the order in which they came.
    pending: BTreeMap<u64, Vec<(String, Entry)>>,
    pending_scalars: usize,
}

impl EventLog {
    /// Opens `dir`, creating it where needed: a new event file, and `metrics.jsonl` appended to.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be created.
    pub fn open(dir: &Path) -> Result<Self, EventLogError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| EventLogError { path, source }
        };
        std::fs::create_dir_all(dir).map_err(fail(dir))?;
        let (file, events_path) = create_event_file(dir)?;
        let lines_path = dir.join("metrics.jsonl");
        let lines = open_lines(&lines_path).map_err(fail(&lines_path))?;
        let mut log = Self {
            events: BufWriter::new(file),
            events_path,
            lines: BufWriter::new(lines),
            lines_path,
            pending: BTreeMap::new(),
            pending_scalars: 0,
        };
        log.write_event(&Event {
            wall_time: clock::calendar_seconds(),
            file_version: Some(FILE_VERSION.to_owned()),
            ..Event::default()
        })?;
        log.events.flush().map_err(fail(&log.events_path))?;
        Ok(log)
    }

    /// Notes `value` of `tag` at `step`; written at the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// When many scalars have gathered and writing them fails.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), EventLogError> {
        self.note(tag, step, Entry::Scalar(value))
    }

    /// Notes how often each number occurred: a histogram for TensorBoard, pairs of number and count in `metrics.jsonl`.
    ///
    /// # Errors
    /// As [`scalar`](Self::scalar).
    pub fn counts(&mut self, tag: &str, step: u64, counts: BTreeMap<u64, u64>) -> Result<(), EventLogError> {
        self.note(tag, step, Entry::Counts(counts))
    }

    fn note(&mut self, tag: &str, step: u64, entry: Entry) -> Result<(), EventLogError> {
        self.pending.entry(step).or_default().push((tag.to_owned(), entry));
        self.pending_scalars += 1;
        if self.pending_scalars >= BUFFERED_SCALARS { self.flush() } else { Ok(()) }
    }

    /// Writes what has gathered: one event and one JSON line for each step.
    ///
    /// # Errors
    /// When a file cannot be written; the scalars of that step are then lost from it.
    pub fn flush(&mut self) -> Result<(), EventLogError> {
        let wall_time = clock::calendar_seconds();
        self.pending_scalars = 0;
        for (step, scalars) in std::mem::take(&mut self.pending) {
            self.write_line(step, wall_time, &scalars)?;
            let values = scalars.into_iter().map(|(tag, entry)| entry.value(tag)).collect();
            self.write_event(&Event {
                wall_time,
                step: i64::try_from(step).unwrap_or(i64::MAX),
                file_version: None,
                summary: Some(Summary { value: values }),
            })?;
        }
        self.events.flush().map_err(|source| EventLogError { path: self.events_path.clone(), source })?;
        self.lines.flush().map_err(|source| EventLogError { path: self.lines_path.clone(), source })
    }

    /// The event file of this start.
    pub fn events_path(&self) -> &Path {
        &self.events_path
    }

    fn write_event(&mut self, event: &Event) -> Result<(), EventLogError> {
        tfrecord::write(&mut self.events, &event.encode_to_vec())
            .map_err(|source| EventLogError { path: self.events_path.clone(), source })
    }

    fn write_line(
        &mut self,
        step: u64,
        wall_time: f64,
        entries: &[(String, Entry)],
    ) -> Result<(), EventLogError> {
        let mut line = serde_json::Map::with_capacity(entries.len() + 2);
        line.insert("step".to_owned(), step.into());
        line.insert("time".to_owned(), wall_time.into());
        for (tag, entry) in entries {
            line.insert(tag.clone(), entry.json());
        }
        writeln!(self.lines, "{}", serde_json::Value::Object(line))
            .map_err(|source| EventLogError { path: self.lines_path.clone(), source })
    }
}

impl Entry {
    fn value(self, tag: String) -> Value {
        match self {
            Self::Scalar(value) => Value { tag, simple_value: Some(value as f32), histogram: None },
            Self::Counts(counts) => {
                Value { tag, simple_value: None, histogram: Some(Histogram::of_counts(&counts)) }
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            // Numbers that JSON has no word for become null.
            Self::Scalar(value) => (*value).into(),
            Self::Counts(counts) => counts.iter().map(|(&number, &count)| vec![number, count]).collect(),
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "last scalars of the event log are lost");
        }
    }
}

/// Creates `events.out.tfevents.<unix>.<host>`, with a number behind it where a restart was that quick.
fn create_event_file(dir: &Path) -> Result<(File, PathBuf), EventLogError> {
    let stem =
        format!("events.out.tfevents.{:010}.{}", clock::calendar_seconds() as u64, vpt_runtime::host::name());
    for attempt in 0..NAMES_PER_SECOND {
        let name = if attempt == 0 { stem.clone() } else { format!("{stem}.{attempt}") };
        let path = dir.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(EventLogError { path, source }),
        }
    }
    Err(EventLogError { path: dir.join(stem), source: std::io::ErrorKind::AlreadyExists.into() })
}

/// Opens the JSON lines for appending and cuts off a last line that a crash left torn.
fn open_lines(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = [0_u8; 4096];
    // Backwards, block by block, to the last line feed: the file may be large.
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(line_feed) = part.iter().rposition(|&byte| byte == b'\n') {
            end = start + line_feed as u64 + 1;
            break;
        }
        end = start;
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_of(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        tfrecord::read_all(&bytes).unwrap().into_iter().map(|record| Event::decode(record).unwrap()).collect()
    }

    #[test]
    fn event_file_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(dir.path()).unwrap();
        log.scalar("losses/policy_loss", 7, 0.5).unwrap();
        log.scalar("charts/SPS", 7, 0.0).unwrap();
        log.scalar("losses/policy_loss", 8, -1.25).unwrap();
        log.flush().unwrap();
        let events = events_of(log.events_path());
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(events[1].step, 7);
        let values = &events[1].summary.as_ref().unwrap().value;
        assert_eq!(values[0], Entry::Scalar(0.5).value("losses/policy_loss".into()));
        assert_eq!(values[1], Entry::Scalar(0.0).value("charts/SPS".into()));
        assert_eq!(events[2].step, 8);
        let name = log.events_path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
    }

    #[test]
    fn counts_are_a_histogram() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(dir.path()).unwrap();
        log.counts("charts/staleness_versions", 4, BTreeMap::from([(1, 3), (3, 2)])).unwrap();
        log.flush().unwrap();
        let events = events_of(log.events_path());
        let histogram = events[1].summary.as_ref().unwrap().value[0].histogram.clone().unwrap();
        assert_eq!((histogram.min, histogram.max, histogram.count), (1.0, 3.0, 5.0));
        assert_eq!((histogram.sum, histogram.sum_of_squares), (9.0, 21.0));
        assert_eq!(histogram.bucket_limits, [0.5, 1.5, 2.5, 3.5]);
        assert_eq!(histogram.buckets, [0.0, 3.0, 0.0, 2.0]);
        assert_eq!(Histogram::of_counts(&BTreeMap::new()), Histogram::default());
    }

    #[test]
    fn resume_opens_a_new_event_file_and_appends_lines() {
        let dir = tempfile::tempdir().unwrap();
        let first = {
            let mut log = EventLog::open(dir.path()).unwrap();
            log.scalar("a", 1, 1.0).unwrap();
            log.events_path().to_owned()
        };
        let lines_path = dir.path().join("metrics.jsonl");
        let mut torn = OpenOptions::new().append(true).open(&lines_path).unwrap();
        torn.write_all(b"{\"step\":2,\"ti").unwrap();
        let mut log = EventLog::open(dir.path()).unwrap();
        log.scalar("a", 3, f64::NAN).unwrap();
        log.flush().unwrap();
        assert_ne!(first, log.events_path());
        assert_eq!(events_of(&first).len(), 2);
        let text = std::fs::read_to_string(&lines_path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["step"], &lines[0]["a"]), (&1.into(), &1.0.into()));
        assert_eq!((&lines[1]["step"], &lines[1]["a"]), (&3.into(), &serde_json::Value::Null));
    }

    #[test]
    fn unwritable_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("taken");
        std::fs::write(&file, b"").unwrap();
        let error = EventLog::open(&file).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
    }
}
