//! `vpt healthcheck`: asks an ops port whether its role lives or serves.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

use super::Usage;
use crate::cli::{HealthcheckArgs, Probe};

/// Longest wait for connecting and for each read.
const DEADLINE: Duration = Duration::from_secs(5);
/// Answers are a line; what comes beyond is not one.
const LONGEST_ANSWER: u64 = 4096;

pub(crate) fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let path = match args.probe {
        Probe::Live => "/livez",
        Probe::Ready => "/readyz",
    };
    let (code, text) = get(&args.ops, path)?;
    print!("{text}");
    if code != 200 {
        bail!("{} answers {path} with {code}", args.ops);
    }
    Ok(())
}

/// Status code and body of `GET path`.
fn get(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let bad = || Usage(format!("--ops {address}: must be host:port, for example 127.0.0.1:9090"));
    let socket = address.to_socket_addrs().map_err(|_| bad())?.next().ok_or_else(bad)?;
    let unreachable = || format!("nobody answers at {address}; is it the role's ops_listen?");
    let mut stream = TcpStream::connect_timeout(&socket, DEADLINE).with_context(unreachable)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer).with_context(unreachable)?;
    let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let code = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    });
    parsed.with_context(|| format!("{address} does not speak HTTP; is it the role's ops_listen?"))
}
