//! One running game: its folder, display and process, in lockstep.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::config::LuantiConfig;
use super::error::LuantiError;
use super::programs::{Programs, SHIM};
use super::report::{Report, Told};
use super::seat::Seat;
use super::shared::{LOOK, Page};
use crate::games::display::Display;
use crate::games::folder::{Folder, Kind};
use crate::games::said;
use crate::metrics;

const KIND: Kind = Kind { name: "luanti", mark: "VPT_LUANTI_FOLDER", count_reaped: metrics::count_reaped };

const SETTINGS: &str = include_str!("../../luanti/minetest.conf");
/// The script that starts episodes and tells what happens, as a mod of the game's.
const SCRIPT: [(&str, &str); 7] = [
    ("mod.conf", include_str!("../../luanti/vpt/mod.conf")),
    ("init.lua", include_str!("../../luanti/vpt/init.lua")),
    ("events.lua", include_str!("../../luanti/vpt/events.lua")),
    ("changes.lua", include_str!("../../luanti/vpt/changes.lua")),
    ("places.lua", include_str!("../../luanti/vpt/places.lua")),
    ("episode.lua", include_str!("../../luanti/vpt/episode.lua")),
    ("state.lua", include_str!("../../luanti/vpt/state.lua")),
];
const WORLD: &str = "gameid = minetest_game\nbackend = sqlite3\nplayer_backend = sqlite3\nauth_backend = sqlite3\n\
                     mod_storage_backend = sqlite3\nworld_name = vpt\nload_mod_vpt = true\n";
const LOG: &str = "game.log";
/// What the game says when its port is taken: it chooses one by chance.
const PORT_TAKEN: &str = "Failed to bind socket";
/// A game that has drawn so many frames without its player has lost its way to its own server, which happens to games
/// that start together on a busy machine; it is ten times what a start takes.
const LOST_AFTER: u32 = 20_000;
/// So often a game is started whose port was taken or that lost its way.
const TRIES: u32 = 4;
/// The mouse's sensitivity at which a pixel is 0.15 degrees, with the game's vertical field of view of 70 degrees.
const MOUSE_SENSITIVITY: f64 = 0.155_641_6;

/// A game in lockstep, and the person's place at it. Fields are dropped in this order: the process first, its folder last.
pub(super) struct Game {
    process: Process,
    pub(super) seat: Seat,
    _display: Display,
    pub(super) page: Page,
    report: Report,
    folder: Folder,
    step_timeout: Duration,
    unsettled: u32,
}

