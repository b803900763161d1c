//! `notify`: what people would be told, and whether a channel works.

mod log;
mod route;

use std::collections::BTreeMap;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::output::{self, Failure};
use super::{Exit, run, setup};
use crate::base::{Clock, Redacted, entropy};
use crate::engine::RunState;
use crate::kind::Services;
use crate::notify::{self, DeliveryPolicy, Facts, Message, Occasion, Templates};
use crate::playbook::{Library, Notify};
use crate::report::escape_control;
use crate::runtime::{messages, routing};
use crate::site::Site;

#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Show a message as each channel would send it, and send nothing.
    Preview(PreviewArguments),
    /// Say which channels a message would go to, and why.
    Route(route::RouteArguments),
    /// Show what became of messages, those that wait too.
    Log {
        /// A run, or the beginning of its identifier.
        run: Option<String>,
    },
    /// Send one message that is marked as a test to a channel, and say how that went.
    Test {
        /// A channel of the site file, such as slack:ml-alerts.
        channel: String,
    },
}

#[derive(Debug, Args)]
pub struct PreviewArguments {
    /// The occasion.
    #[arg(value_parser = PossibleValuesParser::new(Occasion::ALL.map(Occasion::label)))]
    event: String,
    /// A playbook, whose channels and wording are used, with a made-up run. Default: every channel of the site file.
    #[arg(long, conflicts_with = "run")]
    playbook: Option<String>,
    /// A run, or the beginning of its identifier, in which the occasion arose.
    #[arg(long)]
    run: Option<String>,
    /// Only this channel.
    #[arg(long)]
    channel: Option<String>,
}

pub fn notify(config: Option<&Path>, command: &NotifyCommand) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    match command {
        NotifyCommand::Preview(arguments) => preview(&site, arguments),
        NotifyCommand::Route(arguments) => route::route(&site, arguments),
        NotifyCommand::Log { run } => log::log(&site, run.as_deref()),
        NotifyCommand::Test { channel } => test(site, channel),
    }
}

fn preview(site: &Site, arguments: &PreviewArguments) -> Result<Exit, Failure> {
    setup::block_on(async {
        site.meet_secrets().await;
        Ok(())
    })?;
    let on = Occasion::ALL.into_iter().find(|on| on.label() == arguments.event).unwrap_or(Occasion::Started);
    let (mut facts, told) = match (&arguments.run, &arguments.playbook) {
        (Some(run), _) => (of_run(site, run, on)?, None),
        (None, Some(playbook)) => of_playbook(site, playbook, on)?,
        (None, None) => (Facts::sample(on), None),
    };
    facts.link = site.link_to(&facts.run);
    let template = match on {
        Occasion::StatusUpdate => routing::updates(&site.notify, told.as_ref()).and_then(|it| it.template.as_deref()),
        _ => told.as_ref().and_then(|told| told.template.as_deref()),
    };
    let template = template.unwrap_or(notify::template::DEFAULT);
    let message = setup::templates(site)?.message(template, &facts);
    let message = Redacted::of(message).map_err(|error| Failure::because(Exit::Error, &error))?;
    for target in targets(site, arguments, told, &facts)? {
        show(site, &target, &message)?;
    }
    Ok(Exit::Done)
}

/// The channel that was named, else those of the playbook and of the routes that take it now, else all.
fn targets(
    site: &Site,
    arguments: &PreviewArguments,
    told: Option<Notify>,
    facts: &Facts,
) -> Result<Vec<String>, Failure> {
    if let Some(channel) = &arguments.channel {
        return Ok(vec![channel.clone()]);
    }
    let update = facts.on == Occasion::StatusUpdate;
    let routed = match &arguments.playbook {
        Some(playbook) if update || !site.notify.routes.is_empty() => routed(site, playbook, facts)?,
        _ => Vec::new(),
    };
    Ok(match told {
        Some(told) if !update => {
            told.to.iter().chain(routed.iter().filter(|channel| !told.to.contains(channel))).cloned().collect()
        }
        _ if !routed.is_empty() => routed,
        _ => notify::targets(site).into_iter().chain(["console".to_owned()]).collect(),
    })
}

