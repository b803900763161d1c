//! The messages of an escalation, from the journal of its run.

use std::time::Duration;

use super::link::Links;
use super::{cases, now};
use crate::base::RunId;
use crate::engine::RunState;
use crate::engine::escalation::{Case, Words};
use crate::engine::event::{Event, Record};
use crate::journal::JournalError;
use crate::notify::{Facts, Message, Occasion};
use crate::runtime::host::Host;
use crate::runtime::messages;

#[derive(Debug, thiserror::Error)]
pub(super) enum WordingError {
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] JournalError),
    #[error("the journal of run {0} does not make sense")]
    Damaged(RunId),
}

/// The message to one channel, and where it goes on from.
pub(super) fn message(
    host: &Host,
    run: &RunId,
    notice: u64,
    words: &Words,
    channel: &str,
) -> Result<(Message, Option<String>), WordingError> {
    let damaged = || WordingError::Damaged(run.clone());
    let cases = cases(host.journal.as_ref())?;
    let case = cases.get(run).ok_or_else(damaged)?;
    let records = host.journal.read(run)?;
    let state = RunState::replay(&records).map_err(|_| damaged())?;
    let raised = records.iter().find(|record| matches!(record.event, Event::EscalationRaised { .. }));
    let about = raised.or(records.last()).ok_or_else(damaged)?;
    let about = Record { at: now(), ..about.clone() };
    let facts = messages::facts(occasion(words), &about, &state).ok_or_else(damaged)?;
    let facts = Facts { repeated: is_repeat(case, notice), ..told(host, case, words, channel, facts) };
    let template = match (words, &case.updates) {
        (Words::Update { .. }, Some(updates)) => updates.follow.template.as_str(),
        _ => "default",
    };
    let thread = case.threads.get(channel).or_else(|| state.threads.get(channel)).cloned();
    Ok((host.templates().message(template, &facts), thread))
}

fn is_repeat(case: &Case, notice: u64) -> bool {
    case.notices.iter().any(|told| told.notice == notice && told.repeats.is_some())
}

fn occasion(words: &Words) -> Occasion {
    match words {
        Words::Level { .. } | Words::Final => Occasion::Escalated,
        Words::Acknowledged => Occasion::Acknowledged,
        Words::Closed => Occasion::Resolved,
        Words::Update { .. } => Occasion::StatusUpdate,
    }
}

fn told(host: &Host, case: &Case, words: &Words, channel: &str, facts: Facts) -> Facts {
    let site = &host.services().site;
    let mut facts = Facts { link: site.link_to(&facts.run), ..facts };
    facts.update_every = case.updates.as_ref().map(|updates| Duration::from_millis(updates.follow.every_ms));
    let usually = case.updates.as_ref().and_then(|updates| updates.follow.usually_ms);
    facts.usually = usually.map(Duration::from_millis);
    match words {
        Words::Level { level, .. } => {
            let names = case.climb.as_ref().and_then(|climb| climb.ladder.levels.get(*level as usize - 1));
            facts.escalated_to = names.map(|level| site.introduce(&level.names));
            ask(host, case, channel, &mut facts);
        }
        Words::Final => {
            facts.why = Some("nobody has acknowledged the escalation".into());
            ask(host, case, channel, &mut facts);
        }
        Words::Acknowledged => {
            let answer = case.acknowledged.as_ref();
            let by = answer.map(|answer| format!("Acknowledged by {}", answer.by));
            let reason = answer.map(|answer| answer.reason.as_str()).filter(|reason| !reason.is_empty());
            facts.why = by.map(|by| reason.map_or_else(|| by.clone(), |reason| format!("{by}: {reason}")));
        }
        Words::Closed => {
            facts.why = case.closed.as_ref().map(|closed| closed.why.clone());
            facts.outcome = Some("resolved".into());
        }
        Words::Update { status } => {
            facts.why = None;
            facts.outcome = (status == "Resolved").then(|| "resolved".into());
        }
    }
    facts
}

/// With a page to answer on, where the site file says how people reach the server. What the console shows is also
/// kept in the journal, and there a command is as good.
fn ask(host: &Host, case: &Case, channel: &str, facts: &mut Facts) {
    facts.asks = true;
    let services = host.services();
    let Some(url) = services.site.url.as_ref().filter(|_| channel != "console") else { return };
    match Links::of(&services.site.state) {
        Ok(links) => {
            let path = links.path(&case.run, channel, now());
            facts.acknowledge = Some(format!("{}{path}", url.trim_end_matches('/')));
        }
        Err(error) => tracing::warn!(%error, "messages have no page to answer on"),
    }
}
