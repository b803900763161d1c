//! A real browser: Chromium, driven over WebDriver (W3C) by plain HTTP.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Runbook, Running};

const DRIVER: &str = "chromedriver";

/// Longer than a browser needs to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(50);

/// Keys by their code points in WebDriver.
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';

/// A window of a browser; both end with this value.
pub struct Window {
    _driver: Running,
    address: String,
    session: String,
}

pub fn is_installed() -> bool {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    there(DRIVER) && there("chromium")
}

impl Window {
    pub fn open(place: &Runbook) -> Self {
        let mut driver = place.program(DRIVER, ["--port=0"]).start();
        driver.until_it_says("was started successfully on port ");
        let port = driver.stdout.split("on port ").nth(2).or_else(|| driver.stdout.split("on port ").last());
        let port: String = port.into_iter().flat_map(str::chars).take_while(char::is_ascii_digit).collect();
        let profile = format!("--user-data-dir={}", place.path("chromium").display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &profile,
        ];
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let mut window = Window { _driver: driver, address: format!("127.0.0.1:{port}"), session: String::new() };
        let opened = window.ask("POST", "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        window.session = opened["sessionId"].as_str().expect("a session").to_owned();
        window
    }

    pub fn go(&self, address: &str) {
        self.say("/url", &json!({"url": address}));
    }

    /// What a script answers.
    pub fn script(&self, script: &str) -> Value {
        self.say("/execute/sync", &json!({"script": script, "args": []}))
    }

    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    pub fn path(&self) -> String {
        self.script("return location.pathname").as_str().unwrap_or_default().to_owned()
    }

    /// Presses keys one after the other.
    pub fn press(&self, keys: impl IntoIterator<Item = char>) {
        let pressed = keys.into_iter().flat_map(|key| {
            let key = key.to_string();
            [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
        });
        let actions = json!([{"type": "key", "id": "keyboard", "actions": pressed.collect::<Vec<_>>()}]);
        self.say("/actions", &json!({"actions": actions}));
    }

    /// A command of the protocol of the browser's own tools.
    pub fn tools(&self, command: &str, parameters: &Value) {
        self.say("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    /// How wide and high the page is shown.
    pub fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    pub fn colours(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.tools("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// What the console said since it was last asked: errors of scripts, of loading, and of the policy.
    pub fn complaints(&self) -> Vec<String> {
        let said = self.say("/se/log", &json!({"type": "browser"}));
        said.as_array().into_iter().flatten().map(ToString::to_string).collect()
    }

    /// What is shown, as a PNG file.
    pub fn picture(&self) -> Vec<u8> {
        let encoded = self.ask("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        BASE64_STANDARD.decode(encoded.as_str().expect("base64")).expect("base64")
    }

    fn say(&self, command: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{command}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_to_ask(method, path, body).expect("the driver answers");
        assert!(answer["value"]["error"].is_null(), "{method} {path} {body}: {answer}");
        answer["value"].clone()
    }

    fn try_to_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        let _ = write!(request, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes())?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line)? > 2 {
            let header = line.to_ascii_lowercase();
            length = header.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().unwrap_or(0));
            line.clear();
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        serde_json::from_slice(&answer).map_err(std::io::Error::other)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser, which would outlive its driver.
            drop(self.try_to_ask("DELETE", &format!("/session/{}", self.session), &Value::Null));
        }
    }
}
