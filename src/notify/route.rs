//! Where a message goes: the channels that its playbook names, and those of the routes of the site that match it.
//! Pure; what is open at the moment is given.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Occasion;
use crate::base::value::show;
use crate::site::Notifications;
use crate::site::notify::{Route, Values, Wanted};

/// The channel of what nobody else takes, where the site names none.
const LAST_RESORT: &str = "console";

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub on: Occasion,
    pub severity: &'a str,
    pub playbook: &'a str,
    pub system: Option<&'a str>,
    pub owner: Option<&'a str>,
    pub inputs: &'a Value,
    /// Of the alert that started the run.
    pub labels: &'a BTreeMap<String, String>,
}

/// A channel, and why it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub channel: String,
    pub why: String,
}

/// Who is told, and which routes are not for the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Each channel once, with the first reason.
    pub told: Vec<Told>,
    /// Name of a route, and why it does not count.
    pub left_out: Vec<(String, String)>,
    /// Whether neither the playbook nor a route takes it.
    pub fell_through: bool,
}

impl Choice {
    fn add(&mut self, channel: &str, why: &str) {
        if !self.told.iter().any(|told| told.channel == channel) {
            self.told.push(Told { channel: channel.to_owned(), why: why.to_owned() });
        }
    }
}

/// Who is told of a message: `named` are the channels that the playbook names for it, `is_open` tells whether a
/// window of the site is open.
pub fn choose(
    rules: &Notifications,
    named: &[String],
    subject: &Subject<'_>,
    is_open: &dyn Fn(&str) -> bool,
) -> Choice {
    let mut choice = Choice::default();
    named.iter().for_each(|channel| choice.add(channel, "the playbook names it"));
    if subject.on == Occasion::BreakGlass {
        // Whoever breaks the glass must not be able to choose an hour at which nobody hears of it.
        rules.channels_of_routes().for_each(|channel| choice.add(channel, "a broken glass is told to all"));
    } else {
        follow(rules, subject, is_open, &mut choice);
    }
    choice.fell_through = choice.told.is_empty();
    if choice.fell_through && subject.on.calls_for_a_person() && (!rules.routes.is_empty() || !rules.default.is_empty())
    {
        let why = "neither the playbook nor a route takes it";
        rules.default.iter().for_each(|channel| choice.add(channel, why));
        if choice.told.is_empty() {
            choice.add(LAST_RESORT, why);
        }
    }
    choice
}

fn follow(rules: &Notifications, subject: &Subject<'_>, is_open: &dyn Fn(&str) -> bool, choice: &mut Choice) {
    let mut ended_by = None;
    for (position, route) in rules.routes.iter().enumerate() {
        let name = name(route, position);
        let verdict = match &ended_by {
            Some(earlier) => Err(format!("{earlier} stops before it")),
            None => matches(route, subject, is_open),
        };
        match verdict {
            Ok(why) => {
                route.to.iter().for_each(|channel| choice.add(channel, &format!("{name}: {why}")));
                ended_by = route.stop.then_some(name);
            }
            Err(why) => choice.left_out.push((name, why)),
        }
    }
}

/// What a route is called: by its name, or by its place.
pub fn name(route: &Route, position: usize) -> String {
    match &route.name {
        Some(name) => format!("route '{name}'"),
        None => format!("route {}", position + 1),
    }
}

/// Why a route takes the message, or why not.
fn matches(route: &Route, subject: &Subject<'_>, is_open: &dyn Fn(&str) -> bool) -> Result<String, String> {
    let mut because = wanted(&route.wanted, subject)?;
    if !route.within.is_empty() {
        let open = route.within.iter().find(|window| is_open(window));
        let open = open.ok_or_else(|| format!("it is not within {}", route.within.join(" or ")))?;
        because.push(format!("within {open}"));
    }
    if let Some(open) = route.outside.iter().find(|window| is_open(window)) {
        return Err(format!("it is within {open}"));
    }
    Ok(if because.is_empty() { "it takes every message".into() } else { because.join(", ") })
}

fn wanted(wanted: &Wanted, subject: &Subject<'_>) -> Result<Vec<String>, String> {
    let mut because = Vec::new();
    let lists = [
        ("severity", &wanted.severity, Some(subject.severity)),
        ("occasion", &wanted.occasions, Some(subject.on.label())),
        ("playbook", &wanted.playbooks, Some(subject.playbook)),
        ("system", &wanted.systems, subject.system),
        ("owner", &wanted.owners, subject.owner),
    ];
    for (what, list, is) in lists.into_iter().filter(|(_, list, _)| !list.is_empty()) {
        let fits = is.filter(|is| list.iter().any(|one| one == is));
        let differs = || match is {
            Some(is) => format!("the {what} is {is}, not {}", list.join(" or ")),
            None => format!("it has no {what}"),
        };
        because.push(format!("{what} {}", fits.ok_or_else(differs)?));
    }
    for (name, values) in &wanted.labels {
        because.push(valued("label", name, values, subject.labels.get(name).cloned())?);
    }
    for (name, values) in &wanted.inputs {
        because.push(valued("input", name, values, subject.inputs.get(name).map(show))?);
    }
    Ok(because)
}

