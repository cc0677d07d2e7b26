//! The network against OpenAI's reference: outputs, memory and gradients of a small network whose weights and frames
//! come from formulas, so that only expected numbers are stored (`fixtures/policy_*.safetensors`).
//!
//! Runs on the CPU and, where there is one, on a GPU. The reference ran in float64; 5e-5 is what a careful f32
//! implementation keeps, 2e-3 (relative L2) for gradients.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[path = "golden/formulas.rs"]
mod formulas;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, tensor::TensorView};
use vpt_policy::{
    Adam, AdamConfig, Gradients, NetworkKind, Parameters, Policy, PolicyConfig, PolicyOutput, RecurrentState,
    WeightDecay, device, distribution,
};

const TOLERANCE: f32 = 5e-5;
const WEIGHTS_SEED: u64 = 1;
const FRAMES_SEED: u64 = 71;
const BATCH: usize = 2;
const CHUNK: usize = 4;
const SIDE: usize = 128;

fn config() -> PolicyConfig {
    PolicyConfig {
        kind: NetworkKind::Transformer,
        image_size: SIDE,
        impala_width: 1,
        impala_chans: vec![4, 6, 2],
        hidsize: 32,
        attention_heads: 2,
        attention_memory_size: 12,
        timesteps: 4,
        n_recurrence_layers: 2,
        pointwise_ratio: 4,
        temperature: 2.0,
    }
}

/// The golden network's weights, through the same door as a file of OpenAI's names.
fn parameters(trainable: bool, device: &Device) -> Parameters {
    let shapes = Parameters::init(&config(), 0, &Device::Cpu).unwrap();
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .names()
        .filter(|name| !name.starts_with("aux_value_head"))
        .map(|name| {
            let shape = shapes.get(name).unwrap().dims().to_vec();
            let bytes = formulas::parameter(WEIGHTS_SEED, name, &shape)
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect();
            (name.to_owned(), shape, bytes)
        })
        .collect();
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    Parameters::from_safetensors(&file, &config(), trainable, device).unwrap()
}

/// Frames [B, T, 128, 128, 3] of steps `first..first + length`.
fn frames(first: usize, length: usize, device: &Device) -> Tensor {
    formulas::frames(FRAMES_SEED, BATCH, first, length, SIDE).to_device(device).unwrap()
}

fn fixture(name: &str, device: &Device) -> BTreeMap<String, Tensor> {
    // The run-time variable is for a binary that was carried to another machine.
    let folder =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let path = format!("{folder}/tests/fixtures/{name}.safetensors");
    candle_core::safetensors::load(path, device).unwrap().into_iter().collect()
}

fn assert_close(actual: &Tensor, expected: &Tensor, what: &str) {
    let actual = actual.reshape(expected.shape()).unwrap();
    let worst: f32 = (actual - expected)
        .unwrap()
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar()
        .unwrap();
    assert!(worst <= TOLERANCE, "{what}: off by {worst}");
}

fn log_softmax(logits: &Tensor) -> Tensor {
    candle_nn::ops::log_softmax(logits, candle_core::D::Minus1).unwrap()
}

fn every16(x: &Tensor) -> Tensor {
    let indices: Vec<u32> = (0..8641).step_by(16).collect();
    x.index_select(&Tensor::new(indices, x.device()).unwrap(), 2).unwrap()
}

fn flags(expected: &BTreeMap<String, Tensor>, first: usize, length: usize) -> Tensor {
    expected["first"].narrow(1, first, length).unwrap()
}

