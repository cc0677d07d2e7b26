//! `vpt status`: one screen of what a learner is doing, first of all what holds the run back.

mod json;
mod screen;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use vpt_proto::learner::v1::status_service_client::StatusServiceClient;
use vpt_proto::learner::v1::{GetStatusRequest, GetStatusResponse};
use vpt_runtime::security::Role;
use vpt_runtime::{Security, net};

use crate::cli::StatusArgs;

const DEADLINE: Duration = Duration::from_secs(5);
/// The shortest pause between two looks, in seconds.
const SHORTEST_PAUSE: f64 = 0.1;
/// Moves the cursor to the upper left corner and clears what is below it.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(crate) async fn run(args: &StatusArgs, security: &Security) -> anyhow::Result<()> {
    let Some(pause) = args.watch else {
        print!("{}", show(&fetch(&args.learner, security).await?, args.json));
        return Ok(());
    };
    let pause = Duration::from_secs_f64(pause.clamp(SHORTEST_PAUSE, 86_400.0));
    let clear = if std::io::stdout().is_terminal() && !args.json { CLEAR } else { "" };
    // The first look must succeed, so that a wrong address is an error; a learner that restarts is waited for.
    let mut text = show(&fetch(&args.learner, security).await?, args.json);
    loop {
        print!("{clear}{text}");
        std::io::stdout().flush()?;
        tokio::time::sleep(pause).await;
        text = match fetch(&args.learner, security).await {
            Ok(status) => show(&status, args.json),
            Err(error) if args.json => format!("{}\n", serde_json::json!({ "error": format!("{error:#}") })),
            Err(error) => format!("{error:#}\n"),
        };
    }
}

fn show(status: &GetStatusResponse, as_json: bool) -> String {
    if as_json { format!("{}\n", json::status(status)) } else { screen::render(status) }
}

/// Asks the learner at `address` (`host:port` or a URL), within five seconds.
pub(crate) async fn fetch(address: &str, security: &Security) -> anyhow::Result<GetStatusResponse> {
    let hint =
        || format!("cannot reach a learner at {address}; `vpt up` writes its address to endpoints.json");
    let endpoint = net::endpoint(security, address, "--learner")?.connect_timeout(DEADLINE).timeout(DEADLINE);
    let channel = security.channel(&endpoint, &[Role::Learner])?;
    let reply = StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await.with_context(hint)?;
    Ok(reply.into_inner())
}
