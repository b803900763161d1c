//! What an incident report says: what happened, why, what was done about it and how it ended. `markdown` and `html`
//! decide how it looks. Times are UTC, since reports travel.

mod pictures;

use serde_json::Value;

use self::pictures::Pictures;
use super::document::{Block, Document, Item, Section, Word, Words, code, list_or, plain};
use super::line::Tone;
use super::picture::Gallery;
use super::time::TimeZoneChoice;
use super::values;
use super::view::{Approval, Detection, RunView, StepState, StepView};
use super::wording::{account, approval, escalation, outcome_mark, timeline};
use crate::base::units::show_duration;
use crate::engine::Record;
use crate::engine::escalation::Case;
use crate::engine::event::{ApprovalVerdict, Cause, Finding, Phase, StepStatus};

const TIMES: TimeZoneChoice = TimeZoneChoice::Utc;

/// What a report is made of.
pub struct Incident<'a> {
    pub records: &'a [Record],
    pub gallery: Gallery,
    /// The number and hash of the audit trail's last entry, as `runbook audit verify` prints them.
    pub audit_head: Option<String>,
    /// What became of its escalation, if it was escalated.
    pub escalation: Option<Case>,
}

impl Incident<'_> {
    /// The report of the run.
    pub fn document(&self) -> Document {
        let view = RunView::of(self.records);
        let mut pictures = Pictures::new(self.gallery);
        let mut sections = vec![
            header(&view),
            next_steps(&view),
            detected(&view, &mut pictures),
            steps("Diagnosis", &view, Phase::Diagnose, &mut pictures),
            causes(&view),
            actions(&view),
            verification(&view, &mut pictures),
            undo(&view),
            steps("Finally", &view, Phase::Finally, &mut pictures),
            notifications(&view),
            self.escalation(),
            timeline_table(self.records),
            self.audit(),
        ];
        sections.retain(|section| !section.blocks.is_empty());
        Document { title: format!("Incident: {}", view.title), sections }
    }

    fn escalation(&self) -> Section {
        let Some(case) = &self.escalation else { return Section::new("Escalation", []) };
        let told = escalation::account(case).into_iter();
        let items = told.map(|(at, text)| Item::from(vec![plain(format!("{} {text}", TIMES.date_time(at)))]));
        Section::new("Escalation", [Block::List(items.collect())])
    }

    fn audit(&self) -> Section {
        let told = self.audit_head.as_ref().map(|head| {
            let ask = format!("runbook audit verify --head {head}");
            let words = vec![
                plain("The last entry of the audit trail when this was written is "),
                code(head.as_str()),
                plain(". Kept outside of the machine, it proves every entry up to it: "),
                code(ask),
            ];
            Block::Paragraph(words)
        });
        Section::new("Audit", told)
    }
}

fn header(view: &RunView) -> Section {
    let tone = view.outcome.map_or(Tone::Accent, |outcome| outcome_mark(outcome).tone());
    let mut outcome =
        vec![Word::Strong(tone, view.outcome.map_or("still running".to_owned(), |outcome| outcome.to_string()))];
    if !view.why.is_empty() {
        outcome.push(plain(format!(": {}", view.why)));
    }
    let digest = [code(view.playbook.as_str()), plain(" (digest "), code(view.digest.as_str()), plain(")")];
    let mut rows = vec![
        ("Outcome", outcome),
        ("Cause", list_or(view.found_causes().map(|cause| code(cause.finding.name.as_str())), "none found")),
        ("Severity", vec![plain(view.severity.map_or("not known".to_owned(), |severity| severity.to_string()))]),
        ("Run", vec![code(view.run.as_str())]),
        ("Playbook", digest.to_vec()),
        ("Started", vec![plain(TIMES.date_time(view.started_at))]),
        ("Duration", vec![plain(show_duration(view.duration()))]),
        ("By", vec![code(view.by.as_str()), plain(format!(" ({})", view.trigger))]),
        ("Inputs", list_or(account::inputs(&view.inputs).into_iter().map(code), "none")),
    ];
    if let Some(name) = &view.code {
        rows.insert(3, ("Code", vec![code(name.as_str())]));
    }
    if let Some(impact) = &view.impact {
        rows.insert(2, ("Impact", vec![plain(impact.to_string())]));
    }
    let rows = rows.into_iter().map(|(name, words)| vec![vec![plain(name)], words]).collect();
    Section::new("", [Block::Table { titles: &["", ""], rows }])
}

