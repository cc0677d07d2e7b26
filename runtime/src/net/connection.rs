//! A connection that a server took: plain or TLS, with who is at its other end, and a deadline until it has been of use.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tonic::{Extensions, Request, Status};

use super::metrics;
use crate::security::Role;

/// Long streams that one connection may have open at a time: an actor has one up, one down, and for a moment the one that
/// replaces it.
const STREAMS: usize = 16;

/// Who is at the other end of a connection; in the extensions of every request. Clones are the same.
#[derive(Clone, Debug)]
pub struct Peer {
    state: Arc<PeerState>,
}

#[derive(Debug)]
struct PeerState {
    address: SocketAddr,
    role: Option<Role>,
    admitted: AtomicBool,
    streams: AtomicUsize,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, role: Option<Role>) -> Self {
        let (admitted, streams) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { state: Arc::new(PeerState { address, role, admitted, streams }) }
    }

    /// Where it calls from.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// The role that its certificate gives it; none without TLS.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.state.role
    }

    pub(super) fn admit(&self) {
        self.state.admitted.store(true, Ordering::Relaxed);
    }

    fn is_admitted(&self) -> bool {
        self.state.admitted.load(Ordering::Relaxed)
    }
}

/// One of the long streams of a connection, for as long as this value lives.
#[derive(Debug)]
pub struct OpenStream {
    peer: Option<Peer>,
}

impl OpenStream {
    /// Counts a stream that `request` opens.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when its connection has as many as it may.
    #[allow(clippy::result_large_err, reason = "tonic's handlers return it")]
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        Self::of_call(request.extensions())
    }

    /// Counts a stream that the call with these extensions opens.
    ///
    /// # Errors
    /// As [`OpenStream::of`].
    #[allow(clippy::result_large_err, reason = "tonic's handlers return it")]
    fn of_call(extensions: &Extensions) -> Result<Self, Status> {
        let Some(peer) = extensions.get::<Peer>().cloned() else { return Ok(Self { peer: None }) };
        let stream = Self { peer: Some(peer.clone()) };
        if peer.state.streams.fetch_add(1, Ordering::Relaxed) < STREAMS {
            return Ok(stream);
        }
        metrics::request_refused("streams");
        Err(Status::resource_exhausted(format!("{STREAMS} streams are open on this connection")))
    }
}

/// [`OpenStream`] for services that do not know of connections: counts a stream until the returned value is dropped.
///
/// # Errors
/// As [`OpenStream::of`].
#[allow(clippy::result_large_err, reason = "tonic's handlers return it")]
pub fn open_stream(extensions: &Extensions) -> Result<Box<dyn Send>, Status> {
    Ok(Box::new(OpenStream::of_call(extensions)?))
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(peer) = &self.peer {
            peer.state.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The bytes of a connection.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection in use; its place among `security.max_connections` is free again when it is dropped.
pub struct Connection {
    wire: Wire,
    peer: Peer,
    /// Runs until a call has been let in.
    deadline: Option<Pin<Box<Sleep>>>,
    counted: bool,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(wire: Wire, peer: Peer, deadline: Instant, place: OwnedSemaphorePermit) -> Self {
        metrics::connections(1.0);
        let deadline = Some(Box::pin(tokio::time::sleep_until(deadline)));
        Self { wire, peer, deadline, counted: false, _place: place }
    }

    /// Fails once the deadline has passed without a call that was let in.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = &mut self.deadline else { return Ok(()) };
        if self.peer.is_admitted() {
            self.deadline = None;
        } else if deadline.as_mut().poll(cx).is_ready() {
            self.deadline = None;
            self.counted = true;
            metrics::connection_refused("silent");
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no call was let in in time"));
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        metrics::connections(-1.0);
        if !self.counted && !self.peer.is_admitted() {
            metrics::connection_refused("unspoken");
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(cx)?;
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
