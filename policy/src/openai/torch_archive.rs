//! `.weights` and `.pt` files: the zip archive that `torch.save` has written since torch 1.6.
//!
//! One folder holds `data.pkl`, a pickle of the state dict in which each tensor names a storage, and `data/<key>`, the
//! bytes of each storage, stored without compression. Nothing is unpacked to disk: records are looked up by exact
//! name, so that a path in a record's name has no meaning. Only little-endian files are read.

mod state_dict;
mod view;

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use zip::{CompressionMethod, ZipArchive};

use super::NamedTensors;
use super::error::OpenAiError;
use super::pickle::{self, Pickle};
use view::View;

/// How many times the file's length all tensors together may take: views of shared storages repeat numbers, and a tied
/// weight comes twice, but a file of a few bytes must not fill the memory.
const MAX_SHARING: u64 = 8;

/// The tensors of an archive of `length` bytes.
pub(super) fn read(reader: impl Read + Seek, length: u64) -> Result<NamedTensors, OpenAiError> {
    let mut archive = Archive::open(reader)?;
    archive.require_little_endian()?;
    let pickle = Pickle::parse(&archive.record("data.pkl", pickle::MAX_BYTES as u64)?)?;
    let views = state_dict::views(&pickle)?;
    archive.check(&views, length)?;

    // One storage in memory at a time.
    let mut by_storage: BTreeMap<&str, Vec<(&str, &View)>> = BTreeMap::new();
    for (name, view) in &views {
        by_storage.entry(&view.storage_key).or_default().push((name, view));
    }
    let mut tensors = NamedTensors::new();
    for (key, sharing) in by_storage {
        let storage = archive.record(&format!("data/{key}"), length)?;
        for (name, view) in sharing {
            tensors.insert(name.to_owned(), view.tensor(&storage)?);
        }
    }
    Ok(tensors)
}

/// An archive and the one folder in it.
struct Archive<R> {
    zip: ZipArchive<R>,
    folder: String,
}

impl<R: Read + Seek> Archive<R> {
    fn open(reader: R) -> Result<Self, OpenAiError> {
        let zip = ZipArchive::new(reader)?;
        if zip.has_duplicate_names() {
            return Err(OpenAiError::content("the archive", "without duplicates", "one with a name twice"));
        }
        let folder = sole_folder(zip.file_names_raw())?;
        Ok(Self { zip, folder })
    }

    /// The bytes of a record of at most `limit` bytes.
    fn record(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, OpenAiError> {
        let path = format!("{}/{name}", self.folder);
        let index = self.index(&path)?;
        let mut record = self.zip.by_index(index)?;
        if record.compression() != CompressionMethod::Stored || record.encrypted() {
            let expected = "stored without compression or encryption";
            return Err(OpenAiError::content(format!("record {name}"), expected, "not"));
        }
        let size = record.size();
        if size != record.compressed_size() || size > limit {
            let found = format!("announced as {size} bytes");
            return Err(OpenAiError::content(
                format!("record {name}"),
                format!("at most {limit} bytes"),
                found,
            ));
        }
        let mut bytes = Vec::new();
        // The limit is the file's length or less, so that memory is there for what the file claims to hold.
        bytes.reserve_exact(size as usize);
        record.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            let found = format!("{} bytes", bytes.len());
            return Err(OpenAiError::content(format!("record {name}"), format!("{size} bytes"), found));
        }
        Ok(bytes)
    }

    fn index(&self, path: &str) -> Result<usize, OpenAiError> {
        let missing = || OpenAiError::content("the archive", format!("one with {path:?}"), "without");
        self.zip.index_for_name_raw(path.as_bytes()).ok_or_else(missing)
    }

    /// Refuses the other byte order; files older than torch 2.0 do not say which they have, and have this one.
    fn require_little_endian(&mut self) -> Result<(), OpenAiError> {
        if self.index(&format!("{}/byteorder", self.folder)).is_err() {
            return Ok(());
        }
        let order = self.record("byteorder", 16)?;
        if order != b"little" {
            let found = String::from_utf8_lossy(&order).into_owned();
            return Err(OpenAiError::content("the byte order", "little", found));
        }
        Ok(())
    }

    /// Holds every view against its storage before any number is read.
    fn check(&self, views: &BTreeMap<String, View>, length: u64) -> Result<(), OpenAiError> {
        let mut problems = Vec::new();
        let mut storages = BTreeMap::new();
        let mut total = 0u64;
        for (name, view) in views {
            let checked = self.storage_size(view).and_then(|size| {
                storages.insert(&view.storage_key, size);
                view.check(size)
            });
            match checked {
                Ok(bytes) => total = total.saturating_add(bytes as u64),
                Err(problem) => problems.push(format!("{} {problem}", pickle::shortened(name))),
            }
        }
        if !problems.is_empty() {
            return Err(OpenAiError::Tensors { problems });
        }
        // Records may overlap in a file made for that, which would be read over and over.
        let stored = storages.values().fold(0u64, |sum, &size| sum.saturating_add(size));
        if stored > length {
            return Err(OpenAiError::Limit { what: "bytes of storages (the whole file)", limit: length });
        }
        let limit = length.saturating_mul(MAX_SHARING);
        if total > limit {
            return Err(OpenAiError::Limit { what: "bytes of tensors (eight times the file)", limit });
        }
        Ok(())
    }

    /// The bytes that the archive announces for a view's storage.
    fn storage_size(&self, view: &View) -> Result<u64, String> {
        let path = format!("{}/data/{}", self.folder, view.storage_key);
        let missing = || format!("needs storage {:?}, which is missing", view.storage_key);
        let index = self.zip.index_for_name_raw(path.as_bytes()).ok_or_else(missing)?;
        let record = self.zip.by_index_data(index).map_err(|error| error.to_string())?;
        Ok(record.size())
    }
}

/// The folder that holds a `data.pkl`, which must be one.
fn sole_folder<'a>(names: impl Iterator<Item = &'a [u8]>) -> Result<String, OpenAiError> {
    let mut folders = names.filter_map(|name| name.strip_suffix(b"/data.pkl"));
    let found = match (folders.next(), folders.next()) {
        (Some(folder), None) => return Ok(String::from_utf8_lossy(folder).into_owned()),
        (None, _) => "without",
        (Some(_), Some(_)) => "one with several",
    };
    Err(OpenAiError::content("the archive", "one with a single data.pkl", found))
}