fn next_steps(view: &RunView) -> Section {
    let mut items: Vec<Item> =
        account::next_steps(view).into_iter().map(|step| Item::from(vec![plain(step)])).collect();
    let unsettled = |step: &&StepView| matches!(step.status(), Some(StepStatus::Error | StepStatus::InDoubt));
    for step in view.steps_in_order().into_iter().filter(unsettled) {
        let told = step.help.iter().map(|help| vec![code(step.key.to_string()), plain(format!(": {help}"))]);
        items.extend(told.map(Item::from));
    }
    let raised = view.escalations.iter();
    items.extend(raised.map(|raised| {
        Item::from(vec![plain("escalated to "), code(raised.policy.as_str()), plain(format!(": {}", raised.why))])
    }));
    Section::new("What to do next", [Block::List(items)])
}

fn detected(view: &RunView, pictures: &mut Pictures) -> Section {
    let Some(detection) = &view.before else { return Section::new("Detected", []) };
    let probes = view.steps_in_order().into_iter().filter(|step| step.phase == Some(Phase::Detect));
    let drawn = pictures.of(probes.map(StepView::at_first));
    Section::new("Detected", detection_part(detection, false).into_iter().chain(drawn))
}

fn detection_part(detection: &Detection, recheck: bool) -> [Block; 2] {
    let strong = |before: &str, text: &str, after: &str| {
        vec![plain(before), Word::Strong(Tone::Bad, text.to_owned()), plain(after)]
    };
    let mut answer = match (detection.holds, recheck) {
        (Some(true), false) => vec![plain("The fault was there.")],
        (Some(true), true) => strong("The fault was ", "still there", " after remediation."),
        (Some(false), false) => vec![plain("Nothing was detected.")],
        (Some(false), true) => vec![plain("The detection no longer held.")],
        (None, _) => strong("It ", "could not be decided", " whether the fault was there."),
    };
    answer.push(plain(format!(" ({})", TIMES.time(detection.at))));
    let rows = detection.findings.iter().map(|finding| finding_row(&finding.name, finding)).collect();
    [Block::Paragraph(answer), Block::Table { titles: &["Probe", "Holds", "Condition", "Values"], rows }]
}

fn finding_row(name: &str, finding: &Finding) -> Vec<Words> {
    let values = finding.values.iter().map(|(name, value)| code(values::exact(name, value)));
    let why = finding.why.iter().map(|why| Word::Lines(why.clone()));
    let holds = match finding.holds {
        Some(true) => Word::Strong(Tone::Caution, "yes".to_owned()),
        Some(false) => plain("no"),
        None => plain("not known"),
    };
    vec![vec![code(name)], vec![holds], vec![code(finding.condition.as_str())], list_or(values.chain(why), "–")]
}

/// The steps of a phase as a table with their pictures; empty when the phase has none.
fn steps(title: &'static str, view: &RunView, phase: Phase, pictures: &mut Pictures) -> Section {
    Section::new(title, step_blocks(view, phase, pictures))
}

fn step_blocks(view: &RunView, phase: Phase, pictures: &mut Pictures) -> Vec<Block> {
    let of_phase: Vec<&StepView> = view.steps_in_order().into_iter().filter(|step| step.phase == Some(phase)).collect();
    let rows = of_phase.iter().map(|step| step_row(step)).collect();
    let drawn = pictures.of(of_phase.into_iter());
    [Block::Table { titles: &["Step", "Result", "Took", "Found"], rows }].into_iter().chain(drawn).collect()
}

