//! The learner that is measured: the real process, which waits for unrolls that never come.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use vpt_actor::config::WorldConfig;
use vpt_learner::config::Stage;
use vpt_policy::PolicyConfig;
use vpt_runtime::security::SecurityConfig;
use vpt_runtime::{Security, atomic_file, config};

use crate::commands::fetch_status;
use crate::run_config::RunConfig;

/// How long it may take to start.
const START: Duration = Duration::from_secs(60);

pub(super) struct Learner {
    child: Child,
    pub(super) address: String,
    pub(super) log: PathBuf,
}

impl Learner {
    /// Starts it with room for `actors`; files go to `dir`.
    pub(super) fn start(dir: &Path, actors: usize, security: &SecurityConfig) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let free = || TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1");
        let (grpc, ops) = (free()?, free()?);
        let (address, ops) = (grpc.local_addr()?.to_string(), ops.local_addr()?.to_string());
        drop(grpc);
        let world = WorldConfig { name: "null".into(), task: "null".into(), episode_steps: 1000 };
        let mut run = RunConfig { policy: PolicyConfig::linear(), world, ..RunConfig::default() };
        run.security = security.clone();
        run.learner.stage = Stage::Ppg;
        run.learner.threads = 1;
        run.learner.out = dir.join("out");
        run.learner.admission.max_actors = actors + 64;
        (run.learner.listen, run.learner.ops_listen) = (address.clone(), ops);
        let file = dir.join("run.toml");
        atomic_file::write(&file, config::dump(&run)?.as_bytes())?;
        let log = dir.join("learner.log");
        let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["learner", "--exit-with-parent", "--config"])
            .arg(&file)
            // A line for each connection would be measured too.
            .env("RUST_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start the learner")?;
        Ok(Self { child, address, log })
    }

    /// Waits until it answers and has weights to give.
    pub(super) async fn ready(&self, operator: &Security) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            match fetch_status(&self.address, operator).await {
                Ok(status) if status.version.is_some_and(|version| version.sequence > 0) => return Ok(()),
                Err(error) if began.elapsed() > START => return Err(error),
                _ if began.elapsed() > START => {
                    bail!("the learner published nothing; see {}", self.log.display())
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Seconds that a status call takes, connection included.
    pub(super) async fn status_seconds(&self, operator: &Security) -> anyhow::Result<f64> {
        let began = Instant::now();
        fetch_status(&self.address, operator).await?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Resident bytes.
    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        let text = self.proc("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
        Ok(kib * 1024.0)
    }

    /// CPU seconds so far, in user and kernel.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let text = self.proc("stat")?;
        // Its name, in brackets, may hold blanks.
        let fields: Vec<&str> =
            text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<f64>().ok()).sum();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
        Ok(ticks / per_second as f64)
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}; see {}", self.log.display()))
    }
}

impl Drop for Learner {
    fn drop(&mut self) {
        // Nothing of it is kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
