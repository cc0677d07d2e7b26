//! Where the tensors of a safetensors file lie.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

/// Bytes of the length that a file begins with.
const PREFIX: usize = 8;

/// One tensor's bytes in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) bytes: Range<usize>,
    pub(super) bf16: bool,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    data_offsets: (usize, usize),
}

/// Length of the header, and the tensors in the order they lie in; none when `file` is not laid out as safetensors says.
pub(super) fn tensors(file: &[u8]) -> Option<(usize, Vec<Extent>)> {
    let length = usize::try_from(u64::from_le_bytes(*file.first_chunk()?)).ok()?;
    let data = PREFIX.checked_add(length)?;
    let header: HashMap<&str, Value> = serde_json::from_slice(file.get(PREFIX..data)?).ok()?;
    let mut tensors = Vec::with_capacity(header.len());
    for (_, entry) in header.into_iter().filter(|(name, _)| *name != "__metadata__") {
        let Entry { dtype, data_offsets: (start, end) } = serde_json::from_value(entry).ok()?;
        let bytes = data.checked_add(start)?..data.checked_add(end)?;
        let bf16 = dtype == "BF16" && bytes.len().is_multiple_of(2);
        tensors.push(Extent { bytes, bf16 });
    }
    tensors.sort_by_key(|tensor| (tensor.bytes.start, tensor.bytes.end));
    // One after another, without gaps.
    let mut end = data;
    for tensor in &tensors {
        if tensor.bytes.start != end || tensor.bytes.end < end {
            return None;
        }
        end = tensor.bytes.end;
    }
    (end == file.len()).then_some((data, tensors))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A safetensors file of tensors with these names, types and bytes.
    pub(in super::super) fn file(tensors: &[(&str, &str, &[u8])]) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        let mut at = 0;
        for (name, dtype, bytes) in tensors {
            let size = if *dtype == "BF16" { 2 } else { 4 };
            let entry = serde_json::json!({
                "dtype": dtype, "shape": [bytes.len() / size], "data_offsets": [at, at + bytes.len()],
            });
            header.insert((*name).to_owned(), entry);
            at += bytes.len();
        }
        let header = Value::Object(header).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        tensors.iter().for_each(|(_, _, bytes)| file.extend_from_slice(bytes));
        file
    }

    #[test]
    fn tensors_are_found_in_order_and_lies_are_refused() {
        let file = file(&[("b", "BF16", &[1; 6]), ("a", "F32", &[2; 8])]);
        let (data, found) = tensors(&file).unwrap();
        assert_eq!(data + 14, file.len());
        assert_eq!(found[0], Extent { bytes: data..data + 6, bf16: true });
        assert_eq!(found[1], Extent { bytes: data + 6..data + 14, bf16: false });
        assert_eq!(tensors(&file[..file.len() - 1]), None, "a tensor that is cut off");
        assert_eq!(tensors(&[file.as_slice(), &[0]].concat()), None, "bytes of no tensor");
        assert_eq!(tensors(&u64::MAX.to_le_bytes()), None);
        assert_eq!(tensors(b"weights"), None);
    }
}
