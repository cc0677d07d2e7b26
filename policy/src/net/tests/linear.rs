//! The linear network: no memory, the same doors as the others.

use candle_core::{Device, Tensor};

use crate::net::{Policy, ValueGradient};
use crate::{ExportDType, Gradients, Parameters, PolicyConfig, Precision, RecurrentState};

fn frames(config: &PolicyConfig, batch: usize, time: usize) -> Tensor {
    let side = config.image_size;
    let bytes = (0..batch * time * side * side * 3).map(|i| (i * i % 251) as u8).collect::<Vec<_>>();
    Tensor::from_vec(bytes, (batch, time, side, side, 3), &Device::Cpu).unwrap()
}

#[test]
fn acting_says_what_training_says_and_needs_no_memory() {
    let config = PolicyConfig { image_size: 16, ..PolicyConfig::linear() };
    let parameters = Parameters::init(&config, 3, &Device::Cpu).unwrap();
    let (frames, first) =
        (frames(&config, 2, 3), Tensor::zeros((2, 3), candle_core::DType::U8, &Device::Cpu));
    let state = RecurrentState::initial(&config, 2, &Device::Cpu).unwrap();
    assert!(state.layers.is_empty() && state.row(1).unwrap().to_raw().unwrap().is_empty());
    let joined = RecurrentState::cat(&[&state.row(0).unwrap(), &state.row(1).unwrap()]).unwrap();
    let network = Policy::new(&config, &parameters).unwrap();
    let first = first.unwrap();
    let trained = network.forward(&frames, &first, &joined).unwrap();
    assert_eq!(trained.buttons_logits.dims(), [2, 3, 8641]);
    assert_eq!((trained.camera_logits.dims(), trained.value.dims()), (&[2, 3, 121][..], &[2, 3][..]));
    let acting = network.for_acting(Precision::F32).unwrap().forward(&frames, &first, &state).unwrap();
    let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (a, b) in numbers(&trained.buttons_logits).iter().zip(numbers(&acting.buttons_logits)) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn every_head_gets_a_gradient_and_weights_travel() {
    let config = PolicyConfig { image_size: 16, ..PolicyConfig::linear() };
    let parameters = Parameters::init(&config, 3, &Device::Cpu).unwrap();
    let network = Policy::new(&config, &parameters).unwrap().with_value_gradient(ValueGradient::Shared);
    let first = Tensor::zeros((1, 2), candle_core::DType::U8, &Device::Cpu).unwrap();
    let state = RecurrentState::initial(&config, 1, &Device::Cpu).unwrap();
    let out = network.forward(&frames(&config, 1, 2), &first, &state).unwrap();
    let sums = [&out.buttons_logits, &out.camera_logits, &out.value, out.aux_value.as_ref().unwrap()];
    let loss = sums.iter().map(|t| t.sqr().unwrap().sum_all().unwrap()).reduce(|a, b| (a + b).unwrap());
    let mut loss = loss.unwrap();
    // The true value head starts at zero, so its square has no gradient.
    loss = (loss + out.value.sum_all().unwrap()).unwrap();
    let gradients = Gradients::collect(&parameters, &loss.backward().unwrap()).unwrap();
    for (name, _) in parameters.vars() {
        let gradient = gradients.get(&name).unwrap_or_else(|| panic!("{name} has no gradient"));
        let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(norm > 0.0, "{name}");
    }
    let bytes = parameters.to_safetensors(ExportDType::F32, true).unwrap();
    let again = Parameters::from_safetensors(&bytes, &config, false, &Device::Cpu).unwrap();
    assert_eq!(again.fingerprint(), config.fingerprint());
}
