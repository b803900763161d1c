//! Messages about a run: which events people are told about, through which channels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::escalations;
use super::host::{Host, Prepared};
use super::next_steps;
use super::routing;
use crate::base::value::show;
use crate::base::{Redacted, entropy};
use crate::engine::escalation::Follow;
use crate::engine::event::{AskedAnswer, Event, Outcome, Phase, Record, RunStarted, StepStatus};
use crate::engine::outbox::Item;
use crate::engine::{RunState, What};
use crate::notify::{self, Approval, DeliveryPolicy, Facts, Occasion, Receipt};
use crate::playbook::Notify;
use crate::site::Notifications;

pub(super) struct Messages {
    host: Arc<Host>,
    notify: Option<Notify>,
    sender: mpsc::UnboundedSender<What>,
    outstanding: usize,
    /// Where each channel goes on from; its messages wait for each other, so that an edit finds its message.
    threads: BTreeMap<String, Arc<Mutex<Option<String>>>>,
    /// Escalations and updates, which have a stream of their own.
    beside: TaskTracker,
    /// The run has ended.
    over: CancellationToken,
}

impl Messages {
    pub(super) fn new(host: Arc<Host>, notify: Option<Notify>, sender: mpsc::UnboundedSender<What>) -> Self {
        let (threads, beside, over) = (BTreeMap::new(), TaskTracker::new(), CancellationToken::new());
        Messages { host, notify, sender, outstanding: 0, threads, beside, over }
    }

    pub(super) fn all_delivered(&self) -> bool {
        self.outstanding == 0
    }

    pub(super) fn delivered(&mut self, count: usize) {
        self.outstanding = self.outstanding.saturating_sub(count);
    }

    /// Keeps people informed, if the playbook asks for it, until the run is over.
    pub(super) fn follow(&self, prepared: &Prepared) {
        let services = self.host.services();
        // Whom the site names hears of a called run by its caller.
        let nobody = Notifications::default();
        let of_the_site = if prepared.run.is_child() { &nobody } else { &services.site.notify };
        let status = routing::updates(of_the_site, self.notify.as_ref());
        let Some(status) = status.filter(|_| prepared.graph.look_only.is_none()) else { return };
        let template = status.template.clone().unwrap_or_else(|| Occasion::StatusUpdate.label().to_owned());
        let milliseconds = |seconds: f64| (seconds * 1_000.0) as u64;
        let (every_ms, usually_ms) = (milliseconds(status.every), status.usually.map(milliseconds));
        let updates = Follow { every_ms, to: status.to.iter().cloned().collect(), template, usually_ms };
        self.beside.spawn(self.host.clone().follow(prepared.run.clone(), updates, self.over.clone()));
    }

    /// Waits until whoever is told beside the run was told.
    pub(super) async fn end(&self) {
        self.over.cancel();
        self.beside.close();
        self.beside.wait().await;
    }

    /// Tells the first level of an escalation, and returns whom that reaches. Further levels are the server's.
    fn escalate(&self, record: &Record, state: &RunState) -> BTreeSet<String> {
        let Event::EscalationRaised { policy, .. } = &record.event else { return BTreeSet::new() };
        let severity = state.severity.map_or("medium", |severity| severity.label());
        let Some(ladder) = escalations::ladder(&self.host.services().site, policy, severity) else {
            return BTreeSet::new();
        };
        let (host, run) = (self.host.clone(), record.run.clone());
        self.beside.spawn(async move {
            match host.look_at(&run, None).await {
                Ok(taken) => taken.told().await,
                Err(error) => tracing::error!(%run, %error, "the escalation is told by the server, when there is one"),
            }
        });
        ladder.levels.into_iter().next().map(|level| level.to).unwrap_or_default()
    }

    /// Tells whoever wants to know about this event. A message that cannot be sent never stops a run.
    pub(super) fn after(&mut self, record: &Record, prepared: &Prepared, state: &RunState) {
        let Some(on) = occasion(&record.event).filter(|_| prepared.graph.look_only.is_none()) else { return };
        let Some(facts) = facts(on, record, state) else { return };
        let escalated = self.escalate(record, state);
        let mut choice = routing::choose(&self.host, self.notify.as_ref(), prepared, &facts);
        // Whom the first level reaches is told of it there; that somebody is told makes the last resort idle.
        let idle = choice.fell_through && !escalated.is_empty();
        choice.told.retain(|told| !idle && !escalated.contains(&told.channel));
        if choice.told.is_empty() && on == Occasion::BreakGlass {
            tracing::warn!("nobody is told of it: neither `notify` nor a channel of the owner names anybody");
        }
        if !choice.told.is_empty() || !choice.left_out.is_empty() {
            self.write_down(routing::event(on, &choice));
        }
        self.tell(facts, choice.told.into_iter().map(|told| told.channel), state);
    }

