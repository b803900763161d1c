//! `notify log`: what became of messages.

use super::super::output::{self, Failure};
use super::super::{Exit, run, setup};
use crate::engine::Event;
use crate::engine::outbox::{Closed, Waiting};
use crate::report::escape_control;
use crate::runtime::outbox;
use crate::site::Site;

pub fn log(site: &Site, named: Option<&str>) -> Result<Exit, Failure> {
    match named {
        Some(named) => of_run(site, named)?,
        None => of_outbox(site)?,
    }
    Ok(Exit::Done)
}

/// Where the messages of a run went, why, and how that went.
fn of_run(site: &Site, named: &str) -> Result<(), Failure> {
    let journal = setup::open_journal(site)?;
    let run = run::named(journal.as_ref(), named)?;
    let records = journal.read(&run).map_err(|error| setup::journal_failure(&error))?;
    let outbox = outbox::read(journal.as_ref()).map_err(|error| setup::journal_failure(&error))?;
    for record in &records {
        let at = record.at.to_local_date_time();
        match &record.event {
            Event::NotificationRouted { on, to, left_out } => {
                say(&format!("{at}  {on}"));
                to.iter().for_each(|(channel, why)| say(&format!("    to {channel}: {why}")));
                left_out.iter().for_each(|(route, why)| say(&format!("    not by {route}: {why}")));
            }
            Event::NotificationSent { on, channel, delivered, error, .. } => {
                say(&format!("{at}  {on}: {}", went(channel, delivered.as_deref(), error.as_deref())));
            }
            Event::NotificationQueued { on, channel, number, .. } => {
                let gone = outbox.closed().find(|closed| closed.messages.iter().any(|(one, ..)| one == number));
                let became = match gone {
                    Some(gone) => format!(
                        "{} {}",
                        gone.at.to_local_date_time(),
                        went(channel, gone.delivered.as_deref(), gone.error.as_deref())
                    ),
                    None if outbox.waiting().contains_key(number) => format!("{channel} waits"),
                    None => format!("{channel} is on its way, or went long ago"),
                };
                say(&format!("{at}  {on}: message {number} of the outbox: {became}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What waits, and what went out last.
fn of_outbox(site: &Site) -> Result<(), Failure> {
    let journal = setup::open_journal(site)?;
    let outbox = outbox::read(journal.as_ref()).map_err(|error| setup::journal_failure(&error))?;
    outbox.closed().for_each(sent);
    for (number, Waiting { item, taken_at }) in outbox.waiting() {
        let since = taken_at.to_local_date_time();
        say(&format!("{since}  message {number} to {} waits: {} of run {}", item.channel, item.on, item.about));
    }
    if outbox.is_empty() && outbox.closed().next().is_none() {
        output::line(
            "Nothing has gone through the outbox: messages of `runbook run` and of sites without `group` and \
                      `limit` are sent at once; `runbook notify log RUN` has them.",
        );
    }
    Ok(())
}

fn sent(closed: &Closed) {
    let to = went(&closed.channel, closed.delivered.as_deref(), closed.error.as_deref());
    say(&format!("{}  {to}", closed.at.to_local_date_time()));
    for (number, run, on, subject) in &closed.messages {
        say(&format!("    message {number}, {on} of run {run}: {subject}"));
    }
}

fn went(channel: &str, delivered: Option<&str>, error: Option<&str>) -> String {
    match (delivered, error) {
        (Some(receipt), _) => format!("{channel} was told ({})", receipt.lines().next().unwrap_or_default()),
        (None, Some(error)) => format!("{channel} was not told: {error}"),
        (None, None) => format!("{channel} was not told"),
    }
}

fn say(line: &str) {
    output::line(&escape_control(line));
}