/// A process that is ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Game {
    /// Starts a game on the land of that seed and waits until its player stands there, in lockstep.
    pub(super) fn start(config: &LuantiConfig, map_seed: u64) -> Result<Self, LuantiError> {
        let mut started = Self::try_start(config, map_seed);
        for _ in 1..TRIES {
            match &started {
                Err(error @ (LuantiError::PortTaken { .. } | LuantiError::NoPlayer { .. })) => {
                    metrics::count_game(error.outcome());
                    tracing::warn!(%error, "a game is started again");
                }
                _ => break,
            }
            started = Self::try_start(config, map_seed);
        }
        started
    }

    fn try_start(config: &LuantiConfig, map_seed: u64) -> Result<Self, LuantiError> {
        let programs = Programs::find(config)?;
        let folder = Folder::new(KIND, &config.folder)?;
        install(&folder, config, map_seed)?;
        let size = config.size();
        let io = |source| LuantiError::Folder { path: folder.path().to_owned(), source };
        let page = Page::new(size).map_err(io)?;
        let report = Report::open(&folder.path().join("world/vpt_report")).map_err(io)?;
        let display = Display::start(&programs.xvfb, size, &folder)?;
        // Before the game, so that the server does not end between the two.
        let seat = Seat::connect(display.name(), size)?;
        let process = spawn(&programs, &display, &page, &folder)?;
        let step_timeout = Duration::from_secs_f64(config.step_timeout_seconds);
        let mut game =
            Self { process, seat, _display: display, page, report, folder, step_timeout, unsettled: 0 };
        game.wait_for_player(Duration::from_secs_f64(config.start_timeout_seconds))?;
        metrics::count_game("started");
        Ok(game)
    }

    fn wait_for_player(&mut self, longest: Duration) -> Result<(), LuantiError> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Err(self.no_start(format!("it ended with {status}")));
            }
            if self.read()?.joined {
                break;
            }
            let log = self.folder.read(LOG);
            if log.contains(PORT_TAKEN) {
                return Err(LuantiError::PortTaken { said: said(&log) });
            }
            if self.page.drawn() > LOST_AFTER {
                return Err(LuantiError::NoPlayer { frames: self.page.drawn(), said: said(&log) });
            }
            if began.elapsed() > longest {
                let seconds = longest.as_secs_f64();
                let why = format!(
                    "no player after {seconds} s and {} frames, envserver.luanti.start_timeout_seconds",
                    self.page.drawn()
                );
                return Err(self.no_start(why));
            }
            std::thread::sleep(LOOK);
        }
        if !self.page.is_found() {
            return Err(self.no_start("the shim was not loaded".to_owned()));
        }
        self.page.lock();
        self.wait_for_frame(0)?;
        self.seat.take_focus()
    }

    fn no_start(&self, why: String) -> LuantiError {
        LuantiError::NoStart { why, said: said(&self.folder.read(LOG)) }
    }

    fn ended(&mut self) -> Option<String> {
        self.process.0.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Has the game make one frame of 50 ms; what its script told in it.
    pub(super) fn step(&mut self) -> Result<Told, LuantiError> {
        let before = self.page.finished();
        self.page.grant();
        self.wait_for_frame(before)?;
        let unsettled = self.page.unsettled();
        metrics::count_unsettled(u64::from(unsettled.wrapping_sub(self.unsettled)));
        self.unsettled = unsettled;
        self.read()
    }

    fn wait_for_frame(&mut self, before: u32) -> Result<(), LuantiError> {
        let began = Instant::now();
        while !self.page.wait(before) {
            if let Some(status) = self.ended() {
                return Err(LuantiError::Ended { status, said: said(&self.folder.read(LOG)) });
            }
            if began.elapsed() > self.step_timeout {
                return Err(LuantiError::Hung { seconds: self.step_timeout.as_secs_f64() });
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Told, LuantiError> {
        let path = self.folder.path();
        self.report.read().map_err(|source| LuantiError::Folder { path: path.to_owned(), source })
    }

    /// Tells the script to do something in its next step; forgets what it told so far.
    pub(super) fn command(&mut self, commands: &[serde_json::Value]) -> Result<(), LuantiError> {
        let path = self.folder.path().to_owned();
        self.report.forget().map_err(|source| LuantiError::Folder { path, source })?;
        // The game stands still: it finds the whole file.
        let text = serde_json::Value::from(commands).to_string();
        Ok(self.folder.write("world/vpt_command", text.as_bytes())?)
    }

    /// The process, for tests and for those who look after its memory.
    pub(super) fn id(&self) -> u32 {
        self.process.0.id()
    }
}

/// Puts everything a game reads into its folder.
fn install(folder: &Folder, config: &LuantiConfig, map_seed: u64) -> Result<(), LuantiError> {
    let (width, height) = config.size();
    let small = width < 640;
    let settings = format!(
        "{SETTINGS}screen_w = {width}\nscreen_h = {height}\nhud_scaling = {}\nfont_size = {}\n\
         viewing_range = {}\nmouse_sensitivity = {MOUSE_SENSITIVITY}\nfixed_map_seed = {map_seed}\n",
        if small { 0.5 } else { 1.0 },
        if small { 10 } else { 16 },
        config.viewing_range,
    );
    folder.write("minetest.conf", settings.as_bytes())?;
    folder.write("world/world.mt", WORLD.as_bytes())?;
    for (name, text) in SCRIPT {
        folder.write(&format!("world/worldmods/vpt/{name}"), text.as_bytes())?;
    }
    folder.write("shim.so", SHIM)?;
    Ok(folder.write("home/.keep", b"")?)
}

fn spawn(
    programs: &Programs,
    display: &Display,
    page: &Page,
    folder: &Folder,
) -> Result<Process, LuantiError> {
    let at = |name: &str| folder.path().join(name);
    let io = |path: &str| {
        let path = at(path);
        move |source| LuantiError::Folder { path, source }
    };
    let log = File::create(at(LOG)).map_err(io(LOG))?;
    let mut command = Command::new(&programs.game);
    command
        .args(["--go", "--gameid", "minetest_game", "--config"])
        .arg(at("minetest.conf"))
        .arg("--world")
        .arg(at("world"))
        .arg("--logfile")
        .arg(at("debug.txt"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", at("home"))
        .env("LANG", "C.UTF-8")
        .env("DISPLAY", display.name())
        .env("LD_PRELOAD", at("shim.so"))
        .env(KIND.mark, folder.path())
        // Software, the same on every machine, on the thread that waits for it.
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("GALLIUM_DRIVER", "llvmpipe")
        .env("LP_NUM_THREADS", "0")
        // Its threads hand much memory to one another; with a heap for each, half of it would lie unused.
        .env("MALLOC_ARENA_MAX", "2")
        .current_dir(folder.path())
        .stdin(Stdio::from(page.handle().map_err(io("page"))?))
        .stdout(log.try_clone().map_err(io(LOG))?)
        .stderr(log)
        .process_group(0);
    let child = command.spawn().map_err(io("game"))?;
    Ok(Process(child))
}
