//! Settings of the world `luanti`: the `[envserver.luanti]` section of the run file.

use serde::{Deserialize, Serialize};
use vpt_runtime::ConfigError;

/// `[envserver.luanti]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LuantiConfig {
    /// The game: a path, or a name that is looked for in `PATH` and in `/usr/games`.
    pub program: String,
    /// The X server without a screen: a path, or a name as above.
    pub xvfb: String,
    /// Play also with a version of the game that this world was not made for.
    pub any_version: bool,
    /// Width of the game's window in pixels, 320 or 640; its height follows, 16:9. Frames are scaled to what a session asks
    /// for.
    pub width: usize,
    /// Let the game go on at twenty steps a second whether or not an action has come, with what is held; else it waits.
    pub realtime: bool,
    /// Folder below which each game has one of its own while it runs; empty: one in the system's folder for temporary files.
    pub folder: String,
    /// Seed of the game's land.
    pub map_seed: u64,
    /// Different lands that episodes are spread over; with more than one, a new episode may need a new game.
    pub maps: u64,
    /// Different places of a land that episodes are spread over: a place that was played before is quick to come back to.
    pub places: u64,
    /// How far one sees, metres.
    pub viewing_range: u32,
    /// A game has so long to start.
    pub start_timeout_seconds: f64,
    /// A game that makes no frame for so long is ended.
    pub step_timeout_seconds: f64,
}

impl Default for LuantiConfig {
    fn default() -> Self {
        Self {
            program: "minetest".to_owned(),
            xvfb: "Xvfb".to_owned(),
            any_version: false,
            width: 320,
            realtime: false,
            folder: String::new(),
            map_seed: 42,
            maps: 1,
            places: 16,
            viewing_range: 30,
            start_timeout_seconds: 50.0,
            step_timeout_seconds: 20.0,
        }
    }
}

/// Places are numbered for the game's generator of 32 bits.
const MAX_PLACES: u64 = 1_000_000;

impl LuantiConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and the range it must be in.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse =
            |key: &str, reason: String| Err(ConfigError::invalid(format!("envserver.luanti.{key}"), reason));
        if ![320, 640].contains(&self.width) {
            return refuse("width", format!("must be 320 or 640, is {}", self.width));
        }
        if !(1..=1000).contains(&self.maps) {
            return refuse("maps", format!("must be within 1..=1000, is {}", self.maps));
        }
        if !(1..=MAX_PLACES).contains(&self.places) {
            return refuse("places", format!("must be within 1..={MAX_PLACES}, is {}", self.places));
        }
        if !(20..=200).contains(&self.viewing_range) {
            return refuse("viewing_range", format!("must be within 20..=200, is {}", self.viewing_range));
        }
        for (key, seconds) in [
            ("start_timeout_seconds", self.start_timeout_seconds),
            ("step_timeout_seconds", self.step_timeout_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= 3600.0) {
                return refuse(key, format!("must be above 0 and at most 3600, is {seconds}"));
            }
        }
        Ok(())
    }

    /// Width and height of the window.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.width * 9 / 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_sense_name_their_key() {
        LuantiConfig::default().validate().unwrap();
        let refused = |config: LuantiConfig| config.validate().unwrap_err().to_string();
        assert!(
            refused(LuantiConfig { width: 128, ..Default::default() }).contains("envserver.luanti.width")
        );
        assert!(
            refused(LuantiConfig { places: 0, ..Default::default() }).contains("envserver.luanti.places")
        );
        let endless = LuantiConfig { step_timeout_seconds: f64::NAN, ..Default::default() };
        assert!(refused(endless).contains("envserver.luanti.step_timeout_seconds"));
        assert_eq!(LuantiConfig::default().size(), (320, 180));
    }
}
