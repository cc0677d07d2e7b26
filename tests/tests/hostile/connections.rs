//! Attacks below gRPC: on the port, on TLS, on HTTP/2.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use vpt_runtime::security::{Authority, Role};

use super::site::{MAX_CONNECTIONS, Site, client};
use super::{Attack, Held};

pub(crate) fn attacks(site: &Site) -> Vec<Attack> {
    let refused = |reason: &str| -> &'static str {
        format!("vpt_net_connections_refused_total{{reason=\"{reason}\"}}").leak()
    };
    let at = || Target { address: site.learner.clone(), certs: site.certs.as_path().into() };
    vec![
        Attack::new("bytes that are no TLS", refused("tls"), garbage(at())),
        Attack::new("a TLS handshake that never comes", refused("tls_timeout"), silence(at())),
        Attack::new("a TLS handshake that trickles", refused("tls_timeout"), trickle(at())),
        Attack::new("no certificate", refused("certificate"), shown(at(), false)),
        Attack::new("a certificate of another authority", refused("certificate"), shown(at(), true)),
        Attack::new("an HTTP/2 preface that never comes", refused("silent"), no_preface(at())),
        Attack::new("HTTP/1", refused("unspoken"), old_http(at())),
        Attack::new("a flood of connections", refused("too_many"), flood(at())),
        Attack::new(
            "a message that never ends",
            "vpt_learner_push_refused_total{reason=\"deadline\"}",
            endless_message(at(), std::fs::read_to_string(site.certs.join("token")).expect("token")),
        ),
    ]
}

struct Target {
    address: String,
    certs: Box<Path>,
}

impl Target {
    async fn tcp(&self) -> anyhow::Result<TcpStream> {
        TcpStream::connect(&self.address).await.context("connect")
    }

    async fn tls(&self, shown: Option<(&Path, Role)>) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(client(&self.certs, shown)));
        let name = ServerName::try_from(Role::Learner.dns_name()).expect("a name");
        connector.connect(name, TcpStream::connect(&self.address).await?).await
    }

    async fn actor(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        self.tls(Some((&self.certs, Role::Actor))).await.context("an actor's certificate is good")
    }
}

async fn garbage(target: Target) -> anyhow::Result<Held> {
    let mut stream = target.tcp().await?;
    stream.write_all(&[0x5a; 64]).await?;
    Ok(Box::new(stream))
}

async fn silence(target: Target) -> anyhow::Result<Held> {
    Ok(Box::new(target.tcp().await?))
}

/// One byte of a handshake record at a time, for longer than the learner is patient.
async fn trickle(target: Target) -> anyhow::Result<Held> {
    let mut stream = target.tcp().await?;
    stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await?;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if stream.write_all(&[3]).await.is_err() {
            break;
        }
    }
    Ok(Box::new(stream))
}

async fn shown(target: Target, of_another: bool) -> anyhow::Result<Held> {
    let dir = tempfile::tempdir()?;
    let other = dir.path().join("certs");
    Authority::create(&other, 1)?;
    // In TLS 1.3 the client is done before the server has looked at its certificate.
    let stream = target.tls(of_another.then_some((other.as_path(), Role::Actor))).await;
    Ok(Box::new(stream))
}

async fn no_preface(target: Target) -> anyhow::Result<Held> {
    Ok(Box::new(target.actor().await?))
}

async fn old_http(target: Target) -> anyhow::Result<Held> {
    let mut stream = target.actor().await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: learner\r\n\r\n").await?;
    stream.flush().await?;
    Ok(Box::new(stream))
}

async fn flood(target: Target) -> anyhow::Result<Held> {
    let mut streams = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        streams.push(target.tcp().await?);
    }
    Ok(Box::new(streams))
}

/// The prefix of a gRPC message of 1 MiB, and then its bytes one by one.
async fn endless_message(target: Target, token: String) -> anyhow::Result<Held> {
    let (client, connection) = h2::client::handshake(target.actor().await?).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://learner/vpt.learner.v1.TrajectoryService/Push")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", token.trim()))
        .body(())?;
    let (response, mut body) = client.ready().await?.send_request(request, false)?;
    body.send_data(Bytes::from_static(&[0, 0, 0x10, 0, 0]), false)?;
    let trickle = tokio::spawn(async move {
        while body.send_data(Bytes::from_static(&[0]), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Ok(Box::new((connection, response, trickle)))
}
