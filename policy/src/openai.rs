//! OpenAI's published files, read without executing them, and written back.
//!
//! - [`read_model`]: `.model`, a Python pickle of the arguments that a network was made with.
//! - [`read_weights`], [`parse_weights`]: `.weights` (what `torch.save` writes) or `.safetensors`, by OpenAI's names.
//! - [`write_weights`]: `.weights` that torch and OpenAI's own code load.
//!
//! A pickle can name any function of any Python module and have it called with any arguments; here it is only data.
//! Files are taken to be hostile: whatever a file says of a size is held against the file before memory is taken, and
//! what does not add up is an error that says what and where.

mod element_type;
mod error;
mod model_file;
mod pickle;
mod safetensors_file;
mod torch_archive;
mod torch_export;

pub use error::OpenAiError;
pub use model_file::{ModelFile, read_model};

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

/// Tensors by name, on the CPU and in the element type they were stored in; booleans and unsigned bytes are U8, signed
/// bytes I16.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// The tensors of a `.weights` or `.pt` file (torch 1.6 or later, saved from any device; a state dict, or one under
/// `state_dict`, `model_state_dict` or `model`) or of a `.safetensors` file; which it is, its first bytes say.
///
/// # Errors
/// A file that cannot be read, is neither, is damaged, or holds tensors that are not what they say: all are listed.
pub fn read_weights(path: &Path) -> Result<NamedTensors, OpenAiError> {
    let file = File::open(path).map_err(OpenAiError::file("open", path))?;
    let length = file.metadata().map_err(OpenAiError::file("read", path))?.len();
    read(BufReader::new(file), length).map_err(OpenAiError::within(path))
}

/// As [`read_weights`], of a file's bytes.
///
/// # Errors
/// As [`read_weights`].
pub fn parse_weights(bytes: &[u8]) -> Result<NamedTensors, OpenAiError> {
    read(Cursor::new(bytes), bytes.len() as u64)
}

/// Writes tensors (any shape; F64, F32, F16, BF16, I64, I32, I16 or U8) as a torch archive, the same bytes for the same
/// tensors. The file appears under its name once it is whole.
///
/// # Errors
/// Element types that torch does not have, all listed, or a file that cannot be written.
pub fn write_weights(path: &Path, tensors: &NamedTensors) -> Result<(), OpenAiError> {
    let partial = partial_path(path);
    let file = File::create(&partial).map_err(OpenAiError::file("create", &partial))?;
    let mut sink = BufWriter::new(file);
    let written = torch_export::write(&mut sink, tensors).and_then(|()| Ok(sink.get_ref().sync_all()?));
    if let Err(error) = written {
        // What matters is the first error; the partial file is in nobody's way.
        let _ = fs::remove_file(&partial);
        return Err(OpenAiError::within(path)(error));
    }
    fs::rename(&partial, path).map_err(OpenAiError::file("create", path))
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Reads by what the first bytes are.
fn read(mut reader: impl Read + Seek, length: u64) -> Result<NamedTensors, OpenAiError> {
    let mut start = Vec::new();
    reader.by_ref().take(9).read_to_end(&mut start)?;
    reader.seek(SeekFrom::Start(0))?;
    match start.as_slice() {
        [b'P', b'K', 3, 4, ..] => torch_archive::read(reader, length),
        [_, _, _, _, _, _, _, _, b'{'] => safetensors_file::read(reader, length),
        [] => Err(OpenAiError::NotWeights { found: "empty" }),
        [0x80, ..] => Err(OpenAiError::NotWeights { found: "a bare pickle, as torch wrote before 1.6" }),
        _ => Err(OpenAiError::NotWeights { found: "neither by its first bytes" }),
    }
}

/// The bytes of a file of at most `limit` bytes.
fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, OpenAiError> {
    let file = File::open(path).map_err(OpenAiError::file("open", path))?;
    let read = |file: File| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read(file).map_err(OpenAiError::file("read", path))
}
