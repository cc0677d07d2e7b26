//! A folder that looks like MineRL's installation to whoever starts the game from it: a `launchClient.sh`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The script's name in a MineRL installation.
pub const SCRIPT: &str = "launchClient.sh";

/// Writes the script into `dir`, which is made if it is not there; it starts `binary` with `arguments` and the port it
/// is given.
///
/// # Errors
/// When the folder or the script cannot be written.
pub fn install(dir: &Path, binary: &Path, arguments: &[&str]) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let path = dir.join(SCRIPT);
    fs::write(&path, script(binary, arguments))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path)
}

fn script(binary: &Path, arguments: &[&str]) -> String {
    let words: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    format!(
        r#"#!/bin/sh
# In place of MineRL's script of this name: starts the stand-in for its Minecraft. Of what MineRL's takes, the port counts.
port=0
while [ $# -gt 0 ]; do
    case "$1" in
        -port) port="$2"; shift ;;
        -runDir | -performanceDir | -seed | -maxMem) shift ;;
    esac
    [ $# -gt 0 ] && shift
done
exec {} {} --port "$port"
"#,
        quoted(&binary.display().to_string()),
        words.join(" ")
    )
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_script_hands_the_port_on_and_ignores_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let script =
            install(&dir.path().join("it's here"), Path::new("/bin/echo"), &["a b", "--task", "it's"])
                .unwrap();
        let said = |arguments: &[&str]| {
            let output = Command::new(&script).args(arguments).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let all = [
            "-port",
            "9001",
            "-env",
            "-runDir",
            "/x/run",
            "-performanceDir",
            "p",
            "-seed",
            "1,2",
            "-maxMem",
            "4G",
            "-replaceable",
        ];
        assert_eq!(said(&all), "a b --task it's --port 9001\n");
        assert_eq!(said(&["-maxMem"]), "a b --task it's --port 0\n");
    }
}
