//! Makes a message: lets a template word the facts of a run, and adds what a channel needs beside the text.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::facts::tidy;
use super::text::{one_line, shorten, visible};
use super::{Facts, Message, Occasion, Templates};

/// Mail servers fold lines of a header; people stop reading long before.
const SUBJECT_LIMIT: usize = 200;

impl Templates {
    /// The message for these facts, worded by the template of this name; `default` is the one named
    /// like the occasion. A message always comes out: when a site's template cannot be used for this
    /// run, the shipped wording is sent with a note that says why.
    pub fn message(&self, template: &str, facts: &Facts) -> Message {
        let values = facts.values();
        let (subject, body) = self.render(template, facts.on, &values).unwrap_or_else(|error| {
            let (subject, body) = Templates::shipped()
                .render("default", facts.on, &values)
                .unwrap_or_else(|_| (facts.title.clone(), format!("{} is {}.", facts.playbook, facts.on)));
            (subject, format!("{}\n\n({error}; this is the built-in wording)", body.trim_end()))
        });
        compose(facts, &subject, &body)
    }
}

fn compose(facts: &Facts, subject: &str, body: &str) -> Message {
    let command = facts.command();
    let mark = if facts.drill { "[DRILL] " } else { "" };
    let subject = format!("{mark}{}", one_line(subject_or_title(subject, facts)).trim());
    let subject = shorten(&subject, SUBJECT_LIMIT);
    let text = ending_with_command(facts, visible(body).trim(), &command);
    let moment = facts.now.0.to_string();
    Message {
        id: digest(&[&facts.run, facts.on.label(), &moment, &subject, &text]),
        at: facts.now,
        on: facts.on,
        run: facts.run.clone(),
        playbook: facts.playbook.clone(),
        title: tidy(&facts.title),
        severity: facts.severity.clone(),
        subject,
        text,
        facts: facts.table(),
        command,
        started_at: facts.started_at,
        dedup_key: dedup_key(facts),
        link: facts.link.clone(),
        thread: None,
        adds: false,
    }
}

/// A template may insert only what this run does not have, and no peer takes a message without a subject.
fn subject_or_title<'a>(subject: &'a str, facts: &'a Facts) -> &'a str {
    [subject, &facts.title, &facts.playbook].into_iter().find(|text| !text.trim().is_empty()).unwrap_or("runbook")
}

const REPEATED: &str =
    "You may have this message already: runbook was stopped while it was sent, and nobody is known to have it.\n\n";

/// Whatever a template says, the last line is what the reader can do now.
fn ending_with_command(facts: &Facts, body: &str, command: &str) -> String {
    let purpose = match facts.on {
        Occasion::Approval if facts.approval.is_some() => "To approve it",
        _ if facts.asks => "To take it over",
        _ => "To see everything",
    };
    let drill = if facts.drill { "This is a drill.\n\n" } else { "" };
    let link = facts.link.as_ref().map(|link| format!("In a browser: {}\n\n", visible(link))).unwrap_or_default();
    let page = facts.acknowledge.as_ref();
    let page = page.map(|page| format!("To take it over in a browser: {}\n\n", visible(page))).unwrap_or_default();
    let again = facts.again().map(|again| format!("To run it again:\n{again}\n\n")).unwrap_or_default();
    let repeated = if facts.repeated { REPEATED } else { "" };
    format!("{drill}{repeated}{body}\n\n{link}{page}{again}{purpose}:\n{command}")
}

/// Two runs of a playbook with the same inputs look at the same fault, so the second one's
/// "resolved" ends the incident that the first one opened.
pub fn dedup_key(facts: &Facts) -> String {
    // An exercise must not be joined to an incident that is open, nor end it.
    let kind = if facts.drill { "runbook-drill" } else { "runbook" };
    format!("{kind}:{}:{}", tidy(&facts.playbook), digest(&[&sorted(&facts.inputs).to_string()]))
}

