//! The traces of the unrolls of one batch, while training has them and until the weights are out that came of them.

use std::time::Instant;

use vpt_runtime::traces::{Span, SpanId, Trace};

use crate::stopwatch::Stopwatch;
use crate::version::Version;

/// The states of the training thread that make up a gradient step.
const STEP: [&str; 4] = ["forward", "backward", "exchange", "optimizer"];

/// Traced unrolls of a batch; mostly none, and then nothing here does anything.
#[derive(Debug, Default)]
pub(crate) struct BatchTraces {
    /// Each with its place in the batch.
    traced: Vec<(usize, Trace)>,
    /// The policy phase in progress.
    phase: Option<SpanId>,
}

impl BatchTraces {
    /// The unroll that is number `index` of the batch.
    pub(crate) fn add(&mut self, index: usize, trace: Trace) {
        if trace.is_on() {
            self.traced.push((index, trace));
        }
    }

    /// What the training thread did with all of them since the last lap.
    pub(crate) fn lap(&self, name: &'static str) {
        self.traced.iter().for_each(|(_, trace)| trace.lap(name));
    }

    /// The batch is complete, and policy phase `number` begins.
    pub(crate) fn begin_phase(&mut self, number: u64) {
        self.lap("batch");
        self.traced.iter().for_each(|(_, trace)| trace.note("vpt.policy_phase", number));
        self.phase = (!self.traced.is_empty()).then(SpanId::fresh);
    }

    /// Does `step`, the gradient step on the unrolls of `indices`, and notes its parts for those among them.
    pub(crate) fn minibatch<T>(
        &self,
        indices: &[usize],
        stopwatch: &Stopwatch,
        step: impl FnOnce() -> T,
    ) -> T {
        let Some(phase) = self.phase.filter(|_| self.traced.iter().any(|(index, _)| indices.contains(index)))
        else {
            return step();
        };
        let began = Instant::now();
        let (result, laps) = stopwatch.recorded(step);
        let ended = Instant::now();
        for (_, trace) in self.traced.iter().filter(|(index, _)| indices.contains(index)) {
            let minibatch = Span::new("minibatch", began, ended).within(phase);
            for &(state, from, to) in laps.iter().filter(|(state, ..)| STEP.contains(state)) {
                trace.add(Span::new(state, from.max(began), to).within(minibatch.id()));
            }
            trace.add(minibatch);
        }
        result
    }

    /// The policy phase is over; `trained` says by place in the batch whether a gradient step was taken on an unroll.
    pub(crate) fn end_phase(&self, trained: &[bool]) {
        let Some(phase) = self.phase else { return };
        let now = Instant::now();
        for (index, trace) in &self.traced {
            trace.lap_around(phase, "policy_phase", now);
            match trained.get(*index) {
                Some(true) => trace.good(),
                _ => trace.lost("not_trained"),
            }
        }
    }

    /// The weights that came of them are out as `version`.
    pub(crate) fn published(&self, version: Version) {
        for (_, trace) in &self.traced {
            trace.lap("publish");
            trace.note("vpt.published_version", version.to_string());
        }
    }
}
