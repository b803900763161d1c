//! What is known of a run when people are told about it, and the form in which templates see it.

use std::time::Duration;

use serde_json::{Value, json};

use super::Occasion;
use super::text::{one_line, shorten};
use crate::base::units::show_duration;
use crate::base::{Timestamp, value};

/// A value longer than this is a log, and a log belongs into the evidence, not into a message.
const VALUE_LIMIT: usize = 500;
/// With the up to seven facts of the run itself these make the ten that a Slack section shows.
const INPUTS_SHOWN: usize = 3;
const LIST_LIMIT: usize = 20;

/// Inputs that say what is broken rather than how to reach it, most telling first; the first one a
/// playbook has stands in the subject when the run does not say what is affected.
const AFFECTED_INPUTS: [&str; 6] = ["provider", "model", "service", "deployment", "instance", "host"];

/// What is known of a run when a message is made. Everything here may come from outside.
#[derive(Debug, Clone)]
pub struct Facts {
    pub run: String,
    pub playbook: String,
    pub title: String,
    /// The error code the playbook is about, such as `MODEL_LOAD_ERROR`.
    pub code: Option<String>,
    pub on: Occasion,
    pub severity: String,
    /// How the run ended, if it has.
    pub outcome: Option<String>,
    /// Why it ended, escalated or waits.
    pub why: Option<String>,
    pub started_at: Timestamp,
    pub now: Timestamp,
    pub inputs: Value,
    /// What is broken, in a word: a provider, a model, a host.
    pub affected: Option<String>,
    /// Name and title of each cause found.
    pub causes: Vec<(String, String)>,
    pub actions_done: Vec<String>,
    pub next_steps: Vec<String>,
    /// Whether a fix is under way, or waits for somebody's word.
    pub fixing: bool,
    pub impact: Option<String>,
    pub escalated_to: Option<String>,
    /// How long it usually takes until such a fault is gone.
    pub usually: Option<Duration>,
    /// How often a message of this kind comes while the run is open.
    pub update_every: Option<Duration>,
    pub approval: Option<Approval>,
    /// Where the run is shown.
    pub link: Option<String>,
    /// Whether the run is an exercise.
    pub drill: bool,
    /// Whether somebody is asked to take over.
    pub asks: bool,
    /// Whether the same may have been told before.
    pub repeated: bool,
    /// A page on which they can say that they do.
    pub acknowledge: Option<String>,
}

/// What a person is asked to approve.
#[derive(Debug, Clone)]
pub struct Approval {
    /// The step, as `runbook approve` takes it.
    pub step: String,
    pub summary: String,
    /// Exactly what will be done, such as the command.
    pub request: String,
    pub risk: String,
    pub expires_at: Option<Timestamp>,
    /// What the answer is bound to; empty when it is bound to nothing.
    pub digest: String,
    /// The names of what has to be said to it, because it has no default.
    pub answers: Vec<String>,
}

impl Facts {
    /// Facts with only what every run has; the rest is empty.
    pub fn new(
        run: String,
        playbook: String,
        title: String,
        on: Occasion,
        started_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Facts {
            run,
            playbook,
            title,
            on,
            started_at,
            now,
            severity: "medium".into(),
            inputs: Value::Null,
            code: None,
            outcome: None,
            why: None,
            affected: None,
            causes: Vec::new(),
            actions_done: Vec::new(),
            next_steps: Vec::new(),
            fixing: false,
            impact: None,
            escalated_to: None,
            usually: None,
            update_every: None,
            approval: None,
            link: None,
            drill: false,
            asks: false,
            repeated: false,
            acknowledge: None,
        }
    }

    /// A run in which everything there is to say was said; templates are tried with it.
    pub fn sample(on: Occasion) -> Self {
        let step = "remediate.reload".to_owned();
        let started_at = Timestamp(1_795_369_212_000);
        let (run, playbook) = ("1122-174012-k3f9".to_owned(), "model-load-error".to_owned());
        Facts {
            code: Some("MODEL_LOAD_ERROR".into()),
            severity: "critical".into(),
            outcome: Some(if on == Occasion::Resolved { "resolved" } else { "unresolved" }.into()),
            why: (on != Occasion::Resolved).then(|| "the detection still holds after remediation".into()),
            inputs: json!({"provider": "deepseek", "api": "http://127.0.0.1:8000"}),
            causes: vec![("corrupted_file".into(), "The model file is corrupted".into())],
            actions_done: vec!["remediate.restore: downloaded model.onnx".into()],
            next_steps: vec!["Reload the model".into()],
            impact: Some("deepseek unavailable".into()),
            escalated_to: Some("ml-platform".into()),
            usually: Some(Duration::from_secs(900)),
            update_every: Some(Duration::from_secs(1800)),
            approval: Some(Approval {
                step,
                summary: "Reload the model in the service".into(),
                request: "POST http://127.0.0.1:8000/api/v1/ocr/test".into(),
                risk: "disruptive".into(),
                expires_at: Some(started_at.plus(Duration::from_secs(900))),
                digest: String::new(),
                answers: Vec::new(),
            }),
            ..Facts::new(
                run,
                playbook,
                "OCR or vision model fails to load".into(),
                on,
                started_at,
                started_at.plus(Duration::from_secs(250)),
            )
        }
    }

