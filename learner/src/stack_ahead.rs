//! Minibatches stacked (and on a GPU uploaded) on a thread of their own, one ahead of the gradient step.

use crossbeam_channel::bounded;

use crate::error::LearnerError;
use crate::stopwatch::Stopwatch;

/// The thread's name.
const THREAD: &str = "vpt-stack";

/// Calls `step` with each of `minibatches` (indices of unrolls) and what `stack` made of it, in order, until `step` says
/// that it was the last. Waiting for `stack` counts as the state "batch".
///
/// # Errors
/// What `stack` or `step` failed with; a thread that cannot be started.
pub(crate) fn stack_ahead<T: Send>(
    minibatches: &[Vec<usize>],
    stopwatch: &Stopwatch,
    stack: impl Fn(&[usize]) -> Result<T, LearnerError> + Send,
    mut step: impl FnMut(&[usize], T) -> Result<bool, LearnerError>,
) -> Result<(), LearnerError> {
    std::thread::scope(|scope| {
        // One waits and the next is being made.
        let (outbox, stacked) = bounded(1);
        std::thread::Builder::new()
            .name(THREAD.into())
            .spawn_scoped(scope, move || {
                for indices in minibatches {
                    if outbox.send(stack(indices)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| LearnerError::Thread { name: THREAD, source })?;
        for indices in minibatches {
            let stacked = stopwatch.during("batch", || stacked.recv());
            let stacked = stacked.map_err(|_| LearnerError::Panicked { name: THREAD })??;
            if !step(indices, stacked)? {
                break;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(minibatches: &[Vec<usize>], last: usize) -> Vec<(Vec<usize>, usize)> {
        let mut seen = Vec::new();
        let step = |indices: &[usize], sum| {
            seen.push((indices.to_vec(), sum));
            Ok(seen.len() < last)
        };
        stack_ahead(minibatches, &Stopwatch::new(), |indices| Ok(2 * indices.iter().sum::<usize>()), step)
            .unwrap();
        seen
    }

    #[test]
    fn every_minibatch_comes_with_its_own_stack_in_order() {
        let minibatches = [vec![3, 1], vec![2], vec![0, 4]];
        let all = [(vec![3, 1], 8), (vec![2], 4), (vec![0, 4], 8)];
        assert_eq!(doubled(&minibatches, 3), all);
        assert_eq!(doubled(&minibatches, 1), all[..1], "the thread ends with the last step");
    }

    #[test]
    fn a_failure_to_stack_is_the_error() {
        let stack = |indices: &[usize]| if indices == [1] { Err(LearnerError::NoAuxHead) } else { Ok(()) };
        let mut steps = 0;
        let result = stack_ahead(&[vec![0], vec![1], vec![2]], &Stopwatch::new(), stack, |_, ()| {
            steps += 1;
            Ok(true)
        });
        assert!(matches!(result, Err(LearnerError::NoAuxHead)));
        assert_eq!(steps, 1);
    }
}
