//! A game's own folder, and what is left of games whose envserver was killed.
//!
//! While a game lives, its envserver holds a lock on a file beside the folder. Whoever makes a folder first looks for
//! locks that nobody holds: such a game's processes are ended and its folder is removed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use thiserror::Error;

/// A kind of game; folders of one kind know nothing of the others.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// What its folders' own folder is called where none is configured.
    pub(crate) name: &'static str,
    /// Processes of a game have it in their environment, with the game's folder.
    pub(crate) mark: &'static str,
    /// Counts a game that was left and removed.
    pub(crate) count_reaped: fn(),
}

/// A file or folder that could not be made.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub(crate) struct FolderError {
    /// Which.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) source: std::io::Error,
}

/// The end of a lock's name.
const LOCK: &str = "lock";

/// A folder that nobody else has; removed when dropped.
pub(crate) struct Folder {
    kind: Kind,
    path: PathBuf,
    lock: PathBuf,
    /// Locked for as long as this process lives.
    _held: File,
}

impl Folder {
    /// A new folder below `base`, after what is left there was removed.
    pub(crate) fn new(kind: Kind, base: &str) -> Result<Self, FolderError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let base = if base.is_empty() {
            // Of each user its own.
            let user = fs::metadata("/proc/self").map_or(0, |process| process.uid());
            std::env::temp_dir().join(format!("vpt-{}-{user}", kind.name))
        } else {
            PathBuf::from(base)
        };
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError { path, source }
        };
        private(&base).map_err(fault(&base))?;
        // Held while locks are made or judged: one that is not yet locked is not taken for one that was left.
        let gate = base.join("gate");
        let held = lock_file(&gate).map_err(fault(&gate))?;
        held.lock().map_err(fault(&gate))?;
        reap(kind, &base);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (path, lock) = (base.join(&name), base.join(format!("{name}.{LOCK}")));
        let held = lock_file(&lock).map_err(fault(&lock))?;
        held.lock().map_err(fault(&lock))?;
        private(&path).map_err(fault(&path))?;
        Ok(Self { kind, path, lock, _held: held })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// For the environment of the game's processes: without it they are not found when this process is killed.
    pub(crate) fn mark(&self) -> (&'static str, &Path) {
        (self.kind.mark, &self.path)
    }

    /// Writes a file in it, with the folders on the way.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let write = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, content)
        };
        write().map_err(|source| FolderError { path: path.clone(), source })
    }

    /// What a log in it says so far.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read(self.path.join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path, &self.lock);
    }
}

/// A folder that only its user may enter.
fn private(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn lock_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn remove(folder: &Path, lock: &Path) {
    let removed = fs::remove_dir_all(folder).and_then(|()| fs::remove_file(lock));
    if let Err(error) = removed {
        tracing::warn!(folder = %folder.display(), %error, "a game's folder could not be removed");
    }
}

/// Ends and removes the games whose envservers are gone.
fn reap(kind: Kind, base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for lock in entries.flatten().map(|entry| entry.path()) {
        let is_lock = lock.extension().is_some_and(|extension| extension == LOCK);
        let is_left = || lock_file(&lock).is_ok_and(|file| file.try_lock().is_ok());
        if is_lock && is_left() {
            let folder = lock.with_extension("");
            let ended = end_processes(kind.mark, &folder);
            (kind.count_reaped)();
            tracing::warn!(folder = %folder.display(), processes = ended, "removed what was left of a game");
            if !folder.exists() {
                // Its folder was never made.
                drop(fs::remove_file(&lock));
                continue;
            }
            remove(&folder, &lock);
        }
    }
}

/// Ends the processes that have that mark and folder in their environment; how many.
pub(crate) fn end_processes(mark: &str, folder: &Path) -> usize {
    let mark = [mark.as_bytes(), b"=", folder.as_os_str().as_encoded_bytes()].concat();
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let mut ended = 0;
    for process in processes.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Other people's cannot be read.
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
            // It may have ended by itself meanwhile.
            ended += usize::from(kill(Pid::from_raw(id), Signal::SIGKILL).is_ok());
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const KIND: Kind = Kind { name: "test", mark: "VPT_TEST_FOLDER", count_reaped: || {} };

    #[test]
    fn a_folder_is_removed_with_its_owner_and_others_are_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let text = base.path().to_str().unwrap();
        let (one, two) = (Folder::new(KIND, text).unwrap(), Folder::new(KIND, text).unwrap());
        one.write("a/b", b"content").unwrap();
        assert_eq!((one.read("a/b").as_str(), one.read("c").as_str()), ("content", ""));
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().is_dir());
    }

    #[test]
    fn what_a_killed_envserver_left_is_ended_and_removed() {
        let base = tempfile::tempdir().unwrap();
        let left = base.path().join("1-0");
        fs::create_dir(&left).unwrap();
        fs::write(base.path().join("1-0.lock"), "").unwrap();
        let mut orphan = Command::new("sleep").arg("600").env(KIND.mark, &left).spawn().unwrap();
        // A process has its environment a moment after it was started.
        while fs::read(format!("/proc/{}/environ", orphan.id())).unwrap().is_empty() {
            std::thread::yield_now();
        }
        let folder = Folder::new(KIND, base.path().to_str().unwrap()).unwrap();
        assert!(!left.exists() && !base.path().join("1-0.lock").exists() && folder.path().is_dir());
        assert!(!orphan.wait().unwrap().success());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = Folder::new(KIND, file.path().to_str().unwrap()).err().unwrap().to_string();
        assert!(text.contains(file.path().to_str().unwrap()), "{text}");
    }
}