fn compare_chunk(out: &PolicyOutput, expected: &BTreeMap<String, Tensor>, chunk: &str) {
    let buttons = every16(&log_softmax(&out.buttons_logits));
    assert_close(&buttons, &expected[&format!("{chunk}.buttons_logp_every16")], "buttons");
    assert_close(&log_softmax(&out.camera_logits), &expected[&format!("{chunk}.camera_logp")], "camera");
    assert_close(&out.value, &expected[&format!("{chunk}.vpred_norm")], "value");
    for (i, layer) in out.state.layers.iter().enumerate() {
        let mask = expected[&format!("{chunk}.state_out.layer{i}.mask")].flatten_all().unwrap();
        let actual = layer.mask.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        assert_eq!(actual, mask.to_vec1::<u8>().unwrap(), "{chunk} mask of layer {i}");
        for (part, rows) in [("k", &layer.keys), ("v", &layer.values)] {
            if let Some(expected) = expected.get(&format!("{chunk}.state_out.layer{i}.{part}")) {
                assert_close(rows, expected, part);
            }
        }
    }
}

#[test]
fn chunks_with_resets_inside_match_the_reference_step_by_step() {
    device::for_tests().iter().for_each(chunks_with_resets_inside_match_the_reference_step_by_step_on);
}

fn chunks_with_resets_inside_match_the_reference_step_by_step_on(device: &Device) {
    let expected = fixture("policy_outputs", device);
    let policy = Policy::new(&config(), &parameters(false, device)).unwrap();
    let mut state = RecurrentState::initial(&config(), BATCH, device).unwrap();
    for chunk in 0..4 {
        let (start, length) = (chunk * CHUNK, CHUNK);
        let out =
            policy.forward(&frames(start, length, device), &flags(&expected, start, length), &state).unwrap();
        compare_chunk(&out, &expected, &format!("stepped{chunk}"));
        state = out.state;
    }
}

#[test]
fn one_long_chunk_ends_in_the_same_memory() {
    device::for_tests().iter().for_each(one_long_chunk_ends_in_the_same_memory_on);
}

fn one_long_chunk_ends_in_the_same_memory_on(device: &Device) {
    let expected = fixture("policy_outputs", device);
    let policy = Policy::new(&config(), &parameters(false, device)).unwrap();
    let state = RecurrentState::initial(&config(), BATCH, device).unwrap();
    let mut out = policy.forward(&frames(0, 16, device), &flags(&expected, 0, 16), &state).unwrap();
    out.buttons_logits = out.buttons_logits.narrow(1, 12, 4).unwrap();
    out.camera_logits = out.camera_logits.narrow(1, 12, 4).unwrap();
    out.value = out.value.narrow(1, 12, 4).unwrap();
    compare_chunk(&out, &expected, "stepped3");
}

#[test]
fn entropy_most_likely_actions_and_returns_match_the_reference() {
    device::for_tests().iter().for_each(entropy_most_likely_actions_and_returns_match_the_reference_on);
}

fn entropy_most_likely_actions_and_returns_match_the_reference_on(device: &Device) {
    let expected = fixture("policy_outputs", device);
    let parameters = parameters(false, device);
    let policy = Policy::new(&config(), &parameters).unwrap();
    let state = RecurrentState::initial(&config(), BATCH, device).unwrap();
    let state = policy.forward(&frames(0, 4, device), &flags(&expected, 0, 4), &state).unwrap().state;
    let out = policy.forward(&frames(4, 4, device), &flags(&expected, 4, 4), &state).unwrap();

    let buttons = out.buttons_logits.flatten(0, 1).unwrap();
    let camera = out.camera_logits.flatten(0, 1).unwrap();
    let entropy =
        (distribution::entropy(&buttons).unwrap() + distribution::entropy(&camera).unwrap()).unwrap();
    assert_close(&entropy, &expected["chunk1.entropy"], "entropy");
    let best: Vec<u32> = buttons
        .to_vec2::<f32>()
        .unwrap()
        .iter()
        .map(|row| distribution::greedy(row).unwrap().index)
        .collect();
    assert_eq!(best, expected["chunk1.buttons_argmax"].flatten_all().unwrap().to_vec1::<u32>().unwrap());
    let whole_row = log_softmax(&buttons).narrow(0, 3, 1).unwrap();
    assert_close(&whole_row, &expected["chunk1.buttons_logp_env0_step3"], "all 8641 classes");
    let normalizer = parameters.normalizer().unwrap();
    let normalised = out.value.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let returns: Vec<f32> = normalised.iter().map(|&v| normalizer.denormalize(v)).collect();
    let returns = Tensor::from_vec(returns, (BATCH, CHUNK), device).unwrap();
    assert_close(&returns, &expected["chunk1.vpred_denorm"], "denormalised value");
}

