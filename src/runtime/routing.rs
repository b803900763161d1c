//! Who is told of a message of a run, by its playbook and by the routes of the site.

use super::host::{Host, Prepared};
use crate::engine::event::Event;
use crate::notify::route::{self, Choice, Subject};
use crate::notify::{Facts, Occasion};
use crate::playbook::{Header, Notify};
use crate::site::Site;

/// Who is told of these facts now.
pub(super) fn choose(host: &Host, notify: Option<&Notify>, prepared: &Prepared, facts: &Facts) -> Choice {
    let (site, header) = (&host.services.site, &prepared.playbook.header);
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
    route::choose(&site.notify, &named, &subject, &is_open)
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

/// The choice as the journal keeps it.
pub(super) fn event(on: Occasion, choice: &Choice) -> Event {
    let to = choice.told.iter().map(|told| (told.channel.clone(), told.why.clone())).collect();
    Event::NotificationRouted { on: on.label().to_owned(), to, left_out: choice.left_out.clone() }
}
