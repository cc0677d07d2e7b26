//! Whether a thread that does not come back had a processor: one that waits for its turn on a busy machine does not hang.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, gettid, sysconf};

/// A thread as the system accounts for it.
#[derive(Debug)]
pub(crate) struct ThreadTimes {
    stat: PathBuf,
    /// The unit of its times.
    tick: Duration,
}

/// A thread at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// It runs, or would if a processor were free.
    wants_to_run: bool,
    /// How long it ran so far.
    ran: Duration,
}

impl ThreadTimes {
    /// Those of the calling thread.
    pub(crate) fn of_this_thread() -> Self {
        let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|hertz| u32::try_from(hertz).ok());
        Self {
            stat: PathBuf::from(format!("/proc/self/task/{}/stat", gettid())),
            tick: Duration::from_secs(1) / hertz.filter(|hertz| *hertz > 0).unwrap_or(100),
        }
    }

    /// Looks at it; none when the system does not say, or the thread has ended.
    pub(crate) fn look(&self) -> Option<Look> {
        let stat = std::fs::read_to_string(&self.stat).ok()?;
        // The name may hold anything, parentheses too.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
        Some(Look { wants_to_run: *fields.first()? == "R", ran: self.tick * (ticks(11)? + ticks(12)?) })
    }
}

/// How long a thread has waited for a processor since a call began, as far as looks at it tell.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    call: Option<Instant>,
    last: Option<(Instant, Duration)>,
    /// The look from which on it has wanted to run at every look.
    wanting_since: Option<(Instant, Duration)>,
    /// Waited since that look, and before.
    now: Duration,
    before: Duration,
}

impl Waited {
    /// Adds what a look at `now` tells of the time since the look before; all of it during the call that began at `call`.
    pub(crate) fn add(
        &mut self,
        call: Instant,
        now: Instant,
        times: &ThreadTimes,
        look: Option<Look>,
    ) -> Duration {
        if self.call != Some(call) {
            *self = Self { call: Some(call), ..Self::default() };
        }
        match look.filter(|look| look.wants_to_run) {
            Some(look) => {
                self.wanting_since = self.wanting_since.or(self.last);
                if let Some((since, ran)) = self.wanting_since {
                    // Times are whole ticks: one may be missing, and a thread that spins has none to spare. However
                    // often it was looked at, it is one.
                    let had = look.ran.saturating_sub(ran) + times.tick;
                    self.now = now.saturating_duration_since(since).saturating_sub(had);
                }
            }
            None => {
                self.before += std::mem::take(&mut self.now);
                self.wanting_since = None;
            }
        }
        self.last = look.map(|look| (now, look.ran));
        self.before + self.now
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_that_spins_wants_to_run_and_one_that_sleeps_does_not() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let (tell, told) = mpsc::channel();
        let spin = tell.clone();
        let spinning = std::thread::spawn(move || {
            spin.send((true, ThreadTimes::of_this_thread())).unwrap();
            while !STOP.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let sleeping = std::thread::spawn(move || {
            tell.send((false, ThreadTimes::of_this_thread())).unwrap();
            while !STOP.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(60));
            }
        });
        let threads: Vec<(bool, ThreadTimes)> = told.iter().take(2).collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        for (spins, times) in &threads {
            let first = times.look().unwrap();
            let is_as_expected =
                |look: Look| look.wants_to_run == *spins && (!*spins || look.ran > first.ran);
            while !is_as_expected(times.look().unwrap()) {
                assert!(Instant::now() < deadline, "spins {spins}: {:?}", times.look());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        STOP.store(true, Ordering::Relaxed);
        sleeping.thread().unpark();
        spinning.join().unwrap();
        sleeping.join().unwrap();
        assert_eq!(threads[0].1.look(), None, "a thread that has ended");
    }

    #[test]
    fn only_waiting_for_a_processor_is_excused_and_only_within_a_call() {
        let times = ThreadTimes { stat: PathBuf::new(), tick: Duration::from_millis(10) };
        let at = |millis: u64| Duration::from_millis(millis);
        let look = |wants_to_run, ran| Some(Look { wants_to_run, ran: at(ran) });
        let (call, next) = (Instant::now(), Instant::now() + at(5000));
        let mut waited = Waited::default();
        let mut add = |call, millis, look| waited.add(call, call + at(millis), &times, look);
        assert_eq!(
            add(call, 100, look(true, 70)),
            at(0),
            "nothing is known of the time before the first look"
        );
        assert_eq!(add(call, 350, look(true, 320)), at(0), "it ran all the time");
        assert_eq!(
            add(call, 600, look(true, 360)),
            at(200),
            "it ran 40 ms of 250, and a tick may be missing"
        );
        assert_eq!(add(call, 850, look(false, 360)), at(200), "it is blocked");
        assert_eq!(add(call, 1100, None), at(200));
        assert_eq!(
            add(call, 1350, look(true, 360)),
            at(200),
            "nothing is known of the time since the last look"
        );
        assert_eq!(add(call, 1600, look(true, 360)), at(440));
        assert_eq!(add(next, 100, look(true, 400)), at(0), "the next call");
        for millis in (120..=5100).step_by(20) {
            assert_eq!(
                add(next, millis, look(true, 400)),
                at(millis - 110),
                "looks that are close cost nothing"
            );
        }
    }
}
