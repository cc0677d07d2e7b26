//! A training run of real processes: envservers, learner, relays and actors, with a proxy on every link.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use vpt_proto::learner::v1::{GetStatusResponse, Ledger};

use crate::http;
use crate::learner::status_blocking;
use crate::process::{Process, binary};
use crate::proxy::Proxy;
use crate::wait::wait_until;

/// Longest wait for anything, in seconds; a loaded machine is slow.
pub const PATIENCE: u64 = 120;

/// Steps of an unroll in [`RUN`].
pub const UNROLL_LENGTH: u64 = 8;

/// Unrolls of a batch in [`RUN`].
pub const BATCH_UNROLLS: u64 = 8;

/// PPO with a linear network on the null world: everything but the tensors is as in a large run.
pub const RUN: &str = r#"
config_version = 1

[run]
name = "null"
seed = 7

[world]
name = "null"
task = "null"
episode_steps = 50

[policy]
kind = "linear"
image_size = 32
hidsize = 12
n_recurrence_layers = 0

[envserver]
spare_threads = 0

[actor]
groups = 2
slots_per_group = 1
pending_unrolls = 8
report_seconds = 0.1
step_timeout_seconds = 5.0
open_timeout_seconds = 3.0
learner_timeout_seconds = 3.0
reconnect_first_seconds = 0.05
reconnect_cap_seconds = 0.3

[learner]
stage = "ppg"
threads = 1
unroll_length = 8

[learner.admission]
queue_unrolls = 32
max_staleness = 64

[learner.ppg]
total_env_steps = 1000000000000
batch_unrolls = 8
minibatch_unrolls = 8
aux_epochs = 0

[learner.checkpoint]
every_phases = 50
"#;

/// What a process does in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serves worlds.
    Envserver,
    /// Trains.
    Learner,
    /// Hands weights on.
    Relay,
    /// Plays.
    Actor,
}

/// A process and how to start it again.
struct Member {
    role: Role,
    arguments: Vec<String>,
    /// `host:port` of its ops port.
    ops: String,
    log: PathBuf,
    process: Option<Process>,
}

/// All processes of a run, by name, and the links between them.
pub struct Cluster {
    dir: PathBuf,
    members: BTreeMap<String, Member>,
    /// Named by the actor and the server at their ends.
    links: BTreeMap<String, Proxy>,
    learner: String,
    learner_ops: String,
    envservers: Vec<String>,
    relays: Vec<String>,
    settings: Vec<String>,
    /// Variables that all processes are started with.
    environment: Vec<(String, String)>,
}

/// An address that nobody listens on.
///
/// # Panics
/// When no port is free.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .to_string()
}

impl Cluster {
    /// Starts `envservers` envservers and a learner in `dir`; `settings` are `key=value`, for all processes.
    ///
    /// # Panics
    /// When something cannot be started.
    pub fn start(dir: &Path, envservers: usize, settings: &[&str]) -> Self {
        Self::start_with(dir, envservers, settings, &[])
    }

    /// The same, every process with `environment` beside what it inherits.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_with(
        dir: &Path,
        envservers: usize,
        settings: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        std::fs::write(dir.join("run.toml"), RUN).expect("run file");
        let mut cluster = Self {
            dir: dir.to_owned(),
            members: BTreeMap::new(),
            links: BTreeMap::new(),
            learner: free_address(),
            learner_ops: free_address(),
            envservers: (0..envservers).map(|_| free_address()).collect(),
            relays: Vec::new(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            environment: environment.iter().map(owned).collect(),
        };
        for (index, address) in cluster.envservers.clone().iter().enumerate() {
            let sets = [("envserver.listen", address.clone()), ("envserver.ops_listen", free_address())];
            cluster.add(&format!("envserver-{index}"), Role::Envserver, &sets);
        }
        let sets = [
            ("learner.listen", cluster.learner.clone()),
            ("learner.ops_listen", cluster.learner_ops.clone()),
            ("learner.out", dir.join("out").display().to_string()),
        ];
        cluster.add("learner", Role::Learner, &sets);
        cluster
    }

    /// Starts a relay, from which actors that are started later take weights, or from the learner where it is away.
    pub fn add_relay(&mut self, name: &str) {
        let (up, listen) = (Proxy::start(&self.learner), free_address());
        let sets = [
            ("relay.id", name.to_owned()),
            ("relay.listen", listen.clone()),
            ("relay.ops_listen", free_address()),
            ("relay.upstream", format!("[\"http://{}\"]", up.address())),
        ];
        self.links.insert(format!("{name}-learner"), up);
        self.relays.push(format!("\"http://{listen}\""));
        self.add(name, Role::Relay, &sets);
    }

    /// Starts an actor; its links go through proxies. Returns the address of its ops port.
    pub fn add_actor(&mut self, name: &str) -> String {
        let envserver = &self.envservers[self.members.len() % self.envservers.len()];
        let (up, env) = (Proxy::start(&self.learner), Proxy::start(envserver));
        let ops = free_address();
        let sets = [
            ("actor.id", name.to_owned()),
            ("actor.learner", format!("http://{}", up.address())),
            ("actor.envserver", format!("http://{}", env.address())),
            ("actor.ops_listen", ops.clone()),
            ("actor.weights", format!("[{}]", self.relays.join(", "))),
            ("actor.ledger_file", self.dir.join("ledgers").join(name).display().to_string()),
        ];
        self.links.insert(format!("{name}-learner"), up);
        self.links.insert(format!("{name}-envserver"), env);
        self.add(name, Role::Actor, &sets);
        ops
    }

