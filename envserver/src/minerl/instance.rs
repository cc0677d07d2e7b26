//! One running game: its folder, display, processes and connection.

use std::io::PipeWriter;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use x11rb::rust_connection::RustConnection;

use super::client::{Client, Seen};
use super::config::MineRlConfig;
use super::error::MineRlError;
use super::install::{Installation, SCRIPT};
use super::log::Log;
use super::mission::Mission;
use super::wire::WireError;
use crate::games::display::Display;
use crate::games::folder::{Folder, Kind, end_processes};
use crate::metrics;
use crate::world::Action;

/// What tells our games from others.
const KIND: Kind =
    Kind { name: "minerl", mark: "VPT_MINERL_FOLDER", count_reaped: metrics::count_minerl_reaped };
/// The screen of an X server; the game's window is smaller.
const SCREEN: (usize, usize) = (1280, 1024);
/// Between two looks at a game that comes up.
const LOOK: Duration = Duration::from_millis(50);
/// A game that is not needed any more has so long to end by itself.
const FAREWELL: Duration = Duration::from_secs(5);
/// A game that has just closed its connection has so long to end, so that it can be said how it did.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// A game. Fields are dropped in this order: the processes first, their folder last.
pub(super) struct Instance {
    processes: Processes,
    client: Client,
    _display: Option<PrivateDisplay>,
    log: Log,
    _folder: Folder,
    began: Instant,
    config: MineRlConfig,
    /// Steps played.
    pub(super) steps: u64,
}

/// The launcher and all that it started; ended when dropped, and with this process however that ends.
struct Processes {
    launcher: Child,
    /// Leads the group of all of them, and ends it when nobody holds the other end of its input any more.
    guard: Child,
    _held: PipeWriter,
    folder: PathBuf,
}

/// What the guard does: its input has no line, but it ends.
const GUARD: &str = "read nothing; kill -KILL 0";

impl Processes {
    fn start(mut launcher: Command, folder: &Folder) -> std::io::Result<Self> {
        let (input, held) = std::io::pipe()?;
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", GUARD]).stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own also keeps a Ctrl-C at the terminal away: the envserver ends its games itself.
        let mut guard = guard.process_group(0).spawn()?;
        let group = i32::try_from(guard.id()).map_err(std::io::Error::other)?;
        let launcher = launcher.process_group(group).spawn().inspect_err(|_| {
            // It is alone, and would be as long as this process lives.
            let _ = guard.kill();
            let _ = guard.wait();
        })?;
        Ok(Self { launcher, guard, _held: held, folder: folder.path().to_owned() })
    }

    fn ended(&mut self) -> Option<String> {
        self.launcher.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The launcher is a shell and the game its child: both are in the guard's group.
        let group = i32::try_from(self.guard.id()).map(Pid::from_raw);
        // They may have ended by themselves.
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.launcher.wait();
        let _ = self.guard.wait();
        // What has left the group bears the mark.
        end_processes(KIND.mark, &self.folder);
    }
}

/// An X server, and a connection that keeps it from ending between two of the game's.
struct PrivateDisplay {
    _connection: RustConnection,
    display: Display,
}

impl PrivateDisplay {
    fn start(xvfb: &Path, folder: &Folder) -> Result<Self, MineRlError> {
        let display = Display::start(xvfb, SCREEN, folder)?;
        let fault = |error: x11rb::errors::ConnectError| MineRlError::Display {
            program: xvfb.display().to_string(),
            said: format!(" that can be connected to: {error}"),
        };
        let (connection, _) = x11rb::connect(Some(display.name())).map_err(fault)?;
        Ok(Self { _connection: connection, display })
    }
}

impl Instance {
    /// Launches a game and waits until it can be spoken to.
    pub(super) fn start(config: &MineRlConfig) -> Result<Self, MineRlError> {
        let installation = Installation::find(config)?;
        let folder = Folder::new(KIND, &config.folder)?;
        let io = |source| MineRlError::Folder { path: folder.path().to_owned(), source };
        let place = folder.path().join("game");
        installation.link(&place).map_err(io)?;
        let display = match &installation.xvfb {
            Some(xvfb) => Some(PrivateDisplay::start(xvfb, &folder)?),
            None => None,
        };
        let name = display.as_ref().map_or(config.display.as_str(), |display| display.display.name());
        let began = Instant::now();
        let (mut processes, log) = launch(config, &place, name, &folder).map_err(io)?;
        let client = come_up(&mut processes, &log, config)?;
        metrics::count_minerl_game("started");
        let config = config.clone();
        Ok(Self { processes, client, _display: display, log, _folder: folder, began, config, steps: 0 })
    }

    /// Whether the game is to be replaced before an episode of so many steps.
    pub(super) fn is_worn(&self, episode_steps: u64) -> bool {
        let is_old = self.began.elapsed() > self.config.recycle_age();
        is_old || (self.steps > 0 && self.steps + episode_steps > self.config.recycle_steps)
    }

