//! An envserver inside this process, for commands that are not given the address of a running one.

use anyhow::Context;
use tokio_util::sync::{CancellationToken, DropGuard};
use vpt_runtime::security::Role;
use vpt_runtime::{Listeners, Security, net};

use super::role;
use crate::run_config::RunConfig;

/// Where worlds can be played; stops its server when dropped.
pub(crate) struct Worlds {
    /// `http://host:port`.
    pub(crate) address: String,
    /// How they are reached.
    pub(crate) security: Security,
    _stop: Option<DropGuard>,
}

impl Worlds {
    /// Uses the server at `address`, or starts one on free loopback ports.
    pub(crate) async fn at_or_embedded(address: Option<String>, config: &RunConfig) -> anyhow::Result<Self> {
        if let Some(address) = address {
            let security = role::security(&config.security, Role::Actor)?;
            return Ok(Self { address, security, _stop: None });
        }
        Self::embedded(config, Security::loopback())
    }

    /// A server inside this process on free loopback ports, whose connections are protected by `security`.
    pub(crate) fn embedded(config: &RunConfig, security: Security) -> anyhow::Result<Self> {
        let grpc = net::bind("127.0.0.1:0", "envserver.listen")?;
        // Its metrics are in this process's own ops port too.
        let ops = net::bind("127.0.0.1:0", "envserver.ops_listen")?;
        let address = format!("http://{}", grpc.local_addr().context("embedded envserver has no address")?);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let config = config.envserver.clone();
        let listeners = Listeners { grpc: Some(grpc), ops, security: security.clone() };
        tokio::spawn(async move {
            if let Err(error) = vpt_envserver::run(config, listeners, token).await {
                tracing::error!(%error, "embedded envserver stopped");
            }
        });
        Ok(Self { address, security, _stop: Some(stop.drop_guard()) })
    }
}