    fn add(&mut self, name: &str, role: Role, sets: &[(&str, String)]) {
        let command = match role {
            Role::Envserver => "envserver",
            Role::Learner => "learner",
            Role::Relay => "relay",
            Role::Actor => "actor",
        };
        let file = self.dir.join("run.toml").display().to_string();
        let mut arguments = vec![command.to_owned(), "--config".to_owned(), file];
        let common = self.settings.iter().cloned();
        for set in common.chain(sets.iter().map(|(key, value)| format!("{key}={value}"))) {
            arguments.extend(["--set".to_owned(), set]);
        }
        let log = self.dir.join(format!("{name}.log"));
        let ops = sets.iter().find(|(key, _)| key.ends_with(".ops_listen"));
        let ops = ops.map(|(_, address)| address.clone()).expect("every role has an ops port");
        self.members.insert(name.to_owned(), Member { role, arguments, ops, log, process: None });
        self.restart(name);
    }

    /// Names of the processes with `role`.
    pub fn names(&self, role: Role) -> Vec<String> {
        self.members.iter().filter(|(_, member)| member.role == role).map(|(name, _)| name.clone()).collect()
    }

    /// Names of the links.
    pub fn link_names(&self) -> Vec<String> {
        self.links.keys().cloned().collect()
    }

    /// The proxy on a link.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn link(&self, name: &str) -> &Proxy {
        &self.links[name]
    }

    /// `host:port` of a process's ops port.
    ///
    /// # Panics
    /// When there is no member of that name.
    pub fn ops(&self, name: &str) -> &str {
        &self.members[name].ops
    }

    /// A process of the run.
    ///
    /// # Panics
    /// When it was taken down.
    pub fn process(&mut self, name: &str) -> &mut Process {
        let member = self.members.get_mut(name).expect("a member of that name");
        member.process.as_mut().expect("it runs")
    }

    /// Kills a process, if it runs, and starts it again.
    pub fn restart(&mut self, name: &str) {
        self.kill(name);
        let member = self.members.get_mut(name).expect("a member of that name");
        let mut command = Command::new(binary());
        command.args(&member.arguments).envs(self.environment.iter().cloned());
        member.process = Some(Process::start_command(&mut command, &member.log));
    }

    /// Kills a process for good, as kill -9 does.
    pub fn kill(&mut self, name: &str) {
        // Dropping it kills it, also where it is stopped, and waits for its end.
        self.members.get_mut(name).expect("a member of that name").process = None;
    }

    /// Asks processes to end, all at once, and waits until they have; returns their exit codes.
    pub fn drain(&mut self, names: &[String]) -> Vec<i32> {
        for name in names {
            self.process(name).signal(Signal::SIGTERM);
        }
        names
            .iter()
            .map(|name| {
                let code = self.process(name).wait(PATIENCE);
                self.kill(name);
                code
            })
            .collect()
    }

    /// Fails when a process ended by itself.
    ///
    /// # Panics
    /// With what it printed.
    pub fn check_alive(&mut self) {
        for (name, member) in &mut self.members {
            let Some(process) = &mut member.process else { continue };
            if let Some(code) = process.try_wait() {
                let output = process.output();
                let lines: Vec<&str> = output.lines().collect();
                let tail = lines[lines.len().saturating_sub(30)..].join("\n");
                panic!("{name} ended by itself, code {code}:\n{tail}");
            }
        }
    }

    /// The learner's status, if it answers.
    pub fn status(&self) -> Option<GetStatusResponse> {
        status_blocking(&self.learner)
    }

    /// The learner's books, waiting until it answers.
    ///
    /// # Panics
    /// When it does not within the patience.
    pub fn ledger(&mut self) -> Ledger {
        wait_until("the learner's books", PATIENCE, || {
            self.check_alive();
            self.status()?.ledger
        })
    }

    /// Env steps trained on, waiting until the learner answers.
    pub fn trained(&mut self) -> u64 {
        self.ledger().trained
    }

    /// Waits until `steps` more were trained on, from what the learner says first.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn train_on(&mut self, steps: u64) {
        let before = self.trained();
        wait_until(&format!("training to go on from {before}"), PATIENCE, || {
            self.check_alive();
            (self.status()?.ledger?.trained >= before + steps).then_some(())
        });
    }

    /// A number on the learner's metrics page, if it answers and has it.
    pub fn learner_metric(&self, series: &str) -> Option<f64> {
        metric(&self.learner_ops, series)
    }

    /// `host:port` of the learner's gRPC port.
    pub fn learner_address(&self) -> &str {
        &self.learner
    }

    /// Where the learner leaves its files.
    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }
}

/// The value of `series` (name and labels) on the metrics page at `address`, if it is there.
pub fn metric(address: &str, series: &str) -> Option<f64> {
    let (_, page) = http::get(address, "/metrics")?;
    let line = page.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}
