//! `silence`: what starts no run by itself for some time.

use std::path::Path;

use clap::{Args, Subcommand};

use super::orders::{give, given, journal_and_standing, parse_duration, parse_moment};
use super::output::{self, Failure};
use super::{Exit, Format};
use crate::base::{Clock, environment};
use crate::engine::standing::{Comparison, Matcher, Matches, Order, Silence, Unfit};
use crate::report::escape_control;

#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Let alerts, schedules and watches that fit start no run for some time. Runs by hand start as ever.
    Add(AddArguments),
    /// Show the silences whose time is not over.
    List {
        /// For people, or as JSON for programs.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// End a silence before its time.
    End {
        /// Its number, as `runbook silence list` shows it.
        silence: u64,
    },
}

#[derive(Debug, Args)]
pub struct AddArguments {
    /// A playbook that is not started; may be given several times. Default: any that the labels leave.
    #[arg(long = "playbook", value_name = "NAME")]
    playbooks: Vec<String>,
    /// What a label of the alert is, as in Alertmanager: team=a, team!=a, 'team=~"web|db"', 'team!~"test.*"'. A pattern is
    /// one for the whole value, and a label that is missing counts as an empty one. May be given several times, and all
    /// have to fit.
    #[arg(long = "label", value_name = "MATCHER")]
    labels: Vec<String>,
    /// How long, such as 2h.
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until", required_unless_present = "until")]
    duration: Option<String>,
    /// Until when, such as '2026-12-24 18:00' in local time, or with an offset as in 2026-12-24T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why; kept with everything that it kept from starting.
    #[arg(long)]
    reason: String,
}

pub fn silence(config: Option<&Path>, command: &SilenceCommand) -> Result<Exit, Failure> {
    match command {
        SilenceCommand::Add(arguments) => add(config, arguments),
        SilenceCommand::List { format } => list(config, *format),
        SilenceCommand::End { silence } => end(config, *silence),
    }
}

fn add(config: Option<&Path>, arguments: &AddArguments) -> Result<Exit, Failure> {
    let now = Clock::start().now();
    let until = match (&arguments.duration, &arguments.until) {
        (Some(duration), _) => now.plus(parse_duration(duration)?),
        (None, until) => parse_moment(until.as_deref().unwrap_or_default())?,
    };
    if until <= now {
        let message = format!("{} has passed; nothing was silenced", until.to_local_date_time());
        return Err(Failure::new(Exit::Invalid, message));
    }
    let matches = matches(arguments)?;
    let reason = given(&arguments.reason)?;
    let number = give(config, now, Order::Silenced { matches, by: environment::user(), reason, until })?;
    let until = until.to_local_date_time();
    output::line(&format!("Silence {number}: until {until} nothing that fits starts a run by itself."));
    Ok(Exit::Done)
}

fn matches(arguments: &AddArguments) -> Result<Matches, Failure> {
    let mut matches = Matches { playbooks: arguments.playbooks.iter().cloned().collect(), ..Matches::default() };
    for text in &arguments.labels {
        let matcher: Matcher = text.parse().map_err(|error| {
            let help = "write --label NAME=VALUE, such as --label host=gpu-3, or with != or =~ or !~".to_owned();
            Failure::because(Exit::Invalid, &error).help(help)
        })?;
        require(&mut matches, matcher)?;
    }
    matches.check().map_err(|error| {
        let failure = Failure::new(Exit::Invalid, error.to_string());
        match error {
            Unfit::Nothing => failure.help(format!("name what it is about with --playbook or --label; {FREEZE}")),
            Unfit::Everything(_) => {
                failure.help(format!("say what it is about with --playbook or another --label, too; {FREEZE}"))
            }
            Unfit::TooMany | Unfit::Pattern(..) => failure,
        }
    })?;
    Ok(matches)
}

const FREEZE: &str = "`runbook freeze` is for everything";

/// What has a value is written down as ever; only what is more than that is a matcher there.
fn require(matches: &mut Matches, matcher: Matcher) -> Result<(), Failure> {
    if matcher.comparison != Comparison::Is || matcher.value.is_empty() {
        matches.matchers.push(matcher);
        return Ok(());
    }
    let Matcher { label, value, .. } = matcher;
    match matches.labels.insert(label.clone(), value.clone()) {
        Some(other) if other != value => {
            let message = format!("nothing has '{other}' and '{value}' as its label {label}");
            let help = format!("one of them: --label '{label}=~\"A|B\"'");
            Err(Failure::new(Exit::Invalid, message).help(help))
        }
        _ => Ok(()),
    }
}

fn list(config: Option<&Path>, format: Format) -> Result<Exit, Failure> {
    let (_, standing) = journal_and_standing(config)?;
    let silences: Vec<&Silence> = standing.silences(Clock::start().now()).collect();
    match format {
        Format::Json => output::json(&serde_json::json!(silences)),
        Format::Text if silences.is_empty() => output::line("Nothing is silenced."),
        Format::Text => silences.into_iter().for_each(|silence| output::line(&line(silence))),
    }
    Ok(Exit::Done)
}

fn end(config: Option<&Path>, number: u64) -> Result<Exit, Failure> {
    let now = Clock::start().now();
    let (_, standing) = journal_and_standing(config)?;
    if !standing.silences(now).any(|silence| silence.number == number) {
        let help = "`runbook silence list` shows those that stand".to_owned();
        return Err(Failure::new(Exit::Invalid, format!("there is no silence {number}")).help(help));
    }
    give(config, now, Order::SilenceEnded { silence: number, by: environment::user() })?;
    output::line(&format!("Silence {number} has ended."));
    Ok(Exit::Done)
}

/// A silence in one line.
pub(super) fn line(silence: &Silence) -> String {
    let until = silence.until.to_local_date_time();
    let what = format!("{} by {}, until {until}: {}", silence.matches, silence.by, silence.reason);
    format!("silence {}: {}", silence.number, escape_control(&what))
}
