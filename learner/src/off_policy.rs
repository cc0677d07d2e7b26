//! V-trace over a batch: unrolls that older weights acted in get advantages and value targets for the current policy.

use crate::algo::vtrace::compute_vtrace;
use crate::batch::FlatOutput;
use crate::config::PpgConfig;
use crate::error::LearnerError;
use crate::experience::{Experience, stack};
use crate::training::Trainer;

/// Corrects every unroll with a staleness above 0; the others keep what they have, which V-trace would give them too.
///
/// Costs a forward pass over those unrolls. Their `advantages` must not be normalised yet.
///
/// # Errors
/// When a tensor operation fails.
pub(crate) fn correct(
    trainer: &Trainer,
    config: &PpgConfig,
    unrolls: &mut [Experience],
) -> Result<(), LearnerError> {
    let mut stale: Vec<&mut Experience> = unrolls.iter_mut().filter(|unroll| unroll.staleness > 0).collect();
    for group in stale.chunks_mut(config.minibatch_unrolls) {
        let batch: Vec<&Experience> = group.iter().map(|unroll| &**unroll).collect();
        let (sequences, state) = stack(&batch, trainer.config.image_size, &trainer.compute.device)?;
        let output = trainer.policy.forward(&sequences.frames, &sequences.is_first, &state)?;
        let log_prob: Vec<f32> = FlatOutput::new(output)?.log_prob(&sequences)?.detach().to_vec1()?;
        let mut rest = log_prob.as_slice();
        for unroll in group {
            let (own, others) = rest.split_at(unroll.steps());
            rest = others;
            let log_ratios: Vec<f32> =
                own.iter().zip(&unroll.behaviour_log_prob).map(|(new, old)| new - old).collect();
            let corrected = compute_vtrace(config.vtrace(), unroll.gae_input(), &log_ratios)
                .ok_or(LearnerError::UnrollShape)?;
            unroll.advantages = corrected.advantages;
            unroll.value_targets = corrected.value_targets;
        }
    }
    Ok(())
}