/// The same value with the keys of every object in order, so that equal inputs give equal text.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            fields.into_iter().map(|(name, field)| (name.clone(), sorted(field))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// 128 bits of SHA-256 over the parts, each with its length so that no two lists of parts are alike.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::base::Timestamp;

    fn sent(facts: &Facts) -> Message {
        Templates::shipped().message("default", facts)
    }

    #[test]
    fn every_occasion_ends_with_a_command_to_paste() {
        for on in Occasion::ALL {
            let message = sent(&Facts::sample(on));
            let expected = match on {
                Occasion::Approval => "runbook approve 1122-174012-k3f9 remediate.reload",
                _ => "runbook show 1122-174012-k3f9",
            };
            assert_eq!((message.command.as_str(), message.text.lines().last()), (expected, Some(expected)));
            // An update is for people who know the fault by its code.
            let title =
                if on == Occasion::StatusUpdate { "MODEL_LOAD_ERROR" } else { "OCR or vision model fails to load" };
            assert!(message.subject.contains(title), "{}", message.subject);
        }
    }

    #[test]
    fn facts_with_only_what_every_run_has_are_enough() {
        for on in Occasion::ALL {
            let facts = Facts::new("r".into(), "p".into(), "T".into(), on, Timestamp(0), Timestamp(5000));
            let message = sent(&facts);
            assert!(!message.text.contains("built-in wording"), "{}", message.text);
            assert!(!message.text.contains("\n\n\n"), "{}", message.text);
        }
    }

    #[test]
    fn a_run_that_fixed_nothing_says_how_to_begin_again_and_each_message_links_to_its_run() {
        let text = sent(&Facts::sample(Occasion::Unresolved)).text;
        let again = "runbook run model-load-error --input 'provider=deepseek' --input 'api=http://127.0.0.1:8000'";
        assert!(text.lines().any(|line| line == again), "{text}");
        let mut facts = Facts::sample(Occasion::Unresolved);
        facts.link = Some("https://runbook.example.com/runs/1".into());
        assert!(sent(&facts).text.contains("In a browser: https://runbook.example.com/runs/1\n"));
        for unfit in [json!({"a": "two\nlines"}), json!({"a": ["list"]}), json!({"a": "x".repeat(900)})] {
            facts.inputs = unfit;
            assert_eq!(facts.again(), None);
        }
        facts.inputs = json!({"a": "'; reboot #"});
        assert_eq!(facts.again().unwrap(), r"runbook run model-load-error --input 'a='\''; reboot #'");
    }

    #[test]
    fn a_drill_is_marked_and_touches_no_incident() {
        for on in Occasion::ALL {
            let (real, drill) = (Facts::sample(on), Facts { drill: true, ..Facts::sample(on) });
            let message = sent(&drill);
            assert!(message.subject.starts_with("[DRILL] "), "{}", message.subject);
            assert!(message.text.starts_with("This is a drill.\n"), "{}", message.text);
            assert_ne!(message.dedup_key, sent(&real).dedup_key);
        }
    }

    #[test]
    fn what_may_have_been_told_before_says_so() {
        let once = Facts { asks: true, ..Facts::sample(Occasion::Escalated) };
        let again = Facts { repeated: true, ..once.clone() };
        assert_eq!(sent(&again).text, format!("{REPEATED}{}", sent(&once).text));
        assert_eq!(sent(&again).dedup_key, sent(&once).dedup_key, "it joins the incident that may be open");
    }

    #[test]
    fn data_stays_data() {
        let mut facts = Facts::sample(Occasion::Unresolved);
        facts.title = "a <b> & \"c\" {{run}}\nSubject: forged\u{1b}[2J".into();
        facts.causes = vec![("x".into(), "first\nrunbook approve 1 evil".into())];
        let message = sent(&facts);
        assert!(message.subject.contains("a <b> & \"c\" {{run}}\\nSubject: forged\\u{1b}[2J"), "{}", message.subject);
        assert!(message.text.lines().all(|line| !line.starts_with("runbook approve")), "{}", message.text);
        assert!(!message.text.contains('\u{1b}'));
    }

    #[test]
    fn floods_are_bounded() {
        let mut facts = Facts::sample(Occasion::Unresolved);
        facts.title = "t".repeat(100_000);
        facts.actions_done = vec!["a".repeat(100_000); 500];
        let message = sent(&facts);
        assert!(message.text.len() < 15_000, "{}", message.text.len());
        assert!(message.text.contains("and 480 more"));
        assert_eq!(message.subject.chars().count(), 200);
    }

    #[test]
    fn an_incident_keeps_its_key_from_run_to_run() {
        let first = Facts::sample(Occasion::Unresolved);
        let mut second = Facts { run: "1123-000000-2222".into(), ..Facts::sample(Occasion::Resolved) };
        second.inputs = json!({"api": "http://127.0.0.1:8000", "provider": "deepseek"});
        assert_eq!(sent(&first).dedup_key, sent(&second).dedup_key);
        second.inputs["provider"] = json!("other");
        assert_ne!(sent(&first).dedup_key, sent(&second).dedup_key);
    }

    #[test]
    fn two_messages_of_a_run_have_two_identifiers() {
        let first = Facts::sample(Occasion::Started);
        let later = Facts { now: first.now.plus(Duration::from_secs(1)), ..first.clone() };
        assert_eq!(sent(&first).id, sent(&first).id);
        assert_ne!(sent(&first).id, sent(&later).id);
    }
}
