//! Initialisation, files and errors of [`Parameters`].

use safetensors::{Dtype, tensor::TensorView};

use super::*;

fn small() -> PolicyConfig {
    PolicyConfig {
        image_size: 16,
        impala_chans: vec![2, 3, 4],
        hidsize: 8,
        attention_heads: 2,
        attention_memory_size: 6,
        timesteps: 2,
        ..PolicyConfig::tiny()
    }
}

fn row_norms(parameters: &Parameters, name: &str) -> Vec<f32> {
    let tensor = parameters.get(name).unwrap().flatten_from(1).unwrap();
    tensor.to_vec2::<f32>().unwrap().iter().map(|r| r.iter().map(|x| x * x).sum::<f32>().sqrt()).collect()
}

#[test]
fn fresh_weights_have_the_papers_scales() {
    let config = PolicyConfig::tiny();
    let parameters = Parameters::init(&config, 7, &Device::Cpu).unwrap();
    let residual = 0.5f32;
    let block = "net.recurrent_layer.blocks.1";
    for (name, scale) in [
        ("net.img_process.cnn.stacks.0.firstconv.layer.weight".to_owned(), 1.0),
        ("net.img_process.cnn.stacks.1.blocks.1.conv0.layer.weight".to_owned(), (1.5f32).powf(0.25)),
        ("net.img_process.cnn.dense.layer.weight".to_owned(), 1.4),
        ("net.img_process.linear.layer.weight".to_owned(), 1.0),
        ("net.lastlayer.layer.weight".to_owned(), 1.0),
        (format!("{block}.mlp0.layer.weight"), 1.0),
        (format!("{block}.mlp1.layer.weight"), residual),
        (format!("{block}.r.orc_block.q_layer.weight"), 0.1),
        (format!("{block}.r.orc_block.k_layer.weight"), 0.2),
        (format!("{block}.r.orc_block.v_layer.weight"), residual.sqrt()),
        (format!("{block}.r.orc_block.proj_layer.weight"), residual.sqrt()),
        (format!("{block}.r.orc_block.r_layer.weight"), 0.1),
    ] {
        for norm in row_norms(&parameters, &name) {
            assert!((norm - scale).abs() < 1e-5, "{name}: {norm}, not {scale}");
        }
    }
    let all = |name: &str| host_values(parameters.get(name).unwrap()).unwrap();
    assert!(all("value_head.linear.weight").iter().chain(&all("value_head.linear.bias")).all(|&x| x == 0.0));
    assert!(all("aux_value_head.linear.weight").iter().any(|&x| x != 0.0));
    assert!(all("net.final_ln.weight").iter().all(|&x| x == 1.0));
    let bound = (128f32).sqrt().recip();
    let head = all("pi_head.buttons.linear_layer.weight");
    assert!(head.iter().all(|x| x.abs() <= bound) && head.iter().any(|x| x.abs() > 0.99 * bound));
    let basis = all(&format!("{block}.r.orc_block.b_nd"));
    let std = (basis.iter().map(|x| x * x).sum::<f32>() / basis.len() as f32).sqrt();
    assert!((0.16..0.24).contains(&std), "{std}");
}

