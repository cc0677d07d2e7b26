//! The world `luanti`: a game that nobody here wrote, played through its own window by keyboard and mouse.
//!
//! A stock Luanti (Minetest 5.6 with Minetest Game) runs on an X server without a screen. A small library that is
//! preloaded into it ([`programs::SHIM`], from the folder `shim/`) makes it stop after each frame, so that one action is
//! 50 ms of its time however long the agent thinks; a mod in its own script language starts episodes and tells what
//! happens to items. Equal seeds give equal places, but not equal games to the last bit.
//!
//! # Layout
//! - here: [`LuantiWorld`]; `game`: one running game; `shared`: what it shares with the shim; `report`: what its mod tells
//! - [`programs`]: what it is made of; `seat`: keyboard and mouse; `picture`: frames
//! - `items`: names; `scripted`, `chop`, `craft`: the scripted player; [`config`], [`error`]

mod chop;
pub mod config;
mod craft;
pub mod error;
mod game;
mod items;
mod picture;
pub mod programs;
mod report;
mod scripted;
mod seat;
mod shared;

use std::time::{Duration, Instant};

use serde_json::json;
use vpt_proto::keys;
use vpt_runtime::counter_hash::counter_hash;

use crate::metrics;
use crate::task::Task;
use crate::world::{Action, Tick, World, WorldError, check_world};
use config::LuantiConfig;
use error::LuantiError;
use game::Game;
use picture::Framer;
use report::{State, Told};
use scripted::Scripted;
use shared::STEP;

/// Steps of game time in which a reset must be done, land that is made for it included.
const RESET_STEPS: u32 = 6000;
/// Steps in which screens that are open must close.
const CLOSING_STEPS: u32 = 40;
/// A picture that stays the same for so many steps shows all the land there is, or this many are enough.
const STILL: u32 = 5;
const STILL_AT_MOST: u32 = 60;
/// Bytes in which two pictures of the same may differ, of a thousand.
const DIFFERENT: usize = 4;
/// In real time: missed steps that are made up for at once; a longer absence is forgotten.
const MADE_UP: u32 = 20;

/// A game, episode after episode.
pub struct LuantiWorld {
    config: LuantiConfig,
    game: Option<Game>,
    map: u64,
    resets: u64,
    framer: Framer,
    /// The last picture, and its size.
    picture: Vec<u8>,
    size: (usize, usize),
    cursor: Option<(i32, i32)>,
    state: Option<State>,
    player: Scripted,
    advises: Advises,
    seed: u64,
    ticks: u64,
    /// In real time: when the next step is due.
    due: Option<Instant>,
    fault: Option<LuantiError>,
}

/// Whether the scripted player is asked: telling it the state of play costs a tenth of a step.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Advises {
    #[default]
    Not,
    Asked,
    Told,
}

impl LuantiWorld {
    /// The name sessions ask for it by.
    pub const NAME: &'static str = "luanti";

    /// A world whose game starts with its first episode.
    #[must_use]
    pub fn new(config: LuantiConfig) -> Self {
        Self {
            game: None,
            map: 0,
            resets: 0,
            framer: Framer::new(config.width),
            picture: Vec::new(),
            size: config.size(),
            cursor: None,
            state: None,
            player: Scripted::default(),
            advises: Advises::default(),
            seed: 0,
            ticks: 0,
            due: None,
            fault: None,
            config,
        }
    }