fn step_row(step: &StepView) -> Vec<Words> {
    let found = match &step.reason {
        Some(reason) => Word::Lines(reason.clone()),
        None => plain(Some(values::summary(&step.output)).filter(|text| !text.is_empty()).unwrap_or("–".into())),
    };
    vec![vec![code(step.key.to_string())], vec![result(step.state)], vec![plain(took(step))], vec![found]]
}

fn result(state: StepState) -> Word {
    let toned = |tone, word: &str| Word::Toned(tone, word.to_owned());
    match state {
        StepState::Finished(StepStatus::InDoubt) => Word::Strong(Tone::Bad, "in doubt".to_owned()),
        StepState::Finished(StepStatus::Failed | StepStatus::Error) => {
            Word::Strong(Tone::Bad, state.label().to_owned())
        }
        StepState::Finished(StepStatus::Passed) => toned(Tone::Good, state.label()),
        StepState::Waiting => toned(Tone::Quiet, "not started"),
        StepState::Asked => toned(Tone::Caution, "waits for approval"),
        StepState::Suspended => toned(Tone::Caution, "waits for a person"),
        StepState::Running => toned(Tone::Accent, state.label()),
        StepState::Finished(_) => toned(Tone::Quiet, state.label()),
    }
}

fn took(step: &StepView) -> String {
    step.duration().map_or("–".to_owned(), show_duration)
}

fn causes(view: &RunView) -> Section {
    if view.causes.is_empty() {
        return Section::new("Cause", []);
    }
    let mut summary = Words::new();
    for cause in view.found_causes() {
        let joint = if summary.is_empty() { "" } else { ", " };
        summary.extend([
            plain(joint),
            Word::Strong(Tone::Accent, cause.title.clone()),
            plain(" ("),
            code(cause.finding.name.as_str()),
            plain(")"),
        ]);
    }
    if summary.is_empty() {
        summary.push(plain("None of the known causes was found."));
    }
    let rows = view.causes.iter().map(|cause: &Cause| finding_row(&cause.finding.name, &cause.finding)).collect();
    let table = Block::Table { titles: &["Cause", "Found", "Condition", "Values"], rows };
    Section::new("Cause", [Block::Paragraph(summary), table])
}

fn actions(view: &RunView) -> Section {
    let touched = |step: &&StepView| step.phase == Some(Phase::Remediate);
    Section::new("Actions", view.steps_in_order().into_iter().filter(touched).flat_map(|step| action(view, step)))
}

fn action(view: &RunView, step: &StepView) -> [Block; 2] {
    let mut items = vec![Item::from(result_item(step))];
    let reason = step.reason.iter().map(|reason| vec![plain("Reason: "), Word::Lines(reason.clone())]);
    items.extend(reason.map(Item::from));
    let mut approvals = view.approvals.iter().filter(|approval| approval.key == step.key);
    items.extend(approvals.clone().map(|approval| Item::from(approval_item(approval))));
    let request = request_of(step, approvals.next_back());
    if !request.is_empty() {
        items.push(Item { words: vec![plain("Request:")], code: request });
    }
    [Block::Heading(vec![code(step.key.to_string())]), Block::List(items)]
}

/// What was done; for a step that did not start, what a person was asked to approve.
fn request_of(step: &StepView, approval: Option<&Approval>) -> Vec<String> {
    match (&step.request, approval) {
        (Value::Null, Some(approval)) => account::request(&approval.request),
        (request, _) => account::request(request),
    }
}

fn result_item(step: &StepView) -> Words {
    let mut text = String::new();
    if let Some(started) = step.started_at {
        text.push_str(&format!(", started {}, took {}", TIMES.time(started), took(step)));
    }
    if step.attempts > 1 {
        text.push_str(&format!(", {} attempts", step.attempts));
    }
    let summary = values::summary(&step.output);
    if !summary.is_empty() {
        text.push_str(&format!(" ({summary})"));
    }
    vec![plain("Result: "), result(step.state), plain(text)]
}

