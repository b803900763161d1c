//! `notify route`: which channels a message would go to, and why.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value};

use super::super::Exit;
use super::super::output::{self, Failure};
use super::super::setup;
use crate::base::{Clock, Timestamp};
use crate::engine::event::Severity;
use crate::notify::Occasion;
use crate::notify::route::{Choice, Subject, Told, choose};
use crate::playbook::{Header, Library, Notify};
use crate::report::escape_control;
use crate::runtime::routing;
use crate::site::Site;

/// Where a name of a playbook is not given.
const ANY: &str = "any playbook";

#[derive(Debug, Args)]
pub struct RouteArguments {
    /// The occasion. Default: unresolved.
    #[arg(long, value_parser = PossibleValuesParser::new(Occasion::ALL.map(Occasion::label)), default_value = "unresolved")]
    on: String,
    /// The severity of the run.
    #[arg(long, value_parser = PossibleValuesParser::new(Severity::ALL.map(Severity::label)), default_value = "medium")]
    severity: String,
    /// A playbook, whose own channels, owner and system count too.
    #[arg(long)]
    playbook: Option<String>,
    /// A label of the alert that started the run.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// An input of the run.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// The moment: 03:00 of today, or 2026-12-24 18:00, in local time. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub fn route(site: &Site, arguments: &RouteArguments) -> Result<Exit, Failure> {
    let header = match &arguments.playbook {
        Some(name) => {
            let library = Library::new(site.playbooks.clone());
            Some(library.find(name).map_err(|problems| Failure::diagnostics(&problems))?.header)
        }
        None => None,
    };
    let at = moment(arguments.at.as_deref())?;
    let on = Occasion::ALL.into_iter().find(|on| on.label() == arguments.on).unwrap_or(Occasion::Unresolved);
    let labels = setup::pairs("label", &arguments.labels)?;
    let inputs = setup::pairs("input", &arguments.inputs)?;
    let inputs = Value::Object(inputs.into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, _>>());
    let facts = (arguments.severity.as_str(), &labels, &inputs);
    let choice = of(site, header.as_ref(), on, facts, at);
    let playbook = header.as_ref().map_or(ANY, |header| &header.name);
    output::line(&format!("{on} of {playbook}, severity {}, at {}", arguments.severity, at.to_local_date_time()));
    show(&choice);
    Ok(Exit::Done)
}

/// Severity, labels and inputs.
type Known<'a> = (&'a str, &'a BTreeMap<String, String>, &'a Value);

/// Who would be told at a moment.
pub fn of(site: &Site, header: Option<&Header>, on: Occasion, known: Known<'_>, at: Timestamp) -> Choice {
    if on == Occasion::StatusUpdate {
        return of_updates(site, header.and_then(|header| header.notify.as_ref()));
    }
    let named = header.map(|header| routing::named(site, header.notify.as_ref(), header, on)).unwrap_or_default();
    let (severity, labels, inputs) = known;
    let subject = Subject {
        on,
        severity,
        playbook: header.map_or(ANY, |header| &header.name),
        system: header.and_then(|header| header.system.as_deref()),
        owner: header.and_then(|header| header.owner.as_deref()),
        inputs,
        labels,
    };
    choose(&site.notify, &named, &subject, &|name| site.windows.get(name).is_some_and(|window| window.is_open(at)))
}

/// Status updates take no routes.
fn of_updates(site: &Site, notify: Option<&Notify>) -> Choice {
    let own = notify.is_some_and(|notify| notify.status.is_some());
    let why = if own {
        "the playbook names it in `notify: {status: …}`"
    } else {
        "`notify: {status: …}` of the site file"
    };
    let to = routing::updates(&site.notify, notify).into_iter().flat_map(|updates| &updates.to);
    let told = to.map(|channel| Told { channel: channel.clone(), why: why.to_owned() }).collect();
    Choice { told, ..Choice::default() }
}

/// Who is told and why, then which routes do not count and why.
pub fn show(choice: &Choice) {
    if choice.told.is_empty() {
        output::line("  nobody is told");
    }
    let width = choice.told.iter().map(|told| told.channel.len()).max().unwrap_or_default();
    for told in &choice.told {
        output::line(&escape_control(&format!("  {:width$}  {}", told.channel, told.why)));
    }
    for (route, why) in &choice.left_out {
        output::line(&escape_control(&format!("  not by {route}: {why}")));
    }
}

fn moment(text: Option<&str>) -> Result<Timestamp, Failure> {
    let now = Clock::start().now();
    let Some(text) = text else { return Ok(now) };
    let today = now.to_local_date_time();
    let of_today = || Timestamp::parse(&format!("{} {text}", today.split(' ').next().unwrap_or_default()));
    Timestamp::parse(text).or_else(of_today).ok_or_else(|| {
        Failure::new(Exit::Invalid, format!("'{text}' is no moment")).help("write 03:00 or 2026-12-24 18:00".to_owned())
    })
}
