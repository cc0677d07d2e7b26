//! `vpt infer` on a model file as OpenAI publishes them: it says what the network says, and carries memory across calls.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use vpt_policy::openai::{self, ModelFile, NamedTensors};
use vpt_policy::{CounterRng, InverseDynamics, Parameters, Policy, PolicyConfig, RecurrentState};
use vpt_tests::process::{outcome, vpt};

const BATCH: usize = 2;
const TIME: usize = 7;
/// Where the two calls meet.
const CUT: usize = 3;
/// Between one call and two: the same numbers summed in another order.
const TOLERANCE: f32 = 2e-5;

struct Case {
    dir: tempfile::TempDir,
    config: PolicyConfig,
    parameters: Parameters,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let ModelFile::Policy(config) = openai::read_model(&model()).expect("model file") else {
            panic!("a policy's model file")
        };
        let parameters = Parameters::init(&config, 3, &Device::Cpu).expect("weights");
        let published = parameters.names().filter(|name| !name.starts_with("aux_value_head"));
        let tensors: NamedTensors =
            published.map(|name| (name.to_owned(), parameters.get(name).expect("listed").clone())).collect();
        openai::write_weights(&dir.path().join("tiny.weights"), &tensors).expect("weights file");
        Self { dir, config, parameters }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn infer(&self, frames: &str, out: &str, more: &[&str]) -> (i32, String) {
        let model = model().display().to_string();
        let [weights, frames, out] =
            ["tiny.weights", frames, out].map(|name| self.path(name).display().to_string());
        let mut arguments = vec!["infer", "--model", &model, "--weights", &weights];
        arguments.extend(["--frames", &frames, "--out", &out]);
        arguments.extend(more);
        outcome(&vpt(&arguments))
    }

    fn save(&self, name: &str, frames: &Tensor, first: &Tensor) {
        let tensors = HashMap::from([("frames", frames.clone()), ("first", first.clone())]);
        safetensors::save(&tensors, self.path(name)).expect("input file");
    }
}

fn model() -> PathBuf {
    fixture("policy_tiny.model")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/fixtures/openai").join(name)
}

fn frames() -> Tensor {
    let mut rng = CounterRng::new(&[11]);
    let bytes: Vec<u8> = (0..BATCH * TIME * 128 * 128 * 3).map(|_| rng.below(256) as u8).collect();
    Tensor::from_vec(bytes, (BATCH, TIME, 128, 128, 3), &Device::Cpu).expect("frames")
}

fn load(path: &Path) -> HashMap<String, Tensor> {
    safetensors::load(path, &Device::Cpu).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1()).expect("numbers")
}

fn assert_close(one: &Tensor, other: &Tensor, what: &str) {
    assert_eq!(one.dims(), other.dims(), "{what}");
    let pairs = numbers(one).into_iter().zip(numbers(other));
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE, "{what}: {worst}");
}

#[test]
fn two_calls_with_memory_equal_one_and_the_network_itself() {
    let case = Case::new();
    let frames = frames();
    let mut flags = vec![0u8; BATCH * TIME];
    // One environment starts in the middle of each call, the other at the start only.
    (flags[0], flags[2], flags[5], flags[TIME]) = (1, 1, 1, 1);
    let first = Tensor::from_vec(flags, (BATCH, TIME), &Device::Cpu).expect("flags");
    case.save("whole", &frames, &first);
    let cut = |tensor: &Tensor, start: usize, length: usize| {
        tensor.narrow(1, start, length).and_then(|part| part.contiguous()).expect("part")
    };
    case.save("early", &cut(&frames, 0, CUT), &cut(&first, 0, CUT));
    case.save("late", &cut(&frames, CUT, TIME - CUT), &cut(&first, CUT, TIME - CUT));

    let state = case.path("state").display().to_string();
    let after = case.path("after").display().to_string();
    let whole_state = case.path("whole_state").display().to_string();
    for (input, output, more) in [
        ("whole", "whole_out", vec!["--state-out", &whole_state]),
        ("early", "early_out", vec!["--state-out", &state]),
        ("late", "late_out", vec!["--state-in", &state, "--state-out", &after]),
    ] {
        let (code, text) = case.infer(input, output, &more);
        assert_eq!(code, 0, "{text}");
    }

    let (whole, early, late) =
        (load(&case.path("whole_out")), load(&case.path("early_out")), load(&case.path("late_out")));
    for name in ["buttons_logp", "camera_logp", "vpred_norm", "vpred_denorm"] {
        let joined = Tensor::cat(&[&early[name], &late[name]], 1).expect("joined");
        assert_close(&joined, &whole[name], name);
    }
    let (after, whole_state) = (load(Path::new(&after)), load(Path::new(&whole_state)));
    assert_eq!(after.len(), 3 * case.config.n_recurrence_layers);
    for (name, tensor) in &whole_state {
        assert_close(&after[name], tensor, name);
    }

    let policy = Policy::new(&case.config, &case.parameters).expect("network");
    let empty = RecurrentState::initial(&case.config, BATCH, &Device::Cpu).expect("memory");
    let output = policy.forward(&frames, &first, &empty).expect("forward");
    assert_close(&whole["vpred_norm"], &output.value, "value");
    let sums: Vec<f32> =
        numbers(&whole["camera_logp"]).chunks(121).map(|row| row.iter().map(|x| x.exp()).sum()).collect();
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-4), "log-probabilities are normalised: {sums:?}");
}

