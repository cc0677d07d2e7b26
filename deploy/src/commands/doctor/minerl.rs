//! What `vpt doctor` looks at for world `minerl`: the installation, its built game, Java, a display, and then the game itself.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use vpt_envserver::games::which;
use vpt_envserver::minerl::MineRlWorld;
use vpt_envserver::minerl::config::MineRlConfig;
use vpt_envserver::minerl::install::Installation;
use vpt_envserver::task::Task;
use vpt_envserver::world::World;

/// What a game takes beside its heap, bytes, roughly.
const BESIDE_HEAP: u64 = 1 << 30;
/// The Java that MineRL 1.0 is made for.
const JAVA: u32 = 8;

/// One thing, and what was found about it, or what to do.
type Found = (&'static str, Result<String, String>);

/// Everything that can be looked at without the game, and when the run needs it, the game.
pub(super) fn look(config: &MineRlConfig, start: bool) -> Vec<Found> {
    let installation = match Installation::find(config) {
        Ok(installation) => installation,
        Err(error) => return vec![("minerl", Err(error.to_string()))],
    };
    let mut found = vec![
        ("minerl", Ok(format!("{} can be launched", installation.folder.display()))),
        ("minerl's jar", jar(&installation)),
        ("java", java(config)),
        ("display", display(config, &installation)),
    ];
    if start && found.iter().all(|(_, result)| result.is_ok()) {
        found.push(("a game", game(config)));
    }
    found
}

/// What one game takes, bytes.
pub(super) fn game_bytes(config: &MineRlConfig) -> u64 {
    config.max_memory_bytes().unwrap_or_default() + BESIDE_HEAP
}

fn jar(installation: &Installation) -> Result<String, String> {
    let none = || {
        format!(
            "{}/build/libs has no jar: MineRL's installation was not finished; run `./gradlew shadowJar` there with Java 8, or \
             install MineRL again",
            installation.folder.display()
        )
    };
    installation.jar().map(|jar| jar.display().to_string()).ok_or_else(none)
}

fn java(config: &MineRlConfig) -> Result<String, String> {
    let (program, told) = if config.java.is_empty() {
        (which("java"), "no `java` in PATH".to_owned())
    } else {
        let path = Path::new(&config.java).join("bin/java");
        let told = format!("{} is not there", path.display());
        (Some(path).filter(|path| path.is_file()), told)
    };
    let advice = "install Java 8 (package openjdk-8-jdk) and set envserver.minerl.java to its folder";
    let program: PathBuf = program.ok_or_else(|| format!("{told}: {advice}"))?;
    let output = Command::new(&program).arg("-version").stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| format!("{} cannot be started: {error}: {advice}", program.display()))?;
    // It says its version where errors go.
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("version")).unwrap_or_default();
    match major(line) {
        None => Err(format!("{} does not say its version: {advice}", program.display())),
        Some(version) if version < JAVA => {
            Err(format!("{} is of version {version}: {advice}", program.display()))
        }
        Some(JAVA) => Ok(format!("{} ({line})", program.display())),
        Some(_) => Ok(format!(
            "{} ({line}); MineRL 1.0 is made for Java 8: if the game does not start, {advice}",
            program.display()
        )),
    }
}

/// 8 of `java version "1.8.0_392"`, 17 of `openjdk version "17.0.9"`.
fn major(line: &str) -> Option<u32> {
    let version = line.split('"').nth(1)?;
    let mut parts = version.split(['.', '_', '-', '+']).map(|part| part.parse().ok());
    match parts.next()?? {
        1 => parts.next()?,
        newer => Some(newer),
    }
}

fn display(config: &MineRlConfig, installation: &Installation) -> Result<String, String> {
    if let Some(xvfb) = &installation.xvfb {
        return Ok(format!("{} for each game", xvfb.display()));
    }
    let name = &config.display;
    // Of another machine's display nothing can be said from here.
    let Some(number) = name.strip_prefix(':') else { return Ok(name.clone()) };
    let number = number.split('.').next().unwrap_or_default();
    match UnixStream::connect(format!("/tmp/.X11-unix/X{number}")) {
        Ok(_) => Ok(format!("{name} is there")),
        Err(error) => Err(format!(
            "{name} is not there ({error}): set envserver.minerl.display to one that is, or leave it empty and install the \
             package xvfb"
        )),
    }
}

/// Plays the first moment of an episode.
fn game(config: &MineRlConfig) -> Result<String, String> {
    let task = Task::resolve("free").map_err(|error| error.to_string())?.in_world(MineRlWorld::NAME);
    let mut world = MineRlWorld::new(config.clone());
    let began = Instant::now();
    world.reset(1, &task).map_err(|error| error.to_string())?;
    Ok(format!("starts and makes a world in {:.1} s", began.elapsed().as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_java_are_read_whatever_their_style() {
        for (line, version) in [
            ("java version \"1.8.0_392\"", Some(8)),
            ("openjdk version \"17.0.9\" 2023-10-17", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"9-internal\"", Some(9)),
            ("java", None),
            ("version \"x\"", None),
        ] {
            assert_eq!(major(line), version, "{line}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let found = look(&MineRlConfig::default(), true);
        assert!(matches!(&found[..], [("minerl", Err(text))] if text.contains("envserver.minerl.path")));
        let nowhere = MineRlConfig { java: "/nowhere".to_owned(), ..MineRlConfig::default() };
        assert!(java(&nowhere).unwrap_err().contains("envserver.minerl.java"));
        let mute = MineRlConfig { java: "/nowhere".to_owned(), display: ":64321".to_owned(), ..nowhere };
        let installation = Installation { folder: PathBuf::from("/nowhere"), xvfb: None };
        assert!(display(&mute, &installation).unwrap_err().contains("envserver.minerl.display"));
        assert!(jar(&installation).unwrap_err().contains("no jar"));
        assert_eq!(game_bytes(&MineRlConfig::default()), 5 << 30);
    }
}
