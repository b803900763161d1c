//! `freeze`, `unfreeze`, `breaker`, `holds`: what people say to all runs at once.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{self, Failure};
use super::{Exit, Format, setup, silence};
use crate::base::{Clock, Timestamp, environment, units};
use crate::engine::standing::{Order, Standing};
use crate::journal::Journal;
use crate::report::escape_control;
use crate::runtime::orders;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct FreezeArguments {
    /// Why; shown to everyone whose run is withheld, and kept in the audit trail.
    #[arg(long)]
    reason: String,
    /// How long, such as 2h. Default: until `runbook unfreeze`.
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
    duration: Option<String>,
    /// Until when, such as '2026-12-24 18:00' in local time, or with an offset as in 2026-12-24T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, Args)]
pub struct UnfreezeArguments {
    /// Why; kept in the audit trail.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub struct HoldsArguments {
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Subcommand)]
pub enum BreakerCommand {
    /// Let a playbook remediate a target again, after a person has found why the fix did not last.
    Close {
        /// The playbook.
        playbook: String,
        /// The target, as `runbook holds` shows it; none for a playbook whose budget knows no targets.
        #[arg(default_value = "", hide_default_value = true)]
        target: String,
        /// Why; kept in the audit trail.
        #[arg(long)]
        reason: String,
    },
}

pub fn freeze(config: Option<&Path>, arguments: &FreezeArguments) -> Result<Exit, Failure> {
    let now = Clock::start().now();
    let until = match (&arguments.duration, &arguments.until) {
        (Some(duration), _) => Some(now.plus(parse_duration(duration)?)),
        (None, Some(until)) => Some(parse_moment(until)?),
        (None, None) => None,
    };
    if let Some(until) = until.filter(|until| *until <= now) {
        let message = format!("{} has passed; nothing was frozen", until.to_local_date_time());
        return Err(Failure::new(Exit::Invalid, message));
    }
    let reason = given(&arguments.reason)?;
    give(config, now, Order::Frozen { by: environment::user(), reason, until })?;
    let end = match until {
        Some(until) => format!("until {}", until.to_local_date_time()),
        None => "until `runbook unfreeze --reason …`".to_owned(),
    };
    output::line(&format!("Frozen: no run changes anything {end}. Runs still look, and say what they would do."));
    Ok(Exit::Done)
}

pub fn unfreeze(config: Option<&Path>, arguments: &UnfreezeArguments) -> Result<Exit, Failure> {
    let now = Clock::start().now();
    let reason = given(&arguments.reason)?;
    let (_, standing) = journal_and_standing(config)?;
    if standing.freeze(now).is_none() {
        output::line("Nothing is frozen.");
        return Ok(Exit::Done);
    }
    give(config, now, Order::Unfrozen { by: environment::user(), reason })?;
    output::line("Unfrozen: runs may change something again.");
    Ok(Exit::Done)
}

pub fn breaker(config: Option<&Path>, command: &BreakerCommand) -> Result<Exit, Failure> {
    let BreakerCommand::Close { playbook, target, reason } = command;
    let reason = given(reason)?;
    let (_, standing) = journal_and_standing(config)?;
    if !standing.open_breakers().any(|(name, open, ..)| name == playbook && open == target) {
        let open: Vec<String> = standing.open_breakers().map(|(name, open, ..)| named(name, open)).collect();
        let help = if open.is_empty() { "no breaker is open".to_owned() } else { format!("open: {}", open.join("; ")) };
        let message = format!("the breaker of {} is not open", named(playbook, target));
        return Err(Failure::new(Exit::Invalid, message).help(help));
    }
    let order =
        Order::BreakerClosed { playbook: playbook.clone(), target: target.clone(), by: environment::user(), reason };
    give(config, Clock::start().now(), order)?;
    output::line(&format!("Closed: {} may remediate again; its budget begins anew.", named(playbook, target)));
    Ok(Exit::Done)
}

pub fn holds(config: Option<&Path>, arguments: &HoldsArguments) -> Result<Exit, Failure> {
    let now = Clock::start().now();
    let (site, standing) = journal_and_standing(config)?;
    let open_windows: Vec<&str> = site
        .windows
        .iter()
        .filter(|(_, window)| window.withhold && window.is_open(now))
        .map(|(name, _)| name.as_str())
        .collect();
    match arguments.format {
        Format::Json => output::json(&json!({
            "freeze": standing.freeze(now),
            "breakers": standing.open_breakers().map(|(playbook, target, since, why)| {
                json!({"playbook": playbook, "target": target, "since": since, "why": why})
            }).collect::<Vec<_>>(),
            "windows": open_windows,
            "silences": standing.silences(now).collect::<Vec<_>>(),
        })),
        Format::Text => show(&standing, &open_windows, now),
    }
    Ok(Exit::Done)
}

fn show(standing: &Standing, open_windows: &[&str], now: Timestamp) {
    let freeze = standing.freeze(now);
    if let Some(freeze) = freeze {
        let until = freeze.until.map(|until| format!(", until {}", until.to_local_date_time())).unwrap_or_default();
        let (since, reason) = (freeze.since.to_local_date_time(), escape_control(&freeze.reason));
        output::line(&format!("frozen since {since} by {}{until}: {reason}", escape_control(&freeze.by)));
    }
    for window in open_windows {
        output::line(&format!("the window '{window}' is open: nothing is changed while it is"));
    }
    let mut any = false;
    for (playbook, target, since, why) in standing.open_breakers() {
        any = true;
        let (what, since) = (format!("{}: {why}", named(playbook, target)), since.to_local_date_time());
        output::line(&format!("breaker open since {since}: {}", escape_control(&what)));
    }
    if freeze.is_none() && open_windows.is_empty() && !any {
        output::line("Nothing keeps runs from changing something.");
    }
    standing.silences(now).for_each(|silence| output::line(&silence::line(silence)));
}

fn named(playbook: &str, target: &str) -> String {
    if target.is_empty() { playbook.to_owned() } else { format!("{playbook} for {target}") }
}

/// Whoever reads the audit trail a year later needs more than an empty reason.
pub(super) fn given(reason: &str) -> Result<String, Failure> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Failure::new(Exit::Invalid, "the reason is empty").help("write --reason TEXT".to_owned()));
    }
    Ok(reason.to_owned())
}

pub(super) fn parse_duration(text: &str) -> Result<std::time::Duration, Failure> {
    units::parse_duration(text).map_err(|problem| Failure::new(Exit::Invalid, problem))
}

pub(super) fn parse_moment(text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text).ok_or_else(|| {
        Failure::new(Exit::Invalid, format!("'{text}' is no time"))
            .help("write it as '2026-12-24 18:00' in local time, or as 2026-12-24T18:00:00Z".to_owned())
    })
}

pub(super) fn journal_and_standing(config: Option<&Path>) -> Result<(Site, Standing), Failure> {
    let site = setup::site(config)?;
    let journal = setup::journal(&site)?;
    let standing = orders::standing(journal.as_ref()).map_err(|error| setup::journal_failure(&error))?;
    Ok((site, standing))
}

pub(super) fn give(config: Option<&Path>, now: Timestamp, order: Order) -> Result<u64, Failure> {
    let journal: std::sync::Arc<dyn Journal> = setup::journal(&setup::site(config)?)?;
    setup::block_on(async {
        orders::give(journal.as_ref(), now, order).await.map_err(|error| setup::journal_failure(&error))
    })
}
