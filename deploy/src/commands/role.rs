//! `vpt learner | actor | relay | envserver`: binds the ports, then hands over to the role's crate.

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use vpt_actor::ActorSetup;
use vpt_actor::relay::RelaySetup;
use vpt_learner::LearnerSetup;
use vpt_runtime::security::{Role, SecurityConfig};
use vpt_runtime::{Listeners, Security, config, host, net, open_files, shutdown};

use super::Usage;
use super::worlds::Worlds;
use crate::run_config::RunConfig;

/// Runs a learner until training ends or it is told to stop.
pub(crate) async fn learner(run: RunConfig, exit_with_parent: bool) -> anyhow::Result<()> {
    run.faults.start()?;
    raise_open_files();
    let listeners = Listeners {
        security: security(&run.security, Role::Learner)?,
        grpc: Some(net::bind(&run.learner.listen, "learner.listen")?),
        ops: net::bind_ops(&run.learner.ops_listen, "learner.ops_listen")?,
    };
    let traces = run.traces.clone();
    let setup = LearnerSetup {
        run_config_toml: config::dump(&run)?,
        learner: run.learner,
        policy: run.policy,
        run_seed: run.run.seed,
    };
    let export = traces.start("learner", &host::name())?;
    let ended = vpt_learner::run(setup, listeners, stop_token(exit_with_parent)?).await;
    export.finish().await;
    ended.context("learner stopped")
}

/// Runs an actor until it is told to stop.
pub(crate) async fn actor(
    mut run: RunConfig,
    with_envserver: bool,
    exit_with_parent: bool,
) -> anyhow::Result<()> {
    run.actor.id = host::fill_in(&run.actor.id);
    run.faults.start()?;
    // Outlives the actor, whose last steps it plays.
    let worlds = match with_envserver {
        true => Some(Worlds::embedded(&run, security(&run.security, Role::Envserver)?)?),
        false => None,
    };
    if let Some(worlds) = &worlds {
        run.actor.envserver.clone_from(&worlds.address);
    }
    let listeners = Listeners {
        security: security(&run.security, Role::Actor)?,
        grpc: None,
        ops: net::bind_ops(&run.actor.ops_listen, "actor.ops_listen")?,
    };
    // Tensor operations run on rayon's pool; actors share a machine, so each keeps to its configured share.
    rayon::ThreadPoolBuilder::new()
        .num_threads(run.actor.threads)
        .build_global()
        .context("cannot start the inference thread pool")?;
    let export = run.traces.start("actor", &run.actor.id)?;
    let setup = ActorSetup { actor: run.actor, policy: run.policy, world: run.world, run_seed: run.run.seed };
    let ended = vpt_actor::run(setup, listeners, stop_token(exit_with_parent)?).await;
    export.finish().await;
    ended.context("actor stopped")
}

/// Runs a relay until it is told to stop.
pub(crate) async fn relay(mut run: RunConfig, exit_with_parent: bool) -> anyhow::Result<()> {
    run.relay.id = host::fill_in(&run.relay.id);
    let listeners = Listeners {
        security: security(&run.security, Role::Relay)?,
        grpc: Some(net::bind(&run.relay.listen, "relay.listen")?),
        ops: net::bind_ops(&run.relay.ops_listen, "relay.ops_listen")?,
    };
    let setup = RelaySetup { relay: run.relay, policy: run.policy };
    vpt_actor::relay::run(setup, listeners, stop_token(exit_with_parent)?).await.context("relay stopped")
}

/// Runs an envserver until it is told to stop.
pub(crate) async fn envserver(run: RunConfig, exit_with_parent: bool) -> anyhow::Result<()> {
    run.faults.start()?;
    raise_open_files();
    let listeners = Listeners {
        security: security(&run.security, Role::Envserver)?,
        grpc: Some(net::bind(&run.envserver.listen, "envserver.listen")?),
        ops: net::bind_ops(&run.envserver.ops_listen, "envserver.ops_listen")?,
    };
    vpt_envserver::run(run.envserver, listeners, stop_token(exit_with_parent)?)
        .await
        .context("envserver stopped")
}

/// Checks the section of `role`, and returns how long a process with it takes at most to end once told to stop.
pub(crate) fn check(run: &RunConfig, role: Role) -> anyhow::Result<Duration> {
    let usage = |error: &dyn std::fmt::Display| Usage(error.to_string());
    Ok(match role {
        Role::Learner => {
            run.learner.validate().map_err(|error| usage(&error))?;
            run.learner.longest_drain() + run.traces.longest_flush()
        }
        Role::Actor => {
            run.actor.validate().map_err(|error| usage(&error))?;
            run.actor.longest_drain() + run.traces.longest_flush()
        }
        Role::Relay => {
            run.relay.validate().map_err(|error| usage(&error))?;
            run.relay.longest_drain()
        }
        Role::Envserver => {
            run.envserver.validate()?;
            run.envserver.longest_drain()
        }
        // Asks and ends.
        Role::Operator => Duration::ZERO,
    })
}

/// Every peer is an open file.
fn raise_open_files() {
    if let Err(error) = open_files::raise() {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

/// The certificates and token of this process.
pub(crate) fn security(config: &SecurityConfig, role: Role) -> anyhow::Result<Security> {
    Security::load(config, role).map_err(|error| Usage(error.to_string()).into())
}

/// Cancelled by SIGINT, SIGTERM and, for children of the local launcher, by the launcher's death, which closes
/// the pipe that is their standard input.
fn stop_token(exit_with_parent: bool) -> anyhow::Result<CancellationToken> {
    let token = shutdown::token_on_signals()?;
    if exit_with_parent {
        let parent_gone = token.clone();
        // A thread of its own: a pending read must not keep the async runtime from ending.
        std::thread::Builder::new().name("vpt-parent".into()).spawn(move || {
            let mut byte = [0u8; 1];
            while matches!(std::io::stdin().read(&mut byte), Ok(n) if n > 0) {}
            parent_gone.cancel();
        })?;
    }
    Ok(token)
}