    /// The game's process, while one runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.game.as_ref().map(Game::id)
    }

    /// The number of the place that an episode is played at.
    #[must_use]
    pub fn place(&self, seed: u64) -> u64 {
        place(seed, self.config.places)
    }

    fn running(&mut self) -> Result<&mut Game, LuantiError> {
        let gone = || LuantiError::Ended { status: "no game runs".to_owned(), said: String::new() };
        self.game.as_mut().ok_or_else(gone)
    }

    /// One frame of the game; what it brought is taken note of.
    fn advance(&mut self) -> Result<Told, LuantiError> {
        let mut told = self.running()?.step()?;
        self.cursor = self.running()?.seat.cursor()?;
        if told.state.is_some() {
            self.state = told.state.take();
        }
        Ok(told)
    }

    fn start_episode(&mut self, seed: u64, task: &Task) -> Result<(), LuantiError> {
        let map = self.config.map_seed.wrapping_add(counter_hash(&[seed, 1]) % self.config.maps);
        if self.game.is_none() || self.map != map {
            // The old one first: two at a time would need twice the memory.
            if self.game.take().is_some() {
                metrics::count_game("replaced");
            }
            self.game = Some(Game::start(&self.config, map)?);
            self.advises = Advises::default();
            self.map = map;
        }
        self.close_screens()?;
        self.resets += 1;
        let command = reset_command(seed, task, self.resets, self.config.places)?;
        self.running()?.command(&[command])?;
        self.wait_for_reset(task)?;
        self.choose_first_place()?;
        self.wait_for_land()?;
        (self.player, self.seed, self.ticks, self.due) = (Scripted::for_task(task), seed, 0, None);
        Ok(())
    }

    fn close_screens(&mut self) -> Result<(), LuantiError> {
        self.running()?.seat.let_go()?;
        self.cursor = self.running()?.seat.cursor()?;
        for step in 0..CLOSING_STEPS {
            if self.cursor.is_none() {
                return Ok(());
            }
            self.running()?.seat.escape(step % 4 == 0)?;
            self.advance()?;
        }
        self.running()?.seat.let_go()
    }

    fn wait_for_reset(&mut self, task: &Task) -> Result<(), LuantiError> {
        for _ in 0..RESET_STEPS {
            match self.advance()?.reset {
                Some((id, None)) if id == self.resets => return Ok(()),
                Some((id, Some(_))) if id == self.resets => break,
                _ => {}
            }
        }
        Err(LuantiError::NoSpot { task: task.name.clone(), steps: RESET_STEPS })
    }

    /// Which place of the hotbar is in hand is up to the client, which no script reaches.
    fn choose_first_place(&mut self) -> Result<(), LuantiError> {
        self.running()?.seat.act(&Action { keys: keys::HOTBAR[0], ..Action::NOOP }, false)?;
        self.advance()?;
        self.running()?.seat.let_go()
    }

    /// Lets the game go on until the land around the player is drawn.
    fn wait_for_land(&mut self) -> Result<(), LuantiError> {
        let (mut still, mut before) = (0, Vec::new());
        for _ in 0..STILL_AT_MOST {
            self.advance()?;
            self.take_picture();
            still = if alike(&before, &self.picture) { still + 1 } else { 0 };
            if still >= STILL {
                break;
            }
            before.clone_from(&self.picture);
        }
        Ok(())
    }

    fn take_picture(&mut self) {
        if let Some(game) = &self.game
            && let Some(size) = game.page.size()
        {
            game.page.picture(size, &mut self.picture);
            self.size = size;
        }
    }

    fn play(&mut self, action: &Action) -> Result<Tick, LuantiError> {
        let mut tick = Tick::default();
        for _ in 0..self.missed() {
            // Nobody was there: the game went on with what was held.
            tick.add(self.advance()?);
        }
        if self.advises == Advises::Asked {
            // Tells its state with every step from now on.
            self.running()?.command(&[json!({ "what": "state" })])?;
            self.advises = Advises::Told;
        }
        let screen_open = self.cursor.is_some();
        self.running()?.seat.act(action, screen_open)?;
        tick.add(self.advance()?);
        tick.gui_open = self.cursor.is_some();
        self.ticks += 1;
        self.take_picture();
        Ok(tick)
    }

    /// In real time, waits until the step is due; how many steps went by while nobody acted.
    fn missed(&mut self) -> u32 {
        if !self.config.realtime {
            return 0;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert(now);
        std::thread::sleep(due.saturating_duration_since(now));
        let late = now.saturating_duration_since(due).as_millis() / STEP.as_millis();
        let late = u32::try_from(late).unwrap_or(u32::MAX);
        metrics::count_missed_deadlines(u64::from(late));
        self.due = Some(if late > MADE_UP { now } else { due + STEP * late } + STEP);
        late.min(MADE_UP)
    }

    fn fail(&mut self, error: LuantiError) -> LuantiError {
        metrics::count_game(error.outcome());
        tracing::warn!(%error, "a game is given up");
        self.game = None;
        error
    }
}

impl Tick {
    fn add(&mut self, told: Told) {
        self.events.extend(told.events);
        self.died |= told.died;
    }
}

/// Whether two pictures show the same but for a few pixels.
fn alike(a: &[u8], b: &[u8]) -> bool {
    let different = a.iter().zip(b).filter(|(a, b)| a != b).count();
    a.len() == b.len() && different * 1000 <= a.len() * DIFFERENT
}

/// A number that follows from an episode's seed; the script's generators take so many bits.
fn bits(seed: u64, key: u64) -> u64 {
    counter_hash(&[seed, key]) & 0x7fff_ffff
}

fn place(seed: u64, places: u64) -> u64 {
    bits(seed, 2) % places
}

