//! The shim's side: watches over one program until nothing of it is left in doubt.
//!
//! Its standard input is the engine: first the request, then orders, and its end is the engine's.

use std::io::{self, BufRead, BufReader, Read as _, Stdin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustix::process::{getpid, set_child_subreaper, setsid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::launcher::{Launcher, Report};
use super::receipt::{Ended, Receipt};
use super::{KILL, Request, STOP};
use crate::action::process::cgroup::Leaf;
use crate::action::process::family::{Family, Kin};
use crate::action::process::group::Group;
use crate::action::process::{Finished, Identity, Launch, Orphan, StartError, Stop, Stopped, supervise};
use crate::kind::StepError;

/// How long the program of a dead engine may take to clean up: it is promised to be gone within two seconds.
const ORPHAN_GRACE: Duration = Duration::from_millis(800);
/// The engine ends an attempt at its time limit itself; the shim does when it is gone.
const AFTER_ENGINE: Duration = Duration::from_secs(1);
/// How often the processes of a step with a limit are counted.
const COUNT_AGAIN: Duration = Duration::from_millis(20);

/// Does what the request on standard input asks, and leaves its end in the receipt.
pub fn serve() -> io::Result<()> {
    // Its own session: what ends a terminal or the engine's group does not reach it. It fails for one that
    // leads a group already, which is as good.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let request: Request = serde_json::from_str(&line)?;
    drop(line);
    request.secrets.learn().map_err(io::Error::other)?;
    let receipt = Receipt::new(&request.receipt);
    let own = Identity::own().ok_or_else(|| io::Error::other("there is no /proc"))?;
    if !receipt.begin(own)? {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(see_through(request, input));
    let written = receipt.end(&ended);
    runtime.shutdown_background();
    written
}

async fn see_through(request: Request, input: BufReader<Stdin>) -> Ended {
    let receipt = Receipt::new(&request.receipt);
    let orders = Orders::listen(input).map_err(|error| StepError::because("cannot listen to the engine", &error))?;
    let leaf = request.cgroups.then(Leaf::make).flatten();
    let Request { mut launch, time_limit, orphan, .. } = request;
    launch.launcher = Some(launcher(&launch, &receipt, leaf.as_ref()));
    let orphaned = orders.orphaned.clone();
    let ended = run(&launch, leaf, orders, orphan, time_limit).await;
    let finished = Finished { adopted: orphaned.is_cancelled(), ..ended? };
    reported(&receipt, &launch, finished)
}

fn launcher(launch: &Launch, receipt: &Receipt, leaf: Option<&Leaf>) -> Launcher {
    if let Some(leaf) = leaf {
        leaf.limit(launch.confinement.limits.processes, launch.confinement.limits.memory);
    }
    Launcher {
        report: receipt.launch_report(),
        program: launch.program.clone(),
        shim: getpid().as_raw_nonzero().get(),
        cgroup: leaf.map(|leaf| leaf.folder().to_owned()),
        confinement: launch.confinement.clone(),
    }
}

async fn run(
    launch: &Launch,
    leaf: Option<Leaf>,
    orders: Orders,
    orphan: Orphan,
    time_limit: Duration,
) -> Result<Finished, StartError> {
    let (mut group, streams) = Group::spawn(launch, Kin::Reaper(leaf))?;
    let hurry = orders.hurry.clone();
    let (stop_sender, stop) = tokio::sync::oneshot::channel();
    let watch = watch(group.family(), orders, launch, orphan, time_limit).map(|stop| {
        // The program ended at the very moment; then nobody has to be stopped.
        let _ = stop_sender.send(stop);
    });
    let stop = async {
        match stop.await {
            Ok(stop) => stop,
            Err(_) => std::future::pending().await,
        }
    };
    let supervised = supervise(&mut group, streams, launch, stop, &hurry);
    tokio::pin!(watch, supervised);
    tokio::select! {
        finished = &mut supervised => finished,
        () = &mut watch => supervised.await,
    }
}

/// Waits for whatever ends the program before its time.
async fn watch(family: Arc<Family>, mut orders: Orders, launch: &Launch, orphan: Orphan, time_limit: Duration) -> Stop {
    let out_of_time = tokio::time::sleep(time_limit + AFTER_ENGINE);
    tokio::pin!(out_of_time);
    loop {
        let count = tokio::time::sleep(COUNT_AGAIN);
        tokio::select! {
            order = orders.next() => match order {
                Order::Stop => return Stop { why: Stopped::Cancelled, grace: launch.grace },
                Order::Reap => family.reap_orphans(),
                Order::Orphaned if orphan == Orphan::Finish => {}
                Order::Orphaned => return Stop { why: Stopped::Orphaned, grace: launch.grace.min(ORPHAN_GRACE) },
            },
            () = &mut out_of_time => {
                return Stop { why: Stopped::OutOfTime(time_limit), grace: launch.grace };
            }
            () = count, if launch.confinement.limits.processes.is_some() => {
                if let Some(stop) = too_many(&family, launch) {
                    return stop;
                }
            }
        }
    }
}

fn too_many(family: &Family, launch: &Launch) -> Option<Stop> {
    let most = launch.confinement.limits.processes?;
    let many = family.alive().len() > most as usize;
    // No grace: what multiplies must not get time for it.
    many.then_some(Stop { why: Stopped::Processes(most), grace: Duration::ZERO })
}

/// What the launcher has to say about the start.
fn reported(receipt: &Receipt, launch: &Launch, finished: Finished) -> Ended {
    let text = std::fs::read(receipt.launch_report()).unwrap_or_default();
    // A launcher that was stopped before it could report has started nothing.
    let report: Report = serde_json::from_slice(&text).unwrap_or_default();
    match report.failed {
        None => Ok(Finished { sandbox: report.sandbox, ..finished }),
        Some(failed) => Err(super::launch_error(&failed, &launch.program)),
    }
}

enum Order {
    /// A child or an inherited orphan has ended.
    Reap,
    Stop,
    Orphaned,
}

/// What the engine wants, or another one that has taken the attempt over.
struct Orders {
    orders: mpsc::UnboundedReceiver<Order>,
    terminated: tokio::signal::unix::Signal,
    children: tokio::signal::unix::Signal,
    /// No more grace.
    hurry: CancellationToken,
    orphaned: CancellationToken,
}

impl Orders {
    fn listen(mut input: BufReader<Stdin>) -> io::Result<Self> {
        let (sender, orders) = mpsc::unbounded_channel();
        let (hurry, orphaned) = (CancellationToken::new(), CancellationToken::new());
        let (hurried, alone) = (hurry.clone(), orphaned.clone());
        let read = move || {
            let mut byte = [0];
            while let Ok(1) = input.read(&mut byte) {
                if byte[0] == KILL {
                    hurried.cancel();
                }
                if matches!(byte[0], STOP | KILL) && sender.send(Order::Stop).is_err() {
                    return;
                }
            }
            alone.cancel();
            // Nobody listens any more when the program has ended.
            let _ = sender.send(Order::Orphaned);
        };
        std::thread::Builder::new().name("engine".into()).stack_size(64 << 10).spawn(read)?;
        let (terminated, children) = (signal(SignalKind::terminate())?, signal(SignalKind::child())?);
        Ok(Orders { orders, terminated, children, hurry, orphaned })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            Some(order) = self.orders.recv() => order,
            _ = self.terminated.recv() => Order::Stop,
            _ = self.children.recv() => Order::Reap,
        }
    }
}
