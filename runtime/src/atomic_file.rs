//! Files that are whole or absent: written beside their place, synced, renamed, and the folder synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file could not be put in its place; whatever was there before is untouched.
#[derive(Debug, thiserror::Error)]
#[error("could not write {}: {source}; the earlier file, if any, is unchanged", path.display())]
pub struct AtomicFileError {
    /// The file that was to be written.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl AtomicFileError {
    /// True when the disk or quota is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Replaces `path` by a file holding `bytes`; after success it survives a power cut.
///
/// # Errors
/// Any failed step; the temporary file is removed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), AtomicFileError> {
    let fail = |source| AtomicFileError { path: path.to_owned(), source };
    let temporary = temporary_name(path).map_err(fail)?;
    let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = written {
        // Best effort: the error worth reporting is the first one.
        let _ = fs::remove_file(&temporary);
        return Err(fail(source));
    }
    sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(fail)
}

/// Makes a rename or a removal inside `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failure_names_the_path_and_keeps_the_old() {
        let folder = tempfile::tempdir().unwrap();
        // A folder in the file's place makes the rename fail.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"kept").unwrap();
        let error = write(&path, b"new").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "temporary file left behind");
        let error = write(&folder.path().join("none/x"), b"").unwrap_err();
        assert!(error.to_string().contains("none/x") && !error.is_disk_full(), "{error}");
    }
}