    /// What a reader does next, ready to paste.
    pub fn command(&self) -> String {
        match (&self.approval, self.on) {
            (Some(approval), Occasion::Approval) => {
                let bound = match approval.digest.as_str() {
                    "" => String::new(),
                    digest => format!(" --digest {}", quoted(digest)),
                };
                let said: String = approval.answers.iter().map(|name| format!(" --answer {name}=…")).collect();
                format!("runbook approve {} {}{bound}{said}", quoted(&self.run), quoted(&approval.step))
            }
            _ if self.asks => format!("runbook ack {}", quoted(&self.run)),
            _ => format!("runbook show {}", quoted(&self.run)),
        }
    }

    /// How to start the same run by hand, if its inputs can be written on one line.
    pub fn again(&self) -> Option<String> {
        let inputs = self.inputs.as_object().into_iter().flatten().filter(|(_, input)| !input.is_null());
        let written = inputs.map(|(name, input)| {
            let text = format!("{name}={}", value::show(input));
            let fits = !input.is_object() && !input.is_array() && text == tidy(&text);
            fits.then(|| format!(" --input {}", quoted(&text)))
        });
        let inputs: String = written.collect::<Option<_>>()?;
        let drill = if self.drill { " --drill" } else { "" };
        Some(format!("runbook run {}{drill}{inputs}", quoted(&self.playbook)))
    }

    /// The word of a status update: one of the three that readers of such updates know.
    pub fn status(&self) -> &'static str {
        let over = matches!(self.outcome.as_deref(), Some("resolved" | "healthy"));
        let fixed = (self.on == Occasion::Resolved && self.outcome.as_deref() != Some("mitigated"))
            || (self.on == Occasion::StatusUpdate && over);
        match self {
            _ if fixed => "Resolved",
            _ if self.on == Occasion::Resolved || !self.actions_done.is_empty() || self.fixing => "Mitigating",
            _ => "Investigating",
        }
    }

    fn affected(&self) -> String {
        let from_inputs = || AFFECTED_INPUTS.iter().find_map(|name| self.inputs.get(name)?.as_str());
        self.affected.as_deref().or_else(from_inputs).unwrap_or(&self.playbook).to_owned()
    }

    /// What templates see: every text on one line, visible and bounded, so that a value cannot add
    /// lines to the message or letters that a terminal obeys.
    pub fn values(&self) -> Value {
        let approval = self.approval.as_ref().map(|approval| {
            json!({
                "step": approval.step, "summary": approval.summary, "request": self.whole_or_marked(&approval.request),
                "risk": approval.risk, "expires": approval.expires_at.map(show_time),
            })
        });
        let causes: Vec<Value> =
            self.causes.iter().map(|(name, title)| json!({"name": name, "title": title})).collect();
        let facts: Vec<Value> =
            self.table().into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        cleaned(&json!({
            "run": self.run, "playbook": self.playbook, "title": self.title, "code": self.code,
            "on": self.on, "severity": self.severity, "outcome": self.outcome, "why": self.why,
            "started": show_time(self.started_at), "now": show_time(self.now),
            "elapsed": show_duration(self.now.since(self.started_at)),
            "inputs": if self.inputs.is_object() { self.inputs.clone() } else { json!({}) },
            "affected": self.affected(), "status": self.status(), "impact": self.impact,
            "estimate": self.estimate(), "updates": self.updates(), "escalated_to": self.escalated_to,
            "causes": causes, "actions_done": self.actions_done, "next_steps": self.next_steps,
            "approval": approval, "facts": facts, "command": self.command(), "again": self.again(), "link": self.link,
            "drill": self.drill, "repeated": self.repeated, "acknowledge": self.acknowledge,
        }))
    }

    /// Who approves must not take the beginning of a long command for all of it.
    fn whole_or_marked(&self, request: &str) -> String {
        let shown = one_line(request.trim());
        if shown.chars().count() <= VALUE_LIMIT {
            return shown;
        }
        let note = format!(" (only the beginning; all of it: runbook show {})", quoted(&self.run));
        shorten(&shown, VALUE_LIMIT.saturating_sub(note.chars().count())) + &note
    }

    /// When the fault may be gone, in words.
    fn estimate(&self) -> Option<String> {
        let usually = self.usually?;
        let end = self.started_at.plus(usually);
        Some(match end > self.now {
            true => format!("about {}", show_time(end)),
            false => format!("later than usual, which is after {}", show_duration(usually)),
        })
    }

    fn updates(&self) -> String {
        match self.update_every.map(|every| every.as_secs()) {
            None | Some(0) => "on status change".into(),
            Some(3600) => "every hour or on status change".into(),
            Some(seconds) if seconds % 60 == 0 => format!("every {} minutes or on status change", seconds / 60),
            Some(seconds) => format!("every {} or on status change", show_duration(Duration::from_secs(seconds))),
        }
    }

    /// The short facts, the ones a reader looks for first on top.
    pub fn table(&self) -> Vec<(String, String)> {
        let causes = self.causes.iter().map(|(_, title)| title.as_str()).collect::<Vec<_>>().join("; ");
        let stated = [
            ("Outcome", self.outcome.clone()),
            ("Severity", Some(self.severity.clone())),
            ("Cause", Some(causes)),
            ("Impact", self.impact.clone()),
            ("Code", self.code.clone()),
            ("Escalated to", self.escalated_to.clone()),
            (
                "Started",
                Some(format!("{}, {} ago", show_time(self.started_at), show_duration(self.now.since(self.started_at)))),
            ),
        ];
        let stated = stated.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        stated
            .chain(self.inputs_shown())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (tidy(&name), tidy(&value)))
            .collect()
    }

    fn inputs_shown(&self) -> impl Iterator<Item = (String, String)> {
        let inputs = self.inputs.as_object().into_iter().flatten();
        let single = inputs.filter(|(_, value)| !value.is_object() && !value.is_array() && !value.is_null());
        single.take(INPUTS_SHOWN).map(|(name, input)| (name.clone(), value::show(input)))
    }
}

