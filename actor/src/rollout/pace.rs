//! Where the time of a group's unrolls in progress goes, for their traces. Spans of every step would be hundreds an unroll;
//! these are sums over its steps.

use std::time::{Duration, Instant};
use vpt_runtime::traces::{Span, SpanId, Trace};

/// Sums since the unrolls began.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    batches: u64,
    /// From handing frames to the inference thread until its answer.
    inference: Duration,
    /// What the network took of that; the rest was waiting for the thread.
    forward: Duration,
    /// Waiting for the worlds.
    env: Duration,
}

impl Pace {
    pub(super) fn start() -> Self {
        let (inference, forward, env) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Self { began: Instant::now(), batches: 0, inference, forward, env }
    }

    pub(super) fn inferred(&mut self, took: Duration, forward: Duration) {
        self.batches += 1;
        self.inference += took;
        self.forward += forward;
    }

    pub(super) fn stepped(&mut self, took: Duration) {
        self.env += took;
    }

    /// Ends the env steps of an unroll: a span of them all and, inside it, the sums one after the other.
    pub(super) fn note_in(&self, trace: &Trace) {
        if !trace.is_on() {
            return;
        }
        let steps = SpanId::fresh();
        let inferred = self.began + self.inference;
        let inference = Span::new("inference_sum", self.began, inferred)
            .within(steps)
            .with("vpt.batches", self.batches)
            .with("vpt.forward_seconds", self.forward)
            .with("vpt.wait_seconds", self.inference.saturating_sub(self.forward));
        trace.add(inference);
        trace.add(Span::new("env_sum", inferred, inferred + self.env).within(steps));
        trace.lap_around(steps, "env_steps", Instant::now());
    }
}
