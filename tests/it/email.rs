//! Mails to a real mail server, which takes them only after STARTTLS and with a password.

use std::path::Path;

use crate::support::{Runbook, Running};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.smtpd/bin/python");
const SERVER: &str = include_str!("email/server.py");
const PASSWORD: &str = "a-mail-password";

/// A started mail server, and a place whose site file knows it.
#[expect(clippy::print_stderr, reason = "what is not here is told")]
fn mail_server() -> Option<(Runbook, Running)> {
    if !Path::new(PYTHON).exists() {
        eprintln!("SKIPPED: a real mail server, which is not here; scripts/get-smtpd.sh brings it");
        return None;
    }
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let runbook = Runbook::new()
        .file("mail.pem", pair.cert.pem())
        .file("mail.key", pair.signing_key.serialize_pem())
        .file("server.py", SERVER)
        .variable("SMTP_PASSWORD", PASSWORD);
    let mut server = runbook.program(PYTHON, ["server.py"]).start();
    server.until_it_says("port ");
    let port = server.stdout.trim().trim_start_matches("port ").to_owned();
    let site = format!(
        "channels:\n  email:\n    ops: {{host: localhost, port: {port}, certificate_authority: mail.pem, username: \
         runbook, password: {{env: SMTP_PASSWORD}}, from: 'Runbook <runbook@example.com>', to: [ops@example.com]}}\n"
    );
    runbook.write("runbook.yaml", site);
    Some((runbook, server))
}

#[test]
fn a_mail_goes_encrypted_and_with_the_account_to_a_server_that_insists_on_both() {
    let Some((runbook, mut server)) = mail_server() else { return };
    runbook.call("notify test email:ops").exits(0).says("email:ops: delivered in ").does_not_say(PASSWORD);
    server.until_it_says("mail TLS runbook runbook@example.com ops@example.com [TEST] ");
}

#[test]
fn a_wrong_password_and_a_certificate_nobody_vouches_for_are_final() {
    let Some((mut runbook, mut server)) = mail_server() else { return };
    let site = runbook.read("runbook.yaml");
    runbook.write("runbook.yaml", site.replace("certificate_authority: mail.pem, ", ""));
    runbook.call("notify test email:ops").exits(5).says("not delivered").does_not_say(PASSWORD);
    runbook.write("runbook.yaml", site);
    runbook.set_variable("SMTP_PASSWORD", "another-mail-password");
    runbook.call("notify test email:ops").exits(5).says("(1 tried)").says("535").does_not_say("another-mail-password");
    server.until_it_says("refused ");
    assert!(!server.stdout.contains("mail "), "{}", server.stdout);
}