/// A word as a shell takes it literally: the item of a step, `restore[2]`, would be a file pattern.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", one_line(word).replace('\'', r"'\''"))
}

pub(super) fn tidy(text: &str) -> String {
    shorten(&one_line(text.trim()), VALUE_LIMIT)
}

fn cleaned(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(tidy(text)),
        Value::Array(items) => {
            Value::Array(items.iter().take(LIST_LIMIT).map(cleaned).chain(left_out(items)).collect())
        }
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), cleaned(field))).collect(),
        other => other.clone(),
    }
}

/// The line that stands for the texts of a list that are too many to show.
fn left_out(items: &[Value]) -> Option<Value> {
    let more = items.len().saturating_sub(LIST_LIMIT);
    (more > 0 && items.iter().all(Value::is_string)).then(|| json!(format!("and {more} more")))
}

/// To the second, in UTC: readers of one message sit in several time zones.
fn show_time(moment: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(moment.0) {
        Ok(moment) => moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => moment.to_rfc3339(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_with_an_item_is_quoted_for_the_shell() {
        let mut facts = Facts::sample(Occasion::Approval);
        facts.approval.as_mut().unwrap().step = "remediate.restore[2]".into();
        assert_eq!(facts.command(), "runbook approve 1122-174012-k3f9 'remediate.restore[2]'");
        assert_eq!(quoted("a'; rm -rf x"), r"'a'\''; rm -rf x'");
    }

    #[test]
    fn a_request_too_long_to_show_says_so() {
        let mut facts = Facts::sample(Occasion::Approval);
        let shown = |facts: &Facts| facts.values()["approval"]["request"].as_str().unwrap().to_owned();
        assert_eq!(shown(&facts), "POST http://127.0.0.1:8000/api/v1/ocr/test");
        facts.approval.as_mut().unwrap().request = "x".repeat(5000);
        assert!(shown(&facts).ends_with("… (only the beginning; all of it: runbook show 1122-174012-k3f9)"));
    }

    #[test]
    fn the_table_fits_a_slack_section() {
        assert!(Facts::sample(Occasion::Unresolved).table().len() <= 10);
        let mut facts = Facts::sample(Occasion::Escalated);
        facts.inputs = json!({"a": 1, "b": {"x": 1}, "c": "3", "d": 4, "e": 5});
        let names: Vec<String> = facts.table().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Outcome", "Severity", "Cause", "Impact", "Code", "Escalated to", "Started", "a", "c", "d"]);
    }
}
