//! `ack` and `escalate`: taking over an escalation, and asking for the next level of one.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::output::{self, Failure};
use super::{Exit, run, setup};
use crate::base::{RunId, environment};
use crate::engine::escalation::{Case, Sent, What, Words};
use crate::journal::Journal;
use crate::report::{FanOut, escape_control};
use crate::runtime::escalations::cases;
use crate::runtime::{Host, Nobody};
use crate::server::is_serving;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct AckArguments {
    /// The run, or the beginning of its identifier.
    run: String,
    /// Why, or what you are doing about it; those who were told are told this too.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// The fault is gone: close the escalation as well, and tell those who were told.
    #[arg(long)]
    close: bool,
}

#[derive(Debug, Args)]
pub struct EscalateArguments {
    /// The run, or the beginning of its identifier.
    run: String,
}

pub fn ack(config: Option<&Path>, arguments: &AckArguments) -> Result<Exit, Failure> {
    let (host, case) = opened(config, &arguments.run)?;
    let by = environment::user();
    let reason = arguments.reason.trim().to_owned();
    let mut whats = Vec::new();
    if case.acknowledged.is_none() {
        let (by, reason) = (by.clone(), reason.clone());
        whats.push(What::Acknowledge { case: case.run.clone(), by, reason, way: "command".into() });
    } else if !arguments.close {
        let by = case.acknowledged.as_ref().map_or("", |answer| answer.by.as_str());
        output::line(&format!("{} has acknowledged it already.", escape_control(by)));
        return Ok(Exit::Done);
    }
    if arguments.close {
        let why = if reason.is_empty() { format!("closed by {by}") } else { format!("closed by {by}: {reason}") };
        whats.push(What::Close { case: case.run.clone(), why });
    }
    let case = carry_out(&host, &case.run, whats)?;
    output::line(if arguments.close { "Closed." } else { "Acknowledged: no further level is told." });
    told(&case);
    Ok(Exit::Done)
}

pub fn escalate(config: Option<&Path>, arguments: &EscalateArguments) -> Result<Exit, Failure> {
    let (host, case) = opened(config, &arguments.run)?;
    if let Some(answer) = &case.acknowledged {
        let message = format!("{} has acknowledged it; no further level is told", answer.by);
        return Err(Failure::new(Exit::Invalid, message));
    }
    let before = case.notices.len();
    let case = carry_out(&host, &case.run, vec![What::Next { case: case.run.clone() }])?;
    if case.notices.len() == before {
        return Err(Failure::new(Exit::Invalid, "every level was told"));
    }
    told(&case);
    Ok(Exit::Done)
}

/// The open escalation that stands for a run.
fn opened(config: Option<&Path>, named: &str) -> Result<(Arc<Host>, Case), Failure> {
    let site = setup::site(config)?;
    let journal = setup::journal(&site)?;
    let run = run::named(journal.as_ref(), named)?;
    let case = of(journal.as_ref(), &run)?.ok_or_else(|| {
        let help = "a playbook asks for it by `escalate: {policy: …}`, which the site file has to know";
        Failure::new(Exit::Invalid, format!("run {run} was not escalated")).help(help.to_owned())
    })?;
    if let Some(closed) = &case.closed {
        let why = escape_control(&closed.why).to_string();
        return Err(Failure::new(Exit::Invalid, format!("the escalation is closed: {why}")));
    }
    let host = setup::host(site, journal, Arc::new(Nobody), FanOut::new(Vec::new()))?;
    Ok((host, case))
}

/// The case that stands for a run.
pub fn of(journal: &dyn Journal, run: &RunId) -> Result<Option<Case>, Failure> {
    let cases = cases(journal).map_err(|error| setup::journal_failure(&error))?;
    Ok(cases.standing_for(run).cloned())
}

/// Waits until everybody was told.
fn carry_out(host: &Arc<Host>, run: &RunId, whats: Vec<What>) -> Result<Case, Failure> {
    setup::block_on(async {
        let taken = host.escalations(whats).await.map_err(|error| setup::journal_failure(&error))?;
        taken.told().await;
        Ok(())
    })?;
    of(host.journal.as_ref(), run)?.ok_or_else(|| Failure::new(Exit::Error, "bug: the escalation is gone"))
}

/// How the last message of a case went.
fn told(case: &Case) {
    let Some(notice) = case.notices.last() else { return };
    for (channel, sent) in &notice.to {
        let how = match sent {
            Sent::Delivered { .. } => "told".to_owned(),
            Sent::Failed { error } => format!("not told: {error}"),
            Sent::Pending | Sent::Doubtful => "it is not known whether it was told".to_owned(),
        };
        output::line(&format!("{channel}: {}", escape_control(&how)));
        if let (Sent::Delivered { receipt }, "console") = (sent, channel.as_str()) {
            output::message(receipt);
        }
    }
}

/// Shows the newest of these messages, if the console was told it.
fn show_last(case: &Case, wanted: fn(&Words) -> bool) {
    let last = case.notices.iter().rev().find(|notice| wanted(&notice.words));
    if let Some(Sent::Delivered { receipt }) = last.and_then(|notice| notice.to.get("console")) {
        output::message(receipt);
    }
}

/// After a run: whom its escalation has told, and who tells the next ones.
pub fn say(site: &Site, journal: &dyn Journal, run: &RunId) {
    let Ok(Some(case)) = of(journal, run) else { return };
    if case.run == *run {
        show_last(&case, |words| matches!(words, Words::Update { .. }));
    }
    let Some(climb) = case.climb.as_ref().filter(|_| case.closed.is_none()) else { return };
    if case.run != *run {
        return output::error(&format!("Escalated already with run {}: `runbook ack {}`.", case.run, case.run));
    }
    show_last(&case, |words| matches!(words, Words::Level { .. }));
    let names = climb.current().map(|level| site.introduce(&level.names)).unwrap_or_default();
    output::error(&format!("Escalated to level {} ({names}). `runbook ack {run}` takes over.", climb.level));
    let further = (climb.level as usize) < climb.ladder.levels.len() || climb.ladder.repeat > 0;
    let timed = climb.ladder.levels.iter().any(|level| level.within_ms.is_some());
    if further && timed && !is_serving(&site.state) {
        output::error("Further levels are told by `runbook serve`, which is not running here.");
    } else if further && !timed {
        output::error(&format!("`runbook escalate {run}` tells the next level."));
    }
}
