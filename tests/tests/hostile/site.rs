//! What is attacked: a learner with TLS and short patience, an envserver and an honest actor, each a process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use vpt_runtime::Security;
use vpt_runtime::security::{Authority, Mode, Role, SecurityConfig};
use vpt_tests::process::Process;
use vpt_tests::wait::wait_until;
use vpt_tests::{http, tiny};

/// Connections that the learner holds at a time.
pub(crate) const MAX_CONNECTIONS: usize = 48;

const PATIENCE: u64 = 60;
const ACCEPTED: &str = "vpt_learner_unrolls_total{outcome=\"accepted\"}";

pub(crate) struct Site {
    pub(crate) learner: String,
    pub(crate) certs: PathBuf,
    ops: String,
    processes: Vec<Process>,
}

impl Site {
    /// Starts every process; files go to `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let certs = dir.join("certs");
        Authority::create(&certs, 1).expect("certificates");
        let [learner, ops, envserver, envserver_ops, actor_ops] = addresses();
        let run = tiny::run_file(dir);
        let security = [
            "security.mode=mtls".to_owned(),
            format!("security.certs={}", certs.display()),
            format!("security.max_connections={MAX_CONNECTIONS}"),
            "security.handshake_timeout_seconds=2".to_owned(),
            "world.name=null".to_owned(),
            "world.task=null".to_owned(),
        ];
        let start = |role: &str, sets: &[String]| {
            let mut arguments = vec![role.to_owned(), "--config".to_owned(), run.clone()];
            for set in security.iter().chain(sets) {
                arguments.extend(["--set".to_owned(), set.clone()]);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Process::start(&arguments, &dir.join(format!("{role}.log")))
        };
        let processes = vec![
            start(
                "envserver",
                &[format!("envserver.listen={envserver}"), format!("envserver.ops_listen={envserver_ops}")],
            ),
            start(
                "learner",
                &[
                    "learner.stage=ppg".to_owned(),
                    format!("learner.listen={learner}"),
                    format!("learner.ops_listen={ops}"),
                    format!("learner.out={}", dir.join("out").display()),
                    "learner.ppg.total_env_steps=1000000000".to_owned(),
                    "learner.admission.hello_timeout_seconds=1".to_owned(),
                    "learner.admission.idle_timeout_seconds=4".to_owned(),
                    "learner.admission.unroll_timeout_seconds=2".to_owned(),
                ],
            ),
            start(
                "actor",
                &[
                    format!("actor.envserver=https://{envserver}"),
                    format!("actor.learner=https://{learner}"),
                    format!("actor.ops_listen={actor_ops}"),
                ],
            ),
        ];
        Self { learner, certs, ops, processes }
    }

    /// What a process of `role` would have; `token` instead of the run's where it is given.
    pub(crate) fn security(&self, role: Role, token: Option<&str>) -> Security {
        let config =
            SecurityConfig { mode: Mode::Mtls, certs: self.certs.clone(), ..SecurityConfig::default() };
        Security::load_with(&config, role, token.map(str::to_owned)).expect("certificates")
    }

    /// The value of a series, 0 while the learner does not answer.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let Some((200, text)) = http::get(&self.ops, "/metrics") else { return 0.0 };
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    }

    pub(crate) fn wait_for_more(&self, name: &str, series: &str, before: f64) {
        wait_until(&format!("{series} to count {name}{}", self.logs()), PATIENCE, || {
            (self.metric(series) > before).then_some(())
        });
    }

    /// Waits until the actor has had more unrolls accepted.
    pub(crate) fn wait_for_honest_unrolls(&self, after: &str) {
        let before = self.metric(ACCEPTED);
        self.wait_for_more(&format!("honest unrolls after {after}"), ACCEPTED, before);
    }

    fn logs(&self) -> String {
        let last = |process: &Process| process.output().lines().rev().take(3).collect::<Vec<_>>().join("\n");
        format!("; logs:\n{}", self.processes.iter().map(last).collect::<Vec<_>>().join("\n--\n"))
    }
}

/// Addresses that are free now.
fn addresses<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").to_string())
}

/// A TLS client that believes the authority in `certs` and shows the certificate `shown` (folder and role), if any.
pub(crate) fn client(certs: &Path, shown: Option<(&Path, Role)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(certs.join("ca.pem")).expect("an authority");
    roots.add(ca).expect("an authority");
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match shown {
        None => config.with_no_client_auth(),
        Some((dir, role)) => {
            let chain =
                CertificateDer::from_pem_file(dir.join(format!("{role}.pem"))).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{role}-key.pem"))).expect("a key");
            config.with_client_auth_cert(vec![chain], key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
