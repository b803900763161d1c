//! How channels speak HTTP: one JSON request with a time limit, and every answer sorted into accepted,
//! worth another try, or refused for good. Neither the address nor what it carries gets into an error,
//! because the address of an incoming webhook is itself a secret.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::text::{one_line, shorten};
use super::{DeliveryError, Receipt};
use crate::base::redaction::{self, MARK};
use crate::base::{Clock, Secret, Timestamp};
use crate::kind::StepError;
use crate::site::{SecretReference, Secrets};

/// Long enough for a slow gateway, short enough that four attempts fit into one delivery.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Answers of these services are a few hundred bytes; anything longer is not meant for us.
const ANSWER_LIMIT: usize = 64 * 1024;

/// One request.
pub struct Post {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, Secret<String>)>,
    body: String,
    /// What must not appear in an error even if the peer repeats it.
    secrets: Vec<Secret<String>>,
}

impl Post {
    pub fn json(url: &str, body: String) -> Result<Self, DeliveryError> {
        let url = parse(url).map_err(DeliveryError::lasting)?;
        Ok(Post { method: Method::POST, url, headers: Vec::new(), body, secrets: Vec::new() })
    }

    /// Changes what stands at the address instead of adding to it.
    #[must_use]
    pub fn editing(self) -> Self {
        Post { method: Method::PATCH, ..self }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, Secret::new(value)));
        self
    }

    /// Names a secret that the request carries.
    #[must_use]
    pub fn hiding(mut self, secret: &Secret<String>) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Sends it and gives back the body of a 2xx answer.
    pub async fn send(self, http: &Client) -> Result<String, DeliveryError> {
        let mut request = http
            .request(self.method.clone(), self.url.clone())
            .timeout(TIME_LIMIT)
            .header("content-type", "application/json; charset=utf-8");
        for (name, value) in &self.headers {
            request = request.header(*name, value.reveal());
        }
        let response = request.body(self.body.clone()).send().await.map_err(|error| self.unanswered(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response).await.map_err(|error| self.unanswered(error))?;
        if status.is_success() { Ok(body) } else { Err(self.refused(status, &headers, &body)) }
    }

    fn unanswered(&self, error: reqwest::Error) -> DeliveryError {
        let lasting = error.is_builder();
        let what = if error.is_timeout() { "no answer in time from" } else { "cannot reach" };
        let message = StepError::because(format!("{what} {}", self.peer()), &error.without_url()).message;
        DeliveryError { message: self.without_secrets(&message), transient: !lasting, retry_after: None }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &str) -> DeliveryError {
        // 300 characters hold every documented error of these services and keep a log line readable.
        let said = shorten(&one_line(self.without_secrets(body).trim()), 300);
        let message = format!("{} answered {status}{}{said}", self.peer(), if said.is_empty() { "" } else { ": " });
        DeliveryError {
            message,
            transient: is_transient(status),
            retry_after: retry_after(headers, Clock::start().now()),
        }
    }

    fn without_secrets(&self, text: &str) -> String {
        let hidden =
            self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.reveal().as_str(), MARK));
        redaction::text(&hidden).into_owned()
    }

    /// Host and port: enough to find the culprit, and never secret.
    fn peer(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// 408 and 425 say "later" as plainly as 429 does.
fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

async fn read(mut response: Response) -> Result<String, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_LIMIT {
            bytes.truncate(ANSWER_LIMIT);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `Retry-After` in either of its forms: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(date.timestamp().as_millisecond()).since(now))
}

fn parse(url: &str) -> Result<Url, String> {
    let parsed = Url::parse(url.trim()).map_err(|error| format!("the address of the channel is not valid: {error}"))?;
    match parsed.scheme() {
        "http" | "https" => Ok(parsed),
        _ => Err("the address of the channel must begin with http: or https:".into()),
    }
}

/// Whether something secret may travel to this address: encrypted, or not leaving the machine.
pub fn check_private(url: &str) -> Result<(), String> {
    let url = parse(url)?;
    if url.scheme() == "https" || url.host_str().is_some_and(is_loopback) {
        return Ok(());
    }
    Err("a secret would travel unencrypted; use an https address".into())
}

/// An address without anything secret in what is sent there.
pub fn check_address(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

/// Whether a host name or address is this machine by definition, without asking a name server.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Fetches a secret; a file that is not there yet or a variable that is not set does not appear by waiting.
pub async fn fetch(secret: &SecretReference) -> Result<Secret<String>, DeliveryError> {
    // Names were replaced by what they stand for when the channel was found.
    let fetched = secret.resolve(&Secrets::default()).await;
    fetched.map_err(|error| DeliveryError::lasting(StepError::because("cannot read a secret", &error).message))
}

/// A body as a preview shows it.
pub fn pretty(body: &serde_json::Value) -> String {
    format!("{body:#}")
}

/// The receipt for a peer that says nothing of use beside "accepted".
pub fn accepted(by: &str) -> Receipt {
    Receipt::new(format!("accepted by {by}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply};

    #[tokio::test]
    async fn answers_are_sorted_by_whether_waiting_helps() {
        for (status, transient) in
            [(400, false), (401, false), (302, false), (404, false), (408, true), (429, true), (500, true), (503, true)]
        {
            let double = HttpDouble::start(vec![Reply::status(status, "no")]).await;
            let error = Post::json(&double.url, "{}".into()).unwrap().send(&doubles::http()).await.unwrap_err();
            assert_eq!(error.transient, transient, "{status}");
            assert!(error.message.contains(&status.to_string()) && error.message.ends_with(": no"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_worth_another_try_and_hides_the_address() {
        let error = Post::json("http://127.0.0.1:1/services/T0/B0/hush", "{}".into()).unwrap();
        let error = error.send(&doubles::http()).await.unwrap_err();
        assert!(error.transient, "{error}");
        assert!(error.message.starts_with("cannot reach 127.0.0.1:1"), "{error}");
        assert!(!error.message.contains("hush"), "{error}");
    }

    #[tokio::test]
    async fn a_secret_that_the_peer_repeats_is_hidden() {
        let double = HttpDouble::start(vec![Reply::status(403, "no such key: k-123456\u{1b}[2J")]).await;
        let post = Post::json(&double.url, "{}".into()).unwrap().hiding(&Secret::new("k-123456".into()));
        let error = post.send(&doubles::http()).await.unwrap_err();
        assert!(error.message.ends_with("no such key: [secret]\\u{1b}[2J"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_left() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let post = Post::json(&format!("http://{}/", silent.local_addr().unwrap()), "{}".into()).unwrap();
        let http = doubles::http();
        let error = tokio::time::timeout(Duration::from_secs(60), post.send(&http)).await.unwrap().unwrap_err();
        assert!(error.transient && error.message.starts_with("no answer in time from 127.0.0.1:"), "{error}");
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let after = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, Timestamp(784_111_770_000))
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn secrets_leave_the_machine_encrypted_only() {
        for fine in ["https://hooks.example.com/x", "http://127.0.0.1:80/x", "http://[::1]/x", "http://LOCALHOST/x"] {
            assert_eq!(check_private(fine), Ok(()), "{fine}");
        }
        for wrong in ["http://hooks.example.com/x", "ftp://127.0.0.1/x", "127.0.0.1", "http://localhost.example.com"] {
            assert!(check_private(wrong).is_err(), "{wrong}");
        }
    }
}
