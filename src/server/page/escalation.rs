//! Who is escalated to by a run, who has taken over, and the forms to take over, tell the next level or close it.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::orders::back;
use super::{path_of, words};
use crate::base::Timestamp;
use crate::engine::escalation::{Case, Climb, Ladder, Level, Words};
use crate::report::line::Mark;
use crate::report::wording::escalation::how;
use crate::runtime::escalations::cases;
use crate::server::api::escalations;
use crate::server::route::Call;
use crate::site::{Role, Site};

/// The state of an escalation, and what can be said to it.
pub(super) fn all(call: &Call, case: &Case, path: &str, now: Timestamp) -> Markup {
    let Some(climb) = &case.climb else { return html! {} };
    html! {
        article.ask[asks(case)] aria-labelledby="escalated" {
            h2 #escalated { (state(case, climb)) }
            p { "Raised " (words::moment(climb.raised_at, now)) " by " code { (climb.policy) } ": " (climb.why) }
            @if let Some(answer) = &case.acknowledged {
                p { "Acknowledged by " b { (answer.by) } " " (words::moment(answer.at, now)) @if !answer.reason.is_empty() { ": " (answer.reason) } }
            }
            @if let Some(closed) = &case.closed { p { "Closed " (words::moment(closed.at, now)) ": " (closed.why) } }
            (ladder(call, case, climb, now))
            @if case.closed.is_none() && call.who.may(Role::Operator) { (forms(call, case, path)) }
        }
    }
}

/// Whatever is escalated and not closed: what nobody has taken over first, then what is worst.
pub(super) fn open(call: &Call, now: Timestamp) -> Markup {
    // A journal that cannot be read has told so when the runs were listed.
    let cases = cases(call.shared.host.journal.as_ref()).unwrap_or_default();
    let mine = cases.open_cases().filter(|case| call.who.may_touch(&case.subject.playbook));
    let mut open: Vec<(&Case, &Climb)> = mine.filter_map(|case| Some((case, case.climb.as_ref()?))).collect();
    open.sort_by_key(|(case, climb)| (!asks(case), std::cmp::Reverse(climb.raised_at)));
    html! {
        @if !open.is_empty() {
            h2 { "Escalated" }
            ul { @for (case, climb) in open { li { (line(case, climb, now)) } } }
        }
    }
}

fn line(case: &Case, climb: &Climb, now: Timestamp) -> Markup {
    html! {
        a href=(path_of(case.run.as_str())) { (case.subject.title) } ", " (case.subject.severity) ": "
        (state(case, climb))
        @if let Some(answer) = &case.acknowledged { " (" (answer.by) ")" }
        @if let Some(level) = climb.current() { "; told last: " b { (level.names.join(", ")) } " " (words::moment(climb.level_at, now)) }
    }
}

/// Whom a policy would tell, one level after the other.
pub(super) fn levels(ladder: &Ladder) -> Markup {
    html! { @for (level, number) in ladder.levels.iter().zip(1..) { @if number > 1 { " → " } (level.names.join(", ")) } }
}

fn asks(case: &Case) -> bool {
    case.acknowledged.is_none() && case.closed.is_none()
}

fn state(case: &Case, climb: &Climb) -> Markup {
    match (&case.closed, &case.acknowledged) {
        (Some(_), _) => words::state(Mark::Passed, "escalation closed"),
        (None, Some(_)) => words::state(Mark::Passed, "escalated, and somebody has taken over"),
        (None, None) if climb.exhausted => {
            words::state(Mark::Error, "escalated to everybody, and nobody has taken over")
        }
        (None, None) => words::state(Mark::Alarm, "escalated, and nobody has taken over yet"),
    }
}

fn ladder(call: &Call, case: &Case, climb: &Climb, now: Timestamp) -> Markup {
    let services = call.shared.host.services();
    let levels = climb.ladder.levels.iter().zip(1..);
    html! {
        ol {
            @for (level, number) in levels {
                li {
                    b { (level.names.join(", ")) } ": " (told(case, climb, level, number, now))
                    @for name in &level.names { (people(&services.site, name)) }
                }
            }
        }
        @if climb.ladder.repeat > 0 { p.quiet { "Round " (climb.round) " of " (climb.ladder.repeat + 1) "." } }
        @if !climb.ladder.last.is_empty() {
            p { "In the end: " b { (climb.ladder.last.iter().cloned().collect::<Vec<_>>().join(", ")) } }
        }
    }
}

/// How those behind a name are reached; a telephone calls them.
fn people(site: &Site, name: &str) -> Markup {
    html! {
        @for (person, contact) in site.people_of(name) {
            p {
                @if person != name { (person) " " }
                @if let Some(title) = &contact.title { (title) " " }
                @if let Some(phone) = &contact.phone { a href=(format!("tel:{}", phone.replace(' ', ""))) { (phone) } " " }
                @if let Some(email) = &contact.email { a href=(format!("mailto:{email}")) { (email) } }
            }
        }
    }
}

/// What became of a level: the last message to it, or when it is told.
fn told(case: &Case, climb: &Climb, level: &Level, number: u32, now: Timestamp) -> Markup {
    let to_it = |words: &Words| matches!(words, Words::Level { level, .. } if *level == number);
    let notice = case.notices.iter().rev().find(|notice| to_it(&notice.words));
    let due = case.next_level_at().filter(|_| climb.next().is_some_and(|(next, _)| next == number));
    let due = due.or_else(|| case.begins_anew_at().filter(|_| number == 1));
    html! {
        @if let Some(notice) = notice {
            @for (channel, sent) in &notice.to { code { (channel) } " " (how(sent)) ", " }
            (words::moment(notice.at, now))
            @if level.to.is_empty() { "no channel reaches them" }
        }
        @if let Some(due) = due {
            @if notice.is_some() { "; " }
            strong { "is told " (words::moment(due, now)) " unless somebody takes over" }
        } @else if notice.is_none() { span.quiet { "not told" } }
    }
}

fn forms(call: &Call, case: &Case, path: &str) -> Markup {
    html! {
        form.stack method="post" action=(format!("{path}/acknowledge")) {
            (words::csrf(call))
            label for="escalation-reason" { "Reason " span.quiet { "(kept in the audit trail)" } }
            input #escalation-reason name="reason" autocomplete="off" maxlength="500";
            div.buttons {
                @if case.acknowledged.is_none() {
                    button type="submit" { "I take over" }
                    button type="submit" formaction=(format!("{path}/next-level")) { "▲ Tell the next level now" }
                }
                button type="submit" formaction=(format!("{path}/close")) { "■ It is over" }
            }
        }
    }
}

/// What the form says, as the API takes it.
fn said(call: &Call) -> Call {
    call.saying(&json!({"reason": call.form().remove("reason").unwrap_or_default()}))
}

pub async fn acknowledge(call: Call) -> Response {
    back(&call, "acknowledge", escalations::acknowledge(said(&call)).await).await
}

pub async fn next_level(call: Call) -> Response {
    back(&call, "next-level", escalations::next(said(&call)).await).await
}

pub async fn close(call: Call) -> Response {
    back(&call, "close", escalations::close(said(&call)).await).await
}
