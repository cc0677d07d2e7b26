//! The ops port, as Prometheus, probes and browsers see it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What is answered to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub code: u16,
    /// Status line and headers.
    pub head: String,
    /// What follows.
    pub body: Vec<u8>,
}

/// Status code and body of `GET path` at `address` (`host:port`); `None` when nobody answers within five seconds.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let answer = request(address, "GET", path)?;
    Some((answer.code, String::from_utf8(answer.body).ok()?))
}

/// The answer to a request without a body; `None` when nobody answers within five seconds.
pub fn request(address: &str, method: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok()?;
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(reply[..end].to_vec()).ok()?;
    let code = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { code, head, body: reply.split_off(end + 4) })
}