    /// Tells what was written down and not told when the program died.
    pub(super) fn catch_up(&mut self, records: &[Record], prepared: &Prepared) {
        let last = records.last().map(|record| record.at);
        for (position, record) in records.iter().enumerate() {
            let Some(on) = occasion(&record.event).filter(|_| prepared.graph.look_only.is_none()) else { continue };
            let owed = owed(on, &records[position + 1..]);
            // Who is told is written down in the turn after: what is older without it was told nobody.
            if owed.as_ref().is_some_and(BTreeSet::is_empty) || (owed.is_none() && Some(record.at) != last) {
                continue;
            }
            match RunState::replay(&records[..=position]) {
                Ok(state) => match (owed, facts(on, record, &state)) {
                    (Some(owed), Some(facts)) => self.tell(facts, owed.into_iter(), &state),
                    _ => self.after(record, prepared, &state),
                },
                Err(error) => tracing::error!("who was told in run {} is not known: {error}", record.run),
            }
        }
    }

    fn tell(&mut self, mut facts: Facts, targets: impl Iterator<Item = String>, state: &RunState) {
        facts.link = self.host.services().site.link_to(&facts.run);
        let template = self.notify.as_ref().and_then(|notify| notify.template.as_deref()).unwrap_or("default");
        let message = self.host.templates().message(template, &facts);
        if let Err(error) = Redacted::of(message.clone()) {
            return tracing::error!("a message of run {} is not sent: {error}", facts.run);
        }
        for target in targets {
            self.outstanding += 1;
            let kept = || Arc::new(Mutex::new(state.threads.get(&target).cloned()));
            let thread = self.threads.entry(target.clone()).or_insert_with(kept).clone();
            self.send(target, message.clone(), thread);
        }
    }

    fn write_down(&mut self, event: Event) {
        self.outstanding += 1;
        // The receiver lives as long as the driver.
        let _ = self.sender.send(What::Notified(event));
    }

    fn send(&self, target: String, message: notify::Message, thread: Arc<Mutex<Option<String>>>) {
        let (host, sender) = (self.host.clone(), self.sender.clone());
        tokio::spawn(async move {
            let mut thread = thread.lock_owned().await;
            let sent = match queue(&host, &target, &message, thread.as_ref()).await {
                Some(queued) => queued,
                None => deliver(&host, &target, message, thread.as_ref()).await,
            };
            if let Event::NotificationSent { thread: Some(next), .. } = &sent {
                *thread = Some(next.clone());
            }
            let _ = sender.send(What::Notified(sent));
        });
    }
}

