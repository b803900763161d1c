//! Small parts of pages: moments, states, the hidden field of forms.

use maud::{Markup, html};

use crate::base::Timestamp;
use crate::engine::event::Outcome;
use crate::report::html::class;
use crate::report::line::Mark;
use crate::report::time::TimeZoneChoice;
use crate::report::wording::outcome_mark;
use crate::server::route::Call;
use crate::site::Role;

/// A moment in UTC, and how long ago it was.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(at.to_rfc3339()) { (TimeZoneChoice::Utc.date_time(at)) }
        " " span.quiet data-at=(at.0) { "(" (age(at, now)) ")" }
    }
}

/// `3 min ago`, `in 2 h`. The script says the same in the same words.
fn age(at: Timestamp, now: Timestamp) -> String {
    let (seconds, ahead) = ((now.0 - at.0).unsigned_abs() / 1_000, at.0 > now.0);
    let text = match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    if ahead { format!("in {text}") } else { format!("{text} ago") }
}

/// A state by its sign and its word; the colour says nothing that they do not.
pub(super) fn state(mark: Mark, word: &str) -> Markup {
    html! { span.state.(class(mark.tone())) { span aria-hidden="true" { (mark.sign()) } " " (word) } }
}

/// How a run ended, or that it has not.
pub(super) fn outcome(outcome: Option<Outcome>) -> Markup {
    match outcome {
        Some(Outcome::Parked) => state(Mark::Question, "waits for a person"),
        Some(outcome) => state(outcome_mark(outcome), &outcome.to_string()),
        None => state(Mark::Running, "has not ended"),
    }
}

/// What makes a form one of this session.
pub(super) fn csrf(call: &Call) -> Markup {
    let csrf = call.session.as_ref().map_or("", |session| session.csrf.as_str());
    html! { input type="hidden" name="csrf" value=(csrf); }
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Approver => "approver",
        Role::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_one_unit() {
        let at = |ago: i64| age(Timestamp(0), Timestamp(ago * 1_000));
        assert_eq!(
            [59, 60, 3_599, 3_600, 172_799, 172_800].map(at),
            ["59 s ago", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 days ago"]
        );
        assert_eq!(at(-120), "in 2 min");
    }
}
