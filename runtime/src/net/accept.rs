//! Takes connections: no more than may be held, each with a deadline, TLS where the config asks for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_stream::wrappers::ReceiverStream;

use super::connection::{Connection, Peer, Wire};
use super::metrics;
use crate::security::{Security, SecurityError, role_of};

/// Connections that a server has not taken from us yet.
const HANDED_OVER: usize = 64;

/// How long to wait after the system refused a connection, for want of file descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of a listener, for `serve_with_incoming`; dropping it closes the listener.
pub type Incoming = ReceiverStream<io::Result<Connection>>;

/// Starts to take connections on `listener`, whose address the config key `what` names.
///
/// # Errors
/// When strangers could reach the listener in the clear.
///
/// # Panics
/// Outside a tokio runtime.
pub fn incoming(listener: TcpListener, security: &Security, what: &str) -> Result<Incoming, SecurityError> {
    if let Ok(address) = listener.local_addr() {
        security.check_listen(address, what)?;
    }
    let (taken, incoming) = mpsc::channel(HANDED_OVER);
    let acceptor = security.tls().and_then(|tls| tls.server()).map(TlsAcceptor::from);
    let reception = Arc::new(Reception {
        acceptor,
        places: Arc::new(Semaphore::new(security.max_connections())),
        patience: security.handshake_timeout(),
        taken,
    });
    tokio::spawn(reception.run(listener));
    Ok(ReceiverStream::new(incoming))
}

/// What every new connection goes through.
struct Reception {
    acceptor: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    patience: Duration,
    taken: mpsc::Sender<io::Result<Connection>>,
}

impl Reception {
    async fn run(self: Arc<Self>, listener: TcpListener) {
        loop {
            let stream = tokio::select! {
                () = self.taken.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        metrics::connection_refused("accept");
                        tracing::warn!(%error, "cannot take a connection");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            match self.places.clone().try_acquire_owned() {
                Ok(place) => self.receive(stream, place).await,
                Err(_) => metrics::connection_refused("too_many"),
            }
        }
    }

    async fn receive(self: &Arc<Self>, stream: TcpStream, place: OwnedSemaphorePermit) {
        // One that is gone already needs no more.
        let Ok(address) = stream.peer_addr() else { return metrics::connection_refused("unspoken") };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        let deadline = Instant::now() + self.patience;
        let Some(acceptor) = self.acceptor.clone() else {
            let connection = Connection::new(Wire::Plain(stream), Peer::new(address, None), deadline, place);
            // Nobody takes it any more when the server stops.
            let _ = self.taken.send(Ok(connection)).await;
            return;
        };
        let reception = self.clone();
        tokio::spawn(async move {
            let handshake = timeout_at(deadline, acceptor.accept(stream)).await;
            let refusal = match handshake {
                Err(_) => "tls_timeout",
                Ok(Err(error)) => refusal(&error),
                Ok(Ok(tls)) => match tls.get_ref().1.peer_certificates().and_then(role_of) {
                    None => "certificate",
                    role => {
                        let (wire, peer) = (Wire::Tls(Box::new(tls)), Peer::new(address, role));
                        let connection = Connection::new(wire, peer, deadline, place);
                        let _ = reception.taken.send(Ok(connection)).await;
                        return;
                    }
                },
            };
            metrics::connection_refused(refusal);
            tracing::debug!(%address, refusal, "connection refused");
        });
    }
}

/// Whether a handshake failed by the client's certificate or otherwise.
fn refusal(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => "certificate",
        _ => "tls",
    }
}
