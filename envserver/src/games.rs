//! What games that nobody here wrote need around them, whichever they are.
//!
//! # Layout
//! - here: programs by name, and the end of a log as the end of a message
//! - `folder`: a folder of a game's own, and what a killed envserver left; `display`: an X server without a screen
//! - `scaling`: pictures as frames

pub(crate) mod display;
pub(crate) mod folder;
pub(crate) mod scaling;

use std::path::PathBuf;

/// Where Debian puts games; not in everybody's `PATH`.
const GAMES: &str = "/usr/games";

/// A program by path, or by name in `PATH` and among the games.
#[must_use]
pub fn which(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(GAMES)]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The last lines of a log as the end of a message.
pub(crate) fn said(log: &str) -> String {
    const LINES: usize = 4;
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    if last.is_empty() { String::new() } else { format!("; it said: {}", last.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_with_the_last_of_a_log() {
        assert_eq!(said("\n \n"), "");
        assert_eq!(said("a\nb\n\nc\nd\ne\n"), "; it said: b | c | d | e");
    }

    #[test]
    fn programs_are_found_by_path_or_by_name() {
        assert_eq!(which("/bin/sh"), Some(PathBuf::from("/bin/sh")));
        assert!(which("sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!((which("/nowhere/sh"), which("no-such-program")), (None, None));
    }
}
