//! Child processes of `vpt up`: started, watched, restarted with a count, stopped with a deadline.
//!
//! Every child runs in its own process group, so that Ctrl-C on the terminal reaches the launcher alone, and holds
//! a pipe to the launcher as standard input, so that it drains when the launcher is killed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::run_config::UpSection;

const RESTART_PAUSE: Duration = Duration::from_millis(300);
const LOG_TAIL_LINES: usize = 12;

/// How a supervised process ended for good.
#[derive(Debug, Clone)]
enum Ended {
    Done,
    Failed(String),
}

struct Process {
    stop: CancellationToken,
    ended: watch::Receiver<Option<Ended>>,
    task: JoinHandle<()>,
}

/// Keeps the processes of a run alive.
pub struct Supervisor {
    binary: PathBuf,
    logs: PathBuf,
    processes: BTreeMap<String, Process>,
    restarts: Arc<Mutex<BTreeMap<String, u64>>>,
    limits: UpSection,
    stop: CancellationToken,
}

impl Supervisor {
    /// Children are this same binary; their logs go to `logs/` in `dir`.
    ///
    /// # Errors
    /// The path of the running binary is not known.
    pub fn new(dir: &Path, limits: &UpSection, stop: CancellationToken) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find the running vpt binary")?;
        Ok(Self {
            binary,
            logs: dir.join("logs"),
            processes: BTreeMap::new(),
            restarts: Arc::default(),
            limits: limits.clone(),
            stop,
        })
    }

    /// Starts process `name` with `arguments`; from now on it is restarted whenever it ends. Only a
    /// learner may end by itself, when it has trained to its end.
    ///
    /// # Errors
    /// The process cannot be started or its log cannot be opened.
    pub fn start(&mut self, name: &str, arguments: Vec<String>) -> anyhow::Result<()> {
        let keeper = Keeper {
            name: name.to_owned(),
            binary: self.binary.clone(),
            arguments,
            log: self.logs.join(format!("{name}.log")),
            pid_file: self.logs.join(format!("{name}.pid")),
            stop: self.stop.child_token(),
            restarts: self.restarts.clone(),
            max_per_minute: self.limits.max_restarts_per_minute,
            drain: Duration::from_secs(self.limits.drain_seconds),
            ends_by_itself: name == "learner",
        };
        let running = keeper.spawn()?;
        let (sender, ended) = watch::channel(None);
        let stop = keeper.stop.clone();
        let task = tokio::spawn(async move {
            let outcome = keeper.keep(running).await;
            // The receiver lives in the supervisor; a send after its end tells no one.
            let _ = sender.send(Some(outcome));
        });
        self.processes.insert(name.to_owned(), Process { stop, ended, task });
        Ok(())
    }

    /// Waits until process `name` has ended for good.
    ///
    /// # Errors
    /// It failed too often; the message ends with the tail of its log.
    pub async fn wait(&self, name: &str) -> anyhow::Result<()> {
        let process = self.processes.get(name).with_context(|| format!("{name} was not started"))?;
        let mut ended = process.ended.clone();
        let outcome = ended.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(Ended::Failed(reason))) => anyhow::bail!(reason),
            _ => Ok(()),
        }
    }

    /// Asks process `name` to drain and waits for its end.
    pub async fn stop(&mut self, name: &str) {
        self.stop_together(|other| other == name).await;
    }

    /// Asks every actor to drain, all at once, and waits for their ends.
    pub async fn stop_actors(&mut self) {
        self.stop_together(|name| name.starts_with("actor-")).await;
    }

    /// Asks every process to drain and waits for their ends: consumers of streams before what serves them.
    pub async fn stop_all(&mut self) {
        if self.stop.is_cancelled() {
            self.stop_together(|_| true).await;
        }
        self.stop_together(|name| name != "learner" && name != "envserver").await;
        self.stop("learner").await;
        self.stop("envserver").await;
    }

    async fn stop_together(&mut self, chosen: impl Fn(&str) -> bool) {
        let names: Vec<String> = self.processes.keys().filter(|name| chosen(name)).cloned().collect();
        let stopping: Vec<Process> = names.iter().filter_map(|name| self.processes.remove(name)).collect();
        for process in &stopping {
            process.stop.cancel();
        }
        for process in stopping {
            // The keeper ends by itself: it kills what does not drain in time.
            let _ = process.task.await;
        }
    }

    /// Restarts by process name since this launcher started.
    pub fn restarts(&self) -> BTreeMap<String, u64> {
        self.restarts.lock().map(|restarts| restarts.clone()).unwrap_or_default()
    }
}

/// A child and the launcher's end of its standard input. Waiting for a child closes the input that it still owns,
/// so the pipe is kept apart: it must stay open for as long as the launcher lives.
struct Running {
    child: Child,
    _pipe: Option<ChildStdin>,
}

/// Keeps one process alive.
struct Keeper {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    pid_file: PathBuf,
    stop: CancellationToken,
    restarts: Arc<Mutex<BTreeMap<String, u64>>>,
    max_per_minute: usize,
    drain: Duration,
    ends_by_itself: bool,
}

impl Keeper {
    fn spawn(&self) -> anyhow::Result<Running> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let mut child = Command::new(&self.binary)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {} as {}", self.binary.display(), self.name))?;
        if let Some(pid) = child.id() {
            // Only a convenience for people who want to find the process.
            let _ = std::fs::write(&self.pid_file, pid.to_string());
        }
        let pipe = child.stdin.take();
        Ok(Running { child, _pipe: pipe })
    }

    async fn keep(&self, mut running: Running) -> Ended {
        let mut recent: VecDeque<Instant> = VecDeque::new();
        loop {
            let status = tokio::select! {
                status = running.child.wait() => status,
                () = self.stop.cancelled() => {
                    self.drain(&mut running.child).await;
                    return Ended::Done;
                }
            };
            match status {
                Ok(status) if status.success() && self.ends_by_itself => return Ended::Done,
                Ok(status) if status.code() == Some(i32::from(crate::commands::USAGE)) => {
                    return Ended::Failed(self.failure("refused its configuration"));
                }
                Ok(status) => self.note_restart(status),
                Err(error) => return Ended::Failed(format!("cannot wait for {}: {error}", self.name)),
            }
            recent.push_back(Instant::now());
            while recent.front().is_some_and(|at| at.elapsed() > Duration::from_secs(60)) {
                recent.pop_front();
            }
            if recent.len() > self.max_per_minute {
                return Ended::Failed(
                    self.failure(&format!("failed {} times within a minute", recent.len())),
                );
            }
            tokio::time::sleep(RESTART_PAUSE).await;
            running = match self.spawn() {
                Ok(running) => running,
                Err(error) => return Ended::Failed(format!("{error:#}")),
            };
        }
    }

    fn note_restart(&self, status: ExitStatus) {
        eprintln!("{} ended ({status}); restarting it", self.name);
        if let Ok(mut restarts) = self.restarts.lock() {
            *restarts.entry(self.name.clone()).or_default() += 1;
        }
    }

    async fn drain(&self, child: &mut Child) {
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended in between; then there is nothing to ask.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if tokio::time::timeout(self.drain, child.wait()).await.is_err() {
            eprintln!("{} did not drain within {} s; killing it", self.name, self.drain.as_secs());
            let _ = child.kill().await;
        }
        let _ = std::fs::remove_file(&self.pid_file);
    }

    fn failure(&self, what: &str) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
        format!("{} {what}; the end of {}:\n  {tail}", self.name, self.log.display())
    }
}
