//! A checkpoint as the training thread leaves it: copies that later steps do not touch, to be made into bytes elsewhere.

use vpt_policy::PolicyConfig;

use super::Snapshot;
use crate::error::LearnerError;
use crate::version::Version;

type Make = dyn FnOnce() -> Result<Vec<u8>, LearnerError> + Send;

/// What a file of a checkpoint will hold.
pub(crate) enum Contents {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this makes, called once by the thread that writes.
    Made(Box<Make>),
}

impl Contents {
    /// Contents that `make` makes when they are written.
    pub(crate) fn made(make: impl FnOnce() -> Result<Vec<u8>, LearnerError> + Send + 'static) -> Self {
        Self::Made(Box::new(make))
    }

    fn into_bytes(self) -> Result<Vec<u8>, LearnerError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Made(make) => make(),
        }
    }
}

/// File names and what they will hold.
pub(crate) type Files = Vec<(&'static str, Contents)>;

/// A checkpoint before its files are bytes.
pub(crate) struct Draft {
    pub(crate) version: Version,
    /// "bc" or "ppg".
    pub(crate) stage: &'static str,
    pub(crate) policy: PolicyConfig,
    pub(crate) files: Files,
}

impl Draft {
    /// Makes every file.
    ///
    /// # Errors
    /// When a copy cannot be read from its device, or serialised.
    pub(crate) fn into_snapshot(self) -> Result<Snapshot, LearnerError> {
        let Self { version, stage, policy, files } = self;
        let files = files.into_iter().map(|(name, contents)| Ok((name, contents.into_bytes()?)));
        Ok(Snapshot { version, stage, policy, files: files.collect::<Result<_, LearnerError>>()? })
    }
}
