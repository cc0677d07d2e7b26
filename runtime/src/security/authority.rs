//! A development certificate authority: one root, one certificate a role, and a run token, as files.
//!
//! The root's key is not kept: nothing more can be signed with it, so that it cannot be stolen. New certificates are a new
//! folder, which processes take up when they are restarted.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::crypto::ring;

use super::{Role, SecurityError};
use crate::clock;

/// Clocks of machines may differ by this much.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Makes certificates.
#[derive(Debug)]
pub struct Authority;

impl Authority {
    /// Makes `ca.pem`, `ROLE.pem` and `ROLE-key.pem` for every role, and `token`, in `dir`; valid for `days`. Keys and
    /// token can only be read by their owner.
    ///
    /// # Errors
    /// When one of the files is there already, or cannot be written.
    pub fn create(dir: &Path, days: u32) -> Result<(), SecurityError> {
        let made = Self::sign_all(days).map_err(|error| SecurityError::Sign(error.to_string()))?;
        let token = token()?;
        let mut files = vec![("ca.pem".to_owned(), made.0, 0o644), ("token".to_owned(), token, 0o600)];
        for (role, certificate, key) in made.1 {
            files.push((format!("{role}.pem"), certificate, 0o644));
            files.push((format!("{role}-key.pem"), key, 0o600));
        }
        if let Some((name, ..)) = files.iter().find(|(name, ..)| dir.join(name).exists()) {
            return Err(SecurityError::Exists { path: dir.join(name) });
        }
        let fail = |source| SecurityError::File { path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
        files.iter().try_for_each(|(name, text, mode)| write(&dir.join(name), text, *mode))
    }

    fn sign_all(days: u32) -> Result<Signed, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let mut ca = params("vpt development authority", Vec::new(), days)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = ca.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(ca, ca_key);
        let sign = |role: Role| {
            let key = KeyPair::generate()?;
            let mut leaf = params(role.name(), vec![role.dns_name().to_owned()], days)?;
            leaf.is_ca = IsCa::ExplicitNoCa;
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            if role.serves() {
                leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            }
            Ok((role, leaf.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        let leaves = Role::ALL.into_iter().map(sign).collect::<Result<Vec<_>, rcgen::Error>>()?;
        Ok((root, leaves))
    }
}

/// The root, and each role with its certificate and key, all PEM.
type Signed = (String, Vec<(Role, String, String)>);

fn params(name: &str, names: Vec<String>, days: u32) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let now = clock::calendar();
    params.not_before = (now - CLOCK_SLACK).into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 86_400)).into();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn token() -> Result<String, SecurityError> {
    let mut bytes = [0u8; TOKEN_BYTES];
    let random = ring::default_provider().secure_random.fill(&mut bytes);
    random.map_err(|_| SecurityError::Sign("the system has no random numbers".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), SecurityError> {
    let fail = |source| SecurityError::File { path: path.to_owned(), source };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)
}
