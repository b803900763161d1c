//! Stand-ins for the peers of channels, for tests: an HTTP service and a mail server
//! that record and answer as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::{DeliveryPolicy, Facts, Message, Occasion, Templates};
use crate::base::Clock;
use crate::kind::Services;
use crate::site::Site;

/// What the double answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    body: String,
    retry_after: Option<&'static str>,
}

impl Reply {
    pub fn status(status: u16, body: &str) -> Self {
        Reply { status, body: body.into(), retry_after: None }
    }

    pub fn retry_after(self, text: &'static str) -> Self {
        Reply { retry_after: Some(text), ..self }
    }
}

/// What the double was sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
}

/// An HTTP service on a free port of the loopback interface; ends with the test's runtime.
pub struct HttpDouble {
    pub url: String,
    script: Arc<Script>,
}

impl HttpDouble {
    /// Answers with `replies` in turn; a request beyond them is answered 599, which no test expects.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let script = Arc::new(Script { replies: Mutex::new(replies.into()), ..Script::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let service = axum::Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        HttpDouble { url, script }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }

    /// The only request that came.
    pub fn request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1);
        requests.into_iter().next().unwrap()
    }
}

async fn answer(
    State(script): State<Arc<Script>>,
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let (method, target) = (method.to_string(), target.to_string());
    script.requests.lock().unwrap().push(Request { method, target, headers, body: body.to_vec() });
    let reply = script.replies.lock().unwrap().pop_front().unwrap_or(Reply::status(599, "not in the script"));
    let mut headers = HeaderMap::new();
    if let Some(text) = reply.retry_after {
        headers.insert("retry-after", text.parse().unwrap());
    }
    (StatusCode::from_u16(reply.status).unwrap(), headers, reply.body)
}

/// A mail that the mail server took.
#[derive(Debug, Clone)]
pub struct Mail {
    pub to: String,
    pub text: String,
}

#[derive(Default)]
struct MailRoom {
    /// What the next `RCPT TO` commands are answered; then `250`.
    replies: Mutex<VecDeque<&'static str>>,
    lines: Mutex<Vec<String>>,
    mails: Mutex<Vec<Mail>>,
}

/// A mail server without encryption on a free port of the loopback interface.
pub struct SmtpDouble {
    pub port: u16,
    room: Arc<MailRoom>,
}

impl SmtpDouble {
    pub async fn start(replies: &[&'static str]) -> Self {
        let room = Arc::new(MailRoom { replies: Mutex::new(replies.iter().copied().collect()), ..MailRoom::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = room.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, shared.clone()));
            }
        });
        SmtpDouble { port, room }
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.room.mails.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.room.lines.lock().unwrap().clone()
    }
}

/// One connection. An error means that the client hung up, which ends the conversation.
async fn converse(stream: TcpStream, room: Arc<MailRoom>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 double\r\n").await?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await? {
        room.lines.lock().unwrap().push(line.clone());
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let reply = match word.as_str() {
            "EHLO" => "250-double\r\n250 AUTH PLAIN",
            "AUTH" => "235 welcome",
            "RCPT" => {
                to = line.split_once(':').unwrap().1.to_owned();
                room.replies.lock().unwrap().pop_front().unwrap_or("250 known")
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let text = read_mail(&mut lines).await?;
                room.mails.lock().unwrap().push(Mail { to: to.clone(), text });
                "250 queued"
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n").await,
            _ => "250 fine",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// The lines up to the lone dot, with the dots that the sender doubled made single again.
async fn read_mail(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> std::io::Result<String> {
    let mut text = String::new();
    while let Some(line) = lines.next_line().await? {
        if line == "." {
            break;
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
        text.push_str("\r\n");
    }
    Ok(text)
}

/// The client of the program itself, so that tests see its redirect and proxy rules.
pub fn http() -> reqwest::Client {
    Services::new(Site::default(), Clock::start()).http().clone()
}

/// A policy that tries again after milliseconds.
pub fn impatient() -> DeliveryPolicy {
    DeliveryPolicy { first_delay: std::time::Duration::from_millis(1), ..DeliveryPolicy::default() }
}

pub fn message() -> Message {
    message_on(Occasion::Unresolved)
}

pub fn message_on(on: Occasion) -> Message {
    let link = Some("https://runbook.example.com/runs/1122-174012-k3f9".into());
    Templates::shipped().message("default", &Facts { link, ..Facts::sample(on) })
}

/// The message as a run hands it over.
pub fn masked(message: Message) -> crate::base::Redacted<Message> {
    crate::base::Redacted::of(message).unwrap()
}

/// A secret kept the way the site file wants it: in a file only its owner can read.
pub struct KeptSecret {
    _folder: tempfile::TempDir,
    /// The reference as it stands in a site file.
    pub config: Value,
}

pub fn keep(secret: &str) -> KeptSecret {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = serde_json::json!({"file": path});
    KeptSecret { _folder: folder, config }
}
