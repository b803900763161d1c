//! `schedule`: what `runbook serve` runs by itself, when next, and how it went last.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::output::{self, Failure};
use super::{Exit, Format, setup};
use crate::base::{Clock, RunId, Timestamp, units};
use crate::engine::intake::{self, Intake};
use crate::engine::schedule::{self, Timetable};
use crate::playbook::{Library, library};
use crate::report::escape_control;
use crate::server::{Kind, Last, Listed, armed, listed};
use crate::site::Site;

#[derive(Debug, Args)]
pub struct ScheduleArguments {
    /// Only those of this playbook.
    playbook: Option<String>,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub fn schedule(config: Option<&Path>, arguments: &ScheduleArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    // One that is not valid is for `validate`; the others have their times nevertheless.
    let playbooks = library::valid(&Library::new(site.playbooks.clone()));
    let armed = armed(&site, &playbooks).map_err(|error| Failure::because(Exit::Invalid, &error).help(error.help()))?;
    let (timetable, intake) = known(&site)?;
    let mut all = listed(&armed, &timetable, &intake, Clock::start().now());
    all.retain(|one| arguments.playbook.as_ref().is_none_or(|playbook| *playbook == one.playbook));
    match arguments.format {
        Format::Json => output::json(&json!(all)),
        Format::Text if all.is_empty() => output::line("Nothing runs by itself. Triggers are `schedule` and `watch`."),
        Format::Text => all.iter().for_each(show),
    }
    Ok(Exit::Done)
}

/// What the journal knows, if there is one.
fn known(site: &Site) -> Result<(Timetable, Intake), Failure> {
    if !site.journal_file().exists() {
        return Ok((Timetable::default(), Intake::default()));
    }
    let journal = setup::open_journal(site)?;
    let read =
        |stream: &str| journal.read(&RunId::from(stream.to_owned())).map_err(|error| setup::journal_failure(&error));
    Ok((Timetable::replay(&read(schedule::STREAM)?), Intake::replay(&read(intake::STREAM)?)))
}

fn show(listed: &Listed) {
    output::line(&escape_control(&listed.name));
    if let Some(problem) = &listed.problem {
        output::line(&format!("  starts nothing: {}", escape_control(problem)));
    }
    match &listed.kind {
        Kind::Schedule { next, missed, last_missed, .. } => show_schedule(next, *missed, *last_missed),
        Kind::Watch { every_ms, holds, since, held_back } => show_watch(*every_ms, *holds, *since, *held_back),
    }
    if let Some(last) = &listed.last {
        output::line(&format!("  last    {}", account(last)));
    }
}

fn show_schedule(next: &[Timestamp], missed: u64, last_missed: Option<Timestamp>) {
    let times: Vec<String> = next.iter().map(|tick| tick.to_local_date_time()).collect();
    output::line(&format!("  next    {}", times.join(", ")));
    if let Some(last) = last_missed {
        output::line(&format!("  missed  {missed} that did not run; the latest missed {}", last.to_local_date_time()));
    }
}

fn show_watch(every_ms: u64, holds: bool, since: Option<Timestamp>, held_back: bool) {
    let every = units::show_duration(Duration::from_millis(every_ms));
    let state = if holds { "the detection holds" } else { "the detection does not hold" };
    let since = since.map(|since| format!(" since {}", since.to_local_date_time())).unwrap_or_default();
    output::line(&format!("  every {every}: {state}{since}"));
    if held_back {
        output::line("  held back: it changes too often; no run starts until it is calm");
    }
}

fn account(last: &Last) -> String {
    let came_to = match (&last.outcome, &last.run) {
        (Some(outcome), _) => format!("{outcome}: {}", last.why),
        (None, None) if last.why.is_empty() => "waits".to_owned(),
        (None, _) if last.why.is_empty() => "goes on".to_owned(),
        (None, _) => format!("did not run: {}", last.why),
    };
    let run = last.run.as_ref().map(|run| format!("{run} ")).unwrap_or_default();
    format!("{} {run}{}", last.at.to_local_date_time(), escape_control(&came_to))
}
