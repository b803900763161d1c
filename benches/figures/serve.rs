//! What `runbook serve` costs: from the last byte of a webhook to the first step running, what it takes in durably,
//! and what it needs when nothing happens.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runbook::base::Clock;

use crate::Outcome;

/// Alerts that are measured one after the other, a second apart: as many as let a 99th percentile be other than the
/// slowest one.
const ALONE: usize = 200;
/// Alerts a second that come in beside those that are measured.
const LOAD: usize = 1_000;
const LOAD_SECONDS: usize = 20;
/// Measured alerts a second under load.
const MEASURED: usize = 10;
/// Connections that the load comes by; Alertmanager keeps as many for its groups.
const SENDERS: usize = 8;
/// How long as much as possible is sent.
const FULL: Duration = Duration::from_secs(8);
const IDLE: Duration = Duration::from_secs(30);
/// Kernel ticks a second on every Linux of today (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn measure(out: &mut dyn Write, folder: &Path) -> Outcome {
    let folder = tempfile::tempdir_in(folder)?;
    let arrivals = Arrivals::open()?;
    let server = Server::start(folder.path(), &arrivals.address)?;
    writeln!(out, "\nserve")?;
    resting(out, &server)?;
    let alone = alone(&server, &arrivals)?;
    latency(out, "1 alert/s", alone, 10.0)?;
    let loaded = loaded(&server, &arrivals)?;
    latency(out, &format!("among {LOAD} alerts/s"), loaded, 50.0)?;
    for together in [1, 20] {
        let rate = accepted(&server, together)?;
        writeln!(out, "  accepted durably, {together:>2} in a request            {rate:>9.0} alerts/s")?;
    }
    Ok(out.flush()?)
}

/// Memory and processor time while nothing happens; before anything else has.
fn resting(out: &mut dyn Write, server: &Server) -> Outcome {
    let before = server.processor_seconds()?;
    std::thread::park_timeout(IDLE);
    let share = (server.processor_seconds()? - before) / IDLE.as_secs_f64() * 100.0;
    let memory = server.resident_bytes()? / 1e6;
    writeln!(out, "  idle with every shipped playbook: memory    {memory:>9.1} MB (aim: under 40)")?;
    writeln!(out, "  idle: one processor                         {share:>9.2} % over {} s", IDLE.as_secs())?;
    Ok(())
}

fn latency(out: &mut dyn Write, name: &str, mut times: Vec<Duration>, aim: f64) -> Outcome {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    let (median, high, count) = (at(50), at(99), times.len());
    writeln!(
        out,
        "  last byte to first step, {name:<20} p50 {median:>7.2} ms, p99 {high:>7.2} ms of {count} (aim: p99 under {aim:.0})"
    )?;
    Ok(())
}

fn alone(server: &Server, arrivals: &Arrivals) -> Result<Vec<Duration>> {
    let mut sender = server.connect()?;
    let begun = arrivals.clock.elapsed();
    let mut sent = Vec::new();
    for number in 0..ALONE {
        wait_until(&arrivals.clock, begun + Duration::from_secs(number as u64));
        let target = format!("alone-{number}");
        sent.push((target.clone(), sender.send(&alerts("Measured", &[target]), &arrivals.clock)?));
    }
    arrivals.times(sent)
}

fn loaded(server: &Server, arrivals: &Arrivals) -> Result<Vec<Duration>> {
    let mut sender = server.connect()?;
    let clock = &arrivals.clock;
    let begun = clock.elapsed();
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..SENDERS).map(|name| scope.spawn(move || press(server, name, clock, begun))).collect();
        let mut sent = Vec::new();
        for number in 0..MEASURED * LOAD_SECONDS {
            wait_until(clock, begun + Duration::from_secs_f64(number as f64 / MEASURED as f64));
            let target = format!("loaded-{number}");
            sent.push((target.clone(), sender.send(&alerts("Measured", &[target]), clock)?));
        }
        for thread in load {
            thread.join().map_err(|_| "a sender panicked")??;
        }
        arrivals.times(sent)
    })
}

