//! Waiting for a condition with a deadline and a name, instead of sleeping for a guessed time.

use std::time::{Duration, Instant};

/// Polls `condition` until it yields a value.
///
/// # Panics
/// After `seconds`, naming `what` was waited for.
pub fn wait_until<T>(what: &str, seconds: u64, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {seconds} s in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