/// What the script is told to start an episode.
fn reset_command(seed: u64, task: &Task, id: u64, places: u64) -> Result<serde_json::Value, LuantiError> {
    let items = task.inventory.iter().map(|entry| {
        let name = items::theirs(&entry.item).ok_or_else(|| LuantiError::NoCounterpart {
            task: task.name.clone(),
            item: entry.item.clone(),
        })?;
        Ok(format!("{name} {}", entry.count))
    });
    let yaw = if task.spawn.random_yaw { bits(seed, 3) % 360 } else { 0 };
    Ok(json!({
        "what": "reset",
        "id": id,
        "place": place(seed, places),
        "seed": bits(seed, 4),
        "yaw": yaw,
        "survival": task.survival,
        "trunk_distance": task.spawn.trunk_distance,
        "inventory": items.collect::<Result<Vec<_>, LuantiError>>()?,
    }))
}

impl World for LuantiWorld {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        check_world(task, Self::NAME)?;
        self.fault = None;
        let had_game = self.game.is_some();
        let started = self.start_episode(seed, task).map_err(|error| self.fail(error));
        match started {
            // It may have ended since the last episode; a new one has not had the time to.
            Err(error) if had_game && error.is_passing() => {
                self.start_episode(seed, task).map_err(|error| self.fail(error))?;
            }
            other => other?,
        }
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Tick {
        if self.fault.is_some() {
            return Tick::default();
        }
        self.play(&action.tamed()).unwrap_or_else(|error| {
            self.fault = Some(self.fail(error));
            Tick::default()
        })
    }

    fn take_fault(&mut self) -> Option<WorldError> {
        self.fault.take().map(WorldError::from)
    }

    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        let mut picture = std::mem::take(&mut self.picture);
        picture.resize(self.size.0 * self.size.1 * 3, 0);
        if self.cursor.is_some() {
            let mut with_cursor = picture.clone();
            self.framer.draw_cursor(&mut with_cursor, self.size, self.cursor);
            self.framer.scaling.scale(&with_cursor, self.size, (width, height), out);
        } else {
            self.framer.scaling.scale(&picture, self.size, (width, height), out);
        }
        self.picture = picture;
    }

    fn gui_open(&self) -> bool {
        self.cursor.is_some()
    }

    fn advise(&mut self) -> Action {
        if self.advises == Advises::Not {
            self.advises = Advises::Asked;
        }
        let scale = 640.0 / self.size.0 as f32;
        let cursor = self.cursor.map(|(x, y)| [x as f32 * scale, y as f32 * scale]);
        self.state.as_ref().map_or(Action::NOOP, |state| self.player.next(state, cursor))
    }

    /// Of what is known here: the game's own state cannot be looked into.
    fn state_hash(&self) -> u64 {
        counter_hash(&[self.seed, self.ticks])
    }

    fn spare_wait(&self) -> Option<Duration> {
        let another_land = self.config.maps > 1;
        another_land.then(|| Duration::from_secs_f64(self.config.start_timeout_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_ask_for_equal_places() {
        let task = Task::resolve("chop").unwrap();
        let ask = |seed| reset_command(seed, &task, 1, 16).unwrap();
        assert_eq!(ask(5), ask(5));
        assert!((6..40).any(|seed| ask(seed)["place"] != ask(5)["place"]));
        assert!((0..100).all(|seed| ask(seed)["place"].as_u64().unwrap() < 16));
        assert_eq!(ask(5)["trunk_distance"], json!([3.0, 10.0]));
    }

    #[test]
    fn items_without_a_counterpart_are_named() {
        let text = "name='x'\nepisode_steps=5\n[[inventory]]\nitem='crafting_table'";
        let error = reset_command(1, &Task::parse(text).unwrap(), 1, 16).unwrap_err();
        assert!(error.to_string().contains("crafting_table"), "{error}");
    }

    #[test]
    fn a_missing_game_is_an_error_that_lasts() {
        let config = LuantiConfig { program: "/nowhere/minetest".to_owned(), ..LuantiConfig::default() };
        let mut world = LuantiWorld::new(config);
        let error = world.reset(1, &Task::resolve("chop").unwrap().in_world(LuantiWorld::NAME)).unwrap_err();
        assert!(error.to_string().contains("install") && !error.is_passing(), "{error}");
        assert!(world.process().is_none());
    }

    #[test]
    fn pictures_may_differ_a_little() {
        let (a, mut b) = (vec![0; 10_000], vec![0; 10_000]);
        assert!(alike(&a, &b));
        b[..100].fill(1);
        assert!(!alike(&a, &b) && !alike(&a, &a[1..]));
    }
}
