//! `runbook serve`: one process that takes events, starts runs and answers people.
//!
//! ```text
//! connection ─ listen ─ route ─ access ─┬ hooks ─ matching ─► desk ─ append durably ─► 202
//!  bounded     TLS      table   role    │                      │
//!                                       ├ api                  └► runs ─► the loop of `runtime`
//!                                       └ page ─ api
//! ```
//!
//! The desk is the only writer of the intake's stream, as a driver is the only writer of its run's.

#![expect(clippy::result_large_err, reason = "a refusal is the answer itself, made once and sent; a box would hide it")]

mod access;
mod api;
mod browser;
mod connections;
mod desk;
mod door;
mod escalations;
mod health;
mod listen;
mod matching;
mod metrics;
mod nowhere;
mod openapi;
mod pace;
mod page;
mod rehearsal;
mod reload;
mod reply;
mod route;
mod runs;
mod schedules;
mod sessions;
mod shelf;
mod silences;
mod supervisor;
mod timekeeper;
mod turns;
mod watch;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::base::{live, private};
use crate::journal::JournalError;
use crate::runtime::Host;
use crate::site::SecretError;
use crate::trigger::BadTrigger;

pub use access::{Access, Who};
pub use metrics::{Meter, Metrics};
pub use openapi::{document, routes_page};
pub use rehearsal::{Fate, NoRehearsal, Rehearsal, Stage, Verdict};
pub use reload::{NotReloaded, Reloader};
pub use route::{ROUTES, Route};
pub use schedules::{Armed, Kind, Last, Listed, armed, listed};
pub use shelf::Reloaded;
pub use supervisor::Supervisor;
pub use watch::Watch;

