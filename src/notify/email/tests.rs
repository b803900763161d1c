//! Mails as a mail server sees them.

use serde_json::{Value, json};

use super::*;
use crate::notify::doubles::{self, SmtpDouble, keep};
use crate::notify::{CHANNELS, ChannelEntry, Delivery, deliver};

fn entry() -> &'static ChannelEntry {
    CHANNELS.iter().find(|entry| entry.name == "email").unwrap()
}

fn settings(port: u16, to: &[&str]) -> Value {
    json!({"host": "127.0.0.1", "port": port, "tls": "none", "from": "Runbook <runbook@example.com>", "to": to})
}

async fn deliver_with(config: Value, message: Message) -> Delivery {
    deliver(entry(), config, doubles::masked(message), doubles::http(), doubles::impatient(), 1).await
}

#[tokio::test]
async fn a_mail_has_its_headers_and_its_text() {
    let double = SmtpDouble::start(&[]).await;
    let subject = "Größe\r\nBcc: victim@example.com".to_owned();
    let message = Message { subject, text: "first\n.\nlast é".into(), ..doubles::message() };
    let delivery = deliver_with(settings(double.port, &["a@example.com"]), message.clone()).await;
    let first = Receipt::new("queued").threaded(format!("<{}@example.com>", message.id));
    assert_eq!((delivery.attempts, delivery.result), (1, Ok(first)));
    let mail = double.mails().remove(0);
    assert_eq!(mail.to, "<a@example.com>");
    let (headers, body) = mail.text.split_once("\r\n\r\n").unwrap();
    for expected in [
        "From: \"Runbook\" <runbook@example.com>".replace('"', ""),
        "To: a@example.com".into(),
        format!("Message-ID: <{}@example.com>", message.id),
        format!("References: <run-{}@example.com>", message.run),
        "Auto-Submitted: auto-generated".into(),
        "Content-Type: text/plain; charset=utf-8".into(),
        "Date: Sun, 22 Nov 2026 17:44:22 +0000".into(),
    ] {
        assert!(headers.replace('"', "").lines().any(|line| line == expected), "{expected} is not in {headers}");
    }
    assert!(headers.contains("Subject: ") && !headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
    assert!(body.starts_with("first\r\n"), "{body}");
    assert!(body.contains("last =C3=A9") || body.contains("last é"), "{body}");
}

#[tokio::test]
async fn a_later_mail_answers_the_first_one() {
    let double = SmtpDouble::start(&[]).await;
    let first = "<first@example.com>";
    let message = Message { thread: Some(first.into()), ..doubles::message() };
    let delivery = deliver_with(settings(double.port, &["a@example.com"]), message).await;
    assert_eq!(delivery.result.unwrap().thread.as_deref(), Some(first));
    let mail = double.mails().remove(0).text.replace("\r\n ", " ");
    assert!(mail.lines().any(|line| line == format!("In-Reply-To: {first}")), "{mail}");
    assert!(mail.lines().any(|line| line.starts_with("References: ") && line.contains(first)), "{mail}");
}

#[tokio::test]
async fn a_busy_server_is_tried_again_with_the_same_message_id() {
    let double = SmtpDouble::start(&["451 4.7.1 greylisted, try later"]).await;
    let delivery = deliver_with(settings(double.port, &["a@example.com"]), doubles::message()).await;
    assert_eq!((delivery.attempts, delivery.result.unwrap().text.as_str()), (2, "queued"));
    assert_eq!(double.mails().len(), 1);
}

#[tokio::test]
async fn a_refused_mailbox_is_final() {
    let double = SmtpDouble::start(&["550 5.1.1 no such user", "250 never asked again"]).await;
    let delivery = deliver_with(settings(double.port, &["gone@example.com"]), doubles::message()).await;
    let error = delivery.result.unwrap_err();
    assert_eq!((delivery.attempts, error.transient), (1, false));
    assert!(error.message.starts_with("gone@example.com: mail server 127.0.0.1: permanent error (550)"), "{error}");
    assert!(error.message.contains("no such user"), "{error}");
}

#[tokio::test]
async fn a_mailbox_that_is_gone_does_not_cost_the_others_their_mail() {
    let double = SmtpDouble::start(&["550 5.1.1 no such user"]).await;
    let to = ["a@example.com", "b@example.com", "c@example.com"];
    let delivery = deliver_with(settings(double.port, &to), doubles::message()).await;
    let Receipt { text, .. } = delivery.result.unwrap();
    assert!(text.starts_with("queued; not for ") && text.contains("550"), "{text}");
    assert_eq!(double.mails().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let delivery = deliver_with(settings(1, &["a@example.com"]), doubles::message()).await;
    assert_eq!(delivery.attempts, 4);
    assert!(delivery.result.unwrap_err().transient);
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_without_the_encryption_asked_for() {
    let double = SmtpDouble::start(&[]).await;
    let password = keep("hush-hush");
    let mut config = settings(double.port, &["a@example.com"]);
    config["tls"] = json!("starttls");
    config["username"] = json!("runbook");
    config["password"] = password.config.clone();
    let delivery = deliver_with(config, doubles::message()).await;
    let error = delivery.result.unwrap_err();
    assert!(!error.transient && !error.message.contains("hush"), "{error}");
    assert!(double.mails().is_empty() && double.lines().iter().all(|line| !line.starts_with("AUTH")));
}

#[tokio::test]
async fn the_account_logs_in() {
    let double = SmtpDouble::start(&[]).await;
    let password = keep("hush-hush-hush");
    let mut config = settings(double.port, &["a@example.com"]);
    config["username"] = json!("me");
    config["password"] = password.config.clone();
    assert!(deliver_with(config, doubles::message()).await.result.is_ok());
    // base64 of NUL me NUL hush-hush-hush
    assert!(double.lines().contains(&"AUTH PLAIN AG1lAGh1c2gtaHVzaC1odXNo".to_owned()), "{:?}", double.lines());
}

#[tokio::test]
async fn a_subject_cannot_begin_another_header() {
    let double = SmtpDouble::start(&[]).await;
    let message = Message { subject: "Disk\r\nBcc: victim@example.com".into(), ..doubles::message() };
    assert!(deliver_with(settings(double.port, &["a@example.com"]), message).await.result.is_ok());
    let text = double.mails().remove(0).text;
    assert!(text.lines().any(|line| line == r"Subject: Disk\r\nBcc: victim@example.com"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = settings(silent.local_addr().unwrap().port(), &["a@example.com"]);
    let sending = (entry().send)(config, doubles::message(), doubles::http());
    let error = timeout(Duration::from_secs(60), sending).await.unwrap().unwrap_err();
    assert!(error.transient && error.message.contains("no answer in time"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let wrong = |change: Value| {
        let mut config = settings(25, &["a@example.com"]);
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        (entry().check)(&config).unwrap_err().message
    };
    assert!(wrong(json!({"host": "smtp.example.com"})).contains("'tls: none' works only"));
    assert!(wrong(json!({"host": "localhost.example.com"})).contains("'tls: none' works only"));
    assert!(wrong(json!({"username": "me"})).contains("belong together"));
    assert!(wrong(json!({"to": []})).contains("'to' needs 1 to 20"));
    assert!(wrong(json!({"to": ["a@example.com\r\nBcc: b@example.com"]})).contains("is not a mail address"));
    assert!(wrong(json!({"from": "nobody"})).contains("is not a mail address"));
}
