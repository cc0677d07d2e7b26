//! Free loopback ports for the processes of a run, written to `endpoints.json`.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use vpt_runtime::atomic_file;

/// Where every process of a run listens.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoints {
    /// `host:port` of the envserver's gRPC port.
    pub envserver: String,
    /// `host:port` of the envserver's ops port.
    pub envserver_ops: String,
    /// `host:port` of the learner's gRPC port.
    pub learner: String,
    /// `host:port` of the learner's ops port.
    pub learner_ops: String,
    /// `host:port` of each actor's ops port.
    pub actor_ops: Vec<String>,
}

impl Endpoints {
    /// Takes free ports and writes them to `endpoints.json` in `dir`. They stay the same when a process is
    /// restarted, so that its peers find it again.
    ///
    /// # Errors
    /// No free port, or a file that cannot be written.
    pub fn choose(dir: &Path, actors: usize) -> anyhow::Result<Self> {
        // All listeners are held until every port is known, so that no port is given out twice.
        let listeners = (0..4 + actors)
            .map(|_| TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut addresses = listeners
            .iter()
            .map(|listener| Ok(listener.local_addr()?.to_string()))
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter();
        let mut next = || addresses.next().context("one address a listener");
        let endpoints = Self {
            envserver: next()?,
            envserver_ops: next()?,
            learner: next()?,
            learner_ops: next()?,
            actor_ops: addresses.collect(),
        };
        atomic_file::write(&dir.join("endpoints.json"), &serde_json::to_vec_pretty(&endpoints)?)?;
        Ok(endpoints)
    }

    /// Where actors and evaluations find the worlds.
    pub fn envserver_url(&self) -> String {
        format!("http://{}", self.envserver)
    }

    /// Arguments of the envserver process.
    pub fn envserver_arguments(&self, dir: &Path) -> Vec<String> {
        let mut arguments = role("envserver", dir);
        set(&mut arguments, "envserver.listen", &self.envserver);
        set(&mut arguments, "envserver.ops_listen", &self.envserver_ops);
        arguments
    }

    /// Arguments of a learner process; `sets` say which stage it trains.
    pub fn learner_arguments(&self, dir: &Path, sets: &[(&str, String)]) -> Vec<String> {
        let mut arguments = role("learner", dir);
        set(&mut arguments, "learner.listen", &self.learner);
        set(&mut arguments, "learner.ops_listen", &self.learner_ops);
        for (key, value) in sets {
            set(&mut arguments, key, value);
        }
        arguments
    }

    /// Arguments of actor process `index`.
    pub fn actor_arguments(&self, dir: &Path, index: usize) -> Vec<String> {
        let mut arguments = role("actor", dir);
        let id = format!("actor-{index}");
        set(&mut arguments, "actor.ledger_file", &dir.join("ledgers").join(&id).display().to_string());
        set(&mut arguments, "actor.id", &id);
        set(&mut arguments, "actor.envserver", &self.envserver_url());
        set(&mut arguments, "actor.learner", &format!("http://{}", self.learner));
        set(&mut arguments, "actor.ops_listen", &self.actor_ops[index]);
        arguments
    }
}

fn role(name: &str, dir: &Path) -> Vec<String> {
    let config = dir.join("run.toml").display().to_string();
    vec![name.to_owned(), "--exit-with-parent".into(), "--config".into(), config]
}

fn set(arguments: &mut Vec<String>, key: &str, value: &str) {
    arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
}
