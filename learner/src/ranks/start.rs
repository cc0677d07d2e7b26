//! What rank 0 hands to the others before training, so that all begin with the same state though only rank 0 has the
//! checkpoints.
//!
//! As bytes: the length of a JSON header (u64, little endian), the header, and the files it names end to end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vpt_policy::PolicyConfig;

use super::error::RanksError;
use crate::checkpoint::{Manifest, Stored, Weights};
use crate::ledger::LedgerState;
use crate::returns::ReturnWindow;

/// The name under which `learner.init` travels.
const INIT: &str = "init";

/// What a checkpoint holds of a rank beyond what all share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RankState {
    pub(crate) ledger: LedgerState,
    pub(crate) returns: ReturnWindow,
    /// Unrolls consumed: where in its journal to go on.
    pub(crate) consumed: u64,
}

/// The state that training starts from.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) epoch: u32,
    pub(crate) run_id: String,
    /// The checkpoint to go on from.
    pub(crate) stored: Option<Stored>,
    /// Where there is none: what `learner.init` names.
    pub(crate) init: Option<Weights>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    epoch: u32,
    run_id: String,
    /// Of the checkpoint: its folder and manifest.
    stored: Option<(PathBuf, Manifest)>,
    init: Option<PolicyConfig>,
    /// Names and lengths of what follows.
    files: Vec<(String, usize)>,
}

impl Start {
    /// As bytes for the other ranks.
    ///
    /// # Errors
    /// When a path is not text.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RanksError> {
        let stored = self.stored.iter().flat_map(|stored| &stored.files);
        let files = stored.map(|(name, bytes)| (name.as_str(), bytes));
        let init = self.init.iter().map(|weights| (INIT, &weights.parameters));
        let files: Vec<(&str, &Vec<u8>)> = files.chain(init).collect();
        let header = Header {
            epoch: self.epoch,
            run_id: self.run_id.clone(),
            stored: self.stored.as_ref().map(|stored| (stored.path.clone(), stored.manifest.clone())),
            init: self.init.as_ref().and_then(|weights| weights.config.clone()),
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.len())).collect(),
        };
        let header = serde_json::to_vec(&header)?;
        let mut all = (header.len() as u64).to_le_bytes().to_vec();
        all.extend_from_slice(&header);
        files.iter().for_each(|(_, bytes)| all.extend_from_slice(bytes));
        Ok(all)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, RanksError> {
        let short = || RanksError::Start(serde::de::Error::custom("it is cut short"));
        let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
        let (header, mut rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let header: Header = serde_json::from_slice(header)?;
        let mut files = BTreeMap::new();
        for (name, length) in header.files {
            let (file, others) = rest.split_at_checked(length).ok_or_else(short)?;
            files.insert(name, file.to_vec());
            rest = others;
        }
        let config = header.init;
        let init = files.remove(INIT).map(|parameters| Weights { config, parameters });
        let stored = header.stored.map(|(path, manifest)| Stored { path, manifest, files });
        Ok(Self { epoch: header.epoch, run_id: header.run_id, stored, init })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    #[test]
    fn a_start_arrives_as_it_left() {
        let policy = PolicyConfig::tiny();
        let manifest = Manifest {
            format_version: 1,
            architecture: policy.fingerprint(),
            policy: policy.clone(),
            version: Version::new(3, 9),
            stage: "bc".into(),
            files: BTreeMap::new(),
        };
        let files: BTreeMap<String, Vec<u8>> = [("a".into(), vec![1, 2]), ("b".into(), vec![])].into();
        let stored = Some(Stored { path: "there".into(), manifest, files: files.clone() });
        let start = Start { epoch: 4, run_id: "run".into(), stored, init: None };
        let bytes = start.to_bytes().unwrap();
        let read = Start::from_bytes(&bytes).unwrap();
        assert_eq!((read.epoch, read.run_id.as_str()), (4, "run"));
        let stored = read.stored.unwrap();
        assert_eq!((stored.files, stored.manifest.version), (files, Version::new(3, 9)));
        for cut in [0, 7, 20, bytes.len() - 1] {
            assert!(Start::from_bytes(&bytes[..cut]).is_err(), "cut to {cut}");
        }
        let init = Some(Weights { config: Some(policy.clone()), parameters: vec![7; 3] });
        let bytes = Start { epoch: 1, run_id: String::new(), stored: None, init }.to_bytes().unwrap();
        let init = Start::from_bytes(&bytes).unwrap().init.unwrap();
        assert_eq!((init.config, init.parameters), (Some(policy), vec![7; 3]));
    }
}
