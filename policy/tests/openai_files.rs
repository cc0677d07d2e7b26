//! Weights as torch saved them (`fixtures/openai/`), read to the last bit, and weights written for torch.
//!
//! `edge_*` were saved by torch 2.5.1 and hold what a state dict can: views of a shared storage, transposed and offset,
//! several element types, no dimensions, no elements, a parameter. `edge_expected.safetensors` has their values.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use vpt_policy::openai::{NamedTensors, parse_weights, read_weights, write_weights};
use vpt_policy::{ExportDType, Parameters, PolicyConfig};
use zip::ZipArchive;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/tests/fixtures/openai/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// The bits of a tensor's numbers.
fn bits(tensor: &Tensor) -> Vec<u64> {
    let flat = tensor.flatten_all().unwrap();
    match tensor.dtype() {
        DType::F64 => flat.to_vec1::<f64>().unwrap().iter().map(|x| x.to_bits()).collect(),
        DType::F32 => flat.to_vec1::<f32>().unwrap().iter().map(|x| u64::from(x.to_bits())).collect(),
        DType::F16 => flat.to_vec1::<half::f16>().unwrap().iter().map(|x| u64::from(x.to_bits())).collect(),
        DType::BF16 => flat.to_vec1::<half::bf16>().unwrap().iter().map(|x| u64::from(x.to_bits())).collect(),
        DType::I64 => flat.to_vec1::<i64>().unwrap().iter().map(|x| x.cast_unsigned()).collect(),
        DType::I32 => flat.to_vec1::<i32>().unwrap().iter().map(|&x| i64::from(x).cast_unsigned()).collect(),
        DType::I16 => flat.to_vec1::<i16>().unwrap().iter().map(|&x| i64::from(x).cast_unsigned()).collect(),
        DType::U8 => flat.to_vec1::<u8>().unwrap().iter().map(|&x| u64::from(x)).collect(),
        other => panic!("{other:?}"),
    }
}

fn assert_same(actual: &NamedTensors, expected: &NamedTensors) {
    assert!(actual.keys().eq(expected.keys()), "{:?}", actual.keys());
    for (name, tensor) in actual {
        let other = &expected[name];
        assert_eq!((tensor.dtype(), tensor.dims()), (other.dtype(), other.dims()), "{name}");
        assert_eq!(bits(tensor), bits(other), "{name}");
    }
}

/// One tensor of each type that is written, with numbers that careless copies change.
fn samples() -> NamedTensors {
    let cpu = &Device::Cpu;
    let floats = [0.0f32, -0.0, 1.5, f32::MIN_POSITIVE / 3.0, f32::INFINITY, f32::from_bits(0x7FC0_1234)];
    let list: Vec<(&str, Tensor)> = vec![
        ("f32", Tensor::new(&floats, cpu).unwrap().reshape((2, 3)).unwrap()),
        ("f64", Tensor::new(&[1e300f64, -1e-300], cpu).unwrap()),
        ("f16", Tensor::new(&[half::f16::from_bits(0x7E01), half::f16::ONE], cpu).unwrap()),
        ("bf16", Tensor::new(&[half::bf16::from_bits(0x7FC1), half::bf16::ONE], cpu).unwrap()),
        ("i64", Tensor::new(i64::MIN, cpu).unwrap()),
        ("i32", Tensor::new(&[[-1i32], [7]], cpu).unwrap()),
        ("i16", Tensor::new(&[-300i16, 300], cpu).unwrap()),
        ("u8", Tensor::new(&[0u8, 1, 255], cpu).unwrap()),
        ("empty", Tensor::zeros((10, 0), DType::F32, cpu).unwrap()),
        ("transposed", Tensor::new(&floats, cpu).unwrap().reshape((2, 3)).unwrap().t().unwrap()),
        ("näme", Tensor::new(vec![3f32; 70_000], cpu).unwrap()),
    ];
    list.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

#[test]
fn torchs_files_are_read_to_the_last_bit() {
    let expected = read_weights(&fixture("edge_expected.safetensors")).unwrap();
    assert_eq!(expected.len(), 11);
    for name in ["edge_cpu.weights", "edge_cuda0.weights", "edge_nested.pt"] {
        assert_same(&read_weights(&fixture(name)).unwrap(), &expected);
        assert_same(&parse_weights(&std::fs::read(fixture(name)).unwrap()).unwrap(), &expected);
    }
    // The bytes are those of the file, as the format's own library finds them.
    let bytes = std::fs::read(fixture("edge_expected.safetensors")).unwrap();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let tensor = &expected[&name];
        let size = tensor.dtype().size_in_bytes();
        let stored: Vec<u8> = bits(tensor).iter().flat_map(|x| x.to_le_bytes()[..size].to_vec()).collect();
        assert_eq!((tensor.dims(), stored.as_slice()), (view.shape(), view.data()), "{name}");
    }
}