#[test]
fn an_inverse_dynamics_model_labels_a_video_longer_than_its_window() {
    const LONG: usize = 13;
    let dir = tempfile::tempdir().expect("tempdir");
    let path = |name: &str| dir.path().join(name);
    let model = fixture("inverse_dynamics_tiny.model");
    let ModelFile::InverseDynamics(config) = openai::read_model(&model).expect("model file") else {
        panic!("an inverse dynamics model's file")
    };
    let parameters = Parameters::init(&config, 3, &Device::Cpu).expect("weights");
    let tensors: NamedTensors = parameters
        .names()
        .map(|name| (name.to_owned(), parameters.get(name).expect("listed").clone()))
        .collect();
    openai::write_weights(&path("tiny.weights"), &tensors).expect("weights file");
    let mut rng = CounterRng::new(&[12]);
    let bytes: Vec<u8> = (0..2 * LONG * 128 * 128 * 3).map(|_| rng.below(256) as u8).collect();
    let frames = Tensor::from_vec(bytes, (2, LONG, 128, 128, 3), &Device::Cpu).expect("frames");
    safetensors::save(&HashMap::from([("frames", frames.clone())]), path("video")).expect("input file");

    let text = |path: &Path| path.display().to_string();
    let (weights, video, out) = (text(&path("tiny.weights")), text(&path("video")), text(&path("out")));
    let mut arguments = vec!["infer", "--model", model.to_str().expect("a name"), "--weights", &weights];
    arguments.extend(["--frames", &video, "--out", &out]);
    let (code, said) = outcome(&vpt(&arguments));
    assert_eq!(code, 0, "{said}");
    let output = load(&path("out"));
    assert_eq!(output["buttons_logp"].dims(), [2, LONG, 20, 2]);
    assert_eq!(output["camera_logp"].dims(), [2, LONG, 2, 11]);

    let network = InverseDynamics::new(&config, &parameters).expect("network");
    let expected = network.forward_video(&frames).expect("forward");
    for (name, logits) in
        [("buttons_logp", &expected.buttons_logits), ("camera_logp", &expected.camera_logits)]
    {
        let sums = logits.log_sum_exp(3).and_then(|sums| sums.unsqueeze(3)).expect("sums");
        assert_close(&output[name], &logits.broadcast_sub(&sums).expect("log-probabilities"), name);
    }
    // It has no memory to keep.
    let state = text(&path("state"));
    arguments.extend(["--state-out", &state]);
    let (code, said) = outcome(&vpt(&arguments));
    assert!(code == 64 && said.contains("no memory"), "{code}: {said}");
}

#[test]
fn what_does_not_fit_is_named() {
    let case = Case::new();
    let device = Device::Cpu;
    let small = Tensor::zeros((1, 1, 64, 64, 3), DType::U8, &device).expect("frames");
    case.save("small", &small, &Tensor::zeros((1, 1), DType::U8, &device).expect("flags"));
    let (code, text) = case.infer("small", "out", &[]);
    assert!(code == 1 && text.contains("frames") && text.contains("128"), "{code}: {text}");

    let floats = Tensor::zeros((1, 1, 128, 128, 3), DType::F32, &device).expect("frames");
    case.save("floats", &floats, &Tensor::zeros((1, 1), DType::U8, &device).expect("flags"));
    let (code, text) = case.infer("floats", "out", &[]);
    assert!(code == 64 && text.contains("needs u8"), "{code}: {text}");

    std::fs::write(case.path("tiny.weights"), b"PK not really").expect("written");
    let frames = frames();
    case.save("good", &frames, &Tensor::zeros((BATCH, TIME), DType::U8, &device).expect("flags"));
    let (code, text) = case.infer("good", "out", &[]);
    assert!(code == 1 && text.contains("tiny.weights"), "{code}: {text}");
    assert!(!case.path("out").exists());
}
