//! The incident report: a run as a Markdown document that can be filed, mailed and read without
//! this program. Times are UTC. Names, conditions and values stand in code spans, other data is
//! escaped, so that nothing from outside becomes markup.

mod escape;

use serde_json::Value;

use self::escape::{code, code_cell, prose, prose_lines};
use super::time::TimeZoneChoice;
use super::values;
use super::view::{Approval, Detection, RunView, StepState, StepView};
use super::wording::{account, timeline};
use crate::base::units::show_duration;
use crate::engine::Record;
use crate::engine::event::{ApprovalVerdict, Cause, Finding, Phase, StepStatus};

const TIMES: TimeZoneChoice = TimeZoneChoice::Utc;

/// The report of a run from its records.
pub fn incident_report(records: &[Record]) -> String {
    let view = RunView::of(records);
    let sections = [
        header(&view),
        next_steps(&view),
        detected(&view),
        steps("Diagnosis", &view, Phase::Diagnose),
        causes(&view),
        actions(&view),
        verification(&view),
        undo(&view),
        steps("Finally", &view, Phase::Finally),
        notifications(&view),
        timeline_table(records),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn header(view: &RunView) -> String {
    let outcome = view.outcome.map_or("still running".to_owned(), |outcome| outcome.to_string());
    let why = if view.why.is_empty() { String::new() } else { format!(": {}", prose(&view.why)) };
    let playbook = format!("{} (digest {})", code_cell(&view.playbook), code_cell(&view.digest));
    let mut rows = vec![
        ("Outcome", format!("**{outcome}**{why}")),
        ("Cause", list_or(view.found_causes().map(|cause| code_cell(&cause.finding.name)), "none found")),
        ("Severity", view.severity.map_or("not known".to_owned(), |severity| severity.to_string())),
        ("Run", code_cell(&view.run)),
        ("Playbook", playbook),
        ("Started", TIMES.date_time(view.started_at)),
        ("Duration", show_duration(view.duration())),
        ("By", format!("{} ({})", code_cell(&view.by), prose(&view.trigger))),
        ("Inputs", list_or(account::inputs(&view.inputs).iter().map(|input| code_cell(input)), "none")),
    ];
    if let Some(code) = &view.code {
        rows.insert(3, ("Code", code_cell(code)));
    }
    let rows = rows.into_iter().map(|(name, text)| [name.to_owned(), text]);
    format!("# Incident: {}\n\n{}", prose(&view.title), table(["", ""], rows))
}

fn next_steps(view: &RunView) -> String {
    let mut items: Vec<String> = account::next_steps(view).iter().map(|step| prose(step)).collect();
    let unsettled = |step: &&StepView| matches!(step.status(), Some(StepStatus::Error | StepStatus::InDoubt));
    for step in view.steps_in_order().into_iter().filter(unsettled) {
        items.extend(step.help.iter().map(|help| format!("{}: {}", code(&step.key.to_string()), prose(help))));
    }
    let raised = view.escalations.iter();
    items.extend(raised.map(|raised| format!("escalated to {}: {}", code(&raised.policy), prose(&raised.why))));
    section("What to do next", bullets(items))
}

fn detected(view: &RunView) -> String {
    view.before.as_ref().map(|detection| section("Detected", detection_part(detection, false))).unwrap_or_default()
}

fn detection_part(detection: &Detection, recheck: bool) -> String {
    let answer = match (detection.holds, recheck) {
        (Some(true), false) => "The fault was there.",
        (Some(true), true) => "The fault was **still there** after remediation.",
        (Some(false), false) => "Nothing was detected.",
        (Some(false), true) => "The detection no longer held.",
        (None, _) => "It **could not be decided** whether the fault was there.",
    };
    let findings = detection.findings.iter().map(|finding| finding_row(&finding.name, finding));
    format!("{answer} ({})\n\n{}", TIMES.time(detection.at), table(["Probe", "Holds", "Condition", "Values"], findings))
}

fn finding_row(name: &str, finding: &Finding) -> [String; 4] {
    let values = finding.values.iter().map(|(name, value)| code_cell(&values::exact(name, value)));
    let why = finding.why.iter().map(|why| prose_lines(why));
    [code_cell(name), answer(finding.holds).to_owned(), code_cell(&finding.condition), list_or(values.chain(why), "–")]
}

fn answer(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "**yes**",
        Some(false) => "no",
        None => "not known",
    }
}

/// The steps of a phase as a table; empty when the phase has none.
fn steps(title: &str, view: &RunView, phase: Phase) -> String {
    let rows = view.steps_in_order().into_iter().filter(|step| step.phase == Some(phase)).map(step_row);
    section(title, table(["Step", "Result", "Took", "Found"], rows))
}

fn step_row(step: &StepView) -> [String; 4] {
    let found = match &step.reason {
        Some(reason) => prose_lines(reason),
        None => Some(values::summary(&step.output))
            .filter(|text| !text.is_empty())
            .map_or("–".into(), |text| prose(&text)),
    };
    [code_cell(&step.key.to_string()), result(step.state), took(step), found]
}

fn result(state: StepState) -> String {
    match state {
        StepState::Finished(StepStatus::InDoubt) => "**in doubt**".to_owned(),
        StepState::Finished(StepStatus::Failed | StepStatus::Error) => format!("**{}**", state.label()),
        StepState::Waiting => "not started".to_owned(),
        StepState::Asked => "waits for approval".to_owned(),
        StepState::Running | StepState::Finished(_) => state.label().to_owned(),
    }
}

fn took(step: &StepView) -> String {
    step.duration().map_or("–".to_owned(), show_duration)
}

fn causes(view: &RunView) -> String {
    if view.causes.is_empty() {
        return String::new();
    }
    let found = view.found_causes().map(|cause| format!("**{}** ({})", prose(&cause.title), code(&cause.finding.name)));
    let summary = list_or(found, "None of the known causes was found.");
    let rows = view.causes.iter().map(|cause: &Cause| finding_row(&cause.finding.name, &cause.finding));
    section("Cause", format!("{summary}\n\n{}", table(["Cause", "Found", "Condition", "Values"], rows)))
}

fn actions(view: &RunView) -> String {
    let touched = |step: &&StepView| step.phase == Some(Phase::Remediate);
    let parts: Vec<String> = view.steps_in_order().into_iter().filter(touched).map(|step| action(view, step)).collect();
    section("Actions", parts.join("\n"))
}

fn action(view: &RunView, step: &StepView) -> String {
    let mut items = vec![result_item(step)];
    items.extend(step.reason.iter().map(|reason| format!("Reason: {}", prose_lines(reason))));
    let mut approvals = view.approvals.iter().filter(|approval| approval.key == step.key);
    items.extend(approvals.clone().map(approval_item));
    let request = request_of(step, approvals.next_back());
    if !request.is_empty() {
        items.push("Request:".to_owned());
        items.extend(request.iter().map(|line| format!("  - {}", code(line))));
    }
    format!("### {}\n\n{}", code(&step.key.to_string()), bullets(items))
}

/// What was done; for a step that did not start, what a person was asked to approve.
fn request_of(step: &StepView, approval: Option<&Approval>) -> Vec<String> {
    match (&step.request, approval) {
        (Value::Null, Some(approval)) => account::request(&approval.request),
        (request, _) => account::request(request),
    }
}

fn result_item(step: &StepView) -> String {
    let mut text = format!("Result: {}", result(step.state));
    if let Some(started) = step.started_at {
        text.push_str(&format!(", started {}, took {}", TIMES.time(started), took(step)));
    }
    if step.attempts > 1 {
        text.push_str(&format!(", {} attempts", step.attempts));
    }
    let summary = values::summary(&step.output);
    if !summary.is_empty() {
        text.push_str(&format!(" ({})", prose(&summary)));
    }
    text
}

fn approval_item(approval: &Approval) -> String {
    let asked = format!("{}, asked {}", approval.risk, TIMES.time(approval.asked_at));
    let Some(answer) = &approval.answer else { return format!("Approval ({asked}): not answered yet") };
    let verdict = match answer.verdict {
        ApprovalVerdict::Approved => format!("approved by {}", code(&answer.by)),
        ApprovalVerdict::Rejected => format!("**rejected** by {}", code(&answer.by)),
        ApprovalVerdict::TimedOut => "nobody answered in time".to_owned(),
        ApprovalVerdict::Parked => "waits for a person".to_owned(),
    };
    let reason = if answer.reason.is_empty() { String::new() } else { format!(": {}", prose(&answer.reason)) };
    format!("Approval ({asked}): {verdict} at {}{reason}", TIMES.time(answer.at))
}

fn verification(view: &RunView) -> String {
    let mut parts: Vec<String> = view.after.iter().map(|detection| detection_part(detection, true)).collect();
    let rows = view.steps_in_order().into_iter().filter(|step| step.phase == Some(Phase::Verify)).map(step_row);
    parts.push(table(["Step", "Result", "Took", "Found"], rows));
    parts.retain(|part| !part.is_empty());
    section("Verification", parts.join("\n"))
}

fn undo(view: &RunView) -> String {
    let items = view.undo.iter().map(|undo| {
        let key = code(&undo.key.to_string());
        match (&undo.error, undo.finished_at) {
            (Some(error), _) => format!("{key} **could not be undone**: {}", prose_lines(error)),
            (None, Some(at)) => format!("{key} undone at {}", TIMES.time(at)),
            (None, None) => format!("{key} not undone yet"),
        }
    });
    section("Undo", bullets(items))
}

fn notifications(view: &RunView) -> String {
    let rows = view.notifications.iter().map(|sent| {
        let result = match (&sent.error, &sent.delivered) {
            (Some(error), _) => format!("**not delivered**: {}", prose_lines(error)),
            (None, Some(receipt)) => format!("delivered ({})", code_cell(receipt)),
            (None, None) => "sent".to_owned(),
        };
        [TIMES.time(sent.at), code_cell(&sent.channel), prose(&sent.on), prose(&sent.subject), result]
    });
    section("Notifications", table(["Time", "Channel", "On", "Subject", "Result"], rows))
}

fn timeline_table(records: &[Record]) -> String {
    let rows = timeline(records, TIMES).into_iter().map(|moment| [TIMES.time(moment.at), prose_lines(&moment.text)]);
    section("Timeline", table(["Time", "What happened"], rows))
}

fn section(title: &str, body: String) -> String {
    if body.is_empty() { body } else { format!("## {title}\n\n{body}") }
}

fn bullets(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| if item.starts_with("  - ") { item + "\n" } else { format!("- {item}\n") }).collect()
}

