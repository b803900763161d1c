//! HTTPS from the server itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::answer;
use super::{place, start, token};
use crate::support::wait_until;

const RUNS: &str = "GET /api/v1/runs";

fn client(trusted: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("the protocol versions").with_root_certificates(roots).with_no_client_auth())
}

fn ask(stream: TcpStream, config: Arc<ClientConfig>, what: &str, token: &str) -> std::io::Result<String> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    write!(stream, "{what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn https_is_served_with_the_certificate_of_the_site_and_nothing_in_clear() {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let runbook = place("  tls: {certificate: tls/server.pem, key: tls/server.key}\n")
        .file("tls/server.pem", pair.cert.pem())
        .file("tls/server.key", pair.signing_key.serialize_pem());
    let mut served = start(&runbook);
    served.running.until_it_says("https://127.0.0.1:");
    let trusted = client(pair.cert.der().clone());
    let answered = ask(served.client.connect(), trusted.clone(), RUNS, &token("viewer")).expect("an answer");
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    let stranger = ask(served.client.connect(), trusted, RUNS, "nobody").expect("an answer");
    assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
    let distrusted = ask(served.client.connect(), client(other.cert.der().clone()), RUNS, &token("viewer"));
    assert!(distrusted.is_err(), "another certificate is not believed: {distrusted:?}");
    let mut clear = served.client.connect();
    write!(clear, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    assert!(answer(&mut clear).is_none(), "nothing is answered in clear");
}

#[test]
fn a_certificate_that_cannot_be_used_is_said_at_the_start() {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    for (certificate, key) in [
        ("no certificate".to_owned(), pair.signing_key.serialize_pem()),
        (pair.cert.pem(), "no key".to_owned()),
        (pair.cert.pem(), other.signing_key.serialize_pem()),
    ] {
        let runbook = place("  tls: {certificate: server.pem, key: server.key}\n")
            .file("server.pem", certificate)
            .file("server.key", key);
        runbook.call("serve").exits(2).says("`serve.tls` cannot be used").says("openssl x509");
    }
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (old, new) = (made(), made());
    let runbook = place("  tls: {certificate: server.pem, key: server.key}\n")
        .file("server.pem", old.cert.pem())
        .file("server.key", old.signing_key.serialize_pem());
    let mut served = start(&runbook);
    served.running.until_it_says("https://127.0.0.1:");
    let (before, after) = (client(old.cert.der().clone()), client(new.cert.der().clone()));
    let asked = |config: &Arc<ClientConfig>| ask(served.client.connect(), config.clone(), RUNS, &token("viewer"));
    assert!(asked(&before).is_ok() && asked(&after).is_err());
    runbook.write("server.pem", new.cert.pem());
    let refused =
        ask(served.client.connect(), before.clone(), "POST /api/v1/reload", &token("admin")).expect("an answer");
    assert!(refused.starts_with("HTTP/1.1 422 ") && refused.contains("server.key"), "{refused}");
    assert!(asked(&before).is_ok(), "the key is another one's");
    runbook.write("server.key", new.signing_key.serialize_pem());
    served.running.signal(Signal::HUP);
    wait_until("the new one is used", || asked(&after).is_ok());
    assert!(asked(&before).is_err());
}