/// Those who would be told now by the routes, with the reasons said.
fn routed(site: &Site, playbook: &str, facts: &Facts) -> Result<Vec<String>, Failure> {
    let library = Library::new(site.playbooks.clone());
    let header = library.find(playbook).map_err(|problems| Failure::diagnostics(&problems))?.header;
    let known = (facts.severity.as_str(), &BTreeMap::new(), &facts.inputs);
    let choice = route::of(site, Some(&header), facts.on, known, Clock::start().now());
    output::line("Now it goes to:");
    route::show(&choice);
    Ok(choice.told.into_iter().map(|told| told.channel).collect())
}

fn show(site: &Site, target: &str, message: &Message) -> Result<(), Failure> {
    let (channel, config) = resolve(site, target)?;
    let shown = (channel.preview)(config, message).map_err(|error| Failure::because(Exit::Error, &error))?;
    output::line(&format!("== {target} (not sent)"));
    shown.lines().for_each(|line| output::line(&escape_control(line)));
    Ok(())
}

fn resolve(site: &Site, target: &str) -> Result<(&'static notify::ChannelEntry, serde_json::Value), Failure> {
    notify::resolve(site, target).map_err(|error| Failure::new(Exit::Invalid, error.message).help(error.help))
}

/// The last event of the run on this occasion, with what was known then.
fn of_run(site: &Site, run: &str, on: Occasion) -> Result<Facts, Failure> {
    let journal = setup::open_journal(site)?;
    let run = run::named(journal.as_ref(), run)?;
    let records = journal.read(&run).map_err(|error| setup::journal_failure(&error))?;
    let arose = records.iter().rposition(|record| messages::occasion(&record.event) == Some(on));
    let missing = || Failure::new(Exit::Invalid, format!("run {run} has not been '{on}'"));
    let arose = arose.ok_or_else(|| missing().help("--playbook shows it for a made-up run".to_owned()))?;
    let state = RunState::replay(&records[..=arose]).map_err(|error| Failure::because(Exit::Error, &error))?;
    messages::facts(on, &records[arose], &state).ok_or_else(missing)
}

fn of_playbook(site: &Site, name: &str, on: Occasion) -> Result<(Facts, Option<Notify>), Failure> {
    let library = Library::new(site.playbooks.clone());
    let playbook = library.find(name).map_err(|problems| Failure::diagnostics(&problems))?;
    let header = playbook.header;
    let facts = Facts { playbook: header.name, title: header.title, code: header.code, ..Facts::sample(on) };
    Ok((facts, header.notify))
}

fn test(site: Site, target: &str) -> Result<Exit, Failure> {
    let (channel, config) = resolve(&site, target)?;
    let message = test_message(&site);
    let clock = Clock::start();
    let before = clock.now();
    let (policy, http) = (DeliveryPolicy::default(), Services::new(site, clock).http().clone());
    setup::block_on(async {
        let message = Redacted::of(message).map_err(|error| Failure::because(Exit::Error, &error))?;
        let delivery = notify::deliver(channel, config, message, http, policy, entropy::random()).await;
        let (took, tries) = (clock.now().since(before).as_millis(), delivery.attempts);
        match delivery.result {
            Ok(receipt) => {
                output::line(&escape_control(&format!(
                    "{target}: delivered in {took} ms ({tries} tried): {}",
                    receipt.text
                )));
                Ok(Exit::Done)
            }
            Err(error) => {
                let message = format!("{target}: not delivered after {took} ms ({tries} tried): {error}");
                Err(Failure::new(Exit::Error, escape_control(&message)))
            }
        }
    })
}

/// A message of no run, whose key belongs to no incident.
fn test_message(site: &Site) -> Message {
    let now = Clock::start().now();
    let name = || "notify-test".to_owned();
    let title = "[TEST] A test of this channel; nobody has to do anything".to_owned();
    let mut facts = Facts::new(name(), name(), title.clone(), Occasion::Started, now, now);
    facts.severity = "info".into();
    facts.link.clone_from(&site.url);
    let message = Templates::shipped().message(notify::template::DEFAULT, &facts);
    Message {
        subject: title,
        text: "This message was sent by `runbook notify test`.\n\nrunbook doctor".into(),
        command: "runbook doctor".into(),
        ..message
    }
}
