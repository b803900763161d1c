//! More than usual: a storm of alerts while the server is killed again and again, and a crowd of slow connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use runbook::audit::Entry;
use runbook::base::{Clock, RunId, environment};
use runbook::engine::Event;
use runbook::engine::intake::{Fact, STREAM};
use runbook::journal::{Journal, SqliteJournal, Stored, Visitor};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::alertmanager::free_address;
use super::client::answer;
use super::{ALERTS, Client, place, start};
use crate::support::Runbook;
use crate::tracing::{tell, try_all};

/// How long a sender waits before it sends again what was not taken; Alertmanager waits longer.
const AGAIN: Duration = Duration::from_millis(20);

/// Alerts of a group that Alertmanager sends together.
const TOGETHER: usize = 5;

/// How hard it storms: the whole of it is for nightly runs, or as many alerts as `RUNBOOK_TEST_STORM` says.
struct Storm {
    alerts: usize,
    groups: usize,
    kills: usize,
}

impl Storm {
    fn of_this_run() -> Self {
        let asked = environment::variable("RUNBOOK_TEST_STORM").and_then(|count| count.parse().ok());
        match asked.or(try_all().then_some(10_000)) {
            Some(alerts) => Storm { alerts, groups: 200, kills: 5 },
            None => Storm { alerts: 800, groups: 40, kills: 3 },
        }
    }

    fn requests(&self) -> usize {
        self.alerts / TOGETHER
    }

    /// Alerts of one group, each of them one of its own.
    fn request(&self, number: usize) -> Value {
        let target = format!("t{}", number % self.groups);
        let alert = |position| {
            json!({"status": "firing", "fingerprint": fingerprint(number, position), "startsAt": "2026-11-22T15:47:12.206Z",
                   "labels": {"alertname": "Note", "target": target}, "annotations": {}})
        };
        let alerts: Vec<Value> = (0..TOGETHER).map(alert).collect();
        json!({"version": "4", "groupKey": target, "truncatedAlerts": 0, "receiver": "runbook", "alerts": alerts})
    }

    fn sent(&self) -> BTreeSet<String> {
        let requests = 0..self.requests();
        requests.flat_map(|number| (0..TOGETHER).map(move |position| fingerprint(number, position))).collect()
    }
}

fn fingerprint(request: usize, position: usize) -> String {
    format!("f-{request}-{position}")
}

/// Sends until it is taken, as Alertmanager does; how long the answer took that took it.
fn deliver(address: &str, body: &Value) -> Duration {
    let body = body.to_string();
    let head = format!(
        "POST /hooks/alertmanager HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         authorization: Bearer {ALERTS}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    loop {
        let clock = Clock::start();
        if let Ok(mut stream) = TcpStream::connect(address)
            && stream.write_all(head.as_bytes()).is_ok()
            && answer(&mut stream).is_some_and(|answer| answer.status == 202)
        {
            return clock.elapsed();
        }
        std::thread::park_timeout(AGAIN);
    }
}

/// What the journal says of the storm, read by nobody who took part.
#[derive(Default)]
struct Told {
    accepted: BTreeSet<String>,
    /// Tickets without a run that started, joined another or was skipped.
    unsettled: BTreeSet<u64>,
    target_of: BTreeMap<RunId, String>,
    live: BTreeMap<String, BTreeSet<String>>,
    most_live: usize,
    runs: usize,
}

impl Told {
    fn read(runbook: &Runbook) -> Self {
        let journal = SqliteJournal::open(runbook.state().join("journal.sqlite")).expect("a journal");
        let mut told = Told::default();
        let mut targets = BTreeMap::new();
        for record in journal.read(&RunId::from(STREAM.to_owned())).expect("the intake") {
            let Event::Intake(fact) = record.event else { continue };
            match fact {
                Fact::Accepted { ticket, demand } => {
                    told.accepted.insert(demand.identity.trim_start_matches("alertmanager/").to_owned());
                    told.unsettled.insert(ticket);
                    targets.insert(ticket, demand.target);
                }
                Fact::Started { ticket, run } => {
                    told.unsettled.remove(&ticket);
                    told.target_of.insert(run, targets[&ticket].clone());
                }
                Fact::Joined { ticket, .. } | Fact::Skipped { ticket, .. } | Fact::Cancelled { ticket, .. } => {
                    told.unsettled.remove(&ticket);
                }
                _ => {}
            }
        }
        journal.entries(&mut told).expect("every entry");
        told
    }
}

impl Visitor for Told {
    fn begin(&mut self, _: Stored) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        let content = entry.content;
        if let Some(target) = self.target_of.get(&RunId::from(content.run.clone())) {
            let live = self.live.entry(target.clone()).or_default();
            match content.kind.as_str() {
                "run_started" => {
                    self.runs += 1;
                    live.insert(content.run);
                }
                "run_finished" => drop(live.remove(&content.run)),
                _ => {}
            }
            self.most_live = self.most_live.max(live.len());
        }
        ControlFlow::Continue(())
    }
}

