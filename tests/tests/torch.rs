//! PyTorch as a witness: `torch.load(weights_only=True)` takes what is written here, and the benchmark's peer computes what
//! the network here computes. `VPT_TORCH_PYTHON` names a Python that has torch; without it these tests say SKIP.

use std::process::Command;

use candle_core::Device;
use vpt_policy::openai::{self, NamedTensors};
use vpt_policy::{Parameters, PolicyConfig};
use vpt_tests::process::{outcome, vpt};

/// The Python with torch, or none and a line that says so.
fn python() -> Option<String> {
    let python = std::env::var("VPT_TORCH_PYTHON").ok();
    if python.is_none() {
        println!("SKIP torch: VPT_TORCH_PYTHON names no Python that has torch");
    }
    python
}

/// Prints every tensor as name, shape, and the sum of its bytes.
const LIST: &str = "
import sys, torch
for name, t in sorted(torch.load(sys.argv[1], weights_only=True).items()):
    flat = t.contiguous().flatten()
    total = int(flat.view(torch.uint8).sum(dtype=torch.int64)) if flat.numel() else 0
    print(name, t.dtype, list(t.shape), total)
";

#[test]
fn torch_loads_exported_weights_without_executing_anything() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("exported.weights");
    let parameters = Parameters::init(&PolicyConfig::tiny(), 3, &Device::Cpu).expect("weights");
    let tensors: NamedTensors = parameters
        .names()
        .map(|name| (name.to_owned(), parameters.get(name).expect("listed").clone()))
        .collect();
    openai::write_weights(&path, &tensors).expect("weights file");

    let listed = Command::new(python).arg("-c").arg(LIST).arg(&path).output().expect("python runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let expected: String = tensors
        .iter()
        .map(|(name, tensor)| {
            let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("f32");
            let total: u64 = values.iter().flat_map(|v| v.to_le_bytes()).map(u64::from).sum();
            format!("{name} torch.float32 {:?} {total}\n", tensor.dims())
        })
        .collect();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), expected);
}

#[test]
fn the_benchmark_compares_with_a_peer_that_agrees() {
    let Some(python) = python() else { return };
    let (code, text) = outcome(&vpt(&[
        "bench",
        "policy",
        "--model",
        "tiny",
        "--threads",
        "1",
        "--batches",
        "2",
        "--time",
        "4",
        "--rounds",
        "1",
        "--peers",
        &python,
    ]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("peer agrees") && text.contains("act_b2_t1.torch"), "{text}");
}

#[test]
fn the_benchmark_ends_with_one_json_line() {
    let (code, text) = outcome(&vpt(&[
        "bench",
        "policy",
        "--model",
        "tiny",
        "--threads",
        "1",
        "--batches",
        "2",
        "--time",
        "4",
        "--rounds",
        "1",
        "--steady",
        "10",
    ]));
    assert_eq!(code, 0, "{text}");
    let line = text.lines().rfind(|line| line.starts_with('{')).expect("a JSON line");
    let report: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(report["bench"], "policy");
    for ratio in ["act_b2_t1_bf16.f32", "act_b2_t1_int8.f32"] {
        assert!(report["ratios"][ratio].as_f64().expect("a ratio") > 0.0, "{line}");
    }
    for precision in ["bf16", "int8"] {
        let kl = report["kl_to_f32_nats"][precision].as_f64().expect("a divergence");
        assert!((0.0..0.05).contains(&kl), "{line}");
    }
    assert!(report["steady"]["train_growth_bytes"].is_number(), "{line}");
}
