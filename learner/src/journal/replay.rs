//! The journal's records read again, from one unroll on.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::segment::SegmentReader;
use super::writer::segment_paths;
use super::{Entry, JournalError, PublishMark, Record};

/// Records in order, read as they are asked for.
#[derive(Debug)]
pub(crate) struct Replay {
    paths: VecDeque<PathBuf>,
    reader: Option<SegmentReader>,
    /// Index of the next unroll in the file.
    at: u64,
    from: u64,
    /// Unrolls recorded later than this are live ones.
    end: u64,
}

impl Replay {
    pub(super) fn new(paths: VecDeque<PathBuf>, from: u64, end: u64) -> Self {
        Self { paths, reader: None, at: 0, from, end }
    }

    /// The journal below `out` from unroll `from` to before `end`, without opening it for writing.
    pub(crate) fn open(out: &Path, from: u64, end: u64) -> Result<Self, JournalError> {
        Ok(Self::new(segment_paths(&out.join("journal"))?.into(), from, end))
    }

    /// Nothing to replay.
    pub(crate) fn empty() -> Self {
        Self::new(VecDeque::new(), 0, 0)
    }

    /// Unrolls still to come.
    pub(crate) fn left(&self) -> u64 {
        self.end.saturating_sub(self.at.max(self.from))
    }

    /// The next record at or after the first wanted unroll; none when all are read.
    ///
    /// # Errors
    /// A damaged record.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some(path) = self.paths.pop_front() else { return Ok(None) };
                let reader = SegmentReader::open(&path)?;
                self.at = reader.first;
                self.reader = Some(reader);
                continue;
            };
            // What comes after may be in the middle of being written.
            if self.at >= self.end {
                return Ok(None);
            }
            match reader.next()? {
                None => self.reader = None,
                Some(record) => {
                    let wanted = self.at >= self.from;
                    self.at += u64::from(matches!(record, Record::Unroll { .. }));
                    if wanted {
                        return Ok(Some(record));
                    }
                }
            }
        }
    }
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Index of the first unroll.
    pub(crate) first: u64,
    /// Index after the last whole one.
    pub(crate) end: u64,
    /// Every publication.
    pub(crate) marks: Vec<PublishMark>,
}

/// Looks through the journal below `out`; a record cut off at the very end is passed over.
pub(crate) fn survey(out: &Path) -> Result<Survey, JournalError> {
    let paths = segment_paths(&out.join("journal"))?;
    let last = paths.len().saturating_sub(1);
    let mut survey = Survey::default();
    for (n, path) in paths.iter().enumerate() {
        let mut reader = SegmentReader::open(path)?;
        if n == 0 {
            (survey.first, survey.end) = (reader.first, reader.first);
        }
        loop {
            match reader.next() {
                Ok(Some(Record::Unroll { .. })) => survey.end += 1,
                Ok(Some(Record::Published(mark))) => survey.marks.push(mark),
                Ok(None) => break,
                Err(JournalError::Damaged { .. }) if n == last => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(survey)
}

/// The unrolls named in the journal files of `folder`, in their order, each as often as it is there; records cut off at
/// the ends of files are passed over.
///
/// # Errors
/// When a file cannot be read or is no journal.
pub fn entries(folder: &Path) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    for path in segment_paths(folder)? {
        let mut reader = SegmentReader::open(&path)?;
        loop {
            match reader.next() {
                Ok(Some(Record::Unroll { entry, .. })) => entries.push(entry),
                Ok(Some(Record::Published(_))) => {}
                Ok(None) | Err(JournalError::Damaged { .. }) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(entries)
}
