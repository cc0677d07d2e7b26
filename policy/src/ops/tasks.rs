//! Work spread over threads, where it is worth it.

use rayon::prelude::*;

/// Operations (multiply-adds, or values moved) below which waking a thread costs more than it saves.
const SMALL: usize = 1 << 20;

/// Runs `task` on `0..count`, on all threads when they have about `SMALL` operations or more to do together.
///
/// What a task does must not depend on where it runs.
pub(crate) fn each(count: usize, operations: usize, task: impl Fn(usize) + Sync + Send) {
    if count < 2 || operations < SMALL || rayon::current_num_threads() < 2 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().for_each(task);
    }
}