    /// Starts an episode: its first observation.
    pub(super) fn begin(&mut self, mission: &Mission) -> Result<Seen, MineRlError> {
        let patience = self.config.mission_timeout();
        let (quit, key) = ("to go to its menu", "mission_timeout_seconds");
        self.client.quit(patience).map_err(|error| self.fault(error, (quit, patience, key)))?;
        if let Err(error) = self.client.start(mission, patience) {
            return Err(match error {
                WireError::Late => {
                    MineRlError::NoWorld { seconds: patience.as_secs_f64(), said: self.log.said() }
                }
                other => self.fault(other, ("a mission", patience, key)),
            });
        }
        let patience = self.config.step_timeout();
        let peek = ("what there is to see", patience, "step_timeout_seconds");
        self.client.peek(patience).map_err(|error| self.fault(error, peek))
    }

    /// Plays one tick.
    pub(super) fn step(&mut self, action: &Action) -> Result<Seen, MineRlError> {
        let patience = self.config.step_timeout();
        let step = ("a step", patience, "step_timeout_seconds");
        self.steps += 1;
        self.client.step(action, patience).map_err(|error| self.fault(error, step))
    }

    /// The last picture: RGB, the top row first.
    pub(super) fn picture(&self) -> &[u8] {
        &self.client.picture
    }

    /// The launcher's process, for tests and for those who look after its memory.
    pub(super) fn id(&self) -> u32 {
        self.processes.launcher.id()
    }

    /// Ends a game that is well: it is asked to, and gets a moment.
    pub(super) fn end(mut self) {
        if self.client.exit(FAREWELL).is_ok() {
            let asked = Instant::now();
            while self.processes.ended().is_none() && asked.elapsed() < FAREWELL {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// What an error of the connection means for the game.
    fn fault(
        &mut self,
        error: WireError,
        (what, patience, key): (&'static str, Duration, &'static str),
    ) -> MineRlError {
        if matches!(error, WireError::Closed) {
            let closed = Instant::now();
            while closed.elapsed() < LAST_BREATH {
                if let Some(status) = self.processes.ended() {
                    self.log.settle();
                    return MineRlError::Ended { status, said: self.log.said() };
                }
                std::thread::sleep(LOOK);
            }
        }
        tracing::debug!(output = self.log.tail(), "the last that a game said");
        let said = self.log.said();
        match error {
            WireError::Closed => MineRlError::Ended { status: "it closed the connection".to_owned(), said },
            WireError::Late => MineRlError::Hung { what, seconds: patience.as_secs_f64(), key, said },
            WireError::Io(error) => MineRlError::Ended { status: error.to_string(), said },
            source => MineRlError::BadMessage { source, said },
        }
    }
}

fn launch(
    config: &MineRlConfig,
    place: &Path,
    display: &str,
    folder: &Folder,
) -> std::io::Result<(Processes, Log)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (output, input) = std::io::pipe()?;
    let (mark, path) = folder.mark();
    let mut command = Command::new(place.join(SCRIPT));
    command
        .args(["-port", &free_port()?.to_string(), "-env", "-runDir"])
        .arg(place.join("run"))
        .args(["-maxMem", &config.max_memory])
        .env("DISPLAY", display)
        .env(mark, path)
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input);
    if !config.java.is_empty() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let java = Path::new(&config.java).join("bin");
        let folders = std::iter::once(java).chain(std::env::split_paths(&path));
        command.env("JAVA_HOME", &config.java);
        command.env("PATH", std::env::join_paths(folders).map_err(std::io::Error::other)?);
    }
    let name = format!("minerl-log-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let log = Log::follow(output, name)?;
    Ok((Processes::start(command, folder)?, log))
}

/// A port that is free now; a game that finds it taken all the same takes another one and says so.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until a game has said its port and takes a connection there.
fn come_up(processes: &mut Processes, log: &Log, config: &MineRlConfig) -> Result<Client, MineRlError> {
    let (began, longest) = (Instant::now(), config.start_timeout());
    loop {
        if let Some(status) = processes.ended() {
            log.settle();
            return Err(MineRlError::NoStart { why: format!("it ended with {status}"), said: log.said() });
        }
        let left = longest.saturating_sub(began.elapsed());
        match log.port() {
            Some(port) => match Client::connect(port, left.max(LOOK)) {
                Ok(client) => return Ok(client),
                Err(_) if left.is_zero() => return Err(MineRlError::Refused { port, said: log.said() }),
                // It may take a moment more.
                Err(_) => {}
            },
            None if left.is_zero() => {
                let why = format!(
                    "no port after {} s, envserver.minerl.start_timeout_seconds",
                    longest.as_secs_f64()
                );
                return Err(MineRlError::NoStart { why, said: log.said() });
            }
            None => {}
        }
        std::thread::sleep(LOOK);
    }
}
