//! What a run asks of people: approvals with exactly what will be done, and steps of which nobody knows whether they
//! took effect.

use maud::{Markup, html};

use super::words;
use crate::base::Timestamp;
use crate::base::value::show;
use crate::engine::event::{AskedAnswer, StepStatus};
use crate::report::line::Mark;
use crate::report::view::{Approval, RunView, StepState, StepView};
use crate::report::wording::{account, approval};
use crate::server::route::Call;
use crate::site::Role;

/// Everything that is asked at the moment; nothing once the run has ended for good.
pub(super) fn all(call: &Call, view: &RunView, path: &str, now: Timestamp) -> Markup {
    let asked = |step: &&StepView| step.state == StepState::Asked;
    let approvals = view.steps.iter().filter(asked);
    let approvals = approvals.filter_map(|step| view.approvals.iter().rev().find(|approval| approval.key == step.key));
    let doubtful = view.steps_in_order().into_iter().filter(|step| step.status() == Some(StepStatus::InDoubt));
    html! {
        @for (number, approval) in approvals.enumerate() { (question(call, view, approval, path, now, number)) }
        @for (number, step) in doubtful.enumerate() { (doubt(call, step, path, number)) }
    }
}

fn question(call: &Call, view: &RunView, approval: &Approval, path: &str, now: Timestamp, number: usize) -> Markup {
    html! {
        article.ask aria-labelledby=(format!("ask-{number}")) {
            h2 id=(format!("ask-{number}")) { (words::state(Mark::Question, "waits for approval")) " " code { (approval.key) } }
            p { (approval.summary) }
            h3 { "Exactly this will be done" }
            pre tabindex="0" { (account::request(&approval.request).join("\n")) }
            (terms(approval, now))
            @if call.who.may(Role::Approver) {
                (answer_form(call, approval, path, number))
                @if call.who.may(Role::Admin) && asks_others(call, approval) { (glass(call, approval, path, number)) }
            } @else {
                p { "Somebody with the role approver answers this here, or with " code { (approval::command(view, &approval.key)) } }
            }
        }
    }
}

fn terms(approval: &Approval, now: Timestamp) -> Markup {
    html! {
        dl {
            dt { "Risk" } dd { strong { (approval.risk) } }
            dt { "Asked" } dd { (words::moment(approval.asked_at, now)) }
            @if let Some(until) = approval.expires_at { dt { "Until" } dd { (words::moment(until, now)) } }
            @if approval.quorum > 1 || !approval.by.is_empty() { dt { "Asks" } dd { (approval::asked_of(approval)) } }
            @if !approval.counted.is_empty() { dt { "So far" } dd { (approval::counted_words(approval)) } }
            @for (by, why) in &approval.refused { dt { "Not counted" } dd { (by) ": " (why) } }
            dt { "Digest" } dd { code { (approval.asked_digest()) } br; span.quiet { "The answer holds for this and nothing else." } }
        }
    }
}

fn answer_form(call: &Call, approval: &Approval, path: &str, number: usize) -> Markup {
    let reason = format!("reason-{number}");
    html! {
        form.stack method="post" action=(format!("{path}/approve")) {
            (what_is_answered(call, approval, &format!("answer-{number}")))
            label for=(reason) { "Reason " span.quiet { "(kept in the audit trail)" } }
            input id=(reason) name="reason" autocomplete="off" maxlength="500";
            div.buttons {
                button type="submit" { "✓ Approve" }
                button.bad type="submit" formaction=(format!("{path}/reject")) formnovalidate { "✗ Reject" }
            }
        }
    }
}

/// The question that a form answers, and what whoever approves it has to say.
fn what_is_answered(call: &Call, approval: &Approval, id: &str) -> Markup {
    // Those after the first agree to what the first has said.
    let asks = if approval.counted.is_empty() { approval.asks.as_slice() } else { &[] };
    html! {
        (words::csrf(call))
        input type="hidden" name="step" value=(approval.key);
        input type="hidden" name="digest" value=(approval.asked_digest());
        @for (place, asked) in asks.iter().enumerate() { (typed(asked, &format!("{id}-{place}"))) }
    }
}

/// Whether others have to agree, or have to be the ones who do.
fn asks_others(call: &Call, approval: &Approval) -> bool {
    let own_did_not_count = approval.refused.iter().any(|(by, _)| *by == call.who.name);
    approval.quorum > 1 || !approval.by.is_empty() || own_did_not_count
}

/// Folded, so that nobody takes it for the ordinary way.
fn glass(call: &Call, approval: &Approval, path: &str, number: usize) -> Markup {
    let reason = format!("glass-reason-{number}");
    html! {
        details.glass id=(format!("glass-{number}")) {
            summary { (words::state(Mark::Alarm, "Emergency: break the glass")) }
            p { "It is done without those who should agree. That stands in the journal and in the report with your name and the reason, and the owner is told at once." }
            form.stack method="post" action=(format!("{path}/break-glass")) {
                (what_is_answered(call, approval, &format!("glass-answer-{number}")))
                label for=(reason) { "Why nobody else can be waited for " span.quiet { "(kept in the audit trail)" } }
                input id=(reason) name="reason" required autocomplete="off" maxlength="500";
                div.buttons { button.bad type="submit" { "▲ Break the glass and approve" } }
            }
        }
    }
}

fn typed(asked: &AskedAnswer, id: &str) -> Markup {
    let title = asked.title.as_deref().unwrap_or(&asked.name);
    let default = asked.default.as_ref().map(show);
    html! {
        label for=(id) { (title) " " span.quiet { "(" (asked.name) ": " (asked.expected) @if let Some(default) = &default { "; " (default) " when empty" } ")" } }
        input id=(id) name=(format!("answer.{}", asked.name)) required[default.is_none()] autocomplete="off";
    }
}

fn doubt(call: &Call, step: &StepView, path: &str, number: usize) -> Markup {
    let key = step.key.to_string();
    html! {
        article.ask aria-labelledby=(format!("doubt-{number}")) {
            h2 id=(format!("doubt-{number}")) { (words::state(Mark::Question, "in doubt")) " " code { (key) } }
            p { "It was begun and its end is not known. Find out whether it took effect, then say so." }
            pre tabindex="0" { (account::request(&step.request).join("\n")) }
            @if call.who.may(Role::Operator) { (resolve_form(call, &key, path, number)) }
        }
    }
}

fn resolve_form(call: &Call, key: &str, path: &str, number: usize) -> Markup {
    let choices = [
        ("done", "It took effect: go on after it"),
        ("retry", "It did not: do it again"),
        ("abort", "Stop the run here"),
    ];
    let reason = format!("known-{number}");
    html! {
        form.stack method="post" action=(format!("{path}/resolve")) {
            (words::csrf(call))
            input type="hidden" name="step" value=(key);
            fieldset {
                legend { "What became of it" }
                @for (value, text) in choices {
                    label { input type="radio" name="resolution" value=(value) required; " " (text) }
                }
            }
            label for=(reason) { "How you know " span.quiet { "(kept in the audit trail)" } }
            input id=(reason) name="reason" required autocomplete="off" maxlength="500";
            div.buttons { button type="submit" { "Say so" } }
        }
    }
}
