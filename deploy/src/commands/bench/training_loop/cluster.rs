//! A cluster that is measured: envserver, actors and learner as child processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use vpt_proto::learner::v1::GetStatusResponse;
use vpt_runtime::{Security, atomic_file, config};

use super::meter::Meter;
use crate::commands::fetch_status;
use crate::run_config::RunConfig;
use crate::up::endpoints::Endpoints;
use crate::up::supervisor::Supervisor;

const POLL: Duration = Duration::from_millis(100);
/// How long until the first step must be trained on, in seconds.
const START_SECONDS: f64 = 60.0;

pub(in crate::commands::bench) struct Cluster {
    dir: PathBuf,
    endpoints: Endpoints,
    supervisor: Supervisor,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts every process; files go to `dir`.
    pub(in crate::commands::bench) fn start(
        run: RunConfig,
        dir: &Path,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(dir.join("logs")).with_context(|| format!("cannot create {}", dir.display()))?;
        atomic_file::write(&dir.join("run.toml"), config::dump(&run)?.as_bytes())?;
        let endpoints = Endpoints::choose(dir, run.up.actors)?;
        let mut supervisor = Supervisor::new(dir, &run.up, stop.clone())?;
        supervisor.start("envserver", endpoints.envserver_arguments(dir))?;
        let out = [("learner.out", dir.display().to_string())];
        supervisor.start("learner", endpoints.learner_arguments(dir, &out))?;
        for index in 0..run.up.actors {
            supervisor.start(&format!("actor-{index}"), endpoints.actor_arguments(dir, index))?;
        }
        Ok(Self { dir: dir.to_owned(), endpoints, supervisor, stop: stop.clone() })
    }

    /// Steps trained on per second over `seconds`, `warm_up` seconds after the first.
    pub(super) async fn rate(&self, warm_up: f64, seconds: f64) -> anyhow::Result<f64> {
        let opened = Instant::now();
        let mut meter = Meter::default();
        loop {
            tokio::select! {
                ended = self.supervisor.wait("learner") => {
                    ended?;
                    bail!("the learner ended before the measurement did; see {}", self.dir.join("logs").display());
                }
                () = self.stop.cancelled() => bail!("stopped"),
                () = tokio::time::sleep(POLL) => {}
            }
            // A learner that is starting does not answer; the next poll will.
            if let Ok(status) = fetch_status(&self.endpoints.learner, &Security::loopback()).await {
                meter.add(opened.elapsed().as_secs_f64(), status.env_steps_trained);
            }
            self.check_restarts()?;
            match meter.since_first() {
                Some(measured) if measured > warm_up + seconds => break,
                None if opened.elapsed().as_secs_f64() > START_SECONDS => {
                    bail!("nothing was trained on within {START_SECONDS} s");
                }
                _ => {}
            }
        }
        meter.rate(warm_up)
    }

    /// What the learner says of itself, within the time that processes take to start.
    pub(in crate::commands::bench) async fn status(&self) -> anyhow::Result<GetStatusResponse> {
        let opened = Instant::now();
        loop {
            self.check_restarts()?;
            match fetch_status(&self.endpoints.learner, &Security::loopback()).await {
                Ok(status) => return Ok(status),
                Err(error) if opened.elapsed().as_secs_f64() > START_SECONDS => return Err(error),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Refuses to measure what does not run through.
    fn check_restarts(&self) -> anyhow::Result<()> {
        let restarts = self.supervisor.restarts();
        let Some(name) = restarts.keys().next() else { return Ok(()) };
        let log = self.dir.join("logs").join(format!("{name}.log"));
        let text = fs::read_to_string(log).unwrap_or_default();
        bail!("{name} failed: {}", text.trim_end().lines().last().unwrap_or("its log is empty"))
    }

    /// Waits until the learner has trained to its end: the hash of the weights of its last checkpoint.
    pub(super) async fn final_weights(&self) -> anyhow::Result<String> {
        loop {
            tokio::select! {
                ended = self.supervisor.wait("learner") => break ended?,
                () = self.stop.cancelled() => bail!("stopped"),
                () = tokio::time::sleep(POLL) => self.check_restarts()?,
            }
        }
        let latest = self.dir.join("checkpoints").join("latest");
        let loaded = vpt_learner::checkpoint::load_policy(&latest)?;
        Ok(blake3::hash(&loaded.parameters).to_hex().to_string())
    }

    pub(in crate::commands::bench) async fn stop(&mut self) {
        // Actors first, so that none waits for a learner that is gone.
        self.supervisor.stop_all().await;
    }
}
