//! What is wrong with escalations: policies that there are not, levels that reach nobody, times that make no sense.

use super::model::Playbook;
use crate::base::suggestion::did_you_mean;
use crate::base::{Diagnostic, Route, Source};
use crate::site::escalation::Path;
use crate::site::{Policy, Site};
use crate::yaml::Node;

/// The policy of a playbook that the site file does not have. Without any policies there nothing is known of them.
pub(super) fn check_escalation(playbook: &Playbook, site: &Site) -> Vec<Diagnostic> {
    let Some(escalate) = &playbook.header.escalate else { return Vec::new() };
    let name = escalate.policy.as_str();
    if site.escalation.is_empty() || site.escalation.contains_key(name) || site.contacts.contains_key(name) {
        return Vec::new();
    }
    let known = site.escalation.keys().chain(site.contacts.keys()).map(String::as_str);
    let help = did_you_mean(name, known);
    let at = playbook.root.locate(&Route::of(["escalate", "policy"]));
    let message = format!("the site file has no escalation policy or contact '{name}'");
    vec![Diagnostic::error("unknown-policy", message).at(&playbook.source, at).help(help)]
}

/// Mistakes in the policies of the site file.
pub(super) fn check_site(root: &Node, source: &Source, site: &Site) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (name, policy) in &site.escalation {
        for (route, path) in paths(name, policy) {
            let found = of_path(site, &path, &route);
            problems.extend(found.into_iter().map(|(route, message, help)| {
                Diagnostic::error("bad-escalation", message).at(source, root.locate(&route)).help(help)
            }));
        }
    }
    problems
}

/// Every path of a policy, with its place in the site file.
fn paths(name: &str, policy: &Policy) -> Vec<(Route, Path)> {
    let place = Route::of(["escalation", name]);
    let by_severity = policy.by_severity.entries();
    let mut paths: Vec<(Route, Path)> =
        by_severity.map(|(severity, path)| (place.key("by_severity").key(severity), path.clone())).collect();
    // A table of severities needs no levels beside it: a severity without a path is told nobody.
    if paths.is_empty() || !policy.levels.is_empty() {
        paths.push((place, policy.path("")));
    }
    paths
}

/// Place, message, help.
fn of_path(site: &Site, path: &Path, place: &Route) -> Vec<(Route, String, Option<String>)> {
    let level = |position: usize| place.key("levels").index(position);
    let mut problems = Vec::new();
    if path.levels.is_empty() {
        let help = "for example: levels: [{tell: [slack:ml-alerts], within: 15m}]".to_owned();
        problems.push((place.clone(), "nobody is told: there are no levels".to_owned(), Some(help)));
    }
    if let Err(bad) = path.times() {
        let help = "give each level `within`, or each of them `until` since the beginning".to_owned();
        problems.push((level(bad.position), bad.to_string(), Some(help)));
    }
    for (position, each) in path.levels.iter().enumerate() {
        if each.tell.is_empty() {
            problems.push((level(position), format!("level {} tells nobody", position + 1), None));
        }
        problems.extend(unreached(site, &each.tell, &level(position).key("tell")));
    }
    problems.extend(unreached(site, &path.last, &place.key("final")));
    problems
}

/// Names that nobody is reached by.
fn unreached(site: &Site, names: &[String], place: &Route) -> Vec<(Route, String, Option<String>)> {
    let channels: Vec<String> =
        site.channels.iter().flat_map(|(kind, named)| named.keys().map(move |name| format!("{kind}:{name}"))).collect();
    let problem = |(position, name): (usize, &String)| {
        if !site.channels_of(name).is_empty() {
            return None;
        }
        let (message, help) = match site.contacts.contains_key(name) {
            true => (
                format!("no channel reaches '{name}'"),
                Some("give the contact or one of its members a `channel`".to_owned()),
            ),
            false => {
                let known = site.contacts.keys().chain(&channels).map(String::as_str);
                (format!("there is no contact or channel '{name}'"), did_you_mean(name, known))
            }
        };
        Some((place.index(position), message, help))
    };
    names.iter().enumerate().filter_map(problem).collect()
}