/// Loss and per-step log-probabilities of the golden cloning batch: the first two steps of chunk 1.
fn cloning_loss(policy: &Policy, expected: &BTreeMap<String, Tensor>) -> (Tensor, Tensor) {
    let device = expected["first"].device();
    let state = RecurrentState::initial(&config(), BATCH, device).unwrap();
    let state = policy.forward(&frames(0, 4, device), &flags(expected, 0, 4), &state).unwrap().state;
    cloning_loss_from(policy, &state, expected)
}

fn cloning_loss_from(
    policy: &Policy,
    state: &RecurrentState,
    expected: &BTreeMap<String, Tensor>,
) -> (Tensor, Tensor) {
    let device = expected["first"].device();
    let out = policy.forward(&frames(4, 2, device), &flags(expected, 4, 2), state).unwrap();
    let of_head = |logits: &Tensor, head: &str| {
        let actions = expected[&format!("bc.actions_{head}")].flatten_all().unwrap();
        distribution::log_prob(&logits.flatten(0, 1).unwrap(), &actions.to_dtype(DType::U32).unwrap())
            .unwrap()
    };
    let log_prob = (of_head(&out.buttons_logits, "buttons") + of_head(&out.camera_logits, "camera")).unwrap();
    let loss = log_prob.mean_all().unwrap().neg().unwrap();
    (loss, log_prob)
}

/// The numbers of a gradient that the fixture holds: every n-th so that at most 256 remain, of two large weights after
/// keeping every 8th or 16th row.
fn abridged(name: &str, gradient: &Tensor) -> (String, Vec<f32>) {
    let (name, rows) = match name {
        "net.img_process.cnn.dense.layer.weight" => (format!("{name}.rows_every8"), 8),
        "pi_head.buttons.linear_layer.weight" => (format!("{name}.rows_every16"), 16),
        _ => (name.to_owned(), 1),
    };
    let width = gradient.dims()[1..].iter().product::<usize>();
    let flat = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let kept: Vec<f32> = flat.chunks(width).step_by(rows).flatten().copied().collect();
    let stride = kept.len().div_ceil(256);
    (name, kept.into_iter().step_by(stride).collect())
}

#[test]
fn gradients_of_the_cloning_loss_match_the_reference() {
    device::for_tests().iter().for_each(gradients_of_the_cloning_loss_match_the_reference_on);
}

fn gradients_of_the_cloning_loss_match_the_reference_on(device: &Device) {
    let expected = fixture("policy_outputs", device);
    let reference = fixture("policy_gradients", device);
    let parameters = parameters(true, device);
    let policy = Policy::new(&config(), &parameters).unwrap();
    let (loss, log_prob) = cloning_loss(&policy, &expected);
    assert_close(&loss, &expected["bc.loss"], "loss");
    assert_close(&log_prob, &expected["bc.logprob"], "log-probabilities");

    let gradients = loss.backward().unwrap();
    let mut squares = 0f64;
    let mut compared = 0;
    for (name, var) in parameters.vars() {
        if name.contains("value_head") {
            continue;
        }
        let gradient = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{name} has no gradient"));
        squares += f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
        let (stored, actual) = abridged(&name, gradient);
        let wanted = reference[&stored].to_vec1::<f32>().unwrap();
        assert_eq!(actual.len(), wanted.len(), "{stored}");
        let norm = |it: &mut dyn Iterator<Item = f64>| it.map(|x| x * x).sum::<f64>().sqrt();
        let apart = norm(&mut actual.iter().zip(&wanted).map(|(a, w)| f64::from(a - w)));
        let size = norm(&mut wanted.iter().map(|&w| f64::from(w)));
        assert!(apart <= 2e-3 * size, "{stored}: relative L2 {}", apart / size);
        compared += 1;
    }
    assert_eq!(compared, 97);
    let norm: f32 = expected["bc.grad_global_norm"].to_vec1::<f32>().unwrap()[0];
    assert!((squares.sqrt() / f64::from(norm) - 1.0).abs() < 1e-3, "{} not {norm}", squares.sqrt());
}

