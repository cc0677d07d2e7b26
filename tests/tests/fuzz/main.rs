//! Everything that reads bytes of others is given mutated real samples: it may refuse them, it may not panic, hang or take
//! memory on their word.
//!
//! Each body is a plain `fn body(data: &[u8])`, so that cargo-fuzz can drive it too: `fuzz_target!(|data: &[u8]|
//! bodies::unroll(data))` with this folder's files as modules. Here each runs for two seconds, or for `VPT_FUZZ_SECONDS`.

mod bodies;
mod mutation;
mod samples;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mutation::Mutator;

/// Bytes of memory that this process may ever have had, whatever a sample claims.
const PEAK_BYTES: u64 = 1 << 30;

fn fuzz(name: &str, samples: &[Vec<u8>], body: fn(&[u8])) {
    let seconds = std::env::var("VPT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut mutator = Mutator::new(name, samples);
    for sample in samples {
        body(sample);
    }
    let mut inputs = 0u64;
    // At least one, on a machine that stands still.
    while inputs == 0 || Instant::now() < end {
        let input = mutator.next_input();
        if catch_unwind(AssertUnwindSafe(|| body(&input))).is_err() {
            let file = std::env::temp_dir().join(format!("vpt-fuzz-{name}"));
            std::fs::write(&file, &input).expect("a place for the input");
            panic!("{name} panicked on input {inputs}, kept in {}", file.display());
        }
        inputs += 1;
    }
    let peak = peak_bytes();
    assert!(peak < PEAK_BYTES, "{peak} bytes of memory after {name}");
    println!("{name}: {inputs} inputs");
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib * 1024)
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name), &samples::$name(), bodies::$name);
        })*
    };
}

targets![
    unroll,
    frame_codec,
    wire_tensor,
    frame_resize,
    push_message,
    weights_manifest,
    weights_file,
    shard,
    journal,
    checkpoint,
    run_config,
    model_pickle,
    torch_archive,
    action_log,
    run_token,
];
