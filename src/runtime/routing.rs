//! Who is told of a message of a run, by its playbook and by the routes of the site.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::host::{Host, Prepared};
use crate::base::Timestamp;
use crate::engine::event::{Event, Severity};
use crate::notify::route::{self, Choice, Subject};
use crate::notify::{Facts, Occasion};
use crate::playbook::{Header, Notify};
use crate::site::notify::StatusUpdates;
use crate::site::{Notifications, Site};

/// Who is told of these facts now.
pub(super) fn choose(host: &Host, notify: Option<&Notify>, prepared: &Prepared, facts: &Facts) -> Choice {
    let (site, header) = (&host.services().site, &prepared.playbook.header);
    let named = named(site, notify, header, facts.on);
    let subject = Subject {
        on: facts.on,
        severity: &facts.severity,
        playbook: &facts.playbook,
        system: header.system.as_deref(),
        owner: header.owner.as_deref(),
        inputs: &facts.inputs,
        labels: &prepared.graph.header.labels,
    };
    // Windows follow the clock on the wall, as those of freezes do.
    let now = host.clock.now();
    let is_open = |window: &str| site.windows.get(window).is_some_and(|window| window.is_open(now));
    // How a called run fares is its caller's to tell; that it waits for somebody is told wherever it does.
    let its_callers = prepared.run.is_child() && !facts.on.is_urgent();
    let routes = if its_callers { &Notifications::default() } else { &site.notify };
    route::choose(routes, &named, &subject, &is_open)
}

/// The channels that a playbook names: those who asked to be told; of broken glass everybody who is told of anything,
/// and the owner.
pub fn named(site: &Site, notify: Option<&Notify>, header: &Header, on: Occasion) -> Vec<String> {
    let broken = on == Occasion::BreakGlass;
    let wanted = notify.filter(|notify| broken || notify.on.contains(&on));
    let owner = header.owner.as_ref().filter(|_| broken);
    let contact = owner.and_then(|owner| site.contacts.get(owner)).and_then(|contact| contact.channel.clone());
    wanted.iter().flat_map(|notify| notify.to.iter().cloned()).chain(contact).collect()
}

/// The status updates of a playbook: its own, else those of the site.
pub fn updates<'a>(site: &'a Notifications, notify: Option<&'a Notify>) -> Option<&'a StatusUpdates> {
    notify.and_then(|notify| notify.status.as_ref()).or(site.status.as_ref())
}

/// The choice as the journal keeps it.
pub(super) fn event(on: Occasion, choice: &Choice) -> Event {
    let to = choice.told.iter().map(|told| (told.channel.clone(), told.why.clone())).collect();
    Event::NotificationRouted { on: on.label().to_owned(), to, left_out: choice.left_out.clone() }
}

/// When a run that ends `unresolved` is told to nobody but the last resort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub severity: &'static str,
    /// The first such hour.
    pub at: Timestamp,
    /// Whether it is so at every hour and with every severity.
    pub always: bool,
}

/// The first hour of the week to come at which nobody was chosen to hear that a run without labels ends unresolved.
pub fn gap(site: &Site, header: &Header, now: Timestamp) -> Option<Gap> {
    let named = named(site, header.notify.as_ref(), header, Occasion::Unresolved);
    if !site.notify.default.is_empty() || !named.is_empty() {
        return None;
    }
    let (inputs, labels) = (Value::Null, BTreeMap::new());
    let mut gaps = Vec::new();
    for hour in 0..HOURS {
        let at = now.plus(Duration::from_secs(3600 * hour));
        let open: BTreeSet<&String> =
            site.windows.iter().filter(|(_, window)| window.is_open(at)).map(|(name, _)| name).collect();
        for severity in Severity::ALL.map(Severity::label) {
            let subject = Subject {
                on: Occasion::Unresolved,
                severity,
                playbook: &header.name,
                system: header.system.as_deref(),
                owner: header.owner.as_deref(),
                inputs: &inputs,
                labels: &labels,
            };
            let choice = route::choose(&site.notify, &named, &subject, &|name| open.iter().any(|one| *one == name));
            if choice.fell_through {
                gaps.push((severity, at));
            }
        }
    }
    let always = gaps.len() == HOURS as usize * Severity::ALL.len();
    gaps.first().map(|(severity, at)| Gap { severity, at: *at, always })
}

/// What to say of these playbooks when nobody was chosen to hear that they did not help; one line.
pub fn warning<'p>(site: &Site, playbooks: impl Iterator<Item = &'p Header>, now: Timestamp) -> Option<String> {
    let gaps: Vec<(&Header, Gap)> = playbooks.filter_map(|header| Some((header, gap(site, header, now)?))).collect();
    let (first, gap) = gaps.first()?;
    let when = match gap.always {
        true => String::new(),
        false => format!(" (severity {}, at {}, for example)", gap.severity, gap.at.to_local_date_time()),
    };
    let others = match gaps.len() - 1 {
        0 => String::new(),
        others => format!(" and of {others} more"),
    };
    let told = if site.notify.routes.is_empty() { "nobody is told" } else { "only the console is told" };
    Some(format!(
        "{told} when a run of {}{others} ends unresolved{when}: neither `notify` of the playbook nor a route of the \
         site file takes it; `notify: {{default: […]}}` in the site file does",
        first.name
    ))
}

/// A week: windows come back every week.
const HOURS: u64 = 7 * 24;