#[test]
fn what_is_written_is_read_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("out.weights"), folder.path().join("other.pt"));
    let samples = samples();
    write_weights(&path, &samples).unwrap();
    assert_same(&read_weights(&path).unwrap(), &samples);

    // The name of the file is not in it, and neither is the time; an older file is replaced.
    std::fs::write(&other, b"older").unwrap();
    write_weights(&other, &samples).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&other).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

    let edge = read_weights(&fixture("edge_cpu.weights")).unwrap();
    write_weights(&path, &edge).unwrap();
    assert_same(&read_weights(&path).unwrap(), &edge);
    write_weights(&path, &NamedTensors::new()).unwrap();
    assert!(read_weights(&path).unwrap().is_empty());
}

#[test]
fn records_lie_as_torch_lays_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.weights");
    write_weights(&path, &samples()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    let mut contents = BTreeMap::new();
    for index in 0..archive.len() {
        let mut record = archive.by_index(index).unwrap();
        let name = record.name().unwrap().into_owned();
        let mut content = Vec::new();
        record.read_to_end(&mut content).unwrap();
        assert_eq!(record.compression(), zip::CompressionMethod::Stored);
        let header = record.header_start() as usize;
        let lengths = [26, 28].map(|at| u16::from_le_bytes([bytes[header + at], bytes[header + at + 1]]));
        let start = header + 30 + usize::from(lengths[0]) + usize::from(lengths[1]);
        assert_eq!(start % 64, 0, "{name}");
        assert_eq!(bytes[start..start + content.len()], content, "{name}");
        contents.insert(name, content);
    }
    assert_eq!(contents["archive/version"], b"3\n");
    assert_eq!(contents["archive/byteorder"], b"little");
    assert_eq!(contents["archive/data/0"], [0xC1, 0x7F, 0x80, 0x3F]);
    let pickle = &contents["archive/data.pkl"];
    assert!(pickle.starts_with(b"\x80\x02ccollections\nOrderedDict\n)R(X\x04\0\0\0bf16ctorch._utils\n"));
    assert!(pickle.ends_with(b"tRu."));
}

#[test]
fn a_network_goes_through_both_formats_unchanged() {
    let config = PolicyConfig {
        image_size: 16,
        impala_chans: vec![2, 3, 4],
        hidsize: 8,
        attention_heads: 2,
        attention_memory_size: 6,
        timesteps: 2,
        ..PolicyConfig::tiny()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.weights");
    let parameters = Parameters::init(&config, 3, &Device::Cpu).unwrap();
    let file = parameters.to_safetensors(ExportDType::F32, false).unwrap();
    let tensors = parse_weights(&file).unwrap();
    write_weights(&path, &tensors).unwrap();
    let again =
        Parameters::from_tensors(&read_weights(&path).unwrap(), &config, false, &Device::Cpu).unwrap();
    assert_eq!(again.to_safetensors(ExportDType::F32, false).unwrap(), file);
}

#[test]
fn what_torch_has_no_type_for_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.weights");
    let unsigned = |name: &str| (name.to_owned(), Tensor::new(&[1u32], &Device::Cpu).unwrap());
    let tensors = NamedTensors::from([unsigned("a"), unsigned("b")]);
    let text = write_weights(&path, &tensors).unwrap_err().to_string();
    assert!(text.contains("a is U32") && text.contains("b is U32"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = folder.path().join("missing/out.weights");
    assert!(write_weights(&nowhere, &samples()).unwrap_err().to_string().contains("cannot create"));
    assert!(read_weights(&nowhere).unwrap_err().to_string().contains("cannot open"));
}
