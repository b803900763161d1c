//! Messages about a run: which events people are told about, through which channels.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::host::{Host, Prepared};
use crate::base::value::show;
use crate::base::{Redacted, entropy};
use crate::engine::event::{Event, Outcome, Phase, Record, StepStatus};
use crate::engine::{RunState, What};
use crate::notify::{self, Approval, DeliveryPolicy, Facts, Occasion};
use crate::playbook::Notify;

pub(super) struct Messages {
    host: Arc<Host>,
    notify: Option<Notify>,
    sender: mpsc::UnboundedSender<What>,
    outstanding: usize,
}

impl Messages {
    pub(super) fn new(host: Arc<Host>, notify: Option<Notify>, sender: mpsc::UnboundedSender<What>) -> Self {
        Messages { host, notify, sender, outstanding: 0 }
    }

    pub(super) fn all_delivered(&self) -> bool {
        self.outstanding == 0
    }

    pub(super) fn delivered(&mut self, count: usize) {
        self.outstanding = self.outstanding.saturating_sub(count);
    }

    /// Tells whoever wants to know about this event. A message that cannot be sent never stops a run.
    pub(super) fn after(&mut self, record: &Record, prepared: &Prepared, state: &RunState) {
        let Some(on) = occasion(&record.event).filter(|_| prepared.graph.look_only.is_none()) else { return };
        let targets = self.targets(on, prepared);
        if targets.is_empty() {
            if on == Occasion::BreakGlass {
                tracing::warn!("nobody is told of it: neither `notify` nor a channel of the owner names anybody");
            }
            return;
        }
        let facts = facts(on, record, prepared, state);
        let template = self.notify.as_ref().and_then(|notify| notify.template.as_deref()).unwrap_or("default");
        let message = match Redacted::of(self.host.templates.message(template, &facts)) {
            Ok(message) => message,
            Err(error) => return tracing::error!("a message of run {} is not sent: {error}", record.run),
        };
        for target in targets {
            self.outstanding += 1;
            self.send(target, message.clone(), on);
        }
    }

    /// Who is told: those who asked to be; of broken glass everybody who is told of anything, and the owner.
    fn targets(&self, on: Occasion, prepared: &Prepared) -> BTreeSet<String> {
        let broken = on == Occasion::BreakGlass;
        let wanted = self.notify.as_ref().filter(|notify| broken || notify.on.contains(&on));
        let mut targets: BTreeSet<String> = wanted.iter().flat_map(|notify| notify.to.iter().cloned()).collect();
        let owner = prepared.playbook.header.owner.as_ref().filter(|_| broken);
        let contact = owner.and_then(|owner| self.host.services.site.contacts.get(owner));
        targets.extend(contact.and_then(|contact| contact.channel.clone()));
        targets
    }

    fn send(&self, target: String, message: Redacted<notify::Message>, on: Occasion) {
        let (host, sender) = (self.host.clone(), self.sender.clone());
        tokio::spawn(async move {
            let subject = message.subject.clone();
            let (delivered, error, attempts) = match notify::resolve(&host.services.site, &target) {
                Ok((channel, config)) => {
                    let http = host.services.http().clone();
                    let delivery =
                        notify::deliver(channel, config, message, http, DeliveryPolicy::default(), entropy::random())
                            .await;
                    match delivery.result {
                        Ok(receipt) => (Some(receipt.0), None, delivery.attempts),
                        Err(error) => (None, Some(error.to_string()), delivery.attempts),
                    }
                }
                Err(error) => (None, Some(error.message), 0),
            };
            let sent = Event::NotificationSent {
                on: on.label().to_owned(),
                channel: target,
                subject,
                delivered,
                error,
                attempts,
            };
            let _ = sender.send(What::Notified(sent));
        });
    }
}

fn occasion(event: &Event) -> Option<Occasion> {
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

fn facts(on: Occasion, record: &Record, prepared: &Prepared, state: &RunState) -> Facts {
    let header = &prepared.graph.header;
    let mut facts = Facts::new(
        record.run.to_string(),
        header.playbook.clone(),
        header.title.clone(),
        on,
        state.started_at,
        record.at,
    );
    facts.code = header.code.clone();
    facts.inputs = header.inputs.clone();
    facts.severity = state.severity.map_or_else(|| "medium".to_owned(), |severity| severity.label().to_owned());
    let found = state.causes.iter().flatten().filter(|cause| cause.finding.holds == Some(true));
    facts.causes = found.map(|cause| (cause.finding.name.clone(), cause.title.clone())).collect();
    facts.actions_done = actions_done(prepared, state);
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
        Event::ApprovalAsked { key, summary, request, risk, expires_at, digest, .. } => {
            facts.approval = Some(Approval {
                step: key.to_string(),
                summary: summary.clone(),
                request: show(request),
                risk: risk.label().to_owned(),
                expires_at: *expires_at,
                digest: digest.clone(),
            });
        }
        _ => {}
    }
    facts
}

fn actions_done(prepared: &Prepared, state: &RunState) -> Vec<String> {
    let passed = state.steps_of(Phase::Remediate).filter(|step| state.steps[*step].status == Some(StepStatus::Passed));
    passed
        .map(|step| {
            let step = &prepared.graph.steps[step];
            step.help.clone().unwrap_or_else(|| step.id.clone())
        })
        .collect()
}
