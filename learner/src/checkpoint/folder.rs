//! The folder that holds a stage's checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use vpt_runtime::atomic_file;
use vpt_runtime::faults::{self, Part};

use super::{CheckpointError, FORMAT_VERSION, FileEntry, LATEST, MANIFEST_FILE, Manifest, Snapshot, Stored};
use crate::version::Version;

/// Counts learner starts, so that versions are monotonic even when no checkpoint was written.
const EPOCH_FILE: &str = "epoch";
/// Start of the names of folders still being written.
const TEMPORARY: &str = ".writing-";

/// Writes checkpoints, keeps the newest few, and finds the newest whole one.
#[derive(Debug)]
pub struct CheckpointFolder {
    dir: PathBuf,
    keep: usize,
}

impl CheckpointFolder {
    /// Opens `out/checkpoints`, creating it where needed, and clears what an interrupted write left.
    ///
    /// # Errors
    /// When the folder cannot be created or read.
    pub fn open(out: &Path, keep: usize) -> Result<Self, CheckpointError> {
        let dir = out.join("checkpoints");
        fs::create_dir_all(&dir).map_err(CheckpointError::io("create", &dir))?;
        let folder = Self { dir, keep: keep.max(1) };
        for name in folder.entries()?.into_iter().filter(|name| name.starts_with(TEMPORARY)) {
            let path = folder.dir.join(name);
            fs::remove_dir_all(&path).map_err(CheckpointError::io("remove", &path))?;
        }
        Ok(folder)
    }

    /// `out/checkpoints` as it is, for reading.
    pub(crate) fn existing(out: &Path) -> Self {
        Self { dir: out.join("checkpoints"), keep: usize::MAX }
    }

    /// Where the checkpoints lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many checkpoints stay.
    pub(crate) fn keep(&self) -> usize {
        self.keep
    }

    /// Raises the epoch and makes it durable; call before anything is published.
    ///
    /// # Errors
    /// When the counter cannot be read or written.
    pub fn raise_epoch(&self) -> Result<u32, CheckpointError> {
        let path = self.dir.join(EPOCH_FILE);
        let counted = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| CheckpointError::Damaged {
                path: path.clone(),
                reason: format!("{:?} is not a number", text.trim()),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(CheckpointError::io("read", &path)(error)),
        };
        // A copied folder may come without the counter.
        let newest = self.names()?.iter().filter_map(|name| version_of(name)).map(|v| v.epoch).max();
        let epoch = newest.unwrap_or(0).max(counted) + 1;
        atomic_file::write(&path, format!("{epoch}\n").as_bytes())
            .map_err(|error| CheckpointError::io("write", &error.path)(error.source))?;
        Ok(epoch)
    }

    /// Writes `snapshot`, names it in `latest`, and deletes the oldest beyond the number kept.
    ///
    /// # Errors
    /// When anything cannot be written; earlier checkpoints and `latest` are then untouched.
    pub fn write(&self, snapshot: &Snapshot) -> Result<PathBuf, CheckpointError> {
        let name = name_of(snapshot.version);
        let path = self.dir.join(&name);
        // A version is one set of weights: the state after it was saved already.
        if !path.exists() {
            let temporary = self.dir.join(format!("{TEMPORARY}{name}"));
            if let Err(error) = self.write_folder(snapshot, &temporary, &path) {
                // Best effort; the next start clears it too.
                let _ = fs::remove_dir_all(&temporary);
                return Err(error);
            }
        }
        atomic_file::write(&self.dir.join(LATEST), format!("{name}\n").as_bytes())
            .map_err(|error| CheckpointError::io("write", &error.path)(error.source))?;
        self.prune(&name);
        Ok(path)
    }

    fn write_folder(
        &self,
        snapshot: &Snapshot,
        temporary: &Path,
        path: &Path,
    ) -> Result<(), CheckpointError> {
        if temporary.exists() {
            fs::remove_dir_all(temporary).map_err(CheckpointError::io("remove", temporary))?;
        }
        fs::create_dir(temporary).map_err(CheckpointError::io("create", temporary))?;
        let mut files = BTreeMap::new();
        for (name, bytes) in &snapshot.files {
            write_synced(&temporary.join(name), bytes)?;
            let entry =
                FileEntry { blake3: blake3::hash(bytes).to_hex().to_string(), bytes: bytes.len() as u64 };
            files.insert((*name).to_owned(), entry);
        }
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            architecture: snapshot.policy.fingerprint(),
            policy: snapshot.policy.clone(),
            version: snapshot.version,
            stage: snapshot.stage.to_owned(),
            files,
        };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|source| CheckpointError::State { path: path.to_owned(), source })?;
        write_synced(&temporary.join(MANIFEST_FILE), &text)?;
        atomic_file::sync_folder(temporary).map_err(CheckpointError::io("sync", temporary))?;
        fs::rename(temporary, path).map_err(CheckpointError::io("create", path))?;
        atomic_file::sync_folder(&self.dir).map_err(CheckpointError::io("sync", &self.dir))
    }

    /// The newest whole checkpoint of `architecture`: the one `latest` names, or the newest older one when that is
    /// damaged. `None` when there is none at all.
    ///
    /// # Errors
    /// When the newest is of another architecture or format, or all are damaged (the newest one's reason).
    pub fn newest(&self, architecture: &str) -> Result<Option<Stored>, CheckpointError> {
        let mut names = self.names()?;
        let latest = self.dir.join(LATEST);
        if let Ok(named) = fs::read_to_string(&latest) {
            // What `latest` does not name yet was written whole, but is not said to be; older is the safer side.
            names.retain(|name| name.as_str() <= named.trim());
        }
        let mut first_failure = None;
        for name in names.into_iter().rev() {
            let path = self.dir.join(name);
            match super::read(&path, &[]) {
                Ok(stored) if stored.manifest.architecture != architecture => {
                    return Err(CheckpointError::Architecture {
                        path,
                        found: stored.manifest.architecture,
                        expected: architecture.to_owned(),
                    });
                }
                Ok(stored) => return Ok(Some(stored)),
                Err(error @ CheckpointError::Version { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "checkpoint not usable, trying the one before");
                    first_failure.get_or_insert(error);
                }
            }
        }
        first_failure.map_or(Ok(None), Err)
    }

    /// Names of all checkpoints, oldest first.
    pub(super) fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let mut names = self.entries()?;
        names.retain(|name| version_of(name).is_some());
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn entries(&self) -> Result<Vec<String>, CheckpointError> {
        let listing = fs::read_dir(&self.dir).map_err(CheckpointError::io("list", &self.dir))?;
        Ok(listing.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    /// Deletes all but the newest few; `newest` always stays. A failure costs space, not the run.
    fn prune(&self, newest: &str) {
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => return tracing::warn!(%error, "old checkpoints not deleted"),
        };
        let excess = names.len().saturating_sub(self.keep);
        for name in names.iter().take(excess).filter(|name| *name != newest) {
            let path = self.dir.join(name);
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "old checkpoint not deleted");
            }
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        faults::sleep(Part::Disk);
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(CheckpointError::io("write", path))
}

fn name_of(version: Version) -> String {
    format!("{:08}-{:012}", version.epoch, version.sequence)
}

fn version_of(name: &str) -> Option<Version> {
    let (epoch, sequence) = name.split_once('-')?;
    let version = Version::new(epoch.parse().ok()?, sequence.parse().ok()?);
    (name_of(version) == name).then_some(version)
}