fn approval_item(approval: &Approval) -> Words {
    let mut words = vec![plain(format!("Approval ({}, asked {}): ", approval.risk, TIMES.time(approval.asked_at)))];
    for (by, why) in &approval.refused {
        words.push(plain(format!("the answer of {by} does not count ({why}); ")));
    }
    if !approval.counted.is_empty() {
        words.push(plain(format!("{}; ", approval::counted_words(approval))));
    }
    if let Some((by, reason)) = &approval.broken_glass {
        words.push(Word::Strong(Tone::Bad, format!("glass broken by {by}: {reason}")));
        words.push(plain("; "));
    }
    let Some(answer) = &approval.answer else {
        words.push(plain("not answered yet"));
        return words;
    };
    match answer.verdict {
        ApprovalVerdict::Approved => {
            words.extend([plain("approved by "), code(answer.by.as_str())]);
            if !approval.answers.is_empty() {
                words.extend([plain(" with "), code(approval::answers(&approval.answers))]);
            }
        }
        ApprovalVerdict::Rejected => {
            let rejected = Word::Strong(Tone::Bad, "rejected".to_owned());
            words.extend([rejected, plain(" by "), code(answer.by.as_str())]);
        }
        ApprovalVerdict::TimedOut => words.push(plain("nobody answered in time")),
        ApprovalVerdict::Parked => words.push(plain("waits for a person")),
    }
    let reason = if answer.reason.is_empty() { String::new() } else { format!(": {}", answer.reason) };
    words.push(plain(format!(" at {}{reason}", TIMES.time(answer.at))));
    words
}

fn verification(view: &RunView, pictures: &mut Pictures) -> Section {
    let detection = view.after.iter().flat_map(|detection| detection_part(detection, true));
    let again = view.steps_in_order().into_iter().filter(|step| step.earlier.is_some());
    let drawn = pictures.of(again);
    Section::new("Verification", detection.chain(drawn).chain(step_blocks(view, Phase::Verify, pictures)))
}

fn undo(view: &RunView) -> Section {
    let items = view.undo.iter().map(|undo| {
        let key = code(undo.key.to_string());
        match (&undo.error, undo.finished_at) {
            (Some(error), _) => {
                let failed = Word::Strong(Tone::Bad, "could not be undone".to_owned());
                vec![key, plain(" "), failed, plain(": "), Word::Lines(error.clone())]
            }
            (None, Some(at)) => vec![key, plain(format!(" undone at {}", TIMES.time(at)))],
            (None, None) => vec![key, plain(" not undone yet")],
        }
    });
    Section::new("Undo", [Block::List(items.map(Item::from).collect())])
}

fn notifications(view: &RunView) -> Section {
    let rows = view.notifications.iter().map(|sent| {
        let result = match (&sent.error, &sent.delivered) {
            (Some(error), _) => {
                let failed = Word::Strong(Tone::Bad, "not delivered".to_owned());
                vec![failed, plain(": "), Word::Lines(error.clone())]
            }
            (None, Some(receipt)) => vec![plain("delivered ("), code(receipt.as_str()), plain(")")],
            (None, None) => vec![plain("sent")],
        };
        let on = vec![plain(sent.on.as_str())];
        let subject = vec![plain(sent.subject.as_str())];
        vec![vec![plain(TIMES.time(sent.at))], vec![code(sent.channel.as_str())], on, subject, result]
    });
    let titles = &["Time", "Channel", "On", "Subject", "Result"];
    Section::new("Notifications", [Block::Table { titles, rows: rows.collect() }])
}

fn timeline_table(records: &[Record]) -> Section {
    let moments = timeline(records, TIMES).into_iter();
    let rows = moments.map(|moment| vec![vec![plain(TIMES.time(moment.at))], vec![Word::Lines(moment.text)]]);
    Section::new("Timeline", [Block::Table { titles: &["Time", "What happened"], rows: rows.collect() }])
}