/// One sender's share of the load, at its times whether or not the server keeps up.
fn press(server: &Server, name: usize, clock: &Clock, begun: Duration) -> std::result::Result<(), String> {
    let mut sender = server.connect().map_err(|error| error.to_string())?;
    for number in 0..LOAD * LOAD_SECONDS / SENDERS {
        wait_until(clock, begun + Duration::from_secs_f64((number * SENDERS + name) as f64 / LOAD as f64));
        let body = alerts("Held", &[format!("group-{}-{name}-{number}", number % 20)]);
        sender.send(&body, clock).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Alerts a second that are acknowledged when the senders do not wait.
fn accepted(server: &Server, together: usize) -> Result<f64> {
    let (clock, count) = (Clock::start(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS * 2)
            .map(|name| {
                let count = &count;
                scope.spawn(move || -> std::result::Result<(), String> {
                    let mut sender = server.connect().map_err(|error| error.to_string())?;
                    while clock.elapsed() < FULL {
                        let first = count.fetch_add(together, Ordering::Relaxed);
                        let alert =
                            |position: usize| format!("group-{}-{together}-{name}-{}", position % 20, first + position);
                        let targets: Vec<String> = (0..together).map(alert).collect();
                        sender.send(&alerts("Held", &targets), &clock).map_err(|error| error.to_string())?;
                    }
                    Ok(())
                })
            })
            .collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender panicked".to_owned())?)
    })?;
    Ok(count.load(Ordering::Relaxed) as f64 / clock.elapsed().as_secs_f64())
}

fn wait_until(clock: &Clock, moment: Duration) {
    while let Some(left) = moment.checked_sub(clock.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// A request with alerts, each one of its own. What stands before the second `-` is the group of one that is held.
fn alerts(name: &str, targets: &[String]) -> String {
    let alert = |target: &String| {
        let group: Vec<&str> = target.split('-').take(2).collect();
        format!(
            r#"{{"status":"firing","fingerprint":"{target}","startsAt":"2026-11-22T15:47:12.206Z","labels":{{"alertname":"{name}","target":"{target}","group":"{}"}}}}"#,
            group.join("-")
        )
    };
    let all: Vec<String> = targets.iter().map(alert).collect();
    format!(r#"{{"version":"4","groupKey":"{{}}","truncatedAlerts":0,"alerts":[{}]}}"#, all.join(","))
}

/// Where the first step of each run calls, and when it did.
struct Arrivals {
    address: String,
    clock: Clock,
    seen: Arc<Mutex<HashMap<String, Duration>>>,
}

impl Arrivals {
    fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let arrivals =
            Arrivals { address: listener.local_addr()?.to_string(), clock: Clock::start(), seen: Arc::default() };
        let (clock, seen) = (arrivals.clock, arrivals.seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (moment, seen) = (clock.elapsed(), seen.clone());
                // A connection for each: what the step keeps open must not hold up the next one.
                std::thread::spawn(move || answer(stream, moment, clock, &seen));
            }
        });
        Ok(arrivals)
    }

    /// From the last byte to the first step, for each of them.
    fn times(&self, sent: Vec<(String, Duration)>) -> Result<Vec<Duration>> {
        let patience = self.clock.elapsed() + Duration::from_secs(20);
        let mut times = Vec::new();
        for (target, sent) in sent {
            let arrived = loop {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&target).copied();
                match seen {
                    Some(arrived) => break arrived,
                    None if self.clock.elapsed() > patience => return Err(format!("no run of {target} began").into()),
                    None => std::thread::park_timeout(Duration::from_millis(5)),
                }
            };
            times.push(arrived.saturating_sub(sent));
        }
        Ok(times)
    }
}

/// Answers the requests of one connection; the first one came with it.
fn answer(stream: TcpStream, connected: Duration, clock: Clock, seen: &Mutex<HashMap<String, Duration>>) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut moment = Some(connected);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let moment = moment.take().unwrap_or_else(|| clock.elapsed());
        if let Some(target) = line.split(' ').nth(1) {
            let target = target.trim_start_matches('/').to_owned();
            seen.lock().unwrap_or_else(PoisonError::into_inner).entry(target).or_insert(moment);
        }
        while reader.read_line(&mut line).unwrap_or(0) > 2 {}
        if writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").is_err() {
            return;
        }
    }
}

/// A trigger that nothing fits for each shipped playbook: it takes the place of their own, which would look at services
/// that are not here.
fn quiet_triggers(folder: &Path) -> Result<String> {
    let mut triggers = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            triggers += &quiet_triggers(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path)?;
            let name = text.lines().find_map(|line| line.strip_prefix("name: ")).ok_or("a playbook without a name")?;
            triggers += &format!("  - {{playbook: {name}, alert: {{source: pages, match: {{alertname: Never}}}}}}\n");
        }
    }
    Ok(triggers)
}

/// The server that is measured; it ends with this value.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, arrivals: &str) -> Result<Self> {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
        std::fs::create_dir_all(folder.join("own"))?;
        std::fs::write(
            folder.join("runbook.yaml"),
            format!(
                "playbooks: [own, '{shipped}']\nserve:\n  address: 127.0.0.1:0\n  rate: 100000\n  runs: 64\n  hooks: {{pages: {{alertmanager: \
                 {{token: {{env: BENCH_TOKEN}}}}}}}}\n  triggers:\n{}",
                quiet_triggers(Path::new(shipped))?
            ),
        )?;
        let step = format!("diagnose:\n  seen: {{http: {{get: 'http://{arrivals}/{{{{inputs.target}}}}'}}}}\n");
        for (name, label, more) in [("measured", "target", ""), ("held", "group", ", for: 1h")] {
            let alert = if name == "held" { "Held" } else { "Measured" };
            std::fs::write(
                folder.join("own").join(format!("{name}.yaml")),
                format!(
                    "runbook: 1\nname: {name}\ntitle: Measured\ninputs:\n  target: {{type: string, pattern: '[a-z0-9-]+'}}\n\
                     triggers:\n  - alert: {{source: pages, match: {{alertname: {alert}}}, inputs: {{target: labels.{label}}}{more}}}\n{step}"
                ),
            )?;
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .arg("serve")
            .current_dir(folder)
            .env("BENCH_TOKEN", "bench-token")
            .env("RUNBOOK_STATE", folder.join("state"))
            .env_remove("RUNBOOK_CONFIG")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        while !line.starts_with("Listening on ") {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                return Err("the server did not start".into());
            }
        }
        // What it says further is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let address = line.trim().rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Server { child, address })
    }

    fn connect(&self) -> Result<Sender> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(Sender { reader: BufReader::new(stream.try_clone()?), stream })
    }

    fn resident_bytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }

    fn processor_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold anything; what follows it is numbers.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection that is kept, as Alertmanager keeps its own.
struct Sender {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Sender {
    /// Sends a request and waits until it is taken. The moment at which its last byte was sent.
    fn send(&mut self, body: &str, clock: &Clock) -> Result<Duration> {
        let head = format!(
            "POST /hooks/pages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer bench-token\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all((head + body).as_bytes())?;
        let sent = clock.elapsed();
        let (mut line, mut length, mut status) = (String::new(), 0, String::new());
        while self.reader.read_line(&mut line)? > 2 {
            if status.is_empty() {
                status.clone_from(&line);
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        if status.contains(" 202 ") { Ok(sent) } else { Err(format!("not taken: {status}").into()) }
    }
}
