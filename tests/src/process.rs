//! The real `vpt` binary: run it, read it, signal it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_until;

/// The binary beside this test's own; `cargo test --workspace` builds it because the `vpt` package has
/// integration tests.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let target = own.parent().and_then(Path::parent).expect("tests live in target/PROFILE/deps");
    let binary = target.join("vpt");
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo test --workspace`, or `cargo build` first",
        binary.display()
    );
    binary
}

/// Runs `vpt` with `arguments` to its end.
///
/// # Panics
/// When it cannot be started.
pub fn vpt(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("vpt starts")
}

/// Exit code and everything printed.
pub fn outcome(output: &Output) -> (i32, String) {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

/// A `vpt` process whose output goes to a file; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `vpt` with `arguments`, output to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(arguments: &[&str], log: &Path) -> Self {
        Self::start_command(Command::new(binary()).args(arguments), log)
    }

    /// Starts a prepared command, output to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_command(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("second handle"))
            .stderr(file)
            .spawn()
            .expect("vpt starts");
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends `signal`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        signal_pid(self.child.id(), signal);
    }

    /// Its exit code (−1 for a signal) if it has ended.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn try_wait(&mut self) -> Option<i32> {
        self.child.try_wait().expect("own child").map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for its end and returns the exit code (−1 for a signal).
    ///
    /// # Panics
    /// After `seconds`, with what it printed.
    pub fn wait(&mut self, seconds: u64) -> i32 {
        let deadline = std::time::Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(code) = self.try_wait() {
                return code;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "still running after {seconds} s:\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until its output contains `text`.
    ///
    /// # Panics
    /// After `seconds`.
    pub fn wait_for(&self, text: &str, seconds: u64) {
        wait_until(&format!("`{text}` in {}", self.log.display()), seconds, || {
            self.output().contains(text).then_some(())
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `signal` to process `pid`.
///
/// # Panics
/// When there is no such process.
pub fn signal_pid(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal).expect("process is there");
}