#[test]
fn the_seed_decides_the_weights() {
    let bytes = |seed| {
        Parameters::init(&small(), seed, &Device::Cpu)
            .unwrap()
            .to_safetensors(ExportDType::F32, true)
            .unwrap()
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn trainable_and_frozen_differ_in_gradients_only() {
    let parameters = Parameters::init(&small(), 1, &Device::Cpu).unwrap();
    let vars = parameters.vars();
    assert_eq!(vars.len() + 3, parameters.names().count());
    assert!(vars.iter().all(|(name, _)| !name.contains("normalizer")));
    let frozen = parameters.frozen_copy().unwrap();
    assert!(frozen.vars().is_empty() && frozen.names().eq(parameters.names()));
    let before = frozen.to_safetensors(ExportDType::F32, true).unwrap();
    let (name, var) = &vars[0];
    var.set(&var.zeros_like().unwrap()).unwrap();
    assert!(host_values(parameters.get(name).unwrap()).unwrap().iter().all(|&x| x == 0.0));
    assert_eq!(frozen.to_safetensors(ExportDType::F32, true).unwrap(), before);
    assert!(parameters.get("net.nothing").is_err());
}

#[test]
fn f32_files_are_exact_and_the_auxiliary_head_is_optional() {
    let mut parameters = Parameters::init(&small(), 3, &Device::Cpu).unwrap();
    let mut normalizer = ValueNormalizer::default();
    normalizer.update(&[0.3, 4.0]);
    parameters.set_normalizer(&normalizer).unwrap();
    let bytes = parameters.to_safetensors(ExportDType::F32, true).unwrap();
    let again = Parameters::from_safetensors(&bytes, &small(), true, &Device::Cpu).unwrap();
    assert_eq!(again.to_safetensors(ExportDType::F32, true).unwrap(), bytes);
    assert_eq!(again.normalizer().unwrap(), normalizer);

    let published = parameters.to_safetensors(ExportDType::F32, false).unwrap();
    let trainable = Parameters::from_safetensors(&published, &small(), true, &Device::Cpu).unwrap();
    assert!(trainable.get("aux_value_head.linear.weight").is_ok());
    let frozen = Parameters::from_safetensors(&published, &small(), false, &Device::Cpu).unwrap();
    assert!(frozen.get("aux_value_head.linear.weight").is_err());
    assert_eq!(frozen.to_safetensors(ExportDType::F32, true).unwrap(), published);
}

#[test]
fn bf16_files_round_to_nearest_even_but_for_the_normalizer() {
    let mut parameters = Parameters::init(&small(), 3, &Device::Cpu).unwrap();
    let normalizer = ValueNormalizer { running_mean: f64::from(0.3f32), ..ValueNormalizer::default() };
    parameters.set_normalizer(&normalizer).unwrap();
    let bytes = parameters.to_safetensors(ExportDType::Bf16, true).unwrap();
    let rounded = Parameters::from_safetensors(&bytes, &small(), false, &Device::Cpu).unwrap();
    assert_eq!(rounded.normalizer().unwrap(), normalizer);
    let name = "pi_head.camera.linear_layer.weight";
    let exact = host_values(parameters.get(name).unwrap()).unwrap();
    for (x, y) in exact.iter().zip(host_values(rounded.get(name).unwrap()).unwrap()) {
        let bits = x.to_bits();
        let nearest_even = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) & 0xFFFF_0000;
        assert_eq!(y.to_bits(), nearest_even);
    }
}

#[test]
fn every_misfit_is_listed_at_once() {
    let written = Parameters::init(&small(), 1, &Device::Cpu).unwrap();
    let bytes = written.to_safetensors(ExportDType::F32, true).unwrap();
    let deeper = PolicyConfig { n_recurrence_layers: 3, timesteps: 1, ..small() };
    let text = Parameters::from_safetensors(&bytes, &deeper, true, &Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("blocks.2.mlp0.layer.weight is missing"), "{text}");
    assert!(text.contains("blocks.0.r.orc_block.b_nd is [10, 4], not [10, 5]"), "{text}");
    let shallower = PolicyConfig { n_recurrence_layers: 1, ..small() };
    let text = Parameters::from_safetensors(&bytes, &shallower, true, &Device::Cpu).unwrap_err().to_string();
    assert_eq!(text.matches("is not part of it").count(), 16, "{text}");

    let (_, var) = &written.vars()[0];
    var.set(&Tensor::full(f32::NAN, var.shape().clone(), &Device::Cpu).unwrap()).unwrap();
    let bytes = written.to_safetensors(ExportDType::F32, true).unwrap();
    let text = Parameters::from_safetensors(&bytes, &small(), true, &Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("aux_value_head.linear.bias holds values that are not finite"), "{text}");

    let name = "net.final_ln.bias".to_owned();
    let data = vec![0u8; 8 * 8];
    let doubles = TensorView::new(Dtype::F64, vec![8], &data).unwrap();
    let file = safetensors::serialize([(name, doubles)], None).unwrap();
    let text = Parameters::from_safetensors(&file, &small(), true, &Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("net.final_ln.bias is F64"), "{text}");
}

#[test]
fn damaged_files_are_errors_not_panics() {
    let parameters = Parameters::init(&small(), 1, &Device::Cpu).unwrap();
    let bytes = parameters.to_safetensors(ExportDType::F32, true).unwrap();
    let load = |bytes: &[u8]| Parameters::from_safetensors(bytes, &small(), true, &Device::Cpu);
    for length in (0..bytes.len()).step_by(bytes.len() / 97).chain([1, 7, 8, 9, bytes.len() - 1]) {
        assert!(load(&bytes[..length]).is_err(), "{length}");
    }
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize + 8;
    let mut rng = crate::rng::CounterRng::new(&[1]);
    let mut refused = 0;
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        for _ in 0..=rng.below(3) {
            damaged[rng.below(header as u64) as usize] ^= 1 << rng.below(8);
        }
        refused += usize::from(load(&damaged).is_err());
    }
    assert!(refused > 290, "{refused}");
}