/// A table, or nothing when it has no rows. The cells are Markdown already.
fn table<const N: usize>(titles: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: String = rows.into_iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("| {} |\n|{}\n{rows}", titles.join(" | "), " --- |".repeat(N))
}

fn list_or(items: impl IntoIterator<Item = String>, none: &str) -> String {
    let joined = items.into_iter().collect::<Vec<_>>().join(", ");
    if joined.is_empty() { none.to_owned() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stories;

    #[test]
    fn snapshots() {
        for (name, records) in stories::all() {
            insta::assert_snapshot!(format!("markdown_{name}"), incident_report(&records));
        }
    }

    /// The text without its code spans, found as a renderer finds them.
    fn outside_code(markdown: &str) -> String {
        let mut text = String::new();
        let mut rest = markdown;
        while let Some(character) = rest.chars().next() {
            let run = rest.len() - rest.trim_start_matches('`').len();
            let (fence, after) = rest.split_at(run);
            let end = after
                .match_indices(fence)
                .map(|(place, _)| place)
                .find(|place| !after[place + run..].starts_with('`') && !after[..*place].ends_with('`'));
            let escaped = text.ends_with('\\');
            match end.filter(|_| run > 0 && !escaped) {
                Some(end) => rest = &after[end + run..],
                None => {
                    text.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        text
    }

    #[test]
    fn data_cannot_become_markup() {
        let report = incident_report(&stories::hostile());
        assert!(!outside_code(&report).contains("<script"), "{report}");
        assert!(!outside_code(&report).contains("http://evil"), "{report}");
        assert!(!report.contains(|character: char| character.is_control() && character != '\n'), "{report:?}");
        insta::assert_snapshot!("markdown_hostile", report);
    }
}
