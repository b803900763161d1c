//! A stand-in that is told: the webhooks of a site's channels, one path for each who is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What its webhooks are signed with, in the form of Standard Webhooks.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// Takes messages, and knows who was sent which.
pub struct Pager {
    pub address: String,
    messages: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Pager {
    pub fn start() -> Self {
        Pager::start_with(|_| {})
    }

    /// One that does something when a message has come, before it says that it has.
    pub fn start_with(first: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let first = Arc::new(first);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let messages = Arc::new(Mutex::new(Vec::new()));
        let seen = messages.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(200) {
                let (stream, seen, first) = (stream.expect("a connection"), seen.clone(), first.clone());
                // Each on its own: a client may open one ahead of time and say nothing on it.
                std::thread::spawn(move || receive(stream, &seen, first.as_ref()));
            }
        });
        Pager { address, messages }
    }

    /// Who was told what, in order: `lead escalated`.
    pub fn told(&self) -> Vec<String> {
        let messages = self.messages.lock().expect("no panic");
        messages.iter().map(|(who, body)| format!("{who} {}", body["on"].as_str().unwrap_or("?"))).collect()
    }

    pub fn count(&self, wanted: &str) -> usize {
        self.told().iter().filter(|told| *told == wanted).count()
    }

    /// The last message to somebody.
    pub fn to(&self, who: &str) -> Value {
        let messages = self.messages.lock().expect("no panic");
        messages.iter().rev().find(|(to, _)| to == who).map(|(_, body)| body.clone()).expect("they were told")
    }
}

fn receive(mut stream: TcpStream, seen: &Mutex<Vec<(String, Value)>>, before: &dyn Fn(&str)) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let (mut first, mut length) = (String::new(), 0);
    drop(reader.read_line(&mut first));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    if length == 0 || reader.read_exact(&mut body).is_err() {
        return;
    }
    let who = first.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let body = serde_json::from_slice(&body).expect("JSON");
    before(&who);
    seen.lock().expect("no panic").push((who, body));
    drop(stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"));
}
