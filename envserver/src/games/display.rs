//! An X server of a game's own, without a screen.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use thiserror::Error;

use super::folder::Folder;
use super::said;

const LOG: &str = "xvfb.log";

/// There is no display to play on.
#[derive(Debug, Error)]
#[error("{program} gives no display{said}")]
pub(crate) struct DisplayError {
    /// Which program.
    pub(crate) program: String,
    /// What it said, ready to follow.
    pub(crate) said: String,
}

/// The server; ended when dropped, and by itself when its last client has gone, so also with a killed envserver.
pub(crate) struct Display {
    child: Child,
    name: String,
}

impl Display {
    /// Starts one with a screen of that size, under a number that it finds free.
    pub(crate) fn start(
        xvfb: &Path,
        (width, height): (usize, usize),
        folder: &Folder,
    ) -> Result<Self, DisplayError> {
        let fault = |said: String| DisplayError { program: xvfb.display().to_string(), said };
        let log = File::create(folder.path().join(LOG)).map_err(|error| fault(format!(": {error}")))?;
        let mut child = Command::new(xvfb)
            .args(["-displayfd", "1", "-nolisten", "tcp", "-terminate", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .env(folder.mark().0, folder.mark().1)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // A Ctrl-C at the terminal is for the envserver, which ends its games itself.
            .process_group(0)
            .spawn()
            .map_err(|error| fault(format!(": {error}")))?;
        // It writes its number when it can be connected to; when it ends first, there is none.
        let mut number = String::new();
        let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut number));
        let display = Self { child, name: format!(":{}", number.trim()) };
        if !matches!(read, Some(Ok(1..))) || number.trim().is_empty() {
            return Err(fault(said(&folder.read(LOG))));
        }
        Ok(display)
    }

    /// What `DISPLAY` is to be.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Killed, it leaves these; another server that has the number by now would have made them anew and hold them.
        if let Some(number) = self.name.strip_prefix(':').filter(|number| !number.is_empty()) {
            let own = |path: &str| {
                std::fs::read_to_string(path).is_ok_and(|id| id.trim() == self.child.id().to_string())
            };
            let lock = format!("/tmp/.X{number}-lock");
            if own(&lock) {
                let _ = std::fs::remove_file(lock);
                let _ = std::fs::remove_file(format!("/tmp/.X11-unix/X{number}"));
            }
        }
    }
}
