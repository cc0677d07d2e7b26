//! What the stand-in plays, and its faults on demand.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use vpt_envserver::task::{Task, TaskError};

/// Longest time a world may take to load on demand.
const LONGEST_LOAD_SECONDS: f64 = 86_400.0;

/// How a stand-in is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port wished for; 0 takes any. When it is taken, the next free one is.
    pub port: u16,
    /// What the embedded world plays where a mission leaves it open: land, mobs, where an episode starts.
    pub task: Task,
    /// What goes wrong.
    pub faults: Faults,
}

impl Options {
    /// A stand-in on any port that plays the built-in task of that name, without a fault.
    ///
    /// # Errors
    /// Unknown tasks.
    pub fn of_task(name: &str) -> Result<Self, TaskError> {
        Ok(Self { port: 0, task: Task::resolve(name)?, faults: Faults::default() })
    }
}

/// Faults on demand. Those with a number come after so many good steps of the process, over all its missions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Answers no step any more, and nothing else that needs the game.
    pub hang_after: Option<u64>,
    /// Ends without a word, as a crash does.
    pub die_after: Option<u64>,
    /// Pictures of no bytes from then on.
    pub empty_frames_after: Option<u64>,
    /// One picture is cut off in the middle and the connection closed.
    pub cut_after: Option<u64>,
    /// One picture claims to be of two gigabytes.
    pub lie_after: Option<u64>,
    /// The player dies.
    pub death_after: Option<u64>,
    /// Every mission is answered by "busy".
    pub never_loads: bool,
    /// Every mission takes so long to load.
    pub load: Duration,
    /// As if the port were taken: it gets another.
    pub port_taken: bool,
    /// Only the process that can create this file has the others.
    pub first: Option<PathBuf>,
}

impl Faults {
    /// The faults of this process: none if there is a file to be created and another process has created it.
    ///
    /// # Errors
    /// When the file cannot be created for another reason.
    pub fn claim(self) -> Result<Self, FaultsError> {
        let Some(file) = &self.first else { return Ok(self) };
        match File::create_new(file) {
            Ok(_) => Ok(self),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self::default()),
            Err(error) => Err(FaultsError::First { file: file.clone(), reason: error.to_string() }),
        }
    }
}

/// What is wrong with a list of faults.
#[derive(Debug, Error, PartialEq)]
pub enum FaultsError {
    /// No such fault.
    #[error(
        "unknown fault `{0}` (known: hang_after=N, die_after=N, empty_frames_after=N, cut_after=N, lie_after=N, \
         death_after=N, never_loads, load_seconds=S, port_taken, first=FILE)"
    )]
    Unknown(String),
    /// Its number is none.
    #[error("fault `{name}`: {value:?} is no {wanted}")]
    Value {
        /// The fault.
        name: String,
        /// As given.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The file of `first` cannot be made.
    #[error("fault `first`: cannot create {}: {reason}", .file.display())]
    First {
        /// Its path.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

impl FromStr for Faults {
    type Err = FaultsError;

    /// Reads faults, comma-separated, such as `hang_after=100,load_seconds=2.5`; nothing is no fault.
    fn from_str(list: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            let steps = || number::<u64>(name, value, "whole number of steps").map(Some);
            match name {
                "hang_after" => faults.hang_after = steps()?,
                "die_after" => faults.die_after = steps()?,
                "empty_frames_after" => faults.empty_frames_after = steps()?,
                "cut_after" => faults.cut_after = steps()?,
                "lie_after" => faults.lie_after = steps()?,
                "death_after" => faults.death_after = steps()?,
                "load_seconds" => faults.load = seconds(name, value)?,
                "first" if !value.is_empty() => faults.first = Some(value.into()),
                _ if entry == "never_loads" => faults.never_loads = true,
                _ if entry == "port_taken" => faults.port_taken = true,
                _ => return Err(FaultsError::Unknown(entry.to_owned())),
            }
        }
        Ok(faults)
    }
}

fn number<T: FromStr>(name: &str, value: &str, wanted: &'static str) -> Result<T, FaultsError> {
    let refused = |_| FaultsError::Value { name: name.to_owned(), value: value.to_owned(), wanted };
    value.parse().map_err(refused)
}

fn seconds(name: &str, value: &str) -> Result<Duration, FaultsError> {
    let wanted = "number of seconds, up to a day";
    let seconds: f64 = number(name, value, wanted)?;
    if (0.0..=LONGEST_LOAD_SECONDS).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(FaultsError::Value { name: name.to_owned(), value: value.to_owned(), wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_faults_are_read() {
        assert_eq!("".parse(), Ok(Faults::default()));
        let faults = Faults {
            hang_after: Some(100),
            load: Duration::from_millis(2500),
            never_loads: true,
            ..Faults::default()
        };
        assert_eq!("hang_after=100, load_seconds=2.5,never_loads".parse(), Ok(faults));
        for wrong in
            ["hang", "hang_after", "hang_after=-1", "load_seconds=nan", "load_seconds=1e9", "never_loads=1"]
        {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
        assert!("jump".parse::<Faults>().unwrap_err().to_string().contains("cut_after=N"));
    }

    #[test]
    fn only_the_first_process_has_them_if_so_wished() {
        let dir = tempfile::tempdir().unwrap();
        let list = format!("port_taken,first={}", dir.path().join("done").display());
        let claim = || list.parse::<Faults>().unwrap().claim().unwrap();
        assert!(claim().port_taken);
        assert_eq!(claim(), Faults::default());
        let nowhere = "first=/nowhere/at/all".parse::<Faults>().unwrap().claim();
        assert!(nowhere.unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
