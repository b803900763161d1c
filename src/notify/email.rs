//! `email`: a plain-text mail over SMTP, encrypted unless the server is this machine.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lettre::address::Envelope;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{Address, AsyncTransport, Tokio1Executor};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use super::text::one_line;
use super::{Channel, DeliveryError, Message, Receipt, post};
use crate::base::{Timestamp, redaction};
use crate::kind::StepError;
use crate::site::SecretReference;

/// For a whole mail. Mail servers make strangers wait on purpose, so it is longer than for HTTP; a
/// server that needs more than this leaves no time for another attempt.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Every address is sent to over its own connection; more people than this belong into a mailing list.
const MOST_ADDRESSES: usize = 20;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The mail server.
    pub host: String,
    /// Its port; without one 587 for `starttls`, 465 for `tls`, 25 for `none`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is encrypted. `none` works only when the server is this machine.
    #[serde(default)]
    pub tls: TlsMode,
    /// A file with further certificate authorities in PEM to trust, for a server with a private one.
    #[serde(default)]
    pub certificate_authority: Option<PathBuf>,
    /// The account to log in with; needs `password`.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of the account, by reference.
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// The sender, such as `Runbook <runbook@example.com>`.
    pub from: String,
    /// The receivers, at most 20.
    pub to: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Starts plain and switches to TLS before anything is sent; refuses a server that cannot.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not encrypted.
    None,
}

impl TlsMode {
    fn port(self) -> u16 {
        match self {
            TlsMode::Starttls => smtp::SUBMISSION_PORT,
            TlsMode::Tls => smtp::SUBMISSIONS_PORT,
            TlsMode::None => smtp::SMTP_PORT,
        }
    }
}

impl Channel for Sender {
    const NAME: &'static str = "email";
    const SUMMARY: &'static str = "Sends a plain-text mail over SMTP.";
    const EXAMPLE: &'static str = "{host: smtp.example.com, username: runbook, password: {env: SMTP_PASSWORD}, \
                                   from: 'Runbook <runbook@example.com>', to: [ml-oncall@example.com]}";
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        if config.tls == TlsMode::None && !post::is_loopback(&config.host) {
            return Err("'tls: none' works only for a mail server on this machine; use starttls or tls".into());
        }
        if config.username.is_some() != config.password.is_some() {
            return Err("'username' and 'password' belong together".into());
        }
        if config.to.is_empty() || config.to.len() > MOST_ADDRESSES {
            return Err(format!("'to' needs 1 to {MOST_ADDRESSES} addresses"));
        }
        std::iter::once(&config.from).chain(&config.to).try_for_each(|text| mailbox(text).map(drop))
    }

    fn preview(config: &Config, message: &Message) -> Result<String, DeliveryError> {
        let mail = compose(config, message).map_err(DeliveryError::lasting)?;
        Ok(String::from_utf8_lossy(&mail.formatted()).replace("\r\n", "\n"))
    }

    async fn send(config: Config, message: Message, _http: reqwest::Client) -> Result<Receipt, DeliveryError> {
        let first = first_of_run(&config, &message).map_err(DeliveryError::lasting)?;
        let mail = compose(&config, &message).map_err(DeliveryError::lasting)?.formatted();
        let transport = connect(&config).await?;
        let from = mailbox(&config.from).map_err(DeliveryError::lasting)?.email;
        let results = join_all(config.to.iter().map(|to| send_to(&transport, &config, &from, to, &mail))).await;
        Ok(summarise(&config.to, results)?.threaded(first))
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("'{}' is not a mail address: {error}", one_line(text)))
}

/// One address, so that a mailbox that no longer exists does not keep the mail from the others.
async fn send_to(
    transport: &Transport,
    config: &Config,
    from: &Address,
    to: &str,
    mail: &[u8],
) -> Result<String, DeliveryError> {
    let to = mailbox(to).map_err(DeliveryError::lasting)?.email;
    let envelope = Envelope::new(Some(from.clone()), vec![to]);
    let envelope = envelope.map_err(|error| DeliveryError::lasting(error.to_string()))?;
    // The transport limits only its connecting.
    let sending = timeout(TIME_LIMIT, transport.send_raw(&envelope, mail)).await;
    let sent =
        sending.map_err(|_| DeliveryError::transient(format!("no answer in time from mail server {}", config.host)))?;
    let answer = sent.map_err(|error| classify(&config.host, &error))?;
    Ok(one_line(answer.first_line().unwrap_or("accepted")))
}

