//! `.weights` files as `torch.save` writes them, for `torch.load`, also with `weights_only=True`.
//!
//! The state dict is an `OrderedDict` of tensors, each with a storage of its own, in a protocol 2 pickle that names the
//! three things the safe loader of torch allows: the dict, the storage classes and `_rebuild_tensor_v2`. Equal tensors
//! give equal bytes: there is no time, no user and no file name in them. Records are aligned to 64 bytes by padding
//! under torch's own header id, so that torch can map the file.

use std::io::{Seek, Write};

use candle_core::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use super::NamedTensors;
use super::element_type::ElementType;
use super::error::OpenAiError;

/// The folder in the archive; torch takes any name.
const FOLDER: &str = "archive";
const ALIGNMENT: u16 = 64;
/// The two letters "FB" under which torch pads.
const PADDING_ID: u16 = u16::from_le_bytes(*b"FB");
/// Version of the archive format.
const VERSION: &[u8] = b"3\n";

/// Writes an archive.
pub(super) fn write(sink: impl Write + Seek, tensors: &NamedTensors) -> Result<(), OpenAiError> {
    let element_types = element_types(tensors)?;
    let mut archive = ZipWriter::new(sink);
    let mut record = |name: &str, bytes: &[u8]| -> Result<(), OpenAiError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .large_file(u32::try_from(bytes.len()).is_err())
            .with_alignment_and_header_id(ALIGNMENT, PADDING_ID);
        archive.start_file(format!("{FOLDER}/{name}"), options)?;
        Ok(archive.write_all(bytes)?)
    };
    record("data.pkl", &state_dict(tensors, &element_types)?)?;
    record("byteorder", b"little")?;
    for (key, (tensor, element_type)) in tensors.values().zip(&element_types).enumerate() {
        record(&format!("data/{key}"), &element_type.bytes(tensor)?)?;
    }
    record("version", VERSION)?;
    archive.finish()?.flush()?;
    Ok(())
}

/// The type of each tensor; those that torch's storages do not have are listed.
fn element_types(tensors: &NamedTensors) -> Result<Vec<ElementType>, OpenAiError> {
    let mut problems = Vec::new();
    let mut types = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        match ElementType::of_tensor(tensor.dtype()) {
            Some(element_type) => types.push(element_type),
            None => problems.push(format!("{name} is {:?}, which is not written", tensor.dtype())),
        }
    }
    if problems.is_empty() { Ok(types) } else { Err(OpenAiError::Tensors { problems }) }
}

/// The pickle of the state dict.
fn state_dict(tensors: &NamedTensors, element_types: &[ElementType]) -> Result<Vec<u8>, OpenAiError> {
    let mut pickle = Vec::new();
    pickle.extend(b"\x80\x02");
    ordered_dict(&mut pickle);
    pickle.push(b'(');
    for (key, ((name, tensor), element_type)) in tensors.iter().zip(element_types).enumerate() {
        text(&mut pickle, name)?;
        rebuilt_tensor(&mut pickle, key, tensor, *element_type)?;
    }
    pickle.extend(b"u.");
    Ok(pickle)
}

/// A call that makes an empty ordered dict.
fn ordered_dict(pickle: &mut Vec<u8>) {
    pickle.extend(b"ccollections\nOrderedDict\n)R");
}

/// A call that makes a contiguous tensor over all of storage `key`.
fn rebuilt_tensor(
    pickle: &mut Vec<u8>,
    key: usize,
    tensor: &Tensor,
    element_type: ElementType,
) -> Result<(), OpenAiError> {
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(pickle, "storage")?;
    pickle.extend(format!("ctorch\n{}\n", element_type.storage()).as_bytes());
    text(pickle, &key.to_string())?;
    text(pickle, "cpu")?;
    integer(pickle, tensor.elem_count());
    pickle.extend(b"tQ");
    integer(pickle, 0);
    tuple(pickle, tensor.dims());
    tuple(pickle, &strides(tensor.dims()));
    // No gradient, no backward hooks.
    pickle.push(0x89);
    ordered_dict(pickle);
    pickle.extend(b"tR");
    Ok(())
}

/// Row-major strides; torch counts an axis without elements as one.
fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1);
    }
    strides
}

fn tuple(pickle: &mut Vec<u8>, values: &[usize]) {
    pickle.push(b'(');
    for &value in values {
        integer(pickle, value);
    }
    pickle.push(b't');
}

/// The shortest spelling of a count.
fn integer(pickle: &mut Vec<u8>, value: usize) {
    if let Ok(byte) = u8::try_from(value) {
        pickle.extend([b'K', byte]);
    } else if let Ok(word) = u16::try_from(value) {
        pickle.push(b'M');
        pickle.extend(word.to_le_bytes());
    } else if let Ok(word) = i32::try_from(value) {
        pickle.push(b'J');
        pickle.extend(word.to_le_bytes());
    } else {
        // A long of eight bytes; counts of elements in memory leave its sign bit free.
        pickle.extend([0x8a, 8]);
        pickle.extend((value as u64).to_le_bytes());
    }
}

fn text(pickle: &mut Vec<u8>, text: &str) -> Result<(), OpenAiError> {
    let too_long = |_| OpenAiError::Limit { what: "bytes of a name", limit: u64::from(u32::MAX) };
    let length = u32::try_from(text.len()).map_err(too_long)?;
    pickle.push(b'X');
    pickle.extend(length.to_le_bytes());
    pickle.extend(text.as_bytes());
    Ok(())
}
