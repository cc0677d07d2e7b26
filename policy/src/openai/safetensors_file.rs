//! `.safetensors` files with OpenAI's names, in their own element types.

use std::io::{Read, Seek, SeekFrom};

use safetensors::SafeTensorError;
use safetensors::tensor::Metadata;

use super::NamedTensors;
use super::element_type::{ElementType, element_count};
use super::error::OpenAiError;
use super::pickle::shortened;

/// The longest header that is read; OpenAI's names make one of some 20 kB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// The tensors of a file of `length` bytes.
pub(super) fn read(mut reader: impl Read + Seek, length: u64) -> Result<NamedTensors, OpenAiError> {
    let header = header(&mut reader, length)?;
    // Its own check: the tensors lie one after another, each as long as its shape asks for.
    let metadata: Metadata =
        serde_json::from_slice(&header[8..]).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    let data_bytes = length - header.len() as u64;
    let announced = metadata.data_len() as u64;
    if announced != data_bytes {
        let expected = format!("{announced} bytes");
        return Err(OpenAiError::content("the data", expected, format!("{data_bytes} bytes")));
    }

    let mut tensors = NamedTensors::new();
    let mut problems = Vec::new();
    for (name, info) in metadata.tensors() {
        let count = element_count(&info.shape);
        let (Some(element_type), Some(count)) = (ElementType::of_safetensors(info.dtype), count) else {
            let name = shortened(&name);
            problems.push(format!("{name} is {:?} of shape {:?}, which is not read", info.dtype, info.shape));
            continue;
        };
        let (start, end) = info.data_offsets;
        debug_assert_eq!(end - start, count * element_type.size());
        let mut bytes = vec![0; end - start];
        reader.seek(SeekFrom::Start(header.len() as u64 + start as u64))?;
        reader.read_exact(&mut bytes)?;
        tensors.insert(name, element_type.tensor(&bytes, &info.shape)?);
    }
    if problems.is_empty() { Ok(tensors) } else { Err(OpenAiError::Tensors { problems }) }
}

/// The header with the eight bytes of its length.
fn header(reader: &mut (impl Read + Seek), length: u64) -> Result<Vec<u8>, OpenAiError> {
    let mut prefix = [0; 8];
    reader.seek(SeekFrom::Start(0))?;
    reader.read_exact(&mut prefix)?;
    let header_bytes = u64::from_le_bytes(prefix);
    if header_bytes > MAX_HEADER_BYTES {
        return Err(OpenAiError::Limit { what: "bytes of a safetensors header", limit: MAX_HEADER_BYTES });
    }
    if header_bytes > length.saturating_sub(8) {
        let found = format!("announced as {header_bytes} bytes");
        return Err(OpenAiError::content(
            "the header",
            format!("inside the {length} bytes of the file"),
            found,
        ));
    }
    let mut header = vec![0; 8 + header_bytes as usize];
    header[..8].copy_from_slice(&prefix);
    reader.read_exact(&mut header[8..])?;
    Ok(header)
}
