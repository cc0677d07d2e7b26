//! The client's side of MineRL 1.0's protocol, message by message.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::action;
use super::mission::{Mission, SIZE};
use super::observation::Info;
use super::picture::turn_over;
use super::wire::{Wire, WireError};
use crate::metrics;
use crate::world::Action;

const HELLO: &[u8] = b"<MalmoEnv0.37.0/>";
const QUIT: &[u8] = b"<Quit/>";
const PEEK: &[u8] = b"<Peek/>";
const STEP_SERVER: &[u8] = b"<StepServer></StepServer>";
const EXIT: &[u8] = b"<Exit>NOW</Exit>";

/// Most bytes of an observation's text: every statistic there is takes a tenth of it.
const MOST_INFO: usize = 1 << 20;
/// Between two tries while the game is busy, as MineRL's own client waits.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What one answer tells beside the picture.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) info: Info,
    pub(super) died: bool,
}

/// A connection to a game.
pub(super) struct Client {
    wire: Wire,
    size: (usize, usize),
    pause: Duration,
    /// The last picture: RGB, the top row first.
    pub(super) picture: Vec<u8>,
    /// What came last, as it came.
    frame: Vec<u8>,
}

impl Client {
    /// Connects to the game at that port of this machine.
    pub(super) fn connect(port: u16, longest: Duration) -> Result<Self, WireError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, longest)?;
        let mut wire = Wire::new(stream)?;
        wire.within(longest);
        // Nothing answers it: a game that does not like it closes the connection.
        wire.send(HELLO)?;
        Ok(Self { wire, size: SIZE, pause: BUSY_PAUSE, picture: Vec::new(), frame: Vec::new() })
    }

    /// Ends the episode, if there is one: the game goes to its menu.
    pub(super) fn quit(&mut self, longest: Duration) -> Result<(), WireError> {
        self.wire.within(longest);
        self.wire.send(QUIT)?;
        self.answer("the answer to quit").map(drop)
    }

    /// Starts an episode, asking again while the game is busy.
    pub(super) fn start(&mut self, mission: &Mission, longest: Duration) -> Result<(), WireError> {
        self.wire.within(longest);
        loop {
            self.wire.send(mission.xml.as_bytes())?;
            self.wire.send(mission.token.as_bytes())?;
            if self.answer("the answer to a mission")? {
                return Ok(());
            }
            metrics::count_busy_reply();
            if self.wire.left() < self.pause {
                return Err(WireError::Late);
            }
            std::thread::sleep(self.pause);
        }
    }

    /// The first observation of an episode.
    pub(super) fn peek(&mut self, longest: Duration) -> Result<Seen, WireError> {
        self.wire.within(longest);
        self.wire.send(PEEK)?;
        self.receive_picture()?;
        let info = self.receive_info()?;
        let [done] = self.wire.receive_exactly("whether the episode is over")?;
        Ok(Seen { died: done != 0 || info.died(), info })
    }

    /// Plays one tick.
    pub(super) fn step(&mut self, action: &Action, longest: Duration) -> Result<Seen, WireError> {
        self.wire.within(longest);
        self.wire.send(action::step(action).as_bytes())?;
        self.receive_picture()?;
        // Reward (always nothing), done, sent.
        let [.., done, _sent] = self.wire.receive_exactly::<10>("the end of a step")?;
        let info = self.receive_info()?;
        // Nothing comes of it, but MineRL's own client sends it, and the game was made for that.
        self.wire.send(STEP_SERVER)?;
        Ok(Seen { died: done != 0 || info.died(), info })
    }

    /// Ends the game.
    pub(super) fn exit(&mut self, longest: Duration) -> Result<(), WireError> {
        self.wire.within(longest);
        self.wire.send(EXIT)?;
        self.answer("the answer to exit").map(drop)
    }

    /// Whether the game says that what was asked is done.
    fn answer(&mut self, what: &'static str) -> Result<bool, WireError> {
        match u32::from_be_bytes(self.wire.receive_exactly(what)?) {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::Content { what, reason: format!("it is {other}, neither 0 nor 1") }),
        }
    }

    fn receive_picture(&mut self) -> Result<(), WireError> {
        let most = self.size.0 * self.size.1 * 3;
        self.wire.receive("a picture", most, &mut self.frame)?;
        turn_over(&self.frame, self.size, &mut self.picture)
    }

    fn receive_info(&mut self) -> Result<Info, WireError> {
        self.wire.receive("an observation", MOST_INFO, &mut self.frame)?;
        Info::read(&self.frame)
    }
}

#[cfg(test)]
mod tests;
