//! `serve`: takes events, starts runs and answers people until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{self, Failure, LogFormat};
use super::{Exit, setup};
use crate::engine::{Event, Record};
use crate::report::{FanOut, Reporter, escape_control};
use crate::runtime::{Nobody, stop_requests};
use crate::server::{Meter, Metrics, NotReloaded, Reloaded, Reloader, Server, Supervisor, Watch};
use crate::site::Site;

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// How messages are written to standard error: for people, or one JSON object a line for programs, with the
    /// beginning and end of each run among them.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

pub fn serve(config: Option<&Path>, arguments: &ServeArguments) -> Result<Exit, Failure> {
    // The page of a run shows what its steps print.
    let site = Site { live_output: true, ..setup::site(config)? };
    let unattended = site.serve.tokens.is_empty();
    let (watch, metrics) = (Watch::default(), Metrics::default());
    // Without the word about runs that were left behind: the server goes on with its own.
    let journal = setup::observed_journal(&site, Arc::new(metrics.clone()))?;
    let meter = Meter::new(metrics.clone(), journal.clone());
    let reporter = FanOut::new(vec![Box::new(watch.clone()), Box::new(meter), Box::new(Lines(arguments.log_format))]);
    let host = setup::host(site, journal, Arc::new(Nobody), reporter)?;
    setup::block_on(async {
        let (server, reloaded) = Server::open(host, setup::site_file(config).map(Path::to_owned), watch, metrics)
            .await
            .map_err(|error| Failure::because(Exit::Invalid, &error).help(error.help()))?;
        say(&reloaded, arguments.log_format);
        if unattended {
            arguments
                .log_format
                .warn("warning: nobody can sign in or call the API: `serve: {tokens: …}` names who can");
        }
        let stop = CancellationToken::new();
        let supervisor = Supervisor::of_this_process();
        stop_with(stop.clone(), supervisor.clone())?;
        reload_with(server.reloader(), supervisor.clone(), arguments.log_format)?;
        output::line(&format!("Listening on {}", server.address()));
        supervisor.ready(&status(&reloaded));
        server.run(stop, supervisor).await;
        output::line("Stopped.");
        Ok(Exit::Done)
    })
}

/// The first Ctrl-C or SIGTERM lets runs come to their end, the second one does not wait.
fn stop_with(stop: CancellationToken, supervisor: Supervisor) -> Result<(), Failure> {
    let mut stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
    tokio::spawn(async move {
        while let Some(again) = stops.recv().await {
            if again {
                // What is interrupted goes on at the next start: nothing that matters is only in memory.
                std::process::exit(Exit::Stopped as i32);
            }
            supervisor.stopping();
            output::line("Stopping: nothing new starts; runs may come to their end.");
            stop.cancel();
        }
    });
    Ok(())
}

fn reload_with(reloader: Reloader, supervisor: Supervisor, format: LogFormat) -> Result<(), Failure> {
    let mut hangups = signal(SignalKind::hangup()).map_err(|error| Failure::because(Exit::Error, &error))?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            supervisor.reloading();
            let reloaded = reloader.reload().await;
            supervisor.ready(&reloaded.as_ref().map_or_else(|_| "not reloaded, see the log".to_owned(), status));
            match reloaded {
                Ok(reloaded) => say(&reloaded, format),
                Err(error) => format.warn(&format!("not reloaded, everything stays as it was: {}", refusal(&error))),
            }
        }
    });
    Ok(())
}

fn refusal(error: &NotReloaded) -> Failure {
    match error.problems() {
        [] => Failure::because(Exit::Invalid, error).help(error.help()),
        problems => Failure::diagnostics(problems),
    }
}

fn say(reloaded: &Reloaded, format: LogFormat) {
    for (file, problems) in &reloaded.problems {
        let wrong = Failure::diagnostics(problems);
        format.warn(&format!("{} is not valid; the last good one stays in use:\n{wrong}", file.display()));
    }
    for (file, problems) in &reloaded.unheard {
        let wrong = Failure::diagnostics(problems);
        format.warn(&format!("warning: {} means to tell people who would not hear of it:\n{wrong}", file.display()));
    }
    if reloaded.playbooks == 0 {
        format.warn("warning: there are no playbooks: `playbooks: […]` in the site file names their folders");
    }
    if let Some(gap) = &reloaded.gap {
        format.warn(&format!("warning: {gap}"));
    }
    for setting in &reloaded.restart {
        format.warn(&format!("`{setting}` has changed in the site file: that takes a restart"));
    }
    for (key, why) in &reloaded.idle {
        format.warn(&format!("{} starts nothing: {why}", escape_control(key)));
    }
    output::line(&status(reloaded));
}

impl LogFormat {
    /// Says what somebody should look at.
    fn warn(self, what: &str) {
        match self {
            LogFormat::Text => output::error(what),
            LogFormat::Json => tracing::warn!("{what}"),
        }
    }
}

fn status(reloaded: &Reloaded) -> String {
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", count(reloaded.playbooks, "playbook"), count(reloaded.triggers, "trigger"))
}

/// A line when a run starts, asks and ends, for the system's log.
struct Lines(LogFormat);

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
        match self.0 {
            LogFormat::Text => output::line(&format!("{} {}", record.run, escape_control(&what))),
            LogFormat::Json => tracing::info!(run = %record.run, "{what}"),
        }
    }
}
