//! A game in a thread of the test: as much of the other side of the protocol as a client's faults need.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::config::MineRlConfig;
use super::super::install::SCRIPT;

/// How a game answers from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As it should.
    Well,
    /// Nothing to a step.
    Silent,
    /// Half of a step's answer, then it closes.
    Cut,
    /// A length that no picture has.
    Lying,
    /// Five bytes of a picture.
    Short,
    /// An observation that is none.
    Garbled,
    /// The player is dead and there is no picture.
    Dying,
    /// Always busy.
    Busy,
}

struct Shared {
    manner: Manner,
    sent: Vec<String>,
    streams: Vec<TcpStream>,
}

/// The game, and an installation whose launcher points at it.
pub(super) struct FakeGame {
    shared: Arc<Mutex<Shared>>,
    installation: tempfile::TempDir,
    folders: tempfile::TempDir,
}

impl FakeGame {
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared { manner, sent: Vec::new(), streams: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                shared.lock().unwrap().streams.push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        let (installation, folders) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let game = Self { shared, installation, folders };
        // A shell with a child, as the real launcher is.
        game.write_script(&format!("echo '***** Start MalmoEnvServer on port {port}'\nsleep 600\n"));
        game
    }

    /// What the launcher does.
    pub(super) fn write_script(&self, lines: &str) {
        let path = self.installation.path().join(SCRIPT);
        // A new file each time: one that is being executed cannot be written.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn config(&self) -> MineRlConfig {
        let text = |path: &Path| path.display().to_string();
        MineRlConfig {
            path: text(self.installation.path()),
            folder: text(self.folders.path()),
            // Nothing is shown.
            display: ":0".to_owned(),
            start_timeout_seconds: 20.0,
            mission_timeout_seconds: 20.0,
            step_timeout_seconds: 20.0,
            ..MineRlConfig::default()
        }
    }

    /// Answers so from now on.
    pub(super) fn behave(&self, manner: Manner) {
        self.shared.lock().unwrap().manner = manner;
    }

    /// Everything it was sent so far.
    pub(super) fn sent(&self) -> Vec<String> {
        self.shared.lock().unwrap().sent.clone()
    }

    /// Closes all its connections.
    pub(super) fn hang_up(&self) {
        for stream in self.shared.lock().unwrap().streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A port that was free a moment ago.
pub(super) fn port_of_nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn receive(stream: &mut TcpStream) -> Option<String> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    String::from_utf8(frame).ok()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

/// The lower half dark, the upper half light; the bottom row comes first.
fn picture() -> Vec<u8> {
    [vec![10; 345_600], vec![200; 345_600]].concat()
}

fn info(steps: u32, is_alive: bool) -> String {
    let (mined, picked) = (2 * steps, steps);
    format!(
        "{{\"is_alive\":{is_alive},\"mine_block\":{{\"oak_log\":{mined}}},\"pickup\":{{\"oak_log\":{picked}}}}}"
    )
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let mut steps = 0;
    while let Some(message) = receive(&mut stream) {
        let manner = {
            let mut shared = shared.lock().unwrap();
            shared.sent.push(message.clone());
            shared.manner
        };
        let answer = match message.split([' ', '>', '/', ':']).next().unwrap_or_default() {
            "<MalmoEnv0.37.0" | "<StepServer" | "<MissionInit" => continue,
            "<Quit" | "<Exit" => frame(&[0, 0, 0, 1]),
            "<Peek" => [frame(&picture()), frame(info(0, true).as_bytes()), frame(&[0])].concat(),
            "<StepClient0" => {
                steps += 1;
                step(manner, steps)
            }
            // The token, behind the mission.
            _ => {
                steps = 0;
                frame(&[0, 0, 0, u8::from(manner != Manner::Busy)])
            }
        };
        if stream.write_all(&answer).is_err() || manner == Manner::Cut && message.starts_with("<StepClient") {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn step(manner: Manner, steps: u32) -> Vec<u8> {
    let end = |done: u8| frame(&[0, 0, 0, 0, 0, 0, 0, 0, done, 1]);
    let well = [frame(&picture()), end(0), frame(info(steps, true).as_bytes())].concat();
    match manner {
        Manner::Well | Manner::Busy => well,
        Manner::Silent => Vec::new(),
        Manner::Cut => well[..well.len() / 2].to_vec(),
        Manner::Lying => vec![0x7f, 0xff, 0xff, 0xff],
        Manner::Short => [frame(&[1; 5]), end(0), frame(b"{}")].concat(),
        Manner::Garbled => [frame(&picture()), end(0), frame(b"{\"isGuiOpen\":")].concat(),
        Manner::Dying => [frame(&[]), end(1), frame(info(steps, false).as_bytes())].concat(),
    }
}
