//! `serve`: takes events, starts runs and answers people until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{self, Failure};
use super::{Exit, setup};
use crate::engine::{Event, Record};
use crate::report::{FanOut, Reporter, escape_control};
use crate::runtime::{Nobody, stop_requests};
use crate::server::{Reloaded, ServeError, Server, Watch};

pub fn serve(config: Option<&Path>) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let watch = Watch::default();
    let reporter = FanOut::new(vec![Box::new(watch.clone()), Box::new(Lines)]);
    // Without the word about runs that were left behind: the server goes on with its own.
    let host = setup::host(site.clone(), setup::open_journal(&site)?, Arc::new(Nobody), reporter)?;
    setup::block_on(async {
        let (server, reloaded) = Server::open(host, watch).await.map_err(|error| failure(&error))?;
        say(&reloaded);
        let stop = CancellationToken::new();
        stop_with(stop.clone())?;
        reload_with(server.reloader())?;
        output::line(&format!("Listening on {}", server.address()));
        server.run(stop).await;
        output::line("Stopped.");
        Ok(Exit::Done)
    })
}

fn failure(error: &ServeError) -> Failure {
    Failure::because(Exit::Invalid, error).help(error.help())
}

/// The first Ctrl-C or SIGTERM lets runs come to their end, the second one does not wait.
fn stop_with(stop: CancellationToken) -> Result<(), Failure> {
    let mut stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
    tokio::spawn(async move {
        while let Some(again) = stops.recv().await {
            if again {
                // What is interrupted goes on at the next start: nothing that matters is only in memory.
                std::process::exit(Exit::Stopped as i32);
            }
            output::line("Stopping: nothing new starts; runs may come to their end.");
            stop.cancel();
        }
    });
    Ok(())
}

fn reload_with(reload: impl Fn() -> Result<Reloaded, ServeError> + Send + 'static) -> Result<(), Failure> {
    let mut hangups = signal(SignalKind::hangup()).map_err(|error| Failure::because(Exit::Error, &error))?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match reload() {
                Ok(reloaded) => say(&reloaded),
                Err(error) => output::error(&format!("not reloaded, everything stays as it was: {}", failure(&error))),
            }
        }
    });
    Ok(())
}

fn say(reloaded: &Reloaded) {
    for (file, problems) in &reloaded.problems {
        let wrong = Failure::diagnostics(problems);
        output::error(&format!("{} is not valid; the last good one stays in use:\n{wrong}", file.display()));
    }
    if let Some(gap) = &reloaded.gap {
        output::error(&format!("warning: {gap}"));
    }
    for (key, why) in &reloaded.idle {
        output::error(&format!("{} starts nothing: {why}", escape_control(key)));
    }
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    output::line(&format!("{}, {}", count(reloaded.playbooks, "playbook"), count(reloaded.triggers, "trigger")));
}

/// A line when a run starts, asks and ends, for the system's log.
struct Lines;

impl Reporter for Lines {
    fn report(&mut self, record: &Record) {
        let what = match &record.event {
            Event::RunStarted(_) | Event::RunFinished { .. } if record.run.is_child() => return,
            Event::RunStarted(started) => {
                format!("{} started by {}: {}", started.playbook, started.by, started.trigger)
            }
            Event::ApprovalAsked { key, .. } => format!("{key} waits for approval: `runbook approve {}`", record.run),
            Event::RunFinished { outcome, why, .. } => format!("{outcome}: {why}"),
            _ => return,
        };
        output::line(&format!("{} {}", record.run, escape_control(&what)));
    }
}
