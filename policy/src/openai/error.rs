//! What can be wrong with a file of OpenAI's.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::PolicyError;

/// Everything that reading or writing `.model`, `.weights` and `.safetensors` files reports.
#[derive(Debug, thiserror::Error)]
pub enum OpenAiError {
    /// A file that cannot be opened, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Any other error, with the file it was met in.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<OpenAiError>,
    },
    /// A file that is neither a torch archive nor safetensors.
    #[error("no weights file: it is {found}, not a zip archive of torch 1.6 or later, nor safetensors")]
    NotWeights {
        /// What its first bytes look like.
        found: &'static str,
    },
    /// Bytes that no pickle has, at an offset.
    #[error("not a readable pickle: at byte {offset}, {reason}")]
    Pickle {
        /// Where the instruction at fault starts.
        offset: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is whole but does not hold what it should.
    #[error("{what} should be {expected}, but is {found}")]
    Content {
        /// Which part.
        what: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// More of something than any file of OpenAI's has.
    #[error("more than {limit} {what}, which is the most that is read")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most that is read.
        limit: u64,
    },
    /// Tensors that cannot be read or written; every one is listed.
    #[error("unusable tensors: {}", problems.join("; "))]
    Tensors {
        /// One line per tensor.
        problems: Vec<String>,
    },
    /// A zip archive that is damaged or uses what torch does not.
    #[error("not a readable torch archive: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// A safetensors header that is damaged.
    #[error("not a readable safetensors file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// Reading or writing stopped halfway.
    #[error("interrupted: {0}")]
    Io(#[from] io::Error),
    /// A configuration that no network can be built from.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl OpenAiError {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }

    pub(super) fn within(path: &Path) -> impl FnOnce(Self) -> Self {
        move |source| Self::In { path: path.to_owned(), source: Box::new(source) }
    }

    pub(super) fn content(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Content { what: what.into(), expected: expected.into(), found: found.into() }
    }
}
