//! Spans of runs and steps reach a collector of OpenTelemetry; with the feature `otel` only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use super::{place, start};

/// What a collector is sent: the body of each request, in the form of protobuf, where names stand as they are.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
            let head: Vec<String> =
                reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let length =
                head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            drop(reader.read_exact(&mut body));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
            if head.first().is_some_and(|line| line.starts_with("POST /v1/traces ")) && sender.send(body).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

#[test]
fn a_collector_gets_a_span_for_the_run_and_for_its_step() {
    let (address, bodies) = collector();
    let runbook = place("").variable("OTEL_EXPORTER_OTLP_ENDPOINT", address);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until("it has ended", || served.client.tickets()["closed"][0]["outcome"] == "healthy");
    let run = runbook.newest_run();
    served.running.signal(rustix::process::Signal::TERM);
    served.running.done().exits(0);
    let sent: Vec<u8> = bodies.try_iter().flatten().collect();
    let text = String::from_utf8_lossy(&sent);
    for name in ["service.name", "runbook", "run", "playbook", "note", "step", "diagnose.noted", &run] {
        assert!(text.contains(name), "no {name} in {text}");
    }
}
