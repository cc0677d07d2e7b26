//! For tests: ranks as threads of one process, over loopback.

use std::net::TcpListener;
use std::time::Duration;

use candle_core::Tensor;
use tokio_util::sync::CancellationToken;

use super::error::RanksError;
use super::rendezvous::Meeting;
use super::tcp::TcpRanks;
use super::{Collective, Ranks};
use crate::error::LearnerError;

/// Longer than a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lets `count` ranks meet and `work`, each on a thread of its own; their results by rank.
pub(crate) fn ranks<T: Send>(count: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    connected(count, PATIENCE, |rank, tcp| work(Ranks::new(rank, count, tcp.unwrap())))
}

/// The same, before they are wrapped, and with a patience of their own.
pub(crate) fn connected<T: Send>(
    count: usize,
    patience: Duration,
    work: impl Fn(usize, Result<TcpRanks, RanksError>) -> T + Sync,
) -> Vec<T> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shutdown = CancellationToken::new();
    std::thread::scope(|scope| {
        let start = |rank: usize| {
            let (work, address, listener, shutdown) = (&work, &address, &listener, &shutdown);
            scope.spawn(move || {
                let (digest, serves) = ("same", format!("rank-{rank}"));
                let meeting = Meeting { rank, count, address, patience, digest, serves: &serves, shutdown };
                work(rank, if rank == 0 { meeting.receive(listener) } else { meeting.join() })
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The relative L2 distance of `b` from `a`.
pub(crate) fn relative_distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    (difference / a.iter().map(|&a| square(f64::from(a))).sum::<f64>()).sqrt()
}

/// The largest difference between two lists of numbers.
pub(crate) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A rank that dies after some gradient steps.
pub(crate) struct Mortal {
    tcp: Option<TcpRanks>,
    steps: usize,
}

impl Mortal {
    /// Takes part through `tcp` in `steps` gradient steps.
    pub(crate) fn new(tcp: TcpRanks, steps: usize) -> Self {
        Self { tcp: Some(tcp), steps }
    }

    fn alive(&mut self) -> Result<&mut TcpRanks, RanksError> {
        self.tcp.as_mut().ok_or(RanksError::Stopped)
    }
}

impl Collective for Mortal {
    fn sum_numbers(&mut self, meaning: u64, numbers: &mut [f64]) -> Result<(), RanksError> {
        self.alive()?.sum_numbers(meaning, numbers)
    }

    fn sum_gradients(&mut self, meaning: u64, gradients: &Tensor) -> Result<Tensor, LearnerError> {
        if self.steps == 0 {
            self.tcp = None;
        }
        self.steps = self.steps.saturating_sub(1);
        self.alive()?.sum_gradients(meaning, gradients)
    }

    fn gather(&mut self, meaning: u64, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        self.alive()?.gather(meaning, bytes)
    }

    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        self.alive()?.broadcast(bytes)
    }
}
