//! Checkpoints: all state of a training run in one folder that is whole or absent.
//!
//! # Format, version 1
//! `checkpoints/<epoch>-<sequence>/` (zero-padded, so names sort by age) holds `policy.safetensors` (f32 masters with
//! the auxiliary head), `optimizer.safetensors`, with PPG `aux_optimizer.safetensors`, with BC `lanes.safetensors` (the
//! recurrent state of every stream), `state.json` (counters, ledger, data position), `run.toml` (the resolved run
//! config) and `manifest.json` (written last: format version, architecture, network config, BLAKE3 and length of every
//! file). Beside the folders, `latest` is a text file naming one of them and `epoch` counts learner starts.
//!
//! # Layout
//! - [`CheckpointFolder`] (`folder`): writing, retention, finding the newest whole one
//! - [`load_policy`]: a policy from a checkpoint alone, for evaluation, `learner.init` and `learner.pretrained`

mod draft;
mod error;
mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vpt_policy::{PolicyConfig, openai};

pub(crate) use draft::{Contents, Draft, Files};
pub use error::CheckpointError;
pub use folder::CheckpointFolder;

use crate::version::Version;

/// Format this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// Text file beside the checkpoints that names the newest.
pub const LATEST: &str = "latest";
/// Weights inside a checkpoint.
pub const POLICY_FILE: &str = "policy.safetensors";
/// The frozen policy's recurrent states, one a slot.
pub(crate) const FROZEN_STREAMS_FILE: &str = "frozen_streams.safetensors";

pub(crate) const OPTIMIZER_FILE: &str = "optimizer.safetensors";
pub(crate) const AUX_OPTIMIZER_FILE: &str = "aux_optimizer.safetensors";
pub(crate) const LANES_FILE: &str = "lanes.safetensors";
pub(crate) const STATE_FILE: &str = "state.json";
pub(crate) const RUN_CONFIG_FILE: &str = "run.toml";
const MANIFEST_FILE: &str = "manifest.json";

/// Largest file of a checkpoint that is read, in bytes; a manifest that announces more is refused.
const MAX_FILE_BYTES: u64 = 64 << 30;

/// What `manifest.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Fingerprint of parameter names and shapes.
    pub architecture: String,
    /// The network, enough to build it.
    pub policy: PolicyConfig,
    /// The version these weights were published as.
    pub version: Version,
    /// "bc" or "ppg".
    pub stage: String,
    /// Every other file.
    pub files: BTreeMap<String, FileEntry>,
}

/// How a file of a checkpoint must look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// BLAKE3, hex.
    pub blake3: String,
    /// Length.
    pub bytes: u64,
}

/// A checkpoint about to be written.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The version these weights were published as.
    pub version: Version,
    /// "bc" or "ppg".
    pub stage: &'static str,
    /// The network.
    pub policy: PolicyConfig,
    /// File names and contents.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// A checkpoint that was read and checked whole.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Contents by file name.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Stored {
    /// The contents of `name`.
    ///
    /// # Errors
    /// When the checkpoint has no such file.
    pub fn file(&self, name: &str) -> Result<&[u8], CheckpointError> {
        self.files.get(name).map(Vec::as_slice).ok_or_else(|| CheckpointError::Damaged {
            path: self.path.clone(),
            reason: format!("it has no {name}"),
        })
    }
}

/// A policy taken from a checkpoint.
#[derive(Clone, Debug)]
pub struct LoadedPolicy {
    /// The network.
    pub config: PolicyConfig,
    /// Weights, a safetensors file (f32, with the auxiliary head).
    pub parameters: Vec<u8>,
    /// The version they were published as.
    pub version: Version,
    /// The run config that made it, resolved; empty when the checkpoint has none.
    pub run_config_toml: String,
}

/// Weights to start from, with the network they fit where that is known.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The network; `None` for a bare file of weights.
    pub config: Option<PolicyConfig>,
    /// A safetensors file.
    pub parameters: Vec<u8>,
}

/// Reads the policy of the checkpoint at `path`: its folder, a `latest` file, or the folder of checkpoints (takes the
/// one that `latest` names).
///
/// # Errors
/// When there is no checkpoint, or it is damaged: the reason is in the error.
pub fn load_policy(path: &Path) -> Result<LoadedPolicy, CheckpointError> {
    let mut stored = read(&resolve(path)?, &[POLICY_FILE, RUN_CONFIG_FILE])?;
    let run_config = stored.files.remove(RUN_CONFIG_FILE).unwrap_or_default();
    let run_config_toml = String::from_utf8(run_config).map_err(|_| CheckpointError::Damaged {
        path: stored.path.clone(),
        reason: format!("{RUN_CONFIG_FILE} is not text"),
    })?;
    let parameters = stored.file(POLICY_FILE)?.to_vec();
    let Manifest { policy, version, .. } = stored.manifest;
    Ok(LoadedPolicy { config: policy, parameters, version, run_config_toml })
}

