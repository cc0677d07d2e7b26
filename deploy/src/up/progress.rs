//! What the terminal shows of long work: a bar on a terminal, log lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(10);

/// One piece of long work.
pub struct Progress {
    title: String,
    bar: Option<ProgressBar>,
    last_line: Mutex<Option<Instant>>,
}

impl Progress {
    /// Starts showing work called `title`.
    pub fn new(title: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:28} {bar:24} {percent:>3}% {elapsed:>4} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(0).with_style(style);
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        if bar.is_none() {
            println!("{title} ...");
        }
        Self { title: title.to_owned(), bar, last_line: Mutex::new(None) }
    }

    /// Shows that `done` of `total` `unit` are done, and `detail` beside it.
    pub fn update(&self, done: u64, total: u64, unit: &str, detail: String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(detail);
        } else if self.line_is_due() {
            println!("{}: {done} of {total} {unit}  {detail}", self.title);
        }
    }

    /// Shows one remark.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => println!("{}: {text}", self.title),
        }
    }

    /// Ends with one line that stays.
    pub fn finish(self, result: &str) {
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                println!("{:28} {result}", self.title);
            }
            None => println!("{}: {result}", self.title),
        }
    }

    fn line_is_due(&self) -> bool {
        let Ok(mut last) = self.last_line.lock() else { return false };
        let due = last.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}
