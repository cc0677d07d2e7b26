//! Random faults, the same for the same seed: processes killed and stopped, links cut, stalled and left half-open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use vpt_runtime::counter_hash::counter_hash;

use crate::cluster::{Cluster, Role};
use crate::proxy::Link;

/// Between two faults, at most.
const GAP: Duration = Duration::from_millis(400);
/// How long what does not end at once lasts, at least and at most.
const LASTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1500));

/// What is done to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and started again at once.
    Kill(String),
    /// SIGSTOP, and SIGCONT later.
    Stop(String),
    /// A link fails, and heals later.
    Partition(String, Link),
}

impl Fault {
    /// What happens, for counts: `kill learner`, `stop actor`, `Stalled envserver`.
    pub fn kind(&self) -> String {
        let role = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
        match self {
            Self::Kill(name) => format!("kill {}", role(name)),
            Self::Stop(name) => format!("stop {}", role(name)),
            Self::Partition(name, link) => {
                format!("{link:?} to {}", name.rsplit('-').next().unwrap_or_default())
            }
        }
    }
}

/// The n-th fault of a seed, how long it lasts, and how long until the next.
pub struct Draw {
    /// The fault.
    pub fault: Fault,
    /// Until it is healed.
    pub lasts: Duration,
    /// Until the next one.
    pub gap: Duration,
}

/// Draws fault `n`: a process is hit in two of three cases, the learner as often as all actors together.
pub fn draw(seed: u64, n: u64, cluster: &Cluster) -> Draw {
    let number = |what: u64| counter_hash(&[seed, n, what]);
    let pick = |what: u64, names: Vec<String>| names[(number(what) % names.len() as u64) as usize].clone();
    let between = |what: u64, from: Duration, to: Duration| {
        from + (to - from).mul_f64((number(what) % 1000) as f64 / 1000.0)
    };
    let role =
        [Role::Actor, Role::Learner, Role::Envserver, Role::Actor, Role::Learner][(number(0) % 5) as usize];
    let fault = match number(1) % 6 {
        0..=2 => Fault::Kill(pick(2, cluster.names(role))),
        3 => Fault::Stop(pick(2, cluster.names(role))),
        _ => {
            let link = [Link::Cut, Link::Stalled, Link::HalfOpen][(number(3) % 3) as usize];
            Fault::Partition(pick(2, cluster.link_names()), link)
        }
    };
    Draw { fault, lasts: between(4, LASTS.0, LASTS.1), gap: between(5, Duration::ZERO, GAP) }
}

/// Faults that have happened, by kind, and those that are to heal.
#[derive(Default)]
pub struct Storm {
    /// How many of each kind.
    pub counts: BTreeMap<String, u64>,
    healing: Vec<(Instant, Fault)>,
}

impl Storm {
    /// Lets faults `from..to` of `seed` happen, one after the other, and waits until all are healed; calls `watch` again
    /// and again meanwhile.
    pub fn strike(
        &mut self,
        seed: u64,
        faults: std::ops::Range<u64>,
        cluster: &mut Cluster,
        mut watch: impl FnMut(),
    ) {
        for n in faults {
            let Draw { fault, lasts, gap } = draw(seed, n, cluster);
            *self.counts.entry(fault.kind()).or_default() += 1;
            match &fault {
                Fault::Kill(name) => cluster.restart(name),
                Fault::Stop(name) => cluster.process(name).signal(Signal::SIGSTOP),
                Fault::Partition(name, link) => cluster.link(name).set(*link),
            }
            self.healing.push((Instant::now() + lasts, fault));
            let until = Instant::now() + gap;
            while Instant::now() < until {
                self.heal(cluster);
                watch();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        while !self.healing.is_empty() {
            self.heal(cluster);
            watch();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn heal(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        let due: Vec<Fault> =
            self.healing.iter().filter(|(at, _)| *at <= now).map(|(_, it)| it.clone()).collect();
        self.healing.retain(|(at, _)| *at > now);
        for fault in due {
            match fault {
                Fault::Kill(_) => {}
                Fault::Stop(name) => cluster.process(&name).signal(Signal::SIGCONT),
                Fault::Partition(name, _) => cluster.link(&name).set(Link::Open),
            }
        }
    }
}