/// Reads what `learner.init` or `learner.pretrained` names: a checkpoint as [`load_policy`] takes it, a bare `.safetensors`
/// file, or OpenAI's `.weights`.
///
/// # Errors
/// As [`load_policy`]; a bare file that cannot be read.
pub fn load_weights(path: &Path) -> Result<Weights, CheckpointError> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let parameters = fs::read(path).map_err(CheckpointError::io("read", path))?;
        return Ok(Weights { config: None, parameters });
    }
    if path.extension().is_some_and(|extension| extension == "weights") {
        let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
        let tensors = openai::read_weights(path).map_err(|error| damaged(error.to_string()))?;
        let parameters =
            safetensors::serialize(&tensors, None).map_err(|error| damaged(error.to_string()))?;
        return Ok(Weights { config: None, parameters });
    }
    let loaded = load_policy(path)?;
    Ok(Weights { config: Some(loaded.config), parameters: loaded.parameters })
}

/// Every whole checkpoint in `out/checkpoints`, oldest first; damaged ones are left out.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn kept_checkpoints(out: &Path) -> Result<Vec<Stored>, CheckpointError> {
    let folder = CheckpointFolder::existing(out);
    let stored = folder.names()?.into_iter().map(|name| read(&folder.dir().join(name), &[]));
    Ok(stored
        .filter_map(|stored| stored.inspect_err(|error| tracing::warn!(%error, "left out")).ok())
        .collect())
}

/// The checkpoint folder that `path` stands for.
fn resolve(path: &Path) -> Result<PathBuf, CheckpointError> {
    if path.join(MANIFEST_FILE).is_file() {
        return Ok(path.to_owned());
    }
    let latest = if path.is_dir() { path.join(LATEST) } else { path.to_owned() };
    let none = || CheckpointError::NotACheckpoint { path: path.to_owned() };
    if !latest.is_file() {
        return Err(none());
    }
    // A name is a few bytes; anything longer is some other file.
    if fs::metadata(&latest).map_err(CheckpointError::io("read", &latest))?.len() > 256 {
        return Err(none());
    }
    let name = fs::read_to_string(&latest).map_err(CheckpointError::io("read", &latest))?;
    let folder = latest.parent().unwrap_or(Path::new(".")).join(name.trim());
    if name.trim().is_empty() || !folder.join(MANIFEST_FILE).is_file() {
        return Err(none());
    }
    Ok(folder)
}

/// Reads the manifest in `folder` and checks what can be checked without the other files.
fn read_manifest(folder: &Path) -> Result<Manifest, CheckpointError> {
    let path = folder.join(MANIFEST_FILE);
    let damaged = |reason: String| CheckpointError::Damaged { path: folder.to_owned(), reason };
    let text = fs::read(&path).map_err(CheckpointError::io("read", &path))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| damaged(format!("{MANIFEST_FILE}: {error}")))?;
    // Before anything else, so that a later format is not called damaged.
    let found = value.get("format_version").and_then(serde_json::Value::as_u64);
    if let Some(found) = found.filter(|&found| found != u64::from(FORMAT_VERSION)) {
        return Err(CheckpointError::Version { path: folder.to_owned(), found });
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|error| damaged(format!("{MANIFEST_FILE}: {error}")))?;
    manifest.policy.validate().map_err(|error| damaged(format!("{MANIFEST_FILE}: policy: {error}")))?;
    if manifest.policy.fingerprint() != manifest.architecture {
        return Err(damaged("the network config and the architecture fingerprint disagree".into()));
    }
    Ok(manifest)
}

/// Reads `folder` and checks every file in `names` (all files when empty) against the manifest.
fn read(folder: &Path, names: &[&str]) -> Result<Stored, CheckpointError> {
    let manifest = read_manifest(folder)?;
    let mut files = BTreeMap::new();
    for (name, entry) in &manifest.files {
        if !names.is_empty() && !names.contains(&name.as_str()) {
            continue;
        }
        let damaged = |reason: String| CheckpointError::Damaged { path: folder.to_owned(), reason };
        if name.contains(['/', '\\']) || entry.bytes > MAX_FILE_BYTES {
            return Err(damaged(format!("the manifest's entry {name:?} makes no sense")));
        }
        let path = folder.join(name);
        let length = fs::metadata(&path).map_err(CheckpointError::io("read", &path))?.len();
        if length != entry.bytes {
            return Err(damaged(format!("{name} has {length} bytes instead of {}", entry.bytes)));
        }
        let bytes = fs::read(&path).map_err(CheckpointError::io("read", &path))?;
        if blake3::hash(&bytes).to_hex().as_str() != entry.blake3 {
            return Err(damaged(format!("the contents of {name} do not match its hash")));
        }
        files.insert(name.clone(), bytes);
    }
    Ok(Stored { path: folder.to_owned(), manifest, files })
}

#[cfg(test)]
mod tests;
