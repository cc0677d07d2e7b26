//! `vpt bench swap`: how long acting stops for new weights, in every precision, quantised packing included.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use candle_core::Device;
use serde_json::{Map, Value, json};
use vpt_actor::swap_timing::{SwapPlan, SwapTimes, time_swaps};
use vpt_policy::{ExportDType, Parameters, Precision};

use super::policy;
use crate::cli::bench::BenchSwapArgs;

pub(crate) fn run(args: &BenchSwapArgs) -> anyhow::Result<()> {
    let policy = policy::config(&args.model)?;
    // As an actor with `actor.threads = 1`.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().context("cannot start the thread pool")?;
    let payloads = (1..=2).map(|seed| {
        let parameters = Parameters::init(&policy, seed, &Device::Cpu)?;
        Ok(Bytes::from(parameters.to_safetensors(ExportDType::Bf16, false)?))
    });
    let payloads = payloads.collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = crate::commands::runtime()?;
    let (mut cases, mut worst) = (Map::new(), 0.0f64);
    for precision in Precision::ALL {
        let plan = SwapPlan {
            policy: policy.clone(),
            precision,
            payloads: payloads.clone(),
            swaps: args.swaps.max(1),
            batch: args.batch,
        };
        let times = runtime.block_on(time_swaps(plan))?;
        worst = worst.max(percentile(&times.pauses, 0.99));
        let case = case(&times);
        eprintln!("{:5} {case}", precision.name());
        cases.insert(precision.name().to_owned(), case);
    }
    let about = json!({"model": args.model, "swaps": args.swaps, "batch": args.batch});
    println!(
        "{}",
        json!({"bench": "swap", "value": worst, "unit": "ms", "ratios": {}, "cases": cases, "about": about})
    );
    Ok(())
}

/// Milliseconds.
fn case(times: &SwapTimes) -> Value {
    json!({
        "pause_p50": percentile(&times.pauses, 0.5), "pause_p99": percentile(&times.pauses, 0.99),
        "first_step_p50": percentile(&times.first_steps, 0.5), "first_step_p99": percentile(&times.first_steps, 0.99),
        "quiet_step_p50": percentile(&times.quiet_steps, 0.5), "quiet_step_p99": percentile(&times.quiet_steps, 0.99),
        "building_step_p50": percentile(&times.building_steps, 0.5),
        "building_step_p99": percentile(&times.building_steps, 0.99),
        "build_p50": percentile(&times.builds, 0.5),
    })
}

/// The smallest value that `share` of `values` do not exceed, in milliseconds.
fn percentile(values: &[Duration], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}