fn valued(what: &str, name: &str, values: &Values, is: Option<String>) -> Result<String, String> {
    let is = is.ok_or_else(|| format!("it has no {what} {name}"))?;
    if values.contain(&is) {
        return Ok(format!("{what} {name}={is}"));
    }
    Err(format!("the {what} {name} is another one"))
}

impl Notifications {
    fn channels_of_routes(&self) -> impl Iterator<Item = &String> {
        let mut seen = BTreeSet::new();
        let all = self.routes.iter().flat_map(|route| &route.to).chain(&self.default);
        all.filter(move |channel| seen.insert(*channel))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(value: Value) -> Notifications {
        serde_json::from_value(value).expect("a section")
    }

    /// Night: the pager for what is bad and of the team; always: a channel for all but low ones.
    fn three() -> Notifications {
        rules(json!({"routes": [
            {"name": "pager", "match": {"severity": ["critical", "high"], "labels": {"team": "ml"}}, "within": ["night"],
             "to": ["pagerduty:ml"], "stop": true},
            {"match": {"severity": ["critical", "high", "medium"]}, "outside": ["night"], "to": ["slack:ops"]},
            {"name": "records", "match": {"occasions": ["resolved"], "inputs": {"provider": ["a", "b"]}}, "to": ["webhook:log"]},
        ], "default": ["email:ops"]}))
    }

    struct Case {
        on: Occasion,
        severity: &'static str,
        team: Option<&'static str>,
        night: bool,
        named: &'static [&'static str],
    }

    const CASE: Case =
        Case { on: Occasion::Unresolved, severity: "critical", team: Some("ml"), night: true, named: &[] };

    fn chosen(rules: &Notifications, case: &Case) -> Choice {
        let labels = case.team.map(|team| ("team".to_owned(), team.to_owned())).into_iter().collect();
        let (Case { on, severity, .. }, inputs) = (case, json!({"provider": "a"}));
        let (system, owner) = (Some("cad"), None);
        let subject = Subject { on: *on, severity, playbook: "p", system, owner, inputs: &inputs, labels: &labels };
        let named: Vec<String> = case.named.iter().map(|name| (*name).to_owned()).collect();
        choose(rules, &named, &subject, &|window| window == "night" && case.night)
    }

    fn channels(case: &Case) -> Vec<String> {
        chosen(&three(), case).told.into_iter().map(|told| told.channel).collect()
    }

    #[test]
    fn severity_label_and_hour_choose_the_channel_and_stop_ends_there() {
        assert_eq!(channels(&CASE), ["pagerduty:ml"]);
        let choice = chosen(&three(), &CASE);
        assert_eq!(choice.told[0].why, "route 'pager': severity critical, label team=ml, within night");
        assert_eq!(choice.left_out[0], ("route 2".into(), "route 'pager' stops before it".into()));
        assert_eq!(channels(&Case { night: false, ..CASE }), ["slack:ops"]);
        assert_eq!(channels(&Case { night: false, severity: "medium", ..CASE }), ["slack:ops"]);
    }

    #[test]
    fn routes_add_to_what_the_playbook_names_and_each_channel_is_told_once() {
        let named = Case { night: false, named: &["slack:own", "slack:ops"], ..CASE };
        assert_eq!(channels(&named), ["slack:own", "slack:ops"]);
        let choice = chosen(&three(), &named);
        assert!(choice.told.iter().all(|told| told.why == "the playbook names it"), "{choice:?}");
        let resolved = Case { on: Occasion::Resolved, night: false, ..CASE };
        assert_eq!(channels(&resolved), ["slack:ops", "webhook:log"]);
    }

    #[test]
    fn what_no_route_takes_goes_to_the_default_when_it_calls_for_a_person() {
        let other = Case { team: Some("web"), ..CASE };
        assert_eq!(channels(&other), ["email:ops"]);
        let choice = chosen(&three(), &other);
        assert!(choice.fell_through);
        let why: Vec<&str> = choice.left_out.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            why,
            ["the label team is another one", "it is within night", "the occasion is unresolved, not resolved"]
        );
        assert_eq!(channels(&Case { on: Occasion::Started, ..other }), Vec::<String>::new());
        let without = Notifications { default: Vec::new(), ..three() };
        assert_eq!(chosen(&without, &Case { team: None, ..CASE }).told[0].channel, "console");
        let silent = Notifications::default();
        assert_eq!(chosen(&silent, &CASE).told, [], "without routes everything is as the playbook says");
    }

    #[test]
    fn broken_glass_is_told_to_all_at_any_hour() {
        let broken = Case { on: Occasion::BreakGlass, severity: "low", team: None, named: &["slack:own"], ..CASE };
        assert_eq!(channels(&broken), ["slack:own", "pagerduty:ml", "slack:ops", "webhook:log", "email:ops"]);
    }

    #[test]
    fn what_a_run_does_not_have_matches_nothing() {
        let by_owner =
            rules(json!({"routes": [{"match": {"owners": ["ml"], "systems": ["cad"]}, "to": ["slack:ops"]}]}));
        let choice = chosen(&by_owner, &CASE);
        assert_eq!(choice.left_out, [("route 1".into(), "it has no owner".into())]);
    }
}
