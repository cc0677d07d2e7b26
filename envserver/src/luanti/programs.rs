//! The programs that this world is made of: where they are, and whether they will do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::config::LuantiConfig;
use super::error::LuantiError;
use crate::games::which;

/// The version that was measured and tested.
const WANTED: &str = "5.6";

/// The shim, compiled by the build script; empty where there is none.
pub(super) const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim.so"));

/// The programs of a game.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The game.
    pub game: PathBuf,
    /// What it says its version is.
    pub version: String,
    /// The X server.
    pub xvfb: PathBuf,
}

impl Programs {
    /// Finds them and asks the game for its version.
    ///
    /// # Errors
    /// A program that is missing, a version that will not do, or a machine without a shim.
    pub fn find(config: &LuantiConfig) -> Result<Self, LuantiError> {
        if SHIM.is_empty() {
            return Err(LuantiError::NoShim);
        }
        let find = |program: &str, package, key| {
            which(program).ok_or_else(|| LuantiError::Missing { program: program.to_owned(), package, key })
        };
        let game = find(&config.program, "minetest", "program")?;
        let xvfb = find(&config.xvfb, "xvfb", "xvfb")?;
        let version = version(&game);
        if !config.any_version && !is_wanted(&version) {
            let program = config.program.clone();
            return Err(LuantiError::Version { program, found: version, wanted: WANTED });
        }
        Ok(Self { game, version, xvfb })
    }
}

/// The first line that `--version` prints; empty when there is none.
fn version(game: &Path) -> String {
    let output = Command::new(game).arg("--version").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn is_wanted(version: &str) -> bool {
    let number = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.is_some_and(|number| number == WANTED || number.starts_with(&format!("{WANTED}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert!(is_wanted("Minetest 5.6.1 (Linux)"));
        for other in ["Minetest 5.60.1 (Linux)", "Luanti 5.10.0 (Linux)", "Minetest 4.5.6", ""] {
            assert!(!is_wanted(other), "{other}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_package_and_setting() {
        let config = LuantiConfig { program: "/nowhere/minetest".to_owned(), ..LuantiConfig::default() };
        let text = Programs::find(&config).unwrap_err().to_string();
        assert!(text.contains("/nowhere/minetest") && text.contains("`minetest`"), "{text}");
        assert!(text.contains("envserver.luanti.program"), "{text}");
    }

    #[test]
    fn a_program_that_is_no_game_of_that_version_is_refused() {
        let config = LuantiConfig {
            program: "/bin/true".to_owned(),
            xvfb: "/bin/true".to_owned(),
            ..Default::default()
        };
        let text = Programs::find(&config).unwrap_err().to_string();
        assert!(text.contains("5.6") && text.contains("any_version"), "{text}");
        assert!(Programs::find(&LuantiConfig { any_version: true, ..config }).is_ok());
    }

    #[test]
    fn the_shim_is_carried() {
        assert_eq!(&SHIM[..4], b"\x7fELF");
    }
}
