//! Servers that stand in for what the lab does not have.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

/// A platform that reads its settings at every request, and errs as soon as more than the first rate is allowed.
pub struct StrainedPlatform {
    overrides: PathBuf,
    errors: u64,
}

impl StrainedPlatform {
    pub fn new(overrides: PathBuf) -> Self {
        StrainedPlatform { overrides, errors: 0 }
    }

    pub fn body(&mut self, path: &str) -> String {
        let settings = fs::read_to_string(&self.overrides).unwrap_or_default();
        match path {
            "/metrics" => {
                self.errors += u64::from(settings.contains("rate_limit: 10.0\n"));
                format!("# TYPE ocr_errors_total counter\nocr_errors_total{{provider=\"a\"}} {}\n", self.errors)
            }
            "/health" => {
                let status = if settings.contains("enabled: true") { "healthy" } else { "disabled" };
                format!(r#"{{"providers": {{"a": {{"status": "{status}", "error": null}}}}}}"#)
            }
            _ => r#"{"ok": true}"#.to_owned(),
        }
    }
}

/// Answers every request for a path with this body until the tests end; the address.
pub fn serve(mut body: impl FnMut(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let path = requested_path(&mut stream);
            let body = body(&path);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()));
        }
    });
    format!("http://{address}")
}

/// Reads a whole request: a connection closed on unread bytes would be reset, and the answer lost.
fn requested_path(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let lines: Vec<String> =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let length = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    drop(reader.read_exact(&mut vec![0; length.unwrap_or(0)]));
    lines.first().and_then(|line| line.split_whitespace().nth(1)).unwrap_or_default().to_owned()
}
