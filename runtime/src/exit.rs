//! Exit codes of every command.

/// The work is done, or the process drained as asked.
pub const DONE: i32 = 0;
/// The work failed.
pub const FAILED: i32 = 1;
/// Bad usage or configuration (`EX_USAGE` of sysexits).
pub const USAGE: i32 = 64;
