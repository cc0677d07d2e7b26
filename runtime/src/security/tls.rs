//! TLS configurations out of a folder of certificates, and the role in a peer's certificate.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::token::read_secret;
use super::{Role, SecurityError};

/// The only protocol that is spoken.
const ALPN: &[u8] = b"h2";

/// What one process shows and whom it believes.
#[derive(Debug)]
pub(crate) struct Tls {
    server: Option<Arc<ServerConfig>>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// Reads `ca.pem`, `ROLE.pem` and `ROLE-key.pem` from `dir`.
    pub(super) fn load(dir: &Path, role: Role) -> Result<Self, SecurityError> {
        let ca = dir.join("ca.pem");
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&ca)? {
            roots.add(certificate).map_err(|error| unusable(&ca, &error))?;
        }
        let roots = Arc::new(roots);
        let path = dir.join(format!("{role}.pem"));
        let chain = certificates(&path)?;
        if role_of(&chain) != Some(role) {
            let reason = format!("gives its holder no role {role}: it needs the name {}", role.dns_name());
            return Err(SecurityError::Certificate { path, reason });
        }
        let key_path = dir.join(format!("{role}-key.pem"));
        let key = PrivateKeyDer::from_pem_slice(read_secret(&key_path)?.as_bytes())
            .map_err(|error| unusable(&key_path, &error))?;
        let server = if role.serves() { Some(server(&roots, &chain, &key, &path)?) } else { None };
        let tls = Self { server, roots, chain, key };
        // Whether key and certificate belong together shows when they are used for the first time.
        tls.client(&[]).map_err(|error| unusable(&key_path, &error))?;
        Ok(tls)
    }

    /// For accepting connections; none for roles that serve nothing.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// For connecting to a process that plays one of the roles `expects`.
    pub(crate) fn client(&self, expects: &'static [Role]) -> Result<Arc<ClientConfig>, Error> {
        let webpki = WebPkiServerVerifier::builder_with_provider(
            self.roots.clone(),
            Arc::new(ring::default_provider()),
        )
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerRole { webpki, expects }))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn server(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    path: &Path,
) -> Result<Arc<ServerConfig>, SecurityError> {
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), Arc::new(ring::default_provider()))
            .build()
            .map_err(|error| unusable(path, &error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable(path, &error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(|error| unusable(path, &error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Connections last for hours: nothing is gained by resuming one, and nothing is to be kept for it.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// AES with 128-bit keys first: the cheapest where the processor has instructions for it, which is everywhere we run.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let text = std::fs::read(path).map_err(|source| SecurityError::File { path: path.to_owned(), source })?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(path, &error))?;
    if found.is_empty() {
        let reason = "holds no certificate".to_owned();
        return Err(SecurityError::Certificate { path: path.to_owned(), reason });
    }
    Ok(found)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> SecurityError {
    SecurityError::Certificate { path: path.to_owned(), reason: error.to_string() }
}

/// The role that a certificate, whose chain has been verified, gives its holder.
pub(crate) fn role_of(chain: &[CertificateDer<'_>]) -> Option<Role> {
    let certificate = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
    let holds = |role: &Role| {
        let name = ServerName::try_from(role.dns_name());
        name.is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    };
    let mut roles = Role::ALL.into_iter().filter(holds);
    // A certificate for several roles, or for any (a wildcard), is for none.
    roles.next().filter(|_| roles.next().is_none())
}

/// Believes servers whose certificate gives them one of some roles, whatever address they are reached by.
#[derive(Debug)]
struct ServerRole {
    webpki: Arc<WebPkiServerVerifier>,
    expects: &'static [Role],
}

impl ServerCertVerifier for ServerRole {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let role = role_of(std::slice::from_ref(end_entity)).filter(|role| self.expects.contains(role));
        let expected = || self.expects.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or ");
        let role = role.ok_or_else(|| Error::General(format!("the server is no {}", expected())))?;
        let name =
            ServerName::try_from(role.dns_name()).map_err(|error| Error::General(error.to_string()))?;
        self.webpki.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
