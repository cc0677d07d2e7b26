//! Weights from tensors in memory, of either architecture.

use super::*;
use crate::inverse_dynamics_config::InverseDynamicsConfig;

fn small() -> InverseDynamicsConfig {
    InverseDynamicsConfig {
        image_size: 16,
        conv3d_channels: 2,
        impala_width: 1,
        impala_chans: vec![2, 3, 4],
        hidsize: 8,
        attention_heads: 2,
        ..InverseDynamicsConfig::four_x()
    }
}

fn tensors(parameters: &Parameters) -> BTreeMap<String, Tensor> {
    let copy = |name: &str| (name.to_owned(), parameters.get(name).unwrap().clone());
    parameters.names().map(copy).collect()
}

fn load(tensors: &BTreeMap<String, Tensor>) -> Result<Parameters> {
    Parameters::from_tensors(tensors, &small(), false, &Device::Cpu)
}

#[test]
fn an_inverse_dynamics_model_goes_through_memory_and_files_unchanged() {
    let written = Parameters::init(&small(), 3, &Device::Cpu).unwrap();
    assert_eq!(written.names().count(), 100);
    assert_eq!(written.fingerprint(), small().fingerprint());
    assert_eq!(written.architecture(), &Architecture::from(&small()));
    let basis = "net.recurrent_layer.blocks.1.r.orc_block.b_nd";
    assert_eq!(written.get(basis).unwrap().dims(), [10, 0]);
    let bytes = written.to_safetensors(ExportDType::F32, false).unwrap();
    for trainable in [false, true] {
        for again in [
            Parameters::from_tensors(&tensors(&written), &small(), trainable, &Device::Cpu).unwrap(),
            Parameters::from_safetensors(&bytes, &small(), trainable, &Device::Cpu).unwrap(),
        ] {
            assert_eq!(again.to_safetensors(ExportDType::F32, true).unwrap(), bytes);
            assert_eq!(again.frozen_copy().unwrap().to_safetensors(ExportDType::F32, true).unwrap(), bytes);
            assert_eq!(again.vars().len(), if trainable { 100 } else { 0 });
        }
    }
    assert!(written.normalizer().is_err());
}

#[test]
fn a_policy_comes_out_of_memory_as_out_of_a_file() {
    let config =
        PolicyConfig { image_size: 16, impala_chans: vec![2, 3, 4], hidsize: 8, ..PolicyConfig::tiny() };
    let written = Parameters::init(&config, 3, &Device::Cpu).unwrap();
    assert_eq!(written.config(), &config);
    let mut tensors = tensors(&written);
    let whole = Parameters::from_tensors(&tensors, &config, false, &Device::Cpu).unwrap();
    let bytes = |p: &Parameters| p.to_safetensors(ExportDType::F32, true).unwrap();
    assert_eq!(bytes(&whole), bytes(&written));
    tensors.retain(|name, _| !name.starts_with(layout::AUX_PREFIX));
    let published = Parameters::from_tensors(&tensors, &config, true, &Device::Cpu).unwrap();
    assert!(published.get("aux_value_head.linear.weight").is_ok());
}

#[test]
fn half_precision_is_widened_and_other_types_are_refused() {
    let written = Parameters::init(&small(), 3, &Device::Cpu).unwrap();
    let name = "net.final_ln.weight";
    for dtype in [DType::F16, DType::BF16] {
        let mut halves = tensors(&written);
        halves
            .insert(name.to_owned(), Tensor::full(1.5f32, 8, &Device::Cpu).unwrap().to_dtype(dtype).unwrap());
        let loaded = load(&halves).unwrap();
        assert_eq!(loaded.get(name).unwrap().to_vec1::<f32>().unwrap(), [1.5; 8]);
    }
    for dtype in [DType::F64, DType::I64, DType::U8] {
        let mut others = tensors(&written);
        others.insert(name.to_owned(), Tensor::ones(8, dtype, &Device::Cpu).unwrap());
        let text = load(&others).unwrap_err().to_string();
        assert!(text.contains(&format!("{name} is {dtype:?}, not F32, F16 or BF16")), "{text}");
    }
}

#[test]
fn every_misfit_is_listed_and_only_extra_tensors_can_be_ignored() {
    let written = Parameters::init(&small(), 3, &Device::Cpu).unwrap();
    let mut stored = tensors(&written);
    stored.remove("net.final_ln.bias").unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    stored.insert("net.lastlayer.norm.weight".to_owned(), zeros(&[2, 4]));
    stored.insert("net.recurrent_layer.blocks.0.r.orc_block.b_nd".to_owned(), zeros(&[0, 10]));
    let broken = Tensor::full(f32::NAN, 40, &Device::Cpu).unwrap();
    stored.insert("pi_head.buttons.linear_layer.bias".to_owned(), broken);
    stored.insert("optimizer.step".to_owned(), zeros(&[]));
    stored.insert("epoch".to_owned(), zeros(&[1]));
    let ignored = ["epoch", "net.final_ln.bias", "net.lastlayer.norm.weight"];
    let device = Device::Cpu;
    let refused = Parameters::from_tensors_ignoring(&stored, &ignored, &small(), false, &device);
    let PolicyError::Weights { problems } = refused.unwrap_err() else { panic!("another error") };
    assert_eq!(
        problems,
        [
            "net.final_ln.bias is missing",
            "net.lastlayer.norm.weight is [2, 4], not [8]",
            "net.recurrent_layer.blocks.0.r.orc_block.b_nd is [0, 10], not [10, 0]",
            "pi_head.buttons.linear_layer.bias holds values that are not finite",
            "optimizer.step is not part of it",
        ]
    );
    let mut extra = tensors(&written);
    extra.insert("epoch".to_owned(), zeros(&[1]));
    assert!(load(&extra).is_err());
    assert!(Parameters::from_tensors_ignoring(&extra, &["epoch"], &small(), false, &device).is_ok());
}
