//! The run's token: a shared secret in the metadata of every call, so that a certificate of an earlier run, or of another
//! run under the same authority, is not enough.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::SecurityError;

/// The environment variable that may hold the token.
pub const TOKEN_VARIABLE: &str = "VPT_RUN_TOKEN";

/// The metadata key it travels under.
const KEY: &str = "authorization";

/// Characters of a token: fewer are guessed, more are no header.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=512;

/// A run's token; its debug output does not show it.
#[derive(Clone)]
pub struct RunToken {
    header: MetadataValue<Ascii>,
    hash: blake3::Hash,
}

impl fmt::Debug for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunToken(..)")
    }
}

impl RunToken {
    /// Takes `text` for a token; `origin` is where it came from, for the error.
    ///
    /// # Errors
    /// When it is too short, too long or not plain text.
    pub fn new(text: &str, origin: &str) -> Result<Self, SecurityError> {
        let fail = |reason| SecurityError::Token { origin: origin.to_owned(), reason };
        let text = text.trim();
        if !LENGTH.contains(&text.len()) {
            return Err(fail("must have 16 to 512 characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fail("must be letters, digits and punctuation"));
        }
        let text = format!("Bearer {text}");
        let mut header: MetadataValue<Ascii> = text.parse().map_err(|_| fail("is no header"))?;
        header.set_sensitive(true);
        Ok(Self { header, hash: blake3::hash(text.as_bytes()) })
    }

    /// The token of the environment, else that of `file`; none when neither is there and none is asked for.
    pub(super) fn find(
        variable: Option<String>,
        file: Option<PathBuf>,
    ) -> Result<Option<Self>, SecurityError> {
        if let Some(text) = variable {
            return Self::new(&text, TOKEN_VARIABLE).map(Some);
        }
        let Some(path) = file else { return Ok(None) };
        let text = read_secret(&path)?;
        Self::new(&text, &path.display().to_string()).map(Some)
    }

    /// Adds the token to the metadata of a call.
    pub(crate) fn add_to(&self, metadata: &mut MetadataMap) {
        metadata.insert(KEY, self.header.clone());
    }

    /// Whether a call carries this token; takes as long for a wrong one as for the right one.
    pub(crate) fn is_in(&self, metadata: &MetadataMap) -> bool {
        // Hashes compare in constant time, and hashing hides the length.
        metadata.get(KEY).is_some_and(|value| blake3::hash(value.as_encoded_bytes()) == self.hash)
    }
}

/// Reads a file that only its owner may read.
pub(super) fn read_secret(path: &Path) -> Result<String, SecurityError> {
    let fail = |source| SecurityError::File { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(fail)?.permissions().mode();
    // A group may be allowed: containers mount secrets so.
    if mode & 0o007 != 0 {
        return Err(SecurityError::Exposed { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(fail)
}
