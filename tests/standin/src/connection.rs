//! One connection: a hello, then commands, told apart by how they begin.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::actions;
use crate::error::ConnectionError;
use crate::frames::{self, MAX_FRAME};
use crate::mission::Mission;
use crate::server::{Ended, Shared};

/// What a hello begins with, and how long it may be.
const HELLO: &[u8] = b"<MalmoEnv0.37.0";
const LONGEST_HELLO: u32 = 17;
/// Cut off in front of a step's actions, and behind; the closing tag is one longer for the space in it.
const STEP_TAG: usize = 13;
const STEP_END: usize = 15;
/// Where the option stands in `<StepClient0>`.
const OPTION_AT: usize = 11;
/// The two gigabytes that a lying length claims.
const LIE: u32 = i32::MAX as u32;

/// Whether a connection goes on.
enum Next {
    Read,
    Close,
}

/// A connection at work.
pub(crate) struct Connection<'a> {
    socket: &'a TcpStream,
    shared: &'a Shared,
    /// It has started a mission.
    started: bool,
}

/// Answers one peer to the end.
pub(crate) fn serve(socket: &TcpStream, shared: &Shared) {
    let mut connection = Connection { socket, shared, started: false };
    if let Err(error) = connection.talk() {
        tracing::warn!(%error, "connection closed");
        if connection.started && error.loses_mission() {
            tracing::info!("want to quit on disconnect");
            shared.stop_accepting();
        }
    }
    // The peer may have gone first.
    let _ = socket.shutdown(Shutdown::Both);
}

impl Connection<'_> {
    fn talk(&mut self) -> Result<(), ConnectionError> {
        self.check_hello()?;
        loop {
            let Some(frame) = frames::read(&mut self.socket, MAX_FRAME)? else {
                tracing::debug!("connection closed by the peer");
                return Ok(());
            };
            if let Next::Close = self.obey(&String::from_utf8_lossy(&frame))? {
                return Ok(());
            }
        }
    }

    /// Nothing answers it.
    fn check_hello(&mut self) -> Result<(), ConnectionError> {
        match frames::read(&mut self.socket, LONGEST_HELLO) {
            Ok(Some(hello)) if hello.starts_with(HELLO) => Ok(()),
            Ok(Some(hello)) => Err(ConnectionError::Hello(format!("{:?}", String::from_utf8_lossy(&hello)))),
            Ok(None) => Err(ConnectionError::Hello("the end".to_owned())),
            Err(ConnectionError::TooLong { length, .. }) => {
                Err(ConnectionError::Hello(format!("{length} bytes")))
            }
            Err(error) => Err(error),
        }
    }

    fn obey(&mut self, command: &str) -> Result<Next, ConnectionError> {
        let begins = |tag: &str| command.starts_with(tag);
        if begins("<StepClient") {
            self.step(command)?;
        } else if begins("<StepServer") || begins("<Close") {
            // Leftovers of an older protocol, which nothing answers.
        } else if begins("<Peek") {
            self.peek()?;
        } else if begins("<MissionInit") {
            self.start_mission(command)?;
        } else if begins("<Quit") {
            self.quit()?;
        } else if begins("<Exit") {
            self.quit()?;
            self.shared.end(Ended::Exit);
            return Ok(Next::Close);
        } else if begins("<Echo") {
            let mut reply = Vec::new();
            frames::put(&mut reply, format!("<Echo>{command}</Echo>").as_bytes());
            self.reply(&reply)?;
        } else if begins("<Disconnect") {
            return Ok(Next::Close);
        } else {
            return Err(ConnectionError::UnknownCommand(command.chars().take(40).collect()));
        }
        Ok(Next::Read)
    }

    fn reply(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        Ok(self.socket.write_all(bytes)?)
    }

    /// 1 when the mission has loaded, 0 while another one is being played or loaded.
    fn start_mission(&mut self, command: &str) -> Result<(), ConnectionError> {
        let token = frames::read(&mut self.socket, MAX_FRAME)?.ok_or(ConnectionError::Ended)?;
        let token = String::from_utf8_lossy(&token);
        tracing::info!(%token, "mission received");
        let mission = Mission::parse(command, &token)?;
        let faults = &self.shared.options.faults;
        if faults.never_loads || !self.shared.begin_loading()? {
            return self.reply(&frames::number(0));
        }
        if !faults.load.is_zero() && self.shared.wait_for_end(Some(faults.load)).is_some() {
            return Err(ConnectionError::Ended);
        }
        let loaded = self.shared.game().load(mission);
        self.shared.finish_loading(loaded.is_ok());
        loaded?;
        self.started = true;
        self.reply(&frames::number(1))
    }

    /// Answered at the menu, where the game may be already.
    fn quit(&mut self) -> Result<(), ConnectionError> {
        self.shared.go_to_menu()?;
        self.reply(&frames::number(1))
    }

    /// The picture, what is told beside it, and a 0.
    fn peek(&mut self) -> Result<(), ConnectionError> {
        let mut reply = Vec::new();
        {
            let mut game = self.shared.game();
            let picture = game.picture()?;
            frames::put(&mut reply, self.shown(picture, game.steps()).as_slice());
            frames::put(&mut reply, &game.info()?);
        }
        frames::put(&mut reply, &[0]);
        self.reply(&reply)
    }

    /// The picture, reward, done and sent, and, if wished for, what is told beside it.
    fn step(&mut self, command: &str) -> Result<(), ConnectionError> {
        let actions = command.len().checked_sub(STEP_END).and_then(|end| command.get(STEP_TAG..end));
        let actions = actions.ok_or_else(|| ConnectionError::Step("its tags are too short".to_owned()))?;
        let option = command.chars().nth(OPTION_AT).and_then(|option| option.to_digit(36));
        let with_info = matches!(option, Some(0 | 2));
        let action = actions::parse(actions)?;
        let faults = &self.shared.options.faults;
        let mut reply = Vec::new();
        let steps = {
            let mut game = self.shared.game();
            game.step(&action)?;
            let steps = game.steps();
            if is_past(faults.hang_after, steps) {
                tracing::info!(steps, "fault on demand: hangs");
                self.shared.wait_for_end(None);
                return Err(ConnectionError::Ended);
            }
            if is_past(faults.death_after, steps) {
                game.kill();
            }
            let picture = game.picture()?;
            frames::put(&mut reply, self.shown(picture, steps).as_slice());
            let mut verdict = 0.0_f64.to_be_bytes().to_vec();
            verdict.extend([u8::from(game.is_done()), 1]);
            frames::put(&mut reply, &verdict);
            if with_info {
                frames::put(&mut reply, &game.info()?);
            }
            steps
        };
        if is_past(faults.die_after, steps) {
            self.shared.end(Ended::Died);
            return Err(ConnectionError::OnDemand("dies"));
        }
        if faults.cut_after.is_some_and(|after| steps == after + 1) {
            self.reply(&reply[..reply.len() / 2])?;
            return Err(ConnectionError::OnDemand("a message is cut off"));
        }
        if faults.lie_after.is_some_and(|after| steps == after + 1) {
            reply[..4].copy_from_slice(&LIE.to_be_bytes());
        }
        self.reply(&reply)
    }

    /// The picture, or nothing once it is to be empty.
    fn shown(&self, picture: Vec<u8>, steps: u64) -> Vec<u8> {
        if is_past(self.shared.options.faults.empty_frames_after, steps) { Vec::new() } else { picture }
    }
}

/// Whether a fault's number of good steps is over.
fn is_past(after: Option<u64>, steps: u64) -> bool {
    after.is_some_and(|after| steps > after)
}
