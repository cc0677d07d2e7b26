//! Programs that a check needs and that may be absent: then it is skipped, and says so.

use std::io::Write;
use std::path::PathBuf;

/// Where `program` is; `None`, after a line `SKIP` on standard error, when it is not on `PATH`. With the variable
/// `VPT_REQUIRE_TOOLS` set that is a failure.
///
/// # Panics
/// When it is absent and required.
pub fn tool(program: &str, check: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("VPT_REQUIRE_TOOLS").is_none(),
            "{program} is not on PATH, {check} needs it"
        );
        // Past the test harness, which keeps what passing tests print.
        let _ = writeln!(std::io::stderr(), "SKIP {check}: {program} is not on PATH");
    }
    found
}
