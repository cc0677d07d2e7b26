//! One file of the journal: a header, then records, each with its length and checksum.
//!
//! All numbers are little-endian. Header: `VPTJRNL\n`, u32 format version, u64 index of the first unroll. Record: u8
//! kind, u32 length, u32 CRC-32C of the body, body. An unroll's body: u16 length of the actor's name, the name, u64
//! incarnation, u32 slot, u64 sequence, u64 steps, then the encoded unroll. A publication's: u32 epoch, u64 sequence,
//! u64 unrolls consumed, 32 bytes of hash.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use vpt_proto::limits::MAX_UNROLL_BYTES;

use super::{Entry, JournalError, PublishMark, Record};
use crate::ledger::ActorKey;
use crate::version::Version;

/// Version of this layout.
pub const FORMAT_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"VPTJRNL\n";
/// Bytes of the header.
pub(super) const HEADER_BYTES: u64 = 20;
const RECORD_HEAD: usize = 9;
const UNROLL: u8 = 1;
const PUBLISHED: u8 = 2;
/// No record is longer: an unroll with its names.
const MAX_BODY: u64 = MAX_UNROLL_BYTES + 4096;

/// The header of a segment that begins with unroll `first`.
pub(super) fn header(first: u64) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..].copy_from_slice(&first.to_le_bytes());
    bytes
}

/// The start of an unroll's record: its head and everything of the body but the encoded unroll.
pub(super) fn unroll_prefix(entry: &Entry, encoded: &[u8]) -> Vec<u8> {
    let name = entry.actor.actor_id.as_bytes();
    let mut prefix = Vec::with_capacity(RECORD_HEAD + name.len() + 30);
    prefix.extend_from_slice(&[0; RECORD_HEAD]);
    // The handshake keeps names at 128 bytes.
    prefix.extend_from_slice(&(name.len() as u16).to_le_bytes());
    prefix.extend_from_slice(name);
    prefix.extend_from_slice(&entry.actor.incarnation.to_le_bytes());
    prefix.extend_from_slice(&entry.slot.to_le_bytes());
    prefix.extend_from_slice(&entry.sequence.to_le_bytes());
    prefix.extend_from_slice(&entry.steps.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&prefix[RECORD_HEAD..]), encoded);
    let length = prefix.len() - RECORD_HEAD + encoded.len();
    fill_head(&mut prefix, UNROLL, length, crc);
    prefix
}

/// The record of a publication.
pub(super) fn publish_record(mark: &PublishMark) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEAD];
    record.extend_from_slice(&mark.version.epoch.to_le_bytes());
    record.extend_from_slice(&mark.version.sequence.to_le_bytes());
    record.extend_from_slice(&mark.consumed.to_le_bytes());
    record.extend_from_slice(&mark.blake3);
    let crc = crc32c::crc32c(&record[RECORD_HEAD..]);
    let length = record.len() - RECORD_HEAD;
    fill_head(&mut record, PUBLISHED, length, crc);
    record
}

fn fill_head(record: &mut [u8], kind: u8, length: usize, crc: u32) {
    record[0] = kind;
    record[1..5].copy_from_slice(&(length as u32).to_le_bytes());
    record[5..9].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a segment's records in order.
#[derive(Debug)]
pub(super) struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    /// Where the next record begins.
    offset: u64,
    /// Index of the first unroll.
    pub(super) first: u64,
}

impl SegmentReader {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(JournalError::io("open", path))?;
        let length = file.metadata().map_err(JournalError::io("read", path))?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let damaged = |reason: &str| JournalError::Damaged {
            path: path.to_owned(),
            offset: 0,
            reason: reason.to_owned(),
        };
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact(&mut header).map_err(|_| damaged("it has no header"))?;
        if &header[..8] != MAGIC {
            return Err(damaged("it is not a journal"));
        }
        let mut rest = &header[8..];
        let (found, first) = (rest.get_u32_le(), rest.get_u64_le());
        if found != FORMAT_VERSION {
            return Err(JournalError::Format { path: path.to_owned(), found });
        }
        Ok(Self { path: path.to_owned(), file, length, offset: HEADER_BYTES, first })
    }

    /// Where the next record begins: after an error, the end of what is whole.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, JournalError> {
        if self.offset == self.length {
            return Ok(None);
        }
        match self.read() {
            Ok((record, bytes)) => {
                self.offset += bytes;
                Ok(Some(record))
            }
            Err(reason) => {
                Err(JournalError::Damaged { path: self.path.clone(), offset: self.offset, reason })
            }
        }
    }

    fn read(&mut self) -> Result<(Record, u64), String> {
        let left = self.length - self.offset;
        let mut head = [0; RECORD_HEAD];
        self.file.read_exact(&mut head).map_err(|_| "the record's head is cut off".to_owned())?;
        let mut rest = &head[..];
        let (kind, length, crc) = (rest.get_u8(), u64::from(rest.get_u32_le()), rest.get_u32_le());
        if length > MAX_BODY || length + RECORD_HEAD as u64 > left {
            return Err(format!("a record of {length} bytes where {left} are left"));
        }
        let mut body = vec![0; length as usize];
        self.file.read_exact(&mut body).map_err(|error| error.to_string())?;
        if crc32c::crc32c(&body) != crc {
            return Err("the checksum does not match".to_owned());
        }
        let body = Bytes::from(body);
        let record = match kind {
            UNROLL => unroll(body),
            PUBLISHED => published(body),
            _ => None,
        };
        let record = record.ok_or_else(|| format!("a record of kind {kind} that makes no sense"))?;
        Ok((record, length + RECORD_HEAD as u64))
    }
}

fn unroll(mut body: Bytes) -> Option<Record> {
    let name_length = usize::from(body.try_get_u16_le().ok()?);
    if body.len() < name_length {
        return None;
    }
    let actor_id = String::from_utf8(body.split_to(name_length).to_vec()).ok()?;
    let incarnation = body.try_get_u64_le().ok()?;
    let slot = body.try_get_u32_le().ok()?;
    let sequence = body.try_get_u64_le().ok()?;
    let steps = body.try_get_u64_le().ok()?;
    let entry = Entry { actor: ActorKey { actor_id, incarnation }, slot, sequence, steps };
    Some(Record::Unroll { entry, encoded: body })
}

fn published(mut body: Bytes) -> Option<Record> {
    let epoch = body.try_get_u32_le().ok()?;
    let sequence = body.try_get_u64_le().ok()?;
    let consumed = body.try_get_u64_le().ok()?;
    let blake3 = body.as_ref().try_into().ok()?;
    Some(Record::Published(PublishMark { version: Version::new(epoch, sequence), consumed, blake3 }))
}