/// Whatever was acknowledged is kept and comes to its end, and a target never has two live runs, although the server
/// is killed in the midst of it.
#[test]
fn t44_t46_a_storm_with_kills_loses_nothing_and_runs_nothing_twice() {
    let storm = Storm::of_this_run();
    let address = free_address();
    let runbook = place("");
    runbook.write("runbook.yaml", runbook.read("runbook.yaml").replace("127.0.0.1:0", &address));
    let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let times = Mutex::new(Vec::new());
    let clock = Clock::start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= storm.requests() {
                        return;
                    }
                    let took = deliver(&address, &storm.request(number));
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    times.lock().expect("no sender panics").push(took);
                }
            });
        }
        for kill in 1..=storm.kills {
            let served = start(&runbook);
            let enough = storm.requests() * kill / (storm.kills + 1);
            while acknowledged.load(Ordering::Relaxed) < enough {
                std::thread::park_timeout(AGAIN);
            }
            served.running.kill();
        }
        let served = start(&runbook);
        while acknowledged.load(Ordering::Relaxed) < storm.requests() {
            std::thread::park_timeout(AGAIN);
        }
        served.running.kill();
    });
    let stormed = clock.elapsed();
    let mut served = start(&runbook);
    served.running.until("everything has come to its end", || served.client.tickets()["open"] == json!([]));
    drop(served);
    let told = Told::read(&runbook);
    let lost = storm.sent().difference(&told.accepted).count();
    assert_eq!((lost, told.unsettled.len()), (0, 0), "acknowledged and lost; kept and never settled");
    assert_eq!(told.most_live, 1, "a target never has two live runs");
    let ran: BTreeSet<&String> = told.target_of.values().collect();
    assert_eq!(ran.len(), storm.groups, "every group has run");
    runbook.call("audit verify").exits(0);
    let mut times = times.into_inner().expect("no sender panicked");
    times.sort_unstable();
    tell(&format!(
        "t44, t46: {} alerts of {} groups in {:.1} s with {} kills: acknowledged and lost 0, runs {}, live for one group at \
         once 1; acknowledged within {:.1} ms (median) and {:.1} ms (99 of 100)",
        storm.alerts,
        storm.groups,
        stormed.as_secs_f64(),
        storm.kills + 1,
        told.runs,
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() * 99 / 100].as_secs_f64() * 1e3,
    ));
}

/// So many connections are opened; the server takes half of them by default.
const CROWD: usize = 1_000;

/// A crowd that sends the headers of a request letter by letter, and comes again when it is pushed out.
struct Crowd<'a> {
    client: &'a Client,
    streams: Vec<TcpStream>,
}

impl Crowd<'_> {
    fn new(client: &Client) -> Crowd<'_> {
        // A thousand files are what many machines allow at first.
        let mut files = getrlimit(Resource::Nofile);
        files.current = files.maximum;
        setrlimit(Resource::Nofile, files).expect("as many files as are allowed");
        let mut crowd = Crowd { client, streams: Vec::new() };
        crowd.streams = (0..CROWD).map(|_| crowd.connect()).collect();
        crowd
    }

    fn connect(&self) -> TcpStream {
        let mut stream = self.client.connect();
        // Those that had to make room are closed already.
        let _ = stream.write_all(b"POST /hooks/alertmanager HTTP/1.1\r\nhost: ");
        stream
    }

    fn trickle(&mut self) {
        for position in 0..self.streams.len() {
            if self.streams[position].write_all(b"x").is_err() {
                self.streams[position] = self.connect();
            }
        }
    }
}

#[test]
fn t43_a_thousand_slow_connections_keep_nobody_out() {
    let served = start(&place(""));
    let (client, over) = (&served.client, AtomicBool::new(false));
    let mut crowd = Crowd::new(client);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                crowd.trickle();
                std::thread::park_timeout(AGAIN);
            }
        });
        for number in 0..50 {
            let clock = Clock::start();
            client
                .post("/hooks/alertmanager", Some(ALERTS), &super::alerts(&[&format!("t{number}")], "firing"))
                .is(202);
            times.push(clock.elapsed());
        }
        over.store(true, Ordering::Relaxed);
    });
    times.sort_unstable();
    let longest = times[times.len() - 1];
    assert!(longest < Duration::from_secs(2), "an alert waited {longest:?} among {CROWD} slow connections");
    tell(&format!(
        "t43: 50 alerts among {CROWD} slow connections, all taken within {:.1} ms (median {:.1} ms)",
        longest.as_secs_f64() * 1e3,
        times[times.len() / 2].as_secs_f64() * 1e3,
    ));
}

#[test]
fn t43_slow_connections_keep_nobody_out() {
    let served = start(&place("  connections: 32\n"));
    let mut slow: Vec<_> = (0..200).map(|_| served.client.connect()).collect();
    for stream in &mut slow {
        // Those that had to make room are closed already.
        let _ = stream.write_all(b"GET /health HTTP/1.1\r\nhost:");
    }
    for _ in 0..20 {
        served.client.get("/health", None).is(200);
    }
    let is_closed = |stream: &mut TcpStream| match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    let closed = slow.iter_mut().take(100).map(is_closed).filter(|closed| *closed).count();
    assert!(closed >= 90, "{closed} of the oldest 100 were closed");
}
