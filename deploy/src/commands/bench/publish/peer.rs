//! shardcast: its origin and its client, each a process of its own Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::json;
use vpt_runtime::net;

use super::super::worker::Worker;

/// The peer's program.
const PROGRAM: &str = include_str!("peer.py");

pub(super) struct Shardcast {
    origin: Worker,
    client: Worker,
    file: PathBuf,
}

impl Shardcast {
    pub(super) fn start(python: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = net::bind("127.0.0.1:0", "the peer's port")?.local_addr()?.port().to_string();
        let start = |role: &str| {
            let mut command = Command::new(python);
            command.arg("-c").arg(PROGRAM).args([role, &port]).arg(folder.join(role));
            // Its client is wget.
            command.env("no_proxy", "127.0.0.1").env("SHARDCAST_LOG_LEVEL", "ERROR");
            Worker::start(command)
                .with_context(|| format!("--peers {} needs shardcast, and wget", python.display()))
        };
        Ok(Self { origin: start("origin")?, client: start("client")?, file: folder.join("weights.bin") })
    }

    /// Seconds from the call that broadcasts a file of `bytes` to the client's return, which has verified its hash.
    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<f64> {
        fs::write(&self.file, bytes).with_context(|| format!("cannot write {}", self.file.display()))?;
        let hash = blake3::hash(bytes).to_hex().to_string();
        let began = Instant::now();
        let version = self.origin.ask(&json!({ "file": self.file }))?;
        let answer = self.client.ask(&version)?;
        let seconds = began.elapsed().as_secs_f64();
        let got = answer["file"].as_str().context("shardcast's client has no file")?;
        let found = blake3::hash(&fs::read(got)?).to_hex().to_string();
        fs::remove_file(got)?;
        if found != hash {
            bail!("shardcast's client has {found}, broadcast was {hash}");
        }
        Ok(seconds)
    }
}
