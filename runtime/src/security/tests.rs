//! Certificates are made, read, believed and refused as they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tonic::metadata::MetadataMap;

use super::*;

fn mtls(certs: &std::path::Path) -> SecurityConfig {
    SecurityConfig { mode: Mode::Mtls, certs: certs.to_owned(), ..SecurityConfig::default() }
}

#[test]
fn an_authority_makes_files_that_every_role_can_use_and_never_overwrites_them() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    Authority::create(&certs, 30).unwrap();
    for role in Role::ALL {
        let security = Security::load_with(&mtls(&certs), role, None).unwrap();
        assert_eq!(security.tls().unwrap().server().is_some(), role.serves(), "{role}");
        let mode = fs::metadata(certs.join(format!("{role}-key.pem"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(!certs.join("ca-key.pem").exists());
    let again = Authority::create(&certs, 30).unwrap_err();
    assert!(again.to_string().contains("not overwritten"), "{again}");
}

#[test]
fn files_that_do_not_fit_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Security::load_with(&mtls(dir.path()), Role::Actor, Some("0123456789abcdef".into()));
    assert!(missing.unwrap_err().to_string().contains("vpt certs"));
    Authority::create(dir.path(), 30).unwrap();
    fs::copy(dir.path().join("actor.pem"), dir.path().join("learner.pem")).unwrap();
    let other = Security::load_with(&mtls(dir.path()), Role::Learner, None).unwrap_err().to_string();
    assert!(other.contains("no role learner"), "{other}");
    fs::copy(dir.path().join("operator-key.pem"), dir.path().join("actor-key.pem")).unwrap();
    let pair = Security::load_with(&mtls(dir.path()), Role::Actor, None).unwrap_err().to_string();
    assert!(pair.contains("actor-key.pem"), "{pair}");
    fs::set_permissions(dir.path().join("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = Security::load_with(&mtls(dir.path()), Role::Relay, None).unwrap_err().to_string();
    assert!(open.contains("chmod 600"), "{open}");
}

#[test]
fn plain_connections_stay_on_this_machine_unless_said_otherwise() {
    let plain = Security::loopback();
    for host in ["127.0.0.1", "localhost", "[::1]", "::1", "127.8.8.8", "::ffff:127.0.0.1"] {
        plain.check_dial(host, "actor.learner").unwrap();
    }
    for host in ["10.0.0.1", "learner", "0.0.0.0", "example.com", "[::]"] {
        let error = plain.check_dial(host, "actor.learner").unwrap_err().to_string();
        assert!(error.contains("actor.learner") && error.contains("mtls") && error.contains("insecure"));
    }
    assert!(plain.check_listen("0.0.0.0:1".parse().unwrap(), "learner.listen").is_err());
    let insecure = SecurityConfig { mode: Mode::Insecure, ..SecurityConfig::default() };
    let insecure = Security::load_with(&insecure, Role::Actor, None).unwrap();
    insecure.check_dial("10.0.0.1", "actor.learner").unwrap();
    insecure.check_ranks("10.0.0.1", "learner.ranks.rendezvous").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tls = Security::development(dir.path().to_owned(), Role::Learner).unwrap();
    tls.check_dial("10.0.0.1", "actor.learner").unwrap();
    assert!(tls.check_ranks("10.0.0.1", "learner.ranks.rendezvous").is_err());
}

#[test]
fn tokens_are_compared_whole_and_never_shown() {
    let token = RunToken::new("0123456789abcdef\n", "test").unwrap();
    assert!(!format!("{token:?}").contains("0123"));
    let mut metadata = MetadataMap::new();
    assert!(!token.is_in(&metadata));
    token.add_to(&mut metadata);
    assert!(token.is_in(&metadata));
    assert!(!format!("{metadata:?}").contains("0123"), "{metadata:?}");
    for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "0123456789abcdef", "Bearer "] {
        metadata.insert("authorization", wrong.parse().unwrap());
        assert!(!token.is_in(&metadata), "{wrong}");
    }
    for bad in ["short", "has a blank inside it", ""] {
        assert!(RunToken::new(bad, "test").unwrap_err().to_string().contains("vpt certs"), "{bad}");
    }
}