/// Why the server does not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{address} can be reached from other machines, and neither `tls` nor `behind_proxy` is set")]
    InClear { address: std::net::SocketAddr },
    #[error("the certificate or key of `serve.tls` cannot be used: {what}")]
    Tls { what: String },
    #[error("a token of `serve` cannot be had")]
    Secret(#[from] SecretError),
    #[error("{0}")]
    Trigger(#[from] BadTrigger),
    #[error("the site file has a trigger for '{0}', and there is no such playbook")]
    NoSuchPlaybook(String),
    #[error("`metrics: loopback` behind a proxy would show the figures to everybody whom the proxy lets through")]
    OpenMetrics,
    #[error("another `runbook serve` works on {state}")]
    Second { state: PathBuf },
    #[error("cannot lock the state folder {state}")]
    Lock { state: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Hook(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ServeError {
    /// What the reader can do next.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            ServeError::Listen { .. } => "is another `runbook serve` running? `serve: {address: …}` chooses another",
            ServeError::InClear { .. } => {
                "set `serve: {tls: {certificate: …, key: …}}`, or `behind_proxy: true` if a proxy ends TLS"
            }
            ServeError::Tls { .. } => "both are PEM files; `openssl x509 -in FILE -noout -text` shows a certificate",
            ServeError::Secret(_) => "correct the reference in the site file, or put the secret in its place",
            ServeError::Second { .. } => {
                "one server works on one journal; stop the other one, or give this one another `state`"
            }
            ServeError::OpenMetrics => "remove `metrics: loopback` from `serve`, and give Prometheus a token",
            ServeError::Lock { .. } => "the account of `runbook` needs to write there",
            ServeError::Hook(_) => "correct the hook in `serve.hooks` of the site file",
            ServeError::Trigger(_) => "correct the trigger; `runbook validate` checks playbooks",
            ServeError::NoSuchPlaybook(_) => "`runbook list` shows all playbooks",
            ServeError::Journal(error) => return Some(error.help().to_owned()),
        };
        Some(help.to_owned())
    }
}

/// How long Alertmanagers are waited for in the end.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// What every request needs.
pub struct Shared {
    pub(crate) host: Arc<Host>,
    door: RwLock<Arc<door::Door>>,
    sessions: sessions::Sessions,
    shelf: shelf::Shelf,
    desk: desk::Desk,
    timetable: timekeeper::Table,
    runs: Arc<runs::Runs>,
    watch: Watch,
    metrics: Metrics,
    health: health::Health,
    /// Places for those who look on.
    streams: Arc<Semaphore>,
    /// The place for the one who verifies the audit trail.
    verifying: Arc<Semaphore>,
    encryption: listen::Encryption,
    reloading: reload::Reloading,
    stopping: CancellationToken,
}

impl Shared {
    /// Who and what is let in now.
    fn door(&self) -> Arc<door::Door> {
        self.door.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the certificates of authorities, which takes milliseconds that the first alert should not wait for.
    fn read_trust_store(&self) {
        let services = self.host.services();
        tokio::task::spawn_blocking(move || drop(services.http().clone()));
    }

    /// The session that a request shows, and who has opened it.
    fn session_of(&self, headers: &HeaderMap) -> Option<(sessions::Session, Who)> {
        let id = browser::Cookie::of(&self.host.services().site.serve).read(headers)?;
        self.sessions.find(&id, self.host.clock.now())
    }
}

/// A server that listens and has not begun to answer.
pub struct Server {
    shared: Arc<Shared>,
    listener: listen::Listener,
    work: desk::Work,
    silences: silences::Keeper,
    timekeeper: timekeeper::Timekeeper,
    keeper: escalations::Keeper,
    /// Held for as long as the server runs.
    _alone: File,
}

impl Server {
    /// Opens the address, reads playbooks and what the intake knows. `host` reports to `watch`, and to a meter of
    /// `metrics`, which also observe the journal. `site_file` is what is read again later.
    pub async fn open(
        host: Arc<Host>,
        site_file: Option<PathBuf>,
        watch: Watch,
        metrics: Metrics,
    ) -> Result<(Self, Reloaded), ServeError> {
        let services = host.services();
        let site = &services.site;
        let alone = lock(&site.state)?;
        site.meet_secrets().await;
        live::clear(&site.state);
        let shelf = shelf::Shelf::new(host.clone());
        let reloaded = shelf.take(shelf.read(&host.same_site())?);
        let door = RwLock::new(Arc::new(door::Door::of(site).await?));
        let listener = listen::Listener::open(&site.serve).await?;
        let (stopping, runs) = (CancellationToken::new(), runs::Runs::new(host.clone()));
        let health = health::Health::new(host.clock);
        let told = desk::Told { beat: health.desk.clone(), metrics: metrics.clone() };
        let (desk, work) = desk::open(host.clone(), runs.clone(), stopping.clone(), told)?;
        host.open_outbox()?;
        let beat = health.scheduler.clone();
        let timekeeper = timekeeper::Timekeeper::open(host.clone(), desk.clone(), shelf.armed_source(), beat)?;
        let silences = silences::Keeper::open(host.clone(), desk.clone(), watch.clone())?;
        let keeper = escalations::Keeper::new(host.clone());
        let shared = Arc::new(Shared {
            door,
            sessions: sessions::Sessions::new(),
            shelf,
            desk,
            timetable: timekeeper.table(),
            runs,
            watch,
            metrics,
            health,
            verifying: Arc::new(Semaphore::new(1)),
            streams: Arc::new(Semaphore::new(site.serve.streams)),
            encryption: listener.encryption(),
            reloading: reload::Reloading::of(site_file),
            stopping,
            host,
        });
        Ok((Server { shared, listener, work, timekeeper, silences, keeper, _alone: alone }, reloaded))
    }

    /// Where it listens: scheme and address.
    pub fn address(&self) -> String {
        self.listener.address()
    }

    pub fn reloader(&self) -> reload::Reloader {
        reload::Reloader(self.shared.clone())
    }

    /// Answers until `stop` is cancelled; then lets runs come to their end for as long as the site file says. All the
    /// while the supervisor gets signs of life.
    pub async fn run(self, stop: CancellationToken, supervisor: Supervisor) {
        let Server { shared, listener, work, timekeeper, silences, keeper, _alone } = self;
        shared.read_trust_store();
        let desk = tokio::spawn(work.run());
        let time = tokio::spawn(timekeeper.run(shared.stopping.clone()));
        let escalations = tokio::spawn(keeper.run(shared.stopping.clone()));
        let last_look = CancellationToken::new();
        let silences = tokio::spawn(silences.run(last_look.clone()));
        let door = tokio::spawn(listener.run(route::router(shared.clone()), stop.child_token()));
        let alive = tokio::spawn(supervisor.keep_alive(shared.clone()));
        stop.cancelled().await;
        shared.stopping.cancel();
        let grace = Duration::from_secs_f64(shared.host.services().site.serve.grace);
        // What has not ended by then is interrupted as by a crash, and goes on at the next start.
        if tokio::time::timeout(grace, shared.runs.all_ended()).await.is_err() {
            tracing::warn!("some runs go on at the next start: they did not end within {grace:?}");
        }
        // What it has written down and not handed in is handed in at the next start.
        time.abort();
        escalations.abort();
        shared.desk.close().await;
        let _ = desk.await;
        alive.abort();
        last_look.cancel();
        // What it could not lift ends by itself.
        let _ = tokio::time::timeout(LAST_LOOK, silences).await;
        shared.host.close_outbox().await;
        door.abort();
    }
}

/// Two servers of one journal would both go on with the same runs, and each act in them.
fn lock(state: &Path) -> Result<File, ServeError> {
    let failed = |source| ServeError::Lock { state: state.to_owned(), source };
    private::create_folder(state).map_err(failed)?;
    let file = private::create(&state.join("serve.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::Second { state: state.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether a server works on the journal of this state folder.
pub fn is_serving(state: &Path) -> bool {
    // Opened without making it: looking leaves nothing behind.
    File::open(state.join("serve.lock")).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Opens the address of a listener; for tests of the room.
async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}
