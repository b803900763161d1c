//! Where requests may go: what data chose, and what hands out credentials, is never connected to. Every address
//! here leads to a listener that counts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Runbook;

/// A service of this machine that counts its connections and gives everyone the same answer.
struct Listener {
    port: u16,
    connects: Arc<AtomicUsize>,
}

impl Listener {
    fn answering(head: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let connects = Arc::new(AtomicUsize::new(0));
        let counted = connects.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream.read(&mut [0; 4096]));
                drop(write!(stream, "{head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            }
        });
        Listener { port, connects }
    }

    fn new() -> Self {
        Listener::answering("HTTP/1.1 200 OK".into())
    }

    fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }
}

/// This machine, as it can be written: decimal, octal, hexadecimal, short, mapped, translated, look-alike, by name.
const LOOPBACK: [&str; 24] = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "127.0.0.1.",
    "127.0.0.2",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
];

fn forms(port: u16) -> Vec<String> {
    let of = |host: &str| {
        [
            format!("http://{host}:{port}/"),
            format!("http://example.org@{host}:{port}/a?b#c"),
            format!("http:\\\\{host}:{port}\\x"),
        ]
    };
    LOOPBACK.iter().flat_map(|host| of(host)).collect()
}

const ASKS: &str = "
runbook: 1
name: egress
title: Asks what a step has found
diagnose:
  found: {command: {argv: [cat, found.json], parse: json}, effect: read}
  ask:
    needs: [found]
    for_each: {in: diagnose.found.json, as: address, limit: 8}
    http: {get: '{{address}}'}
";

#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t60_hosts_that_data_chose_are_not_connected_to() {
    let listener = Listener::new();
    let forms = forms(listener.port);
    assert!(forms.len() >= 60);
    let place = Runbook::new().file("egress.yaml", ASKS).file("found.json", serde_json::to_vec(&forms).unwrap());
    place.call("run egress.yaml").exits(5);
    let step = &place.newest()["steps"]["diagnose.ask"];
    assert_eq!(step["status"], "error", "{step}");
    assert_eq!(listener.connects(), 0, "of {} addresses", forms.len());
    eprintln!("test 60: {} addresses, {} connects", forms.len(), listener.connects());

    // The same step connects where the site file lets it, so the count above counts.
    place.write("found.json", serde_json::to_vec(&forms[..1]).unwrap());
    place.write("runbook.yaml", "egress: {allow: [127.0.0.1]}\n");
    place.call("run egress.yaml").exits(0);
    assert_eq!(listener.connects(), 1);
}

#[test]
fn t60_a_listed_name_that_leads_to_this_machine_is_not_connected_to() {
    let listener = Listener::new();
    let found = serde_json::to_vec(&[format!("http://localhost:{}/", listener.port)]).unwrap();
    let place = Runbook::new().file("egress.yaml", ASKS).file("found.json", found);
    place.write("runbook.yaml", "egress: {allow: [localhost]}\n");
    place.call("run egress.yaml").exits(5).says("the allowed name leads to");
    assert_eq!(listener.connects(), 0);
}

#[test]
fn t60_metadata_services_are_refused_in_constant_text_too() {
    let mut playbook = "runbook: 1\nname: metadata\ntitle: Asks for credentials\ndiagnose:\n".to_owned();
    let hosts = [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "user@169.254.169.254",
    ];
    for (number, host) in hosts.iter().enumerate() {
        playbook
            .push_str(&format!("  ask{number}: {{http: {{get: 'http://{host}/latest/meta-data/'}}, timeout: 5s}}\n"));
    }
    let place = Runbook::new().file("metadata.yaml", playbook);
    place.call("run metadata.yaml");
    let run = place.newest();
    for (number, host) in hosts.iter().enumerate() {
        let step = run["steps"][format!("diagnose.ask{number}")].to_string();
        assert!(step.contains("hands out credentials"), "{host}: {step}");
    }
}

#[test]
fn t60_redirects_lead_nowhere_unless_asked_and_to_no_other_host() {
    let target = Listener::new();
    for host in ["localhost", "127.0.0.2", "2130706434", "169.254.169.254"] {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://{host}:{}/", target.port);
        let moved = Listener::answering(head);
        for more in ["", ", redirects: 3"] {
            let playbook = format!(
                "runbook: 1\nname: moved\ntitle: Moved\ndiagnose: {{ask: {{http: {{get: 'http://127.0.0.1:{}/'{more}}}}}}}\n",
                moved.port
            );
            Runbook::new().file("moved.yaml", playbook).call("run moved.yaml");
        }
        assert_eq!((moved.connects(), target.connects()), (2, 0), "{host}");
    }
}

/// One request of `step`, whose `§` is the port of the listener; how many connections it made.
fn connects(step: &str, site: &str, proxied: bool) -> (usize, String) {
    let listener = Listener::new();
    let step = step.replace('§', &listener.port.to_string());
    let playbook = format!("runbook: 1\nname: asks\ntitle: Asks\ndiagnose: {{ask: {step}}}\n");
    let cases = r#"{"cases": [{"name": "one", "inputs": {"x": {"shape": [1], "data": [1.0]}}, "outputs": {"y": {"shape": [1], "data": [1.0]}}}]}"#;
    let mut place = Runbook::new().file("asks.yaml", playbook).file("runbook.yaml", site).file("golden.json", cases);
    if proxied {
        place = place.variable("http_proxy", format!("http://127.0.0.1:{}", listener.port));
    }
    let shown = place.call("run asks.yaml").shown();
    (listener.connects(), shown)
}

const LISTED: &str = "egress: {allow: [localhost]}\n";

#[test]
fn t60_grpc_calls_pass_the_same_filter() {
    let call = "{inference: {url: 'grpc://localhost:§', protocol: grpc, model: ocr, ready: true, cases: golden.json}, timeout: 5s}";
    let (refused, shown) = connects(call, LISTED, false);
    assert!(shown.contains("the allowed name leads to"), "{shown}");
    assert_eq!(refused, 0);
    assert!(connects(call, "", false).0 > 0, "the same call connects where it may");
}

#[test]
fn t60_a_proxy_is_not_asked_for_what_is_refused() {
    for (host, site, told) in [
        ("localhost", LISTED, "the allowed name leads to"),
        ("metadata.google.internal", "", "hands out credentials"),
        ("169.254.169.254", "", "hands out credentials"),
    ] {
        let (refused, shown) = connects(&format!("{{http: {{get: 'http://{host}/'}}}}"), site, true);
        assert!(shown.contains(told), "{host}: {shown}");
        assert_eq!(refused, 0, "{host}");
    }
    let unknown_here = "{http: {get: 'http://only-the-proxy-knows.invalid/'}}";
    assert_eq!(connects(unknown_here, "", true).0, 1, "what only the proxy knows is left to it");
}

#[test]
fn entries_that_allow_nothing_are_errors_with_their_place() {
    let site =
        "egress:\n  allow:\n    - mirror.example.org\n    - https://files.example.org/models\n    - 10.0.0.0/33\n";
    let playbook = "runbook: 1\nname: asks\ntitle: Asks\ndiagnose: {ask: {disk: {path: /}}}\n";
    let place = Runbook::new().file("runbook.yaml", site).file("asks.yaml", playbook);
    let shown = place.call("run asks.yaml").exits(2).shown();
    insta::assert_snapshot!(shown);
}
