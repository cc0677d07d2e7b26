//! The cases of `vpt bench policy`.

use serde_json::{Value, json};
use vpt_policy::Precision;

use crate::cli::bench::BenchPolicyArgs;

/// What is done in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// One step of a batch of environments.
    Act,
    /// Forward, backward and AdamW on one chunk.
    Train,
}

/// One thing that is timed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) op: Op,
    pub(super) threads: usize,
    pub(super) precision: Precision,
    pub(super) batch: usize,
    pub(super) time: usize,
}

/// Acting in every precision and batch, then training, all on each number of threads.
pub(super) fn of(args: &BenchPolicyArgs) -> Vec<Case> {
    let mut cases = Vec::new();
    for &threads in &args.threads {
        for &batch in &args.batches {
            for precision in Precision::ALL {
                cases.push(Case { op: Op::Act, threads, precision, batch, time: 1 });
            }
        }
    }
    for &threads in args.threads.iter().filter(|_| args.time > 0) {
        cases.push(Case { op: Op::Train, threads, precision: Precision::F32, batch: 1, time: args.time });
    }
    cases
}

impl Case {
    /// For example `act_b8_t1` or `act_b8_t2_int8`; `t` counts threads.
    pub(super) fn name(&self) -> String {
        let threads = self.threads;
        match (self.op, self.precision) {
            (Op::Act, Precision::F32) => format!("act_b{}_t{threads}", self.batch),
            (Op::Act, other) => format!("act_b{}_t{threads}_{}", self.batch, other.name()),
            (Op::Train, _) => format!("train_{}_t{threads}", self.time),
        }
    }

    /// The name of the same case in f32, of those in another precision.
    pub(super) fn in_f32(&self) -> Option<String> {
        let other = self.precision != Precision::F32;
        other.then(|| Self { precision: Precision::F32, ..*self }.name())
    }

    pub(super) fn frames(&self) -> usize {
        self.batch * self.time
    }

    pub(super) fn request(&self) -> Value {
        json!({
            "op": match self.op { Op::Act => "act", Op::Train => "train" },
            "threads": self.threads, "precision": self.precision.name(),
            "batch": self.batch, "time": self.time, "lr": 1e-5,
        })
    }
}
