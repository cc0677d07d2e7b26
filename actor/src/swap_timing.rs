//! How long acting stops for new weights, measured on the real parts: the inference thread steps without a pause while
//! policies are built beside it, and whoever asks it for steps takes the newest policy over between two of them.

use crate::acting_policy::{ActingPolicy, Batch};
use crate::error::ActorError;
use crate::inference::Inference;
use crate::version::Version;
use bytes::Bytes;
use candle_core::Device;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use vpt_policy::{Parameters, PolicyConfig, Precision};

/// What is timed.
#[derive(Debug, Clone)]
pub struct SwapPlan {
    /// The network.
    pub policy: PolicyConfig,
    /// Its numbers when it acts.
    pub precision: Precision,
    /// Weights that take turns.
    pub payloads: Vec<Bytes>,
    /// How many swaps.
    pub swaps: usize,
    /// Environments of a step.
    pub batch: usize,
}

/// What was found, a number for each swap or step.
#[derive(Debug, Clone, Default)]
pub struct SwapTimes {
    /// From the end of the last step with the old weights to the start of the first one with the new.
    pub pauses: Vec<Duration>,
    /// The first step with new weights.
    pub first_steps: Vec<Duration>,
    /// Other steps while no policy was being built.
    pub quiet_steps: Vec<Duration>,
    /// Other steps while one was.
    pub building_steps: Vec<Duration>,
    /// From a payload to a policy that can act.
    pub builds: Vec<Duration>,
}

/// Steps that are taken with a policy before the next one is built.
const STEPS_BETWEEN: usize = 4;

/// Runs `plan`.
///
/// # Errors
/// Weights that are not the network's.
pub async fn time_swaps(plan: SwapPlan) -> Result<SwapTimes, ActorError> {
    let inference = Inference::start(1)?;
    let mut policy = Arc::new(build(&plan, 0)?);
    let (policies, newest) = watch::channel(policy.clone());
    let building = Arc::new(AtomicBool::new(false));
    let mut times = SwapTimes::default();
    let mut state = policy.initial_state(plan.batch)?;
    let side = plan.policy.image_size;
    for swap in 1..=plan.swaps {
        for _ in 0..STEPS_BETWEEN {
            times.quiet_steps.push(step(&inference, &policy, &mut state, (plan.batch, side)).await?);
        }
        let (job, sender, busy) = (plan.clone(), policies.clone(), building.clone());
        busy.store(true, Ordering::SeqCst);
        let builder = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let built = build(&job, swap);
            let spent = began.elapsed();
            busy.store(false, Ordering::SeqCst);
            built.map(|built| {
                drop(sender.send_replace(Arc::new(built)));
                spent
            })
        });
        while building.load(Ordering::SeqCst) || newest.borrow().version() == policy.version() {
            if builder.is_finished() && newest.borrow().version() == policy.version() {
                // It failed: its error follows.
                break;
            }
            let spent = step(&inference, &policy, &mut state, (plan.batch, side)).await?;
            times.building_steps.push(spent);
        }
        times.builds.push(builder.await??);
        // As at an unroll's end: the newest is taken over, the old one goes.
        let began = Instant::now();
        let newest = newest.borrow().clone();
        ActingPolicy::retire(std::mem::replace(&mut policy, newest));
        times.pauses.push(began.elapsed());
        times.first_steps.push(step(&inference, &policy, &mut state, (plan.batch, side)).await?);
    }
    Ok(times)
}

fn build(plan: &SwapPlan, sequence: usize) -> Result<ActingPolicy, ActorError> {
    let payload = &plan.payloads[sequence % plan.payloads.len()];
    let parameters = Parameters::from_safetensors(payload, &plan.policy, false, &Device::Cpu)?;
    let version = Version { epoch: 1, sequence: sequence as u64 };
    ActingPolicy::new(&plan.policy, &parameters, (plan.precision, 1.0), version)
}

async fn step(
    inference: &Inference,
    policy: &Arc<ActingPolicy>,
    state: &mut vpt_policy::RecurrentState,
    (rows, side): (usize, usize),
) -> Result<Duration, ActorError> {
    let batch = Batch {
        state: state.clone(),
        frames: vec![100; rows * side * side * 3],
        is_first: vec![0; rows],
        draws: (0..rows as u64).map(|row| [1, 2, 3, row, 0, 0]).collect(),
    };
    let began = Instant::now();
    let verdict = inference.decide(policy, batch).await?;
    let spent = began.elapsed();
    *state = verdict.state;
    Ok(spent)
}
