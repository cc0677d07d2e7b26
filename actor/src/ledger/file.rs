//! An actor's counts in a file of one page: written in place at every step, so that they are there after a kill -9.
//!
//! The file is one write of less than a page into the page cache, which no signal cuts in two; it costs a system call a
//! step of a group. A power cut may lose it, and with it the last steps before the cut.
//!
//! Layout: length u32, CRC-32C u32, both little-endian, then an encoded [`Predecessor`], then zeros up to [`FILE_BYTES`].

use crate::error::ActorError;
use prost::Message;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use vpt_proto::learner::v1::{ActorReport, Predecessor};

/// Size of the file, which never changes: a full disk cannot stop it from being written.
const FILE_BYTES: usize = 1024;
const HEADER_BYTES: usize = 8;

/// The file of this process, with the counts of the last one until it has some of its own.
#[derive(Debug)]
pub(crate) struct LedgerFile {
    file: File,
    path: PathBuf,
    incarnation: u64,
    failed: bool,
}

impl LedgerFile {
    /// Opens or makes the file at `path` for process `incarnation`; what the last one left is returned.
    ///
    /// # Errors
    /// When it cannot be opened or read, or holds something else.
    pub(crate) fn open(path: &Path, incarnation: u64) -> Result<(Self, Option<Predecessor>), ActorError> {
        let fail = |reason: String| ActorError::Config {
            key: "actor.ledger_file",
            reason: format!("{}: {reason}", path.display()),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
        }
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| fail(error.to_string()))?;
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        (&mut file)
            .take(FILE_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(error.to_string()))?;
        let before = match bytes.iter().all(|&byte| byte == 0) {
            // New, or made and never written to.
            true => None,
            false => Some(decode(&bytes).ok_or_else(|| {
                fail("is damaged or not a ledger file; delete it, or name another one".to_owned())
            })?),
        };
        if bytes.len() < FILE_BYTES {
            bytes.resize(FILE_BYTES, 0);
            file.write_all_at(&bytes, 0).map_err(|error| fail(error.to_string()))?;
        }
        Ok((Self { file, path: path.to_owned(), incarnation, failed: false }, before))
    }

    /// Puts `report` in the place of the last one.
    pub(super) fn write(&mut self, report: ActorReport) {
        let kept = Predecessor { incarnation: self.incarnation, report: Some(report) };
        let written = match encode(&kept) {
            Some(bytes) => self.file.write_all_at(&bytes, 0),
            None => Err(std::io::Error::other("the counts do not fit")),
        };
        if let Err(error) = written {
            // Once: it costs the count of what a kill loses, and nothing else.
            if !std::mem::replace(&mut self.failed, true) {
                tracing::warn!(path = %self.path.display(), %error, "actor.ledger_file is not written");
            }
        }
    }
}

fn encode(kept: &Predecessor) -> Option<[u8; FILE_BYTES]> {
    let length = kept.encoded_len();
    let mut bytes = [0; FILE_BYTES];
    let mut body = bytes.get_mut(HEADER_BYTES..HEADER_BYTES + length)?;
    kept.encode(&mut body).ok()?;
    let checksum = crc32c::crc32c(&bytes[HEADER_BYTES..HEADER_BYTES + length]);
    bytes[..4].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    bytes[4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

fn decode(bytes: &[u8]) -> Option<Predecessor> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(number(0)?).ok()?;
    let body = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    if crc32c::crc32c(body) != number(4)? {
        return None;
    }
    Predecessor::decode(body).ok()
}
