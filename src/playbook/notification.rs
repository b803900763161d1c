//! What is wrong with how a playbook tells people: channels that there are not, templates that nobody has written.

use super::escalation::check_escalation;
use super::model::Playbook;
use crate::base::{Diagnostic, Route};
use crate::notify::{self, Templates};
use crate::site::Site;

/// Whom a playbook means to tell and the site does not have: channels, templates, the policy of its escalation.
pub fn check_people(playbook: &Playbook, site: &Site, templates: &Templates) -> Vec<Diagnostic> {
    let mut problems = check_notify(playbook, site, templates);
    problems.extend(check_escalation(playbook, site));
    problems
}

/// Without any channels in the site file nothing is known of them.
fn check_notify(playbook: &Playbook, site: &Site, templates: &Templates) -> Vec<Diagnostic> {
    let Some(notify) = &playbook.header.notify else { return Vec::new() };
    let place = Route::of(["notify"]);
    let mut named = vec![(place.clone(), &notify.to, &notify.template)];
    named.extend(notify.status.iter().map(|status| (place.key("status"), &status.to, &status.template)));
    let mut problems = Vec::new();
    let mut problem = |code, message: String, route: &Route, help: Option<String>| {
        let at = playbook.root.locate(route);
        problems.push(Diagnostic::error(code, message).at(&playbook.source, at).help(help));
    };
    for (place, channels, template) in named {
        for (position, channel) in channels.iter().enumerate().filter(|_| !site.channels.is_empty()) {
            if let Err(wrong) = notify::resolve(site, channel) {
                problem("unknown-channel", wrong.message, &place.key("to").index(position), wrong.help);
            }
        }
        if let Some(Err(wrong)) = template.as_deref().map(|template| templates.check(template)) {
            problem("unknown-template", wrong.to_string(), &place.key("template"), wrong.help());
        }
    }
    problems
}
