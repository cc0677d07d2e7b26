//! What can be wrong with certificates, tokens and addresses, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// A process cannot be reached, or reach others, as its config asks.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A value without sense.
    #[error("{key}: {reason}")]
    Config {
        /// The key.
        key: &'static str,
        /// What would do.
        reason: &'static str,
    },
    /// A plain connection that would leave the machine.
    #[error(
        "{what} = {address:?} is not on this machine, and connections are not encrypted: set security.mode = \"mtls\" \
         (`vpt certs` makes certificates), or security.mode = \"insecure\" on a network that only holds machines you trust"
    )]
    NotLoopback {
        /// The config key that names the address.
        what: String,
        /// The address.
        address: String,
    },
    /// Gradients that would leave the machine in the clear.
    #[error(
        "{what} = {address:?} is not on this machine, and learner ranks exchange gradients without encryption: put \
         them on a network of their own and set security.plain_ranks = true"
    )]
    PlainRanks {
        /// The config key that names the address.
        what: String,
        /// The address.
        address: String,
    },
    /// An address that is none.
    #[error("{what} = {address:?} is not a URL such as https://127.0.0.1:50051 ({reason})")]
    Address {
        /// The config key that names the address.
        what: String,
        /// The text.
        address: String,
        /// What the parser said.
        reason: String,
    },
    /// An address that asks for TLS where there is none.
    #[error("{what} = {address:?} asks for TLS: set security.mode = \"mtls\", or write http://")]
    NoTls {
        /// The config key that names the address.
        what: String,
        /// The address.
        address: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}; security.certs names the folder, `vpt certs --out DIR` makes one", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A secret that others on the machine can read.
    #[error("{} can be read by others: chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A file that holds no certificate, no key, or not the other's.
    #[error("{}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No token, or one that is easily guessed.
    #[error(
        "the run token from {origin} {reason}: `vpt certs` makes one, or set VPT_RUN_TOKEN or security.token_file"
    )]
    Token {
        /// Where it was looked for.
        origin: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Files that are there already.
    #[error("{} is there already and is not overwritten: name another --out, or remove the old files", path.display())]
    Exists {
        /// The first of them.
        path: PathBuf,
    },
    /// The authority could not sign.
    #[error("cannot make a certificate: {0}")]
    Sign(String),
}
