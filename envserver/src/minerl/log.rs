//! What a game prints: read for as long as it lives, since a game whose output nobody reads stands still. The port that
//! it serves is taken out of it, and its end is kept for messages.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::games::said;

/// What stands before the port.
const PORT: &str = "***** Start MalmoEnvServer on port ";
/// Lines that are kept, and bytes of each.
const LINES: usize = 40;
const LINE_BYTES: u64 = 1000;
/// The rest of a game's output comes within this time of its end, and is looked for so often.
const LAST_WORDS: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Kept {
    port: Option<u16>,
    last: VecDeque<String>,
}

/// The output of one game.
pub(super) struct Log {
    kept: Arc<Mutex<Kept>>,
    reader: JoinHandle<()>,
}

impl Log {
    /// Reads `output` to its end, in a thread of that name.
    pub(super) fn follow(output: impl Read + Send + 'static, name: String) -> std::io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Arc::clone(&kept);
        // It ends with the output: when every process that could write it has ended.
        let thread = std::thread::Builder::new().name(name);
        let reader = thread.spawn(move || read(BufReader::new(output), &shared))?;
        Ok(Self { kept, reader })
    }

    /// Waits a moment for the rest of what a game has said that has ended.
    pub(super) fn settle(&self) {
        let began = Instant::now();
        while !self.reader.is_finished() && began.elapsed() < LAST_WORDS {
            std::thread::sleep(LOOK);
        }
    }

    /// The port that the game serves, once it has said so.
    pub(super) fn port(&self) -> Option<u16> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).port
    }

    /// The last that it said, as the end of a message.
    pub(super) fn said(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        said(&kept.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n"))
    }

    /// All that is kept of what it said.
    pub(super) fn tail(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

fn read(mut output: impl BufRead, kept: &Mutex<Kept>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end is taken in parts.
        match output.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        tracing::trace!(line = text, "a game said");
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, port)) = text.split_once(PORT) {
            kept.port = port.trim().parse().ok();
        }
        if kept.last.len() == LINES {
            kept.last.pop_front();
        }
        kept.last.push_back(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn log(text: &[u8]) -> Log {
        let log = Log::follow(Cursor::new(text.to_vec()), "test".to_owned()).unwrap();
        while !log.reader.is_finished() {
            std::thread::yield_now();
        }
        log
    }

    #[test]
    fn the_port_is_taken_out_of_what_is_said() {
        let log = log(
            b"Loading\n[main/INFO]: ***** Start MalmoEnvServer on port 9123\nCLIENT enter state: DORMANT\n",
        );
        assert_eq!(log.port(), Some(9123));
        assert_eq!(
            log.said(),
            "; it said: Loading | [main/INFO]: ***** Start MalmoEnvServer on port 9123 | CLIENT enter state: DORMANT"
        );
    }

    #[test]
    fn no_port_is_none_and_output_without_end_or_sense_is_bounded() {
        assert_eq!(log(b"***** Start MalmoEnvServer on port 99999\n").port(), None);
        let noise = vec![0xff; 200_000];
        let log = log(&noise);
        assert!(log.tail().len() <= LINES * (3 * LINE_BYTES as usize + 1), "{}", log.tail().len());
        assert!(log.port().is_none());
    }
}
