//! The user's installation of MineRL: what is needed of it, and a folder of a game's own that is made of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::config::MineRlConfig;
use super::error::MineRlError;
use crate::games::which;

/// What starts a game.
pub(super) const SCRIPT: &str = "launchClient.sh";
/// Where the built game lies.
const JARS: &str = "build/libs";
/// What a game writes where it runs: not shared.
const WRITTEN: [&str; 8] =
    ["run", "logs", "saves", "crash-reports", "screenshots", "resourcepacks", "shaderpacks", "stats"];

/// An installation that can be played, as far as its files tell.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The folder `MCP-Reborn`.
    pub folder: PathBuf,
    /// The X server without a screen; none where a display is configured.
    pub xvfb: Option<PathBuf>,
}

impl Installation {
    /// Finds it.
    ///
    /// # Errors
    /// No folder, no launcher in it that may be run, or no X server.
    pub fn find(config: &MineRlConfig) -> Result<Self, MineRlError> {
        if config.path.is_empty() {
            return Err(MineRlError::NoPath);
        }
        let path = Path::new(&config.path).join(SCRIPT);
        let refuse = |problem| Err(MineRlError::NoScript { path: path.clone(), problem });
        let Some(mode) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else {
            return refuse("is not there");
        };
        if mode.permissions().mode() & 0o111 == 0 {
            return refuse("may not be executed (chmod +x)");
        }
        let Ok(folder) = Path::new(&config.path).canonicalize() else { return refuse("cannot be opened") };
        let xvfb = if config.display.is_empty() {
            let none = || MineRlError::NoXvfb { program: config.xvfb.clone() };
            Some(which(&config.xvfb).ok_or_else(none)?)
        } else {
            None
        };
        Ok(Self { folder, xvfb })
    }

    /// The built game; none where it was not built.
    #[must_use]
    pub fn jar(&self) -> Option<PathBuf> {
        let files = fs::read_dir(self.folder.join(JARS)).ok()?.flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "jar")).min()
    }

    /// Makes `folder` one to run a game in: everything of the installation is there, but what a game writes is its own.
    pub(super) fn link(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder.join("run"))?;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if WRITTEN.iter().all(|written| name != *written) {
                symlink(entry.path(), folder.join(&name))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path) -> MineRlConfig {
        MineRlConfig { path: path.display().to_string(), display: ":0".to_owned(), ..Default::default() }
    }

    #[test]
    fn what_is_missing_is_named_with_its_setting() {
        let text = |config: &MineRlConfig| Installation::find(config).unwrap_err().to_string();
        assert!(text(&MineRlConfig::default()).contains("envserver.minerl.path"));
        let dir = tempfile::tempdir().unwrap();
        assert!(text(&config(dir.path())).contains("launchClient.sh is not there"));
        let script = dir.path().join(SCRIPT);
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(text(&config(dir.path())).contains("chmod +x"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let found = Installation::find(&config(dir.path())).unwrap();
        assert!(found.xvfb.is_none() && found.jar().is_none());
        let hidden =
            MineRlConfig { display: String::new(), xvfb: "/nowhere/Xvfb".to_owned(), ..config(dir.path()) };
        let said = text(&hidden);
        assert!(said.contains("`xvfb`") && said.contains("envserver.minerl.display"), "{said}");
    }

    #[test]
    fn a_games_folder_shares_what_is_read_and_not_what_is_written() {
        let (dir, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(dir.path().join("build/libs")).unwrap();
        fs::write(dir.path().join("build/libs/game.jar"), "jar").unwrap();
        fs::create_dir(dir.path().join("saves")).unwrap();
        let installation = Installation { folder: dir.path().to_owned(), xvfb: None };
        let own = own.path().join("game");
        installation.link(&own).unwrap();
        assert_eq!(fs::read_to_string(own.join("build/libs/game.jar")).unwrap(), "jar");
        assert!(own.join("run").is_dir() && !own.join("saves").exists());
        assert_eq!(installation.jar(), Some(dir.path().join("build/libs/game.jar")));
        fs::remove_dir_all(&own).unwrap();
        assert!(dir.path().join("build/libs/game.jar").exists(), "the installation is left alone");
    }
}