/// Delivered when somebody got it and nobody's refusal may pass; a mail that reaches a person twice
/// after another attempt has the same Message-ID, and twice is better than never.
fn summarise(to: &[String], results: Vec<Result<String, DeliveryError>>) -> Result<Receipt, DeliveryError> {
    let mut accepted = None;
    let mut refused: Option<DeliveryError> = None;
    let mut lines = Vec::new();
    for (to, result) in to.iter().zip(results) {
        match result {
            Ok(line) => drop(accepted.get_or_insert(line)),
            Err(error) => {
                lines.push(format!("{}: {error}", one_line(to)));
                if refused.as_ref().is_none_or(|earlier| !earlier.transient) {
                    refused = Some(error);
                }
            }
        }
    }
    match (accepted, refused) {
        (Some(line), None) => Ok(Receipt::new(line)),
        (Some(line), Some(error)) if !error.transient => {
            Ok(Receipt::new(format!("{line}; not for {}", lines.join("; "))))
        }
        (_, Some(error)) => Err(DeliveryError { message: lines.join("; "), ..error }),
        (None, None) => Err(DeliveryError::lasting("there is nobody to send to")),
    }
}

async fn connect(config: &Config) -> Result<Transport, DeliveryError> {
    let builder = Transport::builder_dangerous(config.host.as_str())
        .port(config.port.unwrap_or_else(|| config.tls.port()))
        .tls(encryption(config)?)
        .timeout(Some(TIME_LIMIT));
    Ok(match (&config.username, &config.password) {
        (Some(username), Some(password)) => {
            let password = post::fetch(password).await?.reveal().clone();
            // How `AUTH PLAIN` joins the two (RFC 4616); longer than the password, so it is never too short.
            let _ = redaction::learn(&format!("\0{username}\0{password}"));
            builder.credentials(Credentials::new(username.clone(), password)).build()
        }
        _ => builder.build(),
    })
}

fn encryption(config: &Config) -> Result<Tls, DeliveryError> {
    if config.tls == TlsMode::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.certificate_authority {
        parameters = parameters.add_root_certificate(read_certificate(path)?);
    }
    let parameters = parameters
        .build()
        .map_err(|error| DeliveryError::lasting(StepError::because("cannot set up TLS", &error).message))?;
    Ok(if config.tls == TlsMode::Tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn read_certificate(path: &PathBuf) -> Result<Certificate, DeliveryError> {
    let wrong = |error: &(dyn std::error::Error + 'static)| {
        let what = format!("cannot use the certificate authority {}", path.display());
        DeliveryError::lasting(StepError::because(what, error).message)
    };
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    Certificate::from_pem(&text).map_err(|error| wrong(&error))
}

/// 4xx means later, 5xx means never; a server without the login or the encryption we need does not get
/// it by waiting, a broken connection may recover.
fn classify(host: &str, error: &smtp::Error) -> DeliveryError {
    let message = StepError::because(format!("mail server {}", one_line(host)), error).message;
    let lasting = error.is_permanent() || error.is_client() || error.is_tls();
    DeliveryError { transient: !lasting, ..DeliveryError::lasting(one_line(&message)) }
}

fn compose(config: &Config, message: &Message) -> Result<lettre::Message, String> {
    let from = mailbox(&config.from)?;
    let mut mail = lettre::Message::builder().message_id(Some(identity(&from, &message.id)));
    if let Some(first) = &message.thread {
        mail = mail.in_reply_to(first.clone());
    }
    // Mail readers show all messages of a run as one conversation.
    let run = identity(&from, &format!("run-{}", identifier(&message.run)));
    let known = std::iter::once(run).chain(message.thread.clone()).collect::<Vec<_>>().join(" ");
    let mut mail = mail
        .references(known)
        .subject(one_line(&message.subject))
        .date(system_time(message.at))
        .header(AutoSubmitted)
        .from(from);
    for to in &config.to {
        mail = mail.to(mailbox(to)?);
    }
    mail.singlepart(SinglePart::plain(message.text.clone())).map_err(|error| format!("cannot write the mail: {error}"))
}

/// The identity of the run's first mail, which all others answer.
fn first_of_run(config: &Config, message: &Message) -> Result<String, String> {
    match &message.thread {
        Some(first) => Ok(first.clone()),
        None => Ok(identity(&mailbox(&config.from)?, &message.id)),
    }
}

fn identity(from: &Mailbox, name: &str) -> String {
    format!("<{name}@{}>", from.email.domain())
}

/// A run's identifier without the letters that end an identifier of a mail.
fn identifier(run: &str) -> String {
    run.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '.' }).collect()
}

fn system_time(moment: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + moment.since(Timestamp(0))
}

/// Keeps out-of-office replies from answering (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

#[cfg(test)]
mod tests;