/// Loss and gradient norm before each of four cloning steps, and two spots of the weights after it.
const ADAM_STEPS: [(f64, f64, [f32; 4], [f32; 4]); 4] = [
    (
        13.970_856_637_925_683,
        37.655_766_603_970_044,
        [0.868_499, 0.957_805, 0.853_055, 0.861_730],
        [-0.273_077, 0.265_137, -0.093_879, -0.203_677],
    ),
    (
        13.339_655_364_209_403,
        28.986_496_774_852_04,
        [0.868_318, 0.957_627, 0.852_874, 0.861_550],
        [-0.272_899, 0.265_288, -0.093_698, -0.203_855],
    ),
    (
        12.918_217_709_558_35,
        19.394_776_420_301_383,
        [0.868_137, 0.957_455, 0.852_693, 0.861_373],
        [-0.272_723, 0.265_445, -0.093_590, -0.204_022],
    ),
    (
        12.716_895_252_843_749,
        16.412_997_866_460_977,
        [0.867_956, 0.957_291, 0.852_512, 0.861_202],
        [-0.272_545, 0.265_609, -0.093_611, -0.204_188],
    ),
];

#[test]
fn four_adam_steps_follow_the_references_trajectory() {
    device::for_tests().iter().for_each(four_adam_steps_follow_the_references_trajectory_on);
}

fn four_adam_steps_follow_the_references_trajectory_on(device: &Device) {
    let expected = fixture("policy_outputs", device);
    let mut parameters = parameters(true, device);
    let policy = Policy::new(&config(), &parameters).unwrap();
    // The batch's memory comes from the weights before the first step, as in the reference.
    let start = RecurrentState::initial(&config(), BATCH, device).unwrap();
    let state = policy.forward(&frames(0, 4, device), &flags(&expected, 0, 4), &start).unwrap().state;
    let adam = AdamConfig {
        lr: 0.000_181,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.039_428,
        decay: WeightDecay::Coupled,
    };
    let mut adam = Adam::new(&parameters, adam).unwrap();
    let head_before = parameters.get("value_head.linear.weight").unwrap().copy().unwrap();
    for (i, (loss, norm, gain, row)) in ADAM_STEPS.into_iter().enumerate() {
        let (actual, _) = cloning_loss_from(&policy, &state, &expected);
        let gradients = Gradients::collect(&parameters, &actual.backward().unwrap()).unwrap();
        let actual_norm = adam.step(&mut parameters, &gradients, Some(5.0)).unwrap();
        let tolerance = if i < 2 { 1e-4 } else { 1e-3 };
        let actual = f64::from(actual.to_scalar::<f32>().unwrap());
        assert!((actual / loss - 1.0).abs() < tolerance, "loss {actual} of step {i}");
        assert!((actual_norm / norm - 1.0).abs() < 3e-3, "gradient norm {actual_norm} of step {i}");
        for (name, spot) in [("net.final_ln.weight", gain), ("net.lastlayer.layer.weight", row)] {
            let weights = parameters.get(name).unwrap().flatten_all().unwrap().narrow(0, 0, 4).unwrap();
            assert_close(&weights, &Tensor::new(&spot, device).unwrap(), name);
        }
    }
    // No gradient, so no decay either.
    assert_close(parameters.get("value_head.linear.weight").unwrap(), &head_before, "value head");
}