impl Drop for Messages {
    /// A run that could not be gone on with keeps nobody informed.
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// The channels that were to be told on this occasion, before it came up again, and of which nothing more is known;
/// `None` when it is not known who was to be told.
fn owed(on: Occasion, later: &[Record]) -> Option<BTreeSet<String>> {
    let mut owed: Option<BTreeSet<String>> = None;
    for record in later.iter().take_while(|record| occasion(&record.event) != Some(on)) {
        match &record.event {
            Event::NotificationRouted { on: told, to, .. } if told == on.label() => {
                owed = Some(to.iter().map(|(channel, _)| channel.clone()).collect());
            }
            Event::NotificationSent { on: told, channel, .. } | Event::NotificationQueued { on: told, channel, .. }
                if told == on.label() =>
            {
                owed.get_or_insert_default().remove(channel);
            }
            _ => {}
        }
    }
    owed
}

/// Hands a message to the outbox, where there is one. What it cannot keep is sent at once.
async fn queue(host: &Host, target: &str, message: &notify::Message, thread: Option<&String>) -> Option<Event> {
    let outbox = host.outbox.get()?;
    let merges = notify::resolve(&host.services().site, target).ok()?.0.merges;
    // It is shown here, where the run is.
    if target == "console" {
        return None;
    }
    let urgent = message.on.is_urgent();
    let mark = if message.subject.starts_with("[DRILL] ") { "drill " } else { "" };
    let group = (merges && !urgent).then(|| format!("{mark}{} {}", message.playbook, message.on));
    let item = Item {
        channel: target.to_owned(),
        about: message.run.clone(),
        on: message.on.label().to_owned(),
        subject: message.subject.clone(),
        urgent,
        group,
        merges,
        message: serde_json::to_value(message).ok()?,
        thread: thread.cloned(),
    };
    let (on, subject) = (item.on.clone(), item.subject.clone());
    let number = outbox.take(item).await?.ok()?;
    Some(Event::NotificationQueued { on, channel: target.to_owned(), subject, number })
}

/// Sends a message to one channel and says how it went.
pub(super) async fn deliver(host: &Host, target: &str, message: notify::Message, thread: Option<&String>) -> Event {
    let (on, subject) = (message.on.label().to_owned(), message.subject.clone());
    let (attempts, result) = attempt(host, target, notify::Message { thread: thread.cloned(), ..message }).await;
    let (delivered, error, thread) = match result {
        Ok(receipt) => (Some(receipt.text), None, receipt.thread),
        Err(error) => (None, Some(error), None),
    };
    Event::NotificationSent { on, channel: target.to_owned(), subject, delivered, error, attempts, thread }
}

/// The number of attempts, and the receipt or why there is none.
pub(super) async fn attempt(host: &Host, target: &str, message: notify::Message) -> (u32, Result<Receipt, String>) {
    let message = match Redacted::of(message) {
        Ok(message) => message,
        Err(error) => return (0, Err(error.to_string())),
    };
    let (channel, config) = match notify::resolve(&host.services().site, target) {
        Ok(found) => found,
        Err(error) => return (0, Err(error.message)),
    };
    let http = host.services().http().clone();
    let delivery = notify::deliver(channel, config, message, http, DeliveryPolicy::default(), entropy::random()).await;
    (delivery.attempts, delivery.result.map_err(|error| error.to_string()))
}

/// Why people are told of an event, if they are.
pub fn occasion(event: &Event) -> Option<Occasion> {
    match event {
        Event::DetectionSettled { recheck: false, holds: Some(true), .. } => Some(Occasion::Started),
        Event::ApprovalAsked { .. } => Some(Occasion::Approval),
        Event::GlassBroken { .. } => Some(Occasion::BreakGlass),
        Event::EscalationRaised { .. } => Some(Occasion::Escalated),
        Event::RunFinished { outcome, .. } => match outcome {
            Outcome::Resolved | Outcome::Mitigated => Some(Occasion::Resolved),
            Outcome::Unresolved | Outcome::Rejected => Some(Occasion::Unresolved),
            Outcome::Parked => Some(Occasion::Parked),
            Outcome::Error => Some(Occasion::Error),
            Outcome::Healthy | Outcome::Cancelled => None,
        },
        _ => None,
    }
}

/// What people are told of an event, from the state of its run right after it; `None` before the run has started.
pub fn facts(on: Occasion, record: &Record, state: &RunState) -> Option<Facts> {
    let header = state.header.as_ref()?;
    let mut facts = Facts::new(
        record.run.to_string(),
        header.playbook.clone(),
        header.title.clone(),
        on,
        state.started_at,
        record.at,
    );
    facts.code = header.code.clone();
    facts.drill = header.is_drill();
    facts.inputs = header.inputs.clone();
    facts.severity = state.severity.map_or_else(|| "medium".to_owned(), |severity| severity.label().to_owned());
    let found = state.causes.iter().flatten().filter(|cause| cause.finding.holds == Some(true));
    facts.causes = found.map(|cause| (cause.finding.name.clone(), cause.title.clone())).collect();
    facts.actions_done = actions_done(header, state);
    facts.next_steps = next_steps::told(header, state);
    facts.fixing = next_steps::fixes(state).next().is_some();
    facts.affected = state.impact.as_ref().and_then(|impact| impact.affected.clone());
    facts.impact = state.impact.as_ref().and_then(|impact| impact.summary.clone());
    match &record.event {
        Event::RunFinished { outcome, why, .. } => {
            facts.outcome = Some(outcome.label().to_owned());
            facts.why = Some(why.clone());
        }
        Event::EscalationRaised { policy, why } => {
            facts.escalated_to = Some(policy.clone());
            facts.why = Some(why.clone());
        }
        Event::GlassBroken { key, by, reason } => {
            facts.why = Some(format!("{by} broke the glass and approved {key} alone: {reason}"));
        }
        Event::ApprovalAsked { key, summary, request, risk, expires_at, digest, answers, .. } => {
            facts.approval = Some(Approval {
                step: key.to_string(),
                summary: summary.clone(),
                request: show(request),
                risk: risk.label().to_owned(),
                expires_at: *expires_at,
                digest: digest.clone(),
                answers: needed(answers),
            });
        }
        _ => {}
    }
    Some(facts)
}

/// The answers that somebody has to give.
fn needed(answers: &[AskedAnswer]) -> Vec<String> {
    answers.iter().filter(|answer| answer.default.is_none()).map(|answer| answer.name.clone()).collect()
}

fn actions_done(header: &RunStarted, state: &RunState) -> Vec<String> {
    let passed = state.steps_of(Phase::Remediate).filter(|step| state.steps[*step].status == Some(StepStatus::Passed));
    passed
        .map(|step| {
            let step = &header.steps[step];
            step.help.clone().unwrap_or_else(|| step.id.clone())
        })
        .collect()
}
