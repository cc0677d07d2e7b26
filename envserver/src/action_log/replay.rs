//! Making a log of what the scripted player does, and playing a log again.

use std::io::{Read, Write};

use super::{Check, Difference, Header, Reader, Record, ReplayError, Writer, digest, hash_tick, hash64};
use crate::task::Task;
use crate::world::{Action, World};
use crate::worlds::Worlds;

/// What a replay has found to be as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// What was played.
    pub header: Header,
    /// Ticks played.
    pub ticks: u64,
    /// Frames compared, that of the start included.
    pub frames: u64,
}

/// One episode under way, and the running hash of what has happened in it.
struct Game {
    world: Box<dyn World>,
    size: (usize, usize),
    frame: Vec<u8>,
    ticks: u64,
    events: u64,
}

impl Game {
    fn start(worlds: &Worlds, header: &Header) -> Result<Self, ReplayError> {
        let unknown = || ReplayError::UnknownWorld { name: header.world.clone(), known: worlds.known() };
        let mut world = worlds.build(&header.world).ok_or_else(unknown)?;
        world.reset(header.seed, &Task::parse(&header.task_text)?)?;
        let size = (header.height as usize, header.width as usize);
        Ok(Self { world, size, frame: Vec::new(), ticks: 0, events: 0 })
    }

    /// Plays a tick; true when it was the player's last.
    fn step(&mut self, action: &Action) -> bool {
        let tick = self.world.step(action);
        self.ticks += 1;
        self.events = hash_tick(self.events, &tick);
        tick.died
    }

    fn check(&mut self) -> Check {
        self.world.render(self.size.0, self.size.1, &mut self.frame);
        let (frame, state) = (hash64(&self.frame), self.world.state_hash());
        Check { tick: self.ticks, frame, state, events: self.events }
    }

    fn difference(&self, what: &'static str, expected: u64, found: u64) -> Result<(), Difference> {
        if expected == found { Ok(()) } else { Err(Difference { tick: self.ticks, what, expected, found }) }
    }
}

/// Lets the scripted player play one episode for so many ticks, or until it dies, and writes it down.
///
/// # Errors
/// When the world cannot play the task, or the log cannot be written.
pub fn record<W: Write>(worlds: &Worlds, header: &Header, ticks: u64, out: W) -> Result<W, ReplayError> {
    let mut game = Game::start(worlds, header)?;
    let mut log = Writer::new(out, header)?;
    log.check(&game.check())?;
    while game.ticks < ticks {
        let action = game.world.advise().tamed();
        let died = game.step(&action);
        log.tick(&action, game.world.state_hash())?;
        let last = died || game.ticks == ticks;
        if last || game.ticks.is_multiple_of(u64::from(header.check_every)) {
            log.check(&game.check())?;
        }
        if last {
            break;
        }
    }
    Ok(log.finish()?)
}

/// Plays a log again and compares: the state after every tick, and at every check frame, state and events in full.
///
/// # Errors
/// The first difference, or why the log cannot be read or played.
pub fn replay(worlds: &Worlds, input: impl Read) -> Result<Replayed, ReplayError> {
    let mut log = Reader::open(input)?;
    let mut game = Game::start(worlds, log.header())?;
    let mut frames = 0;
    loop {
        match log.next_record()? {
            Record::Tick(action, expected) => {
                game.step(&action);
                let found = digest(game.world.state_hash());
                game.difference("state (low 16 bits)", expected.into(), found.into())?;
            }
            Record::Check(expected) => {
                let found = game.check();
                game.difference("state", expected.state, found.state)?;
                game.difference("events", expected.events, found.events)?;
                game.difference("frame", expected.frame, found.frame)?;
                frames += 1;
            }
            Record::End(ticks) => return Ok(Replayed { header: log.header().clone(), ticks, frames }),
        }
    }
}
