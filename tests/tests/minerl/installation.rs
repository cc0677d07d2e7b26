//! What stands for a user's MineRL installation: a folder whose launcher starts the stand-in.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vpt_envserver::minerl::config::MineRlConfig;
use vpt_tests::process::{outcome, vpt};

/// The installation, and a folder for its games.
pub(crate) struct Installation {
    dir: tempfile::TempDir,
}

impl Installation {
    /// One whose game plays the land of that task, with faults on demand.
    pub(crate) fn new(task: &str, faults: &str) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let installation = Self { dir };
        installation.install(task, faults);
        installation
    }

    /// One of whose games only the first has the fault.
    pub(crate) fn with_first_fault(task: &str, fault: &str) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let faults = format!("{fault},first={}", dir.path().join("had").display());
        let installation = Self { dir };
        installation.install(task, &faults);
        installation
    }

    fn install(&self, task: &str, faults: &str) {
        let path = self.path();
        let arguments = ["dev", "minerl-standin", "--install", &path, "--task", task, "--faults", faults];
        let (code, text) = outcome(&vpt(&arguments));
        assert_eq!(code, 0, "{text}");
    }

    fn path(&self) -> String {
        self.dir.path().join("MCP-Reborn").display().to_string()
    }

    /// Where its games have their folders.
    pub(crate) fn folder(&self) -> String {
        self.dir.path().join("games").display().to_string()
    }

    /// Of a world that is played in this process; nothing is shown, so there need be no display.
    pub(crate) fn config(&self) -> MineRlConfig {
        MineRlConfig {
            path: self.path(),
            folder: self.folder(),
            display: ":0".to_owned(),
            ..MineRlConfig::default()
        }
    }

    /// The same as `--set` values.
    pub(crate) fn sets(&self) -> Vec<String> {
        vec![
            format!("envserver.minerl.path={}", self.path()),
            format!("envserver.minerl.folder={}", self.folder()),
            format!("envserver.minerl.java={}", self.dir.path().join("java").display()),
            "envserver.minerl.display=:0".to_owned(),
        ]
    }

    /// Adds what a real installation has and the stand-in does not need: a built game and a Java.
    pub(crate) fn pretend_to_be_built(&self) {
        let jars = Path::new(&self.path()).join("build/libs");
        fs::create_dir_all(&jars).expect("a folder");
        fs::write(jars.join("game.jar"), "").expect("a file");
        let bin = self.dir.path().join("java/bin");
        fs::create_dir_all(&bin).expect("a folder");
        let java = bin.join("java");
        fs::write(&java, "#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n").expect("a file");
        fs::set_permissions(&java, Permissions::from_mode(0o755)).expect("a mode");
    }
}

/// Processes that were started for games below that folder.
pub(crate) fn processes_of(folder: &str) -> Vec<u32> {
    let mark = format!("VPT_MINERL_FOLDER={folder}/");
    let is_ours = |id: &u32| {
        // One that has ended and was not waited for has none.
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).split('\0').any(|variable| variable.starts_with(&mark))
    };
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}
