//! How processes reach each other: listening sockets, connections that are let in or refused with a counted reason, and
//! channels to other roles.

mod accept;
mod connection;
mod dial;
mod gate;
mod metrics;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::{TcpListener, TcpSocket};

use crate::security::Security;

pub use accept::{Incoming, incoming};
pub use connection::{Connection, OpenStream, Peer, open_stream};
pub use dial::{Channel, Credentials, endpoint, reach};
pub use gate::Gate;
pub use metrics::METRICS;

/// Connections that may wait to be taken: all actors may come at once.
const BACKLOG: u32 = 4096;

/// The sockets a role serves on, bound before it starts so that a taken port is an early, clear error.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC, for roles that serve it.
    pub grpc: Option<TcpListener>,
    /// `/metrics`, `/livez`, `/readyz`.
    pub ops: TcpListener,
    /// How connections are protected, in and out; [`Security::loopback`] within one machine.
    pub security: Security,
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{what} = {address:?}: {source}; {}", advice(source, what))]
pub struct NetError {
    /// Config key or option that named the address.
    pub what: String,
    /// The address as given.
    pub address: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Binds `address` ("host:port"; port 0 takes a free one). `what` is the config key, for the error.
///
/// # Errors
/// When the address is malformed, not ours, or taken.
///
/// # Panics
/// Outside a tokio runtime.
pub fn bind(address: &str, what: &str) -> Result<TcpListener, NetError> {
    let fail = |source| NetError { what: what.to_owned(), address: address.to_owned(), source };
    let mut refusal = io::Error::new(io::ErrorKind::InvalidInput, "no address");
    for address in address.to_socket_addrs().map_err(fail)? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refusal = error,
        }
    }
    Err(fail(refusal))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a process that is restarted gets its port again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds the plain HTTP port of metrics and probes, and says so when others can reach it.
///
/// # Errors
/// As [`bind`].
///
/// # Panics
/// As [`bind`].
pub fn bind_ops(address: &str, what: &str) -> Result<TcpListener, NetError> {
    let listener = bind(address, what)?;
    if listener.local_addr().is_ok_and(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            address,
            "{what} is plain HTTP that other machines can reach: it shows metrics and health"
        );
    }
    Ok(listener)
}

fn advice(error: &io::Error, what: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process listens there: stop it, or set {what} to another port (0 takes a free one)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: set {what} to one of its own, for example 127.0.0.1")
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need privileges: set {what} to a higher one")
        }
        _ => format!("{what} must be host:port, for example \"127.0.0.1:0\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_key_and_address() {
        let first = bind("127.0.0.1:0", "learner.listen").unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bind(&address, "learner.listen").unwrap_err().to_string();
        assert!(error.contains("learner.listen") && error.contains(&address), "{error}");
        assert!(error.contains("another process"), "{error}");
    }

    #[tokio::test]
    async fn malformed_addresses_say_what_is_expected() {
        let error = bind("localhost", "actor.ops_listen").unwrap_err().to_string();
        assert!(error.contains("actor.ops_listen must be host:port"), "{error}");
    }
}
