//! The figures of `GET /metrics`, in the text format of Prometheus.
//!
//! ```text
//! durable events ── meter ──┐
//! facts of the desk ────────┼─► families ─► text
//! the thread that writes ───┤
//! the moment of the scrape ─┘
//! ```
//!
//! Counters count what became durable in this process and begin at nothing with each start, as Prometheus expects.
//! Labels have few values: names that the site file and the playbooks give, and words of this program.

mod families;
mod meter;
mod moment;

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::{Encoder, TextEncoder};

pub use families::Families;
pub use meter::Meter;
pub(super) use moment::take;

use crate::engine::intake::{Fact, Intake};
use crate::journal::{Group, Observer};

/// Where everything is counted; copies count into the same figures.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Families>);

impl Default for Metrics {
    fn default() -> Self {
        Metrics(Arc::new(Families::new()))
    }
}

impl Metrics {
    /// The figures as text, version 0.0.4 of the format.
    pub(super) fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing into memory does not fail, and the families are well formed, which a test makes sure of.
        if let Err(error) = TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            tracing::error!(%error, "bug: the figures cannot be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// What the type of the text is called.
    pub(super) fn content_type() -> &'static str {
        prometheus::TEXT_FORMAT
    }

    pub(super) fn families(&self) -> &Families {
        &self.0
    }

    /// Facts of the intake that are durable now; `intake` has taken them up.
    pub(super) fn desk_wrote(&self, facts: &[Fact], intake: &Intake) {
        let accepted: HashMap<u64, &str> = facts.iter().filter_map(accepted).collect();
        for fact in facts {
            let Some((ticket, count)) = counted(fact) else { continue };
            let playbook = accepted.get(&ticket).copied().or_else(|| playbook_of(intake, ticket));
            if let Some(playbook) = playbook {
                count(self.families(), playbook);
            }
        }
    }

    /// A request to a hook was answered.
    pub(super) fn hook_answered(&self, hook: &str, status: u16) {
        self.families().hook_requests.with_label_values(&[hook, status.to_string().as_str()]).inc();
    }

    /// So many alerts came with a request that was understood.
    pub(super) fn alerts_came(&self, hook: &str, count: usize) {
        self.families().alerts.with_label_values(&[hook]).inc_by(count as u64);
    }
}

type Count = fn(&Families, &str);

/// The ticket of a fact, and where the fact counts.
fn counted(fact: &Fact) -> Option<(u64, Count)> {
    Some(match fact {
        Fact::Accepted { ticket, .. } => (*ticket, |all, playbook| all.accepted.with_label_values(&[playbook]).inc()),
        Fact::Started { ticket, .. } => (*ticket, |all, playbook| all.begun.with_label_values(&[playbook]).inc()),
        Fact::Joined { ticket, .. } => (*ticket, |all, playbook| not_run(all, playbook, "joined")),
        Fact::Skipped { ticket, .. } => (*ticket, |all, playbook| not_run(all, playbook, "skipped")),
        Fact::Cancelled { ticket, .. } => (*ticket, |all, playbook| not_run(all, playbook, "cancelled")),
        Fact::Ended { ticket, outcome: None, .. } => {
            (*ticket, |all, playbook| all.broken_off.with_label_values(&[playbook]).inc())
        }
        // They change where a ticket waits, or tell what the events of its run tell.
        Fact::Held { .. }
        | Fact::Queued { .. }
        | Fact::Resolved { .. }
        | Fact::StopAsked { .. }
        | Fact::Ended { .. } => {
            return None;
        }
    })
}

fn not_run(families: &Families, playbook: &str, reason: &str) {
    families.not_run.with_label_values(&[playbook, reason]).inc();
}

fn accepted(fact: &Fact) -> Option<(u64, &str)> {
    match fact {
        Fact::Accepted { ticket, demand } => Some((*ticket, &demand.playbook)),
        _ => None,
    }
}

/// Whose run a ticket asks for that was accepted before.
fn playbook_of(intake: &Intake, ticket: u64) -> Option<&str> {
    let open = intake.tickets().get(&ticket).map(|ticket| ticket.demand.playbook.as_str());
    let mut closed = intake.closed().filter(|closed| closed.ticket == ticket);
    open.or_else(|| closed.next().map(|closed| closed.playbook.as_str()))
}

impl Observer for Metrics {
    fn wrote(&self, group: &Group<'_>) {
        let families = self.families();
        for waited in group.waited {
            families.append_seconds.observe(waited.as_secs_f64());
        }
        if let Some(took) = group.took {
            families.write_seconds.observe(took.as_secs_f64());
        }
        if !group.durable {
            families.append_failures.inc_by(group.waited.len() as u64);
        }
    }
}
