//! Channels to other processes: TLS where the config asks for it, the run's token in every call.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Status};

use crate::security::{Role, RunToken, Security, SecurityError};

/// A channel whose calls carry the run's token.
pub type Channel = InterceptedService<tonic::transport::Channel, Credentials>;

/// Adds the run's token, if there is one, to every call.
#[derive(Clone, Debug)]
pub struct Credentials {
    token: Option<RunToken>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.token {
            token.add_to(request.metadata_mut());
        }
        Ok(request)
    }
}

/// The endpoint at `address`, a URL or host:port that the config key `what` names. Settings are the caller's to add.
///
/// # Errors
/// When it is no address, or what is said would leave this machine in the clear.
pub fn endpoint(security: &Security, address: &str, what: &str) -> Result<Endpoint, SecurityError> {
    let fail = |reason: String| SecurityError::Address {
        what: what.to_owned(),
        address: address.to_owned(),
        reason,
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    match scheme {
        "http" => {}
        "https" if security.tls().is_some() => {}
        "https" => return Err(SecurityError::NoTls { what: what.to_owned(), address: address.to_owned() }),
        other => return Err(fail(format!("{other} is not known"))),
    }
    // Ours is the TLS below; to HTTP/2 the connection is a plain one.
    let endpoint =
        Endpoint::from_shared(format!("http://{rest}")).map_err(|error| fail(error.to_string()))?;
    let host = endpoint.uri().host().ok_or_else(|| fail("no host".to_owned()))?;
    if endpoint.uri().port_u16().is_none() {
        return Err(fail("no port".to_owned()));
    }
    security.check_dial(host, what)?;
    Ok(endpoint)
}

impl Security {
    /// A channel to `endpoint`, which must play one of the roles `expects`; it connects when it is first used.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn channel(&self, endpoint: &Endpoint, expects: &'static [Role]) -> Result<Channel, SecurityError> {
        let tls = self.tls().map(|tls| tls.client(expects)).transpose();
        let tls = tls.map_err(|error| SecurityError::Sign(error.to_string()))?.map(TlsConnector::from);
        let connector = tower::service_fn(move |uri: Uri| connect(uri, tls.clone()));
        let channel = endpoint.connect_with_connector_lazy(connector);
        Ok(InterceptedService::new(channel, Credentials { token: self.token().cloned() }))
    }
}

/// Whether a process of one of the roles `expects` takes connections at `endpoint`.
///
/// # Errors
/// Why not.
pub async fn reach(security: &Security, endpoint: &Endpoint, expects: &'static [Role]) -> io::Result<()> {
    let tls = security.tls().map(|tls| tls.client(expects)).transpose().map_err(io::Error::other)?;
    connect(endpoint.uri().clone(), tls.map(TlsConnector::from)).await.map(drop)
}

/// Bytes in both directions, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

async fn connect(uri: Uri, tls: Option<TlsConnector>) -> io::Result<TokioIo<Box<dyn Wire>>> {
    let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "an address without host or port");
    let (host, port) = uri.host().zip(uri.port_u16()).ok_or_else(nowhere)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    // Servers are known by their role, not by their address.
    let name = ServerName::try_from("vpt.internal").map_err(io::Error::other)?;
    Ok(TokioIo::new(Box::new(tls.connect(name, stream).await?)))
}
