//! An envserver inside this process, for commands that are not given the address of a running one.

use anyhow::Context;
use tokio_util::sync::{CancellationToken, DropGuard};
use vpt_envserver::config::EnvserverConfig;
use vpt_runtime::{Listeners, net};

/// Where worlds can be played; stops its server when dropped.
pub(crate) struct Worlds {
    /// `http://host:port`.
    pub(crate) address: String,
    _stop: Option<DropGuard>,
}

impl Worlds {
    /// Uses the server at `address`, or starts one on free loopback ports.
    pub(crate) async fn at_or_embedded(
        address: Option<String>,
        config: &EnvserverConfig,
    ) -> anyhow::Result<Self> {
        if let Some(address) = address {
            let address = if address.contains("://") { address } else { format!("http://{address}") };
            return Ok(Self { address, _stop: None });
        }
        let grpc = net::bind("127.0.0.1:0", "envserver.listen")?;
        let ops = net::bind("127.0.0.1:0", "envserver.ops_listen")?;
        let address = format!("http://{}", grpc.local_addr().context("embedded envserver has no address")?);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let config = config.clone();
        tokio::spawn(async move {
            let listeners = Listeners { grpc: Some(grpc), ops };
            if let Err(error) = vpt_envserver::run(config, listeners, token).await {
                tracing::error!(%error, "embedded envserver stopped");
            }
        });
        Ok(Self { address, _stop: Some(stop.drop_guard()) })
    }
}
