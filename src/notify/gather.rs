//! Makes one message of several that go out together: those of a storm, or more than a channel takes.

use super::message::digest;
use super::{Message, Occasion};

/// So many runs are listed; a list that is longer is a log.
const LISTED: usize = 20;

/// Severities from the least to the worst.
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// What people have told each other so far: run and subject.
pub type Line = (String, String);

/// One message for all of these, the oldest first. `before` is what an earlier message of the same group told, and
/// `batch` the number that tells this message from every other one; `None` when there is nothing to tell.
pub fn gather(batch: u64, messages: &[Message], before: &[Line], overview: Option<&str>) -> Option<Message> {
    let last = messages.last()?;
    let of_one_run = before.is_empty() && messages.iter().all(|message| message.run == last.run);
    Some(if of_one_run { with_earlier(messages, last) } else { listed(batch, messages, before, overview, last) })
}

/// The newest message of a run, which says what the ones before it said.
fn with_earlier(messages: &[Message], last: &Message) -> Message {
    let (_, earlier) = messages.split_last().unwrap_or((last, &[]));
    if earlier.is_empty() {
        return last.clone();
    }
    let before: Vec<String> = earlier.iter().map(|message| format!("Before: {}\n", message.subject)).collect();
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    Message { id: digest(&ids), text: format!("{}\n{}", before.concat(), last.text), ..last.clone() }
}

fn listed(batch: u64, messages: &[Message], before: &[Line], overview: Option<&str>, last: &Message) -> Message {
    let told = |message: &Message| (message.run.clone(), message.subject.clone());
    let lines: Vec<Line> = before.iter().cloned().chain(messages.iter().map(told)).collect();
    let title = title(messages, &lines);
    let command = "runbook history".to_owned();
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    Message {
        id: digest(&[&["group", &batch.to_string()], &ids[..]].concat()),
        on: messages.iter().map(|message| message.on).find(|on| on.calls_for_a_person()).unwrap_or(last.on),
        run: format!("group-{batch}"),
        severity: worst(messages),
        subject: title.clone(),
        text: format!("{}\n\nTo see everything:\n{command}", list(&lines)),
        facts: vec![("Runs".into(), runs(&lines).to_string()), ("Severity".into(), worst(messages))],
        command,
        started_at: messages.iter().map(|message| message.started_at).min().unwrap_or(last.started_at),
        dedup_key: format!("runbook:group:{batch}"),
        link: overview.map(str::to_owned),
        thread: None,
        adds: !before.is_empty(),
        title,
        ..last.clone()
    }
}

fn runs(lines: &[Line]) -> usize {
    let mut runs: Vec<&String> = lines.iter().map(|(run, _)| run).collect();
    runs.sort_unstable();
    runs.dedup();
    runs.len()
}

/// `7 runs of model-load-error: unresolved`, or what there is of everything.
fn title(messages: &[Message], lines: &[Line]) -> String {
    let mark = if lines.iter().all(|(_, subject)| subject.starts_with("[DRILL] ")) { "[DRILL] " } else { "" };
    let mut kinds: Vec<(&str, Occasion, usize)> = Vec::new();
    for message in messages {
        match kinds.iter_mut().find(|(playbook, on, _)| *playbook == message.playbook && *on == message.on) {
            Some((_, _, count)) => *count += 1,
            None => kinds.push((&message.playbook, message.on, 1)),
        }
    }
    if let [(playbook, on, _)] = kinds[..] {
        return format!("{mark}{} runs of {playbook}: {on}", runs(lines));
    }
    // What calls for a person is read first, and a long list is cut at its end.
    kinds.sort_by_key(|(_, on, count)| (!on.calls_for_a_person(), std::cmp::Reverse(*count)));
    let parts: Vec<String> =
        kinds.iter().take(5).map(|(playbook, on, count)| format!("{count} × {playbook} {on}")).collect();
    let more = if kinds.len() > parts.len() { ", …" } else { "" };
    format!("{mark}{} messages: {}{more}", lines.len(), parts.join(", "))
}

fn list(lines: &[Line]) -> String {
    let hidden = lines.len().saturating_sub(LISTED);
    let shown = lines[hidden..].iter().map(|(run, subject)| format!("- {subject}\n  runbook show {run}"));
    let earlier = (hidden > 0).then(|| format!("{hidden} before these."));
    earlier.into_iter().chain(shown).collect::<Vec<_>>().join("\n")
}

fn worst(messages: &[Message]) -> String {
    let rank = |message: &&Message| SEVERITIES.iter().position(|severity| *severity == message.severity);
    messages.iter().max_by_key(rank).map_or_else(|| "medium".to_owned(), |message| message.severity.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{Facts, Templates};

    fn message(run: &str, on: Occasion, severity: &str) -> Message {
        let facts = Facts { run: run.into(), severity: severity.into(), ..Facts::sample(on) };
        Templates::shipped().message("default", &facts)
    }

    #[test]
    fn one_stays_what_it_is() {
        let one = message("a", Occasion::Started, "low");
        assert_eq!(gather(1, std::slice::from_ref(&one), &[], None), Some(one));
        assert_eq!(gather(1, &[], &[], None), None);
    }

    #[test]
    fn several_runs_are_listed_with_what_was_told_before() {
        let messages = [message("b", Occasion::Unresolved, "low"), message("c", Occasion::Unresolved, "critical")];
        let before = [("a".to_owned(), "[low] a is broken".to_owned())];
        let all = gather(7, &messages, &before, Some("https://runbook.example.com/runs")).unwrap();
        assert_eq!(all.subject, "3 runs of model-load-error: unresolved");
        assert_eq!((all.on, all.severity.as_str()), (Occasion::Unresolved, "critical"));
        assert!(all.text.starts_with("- [low] a is broken\n  runbook show a\n- "), "{}", all.text);
        assert_eq!(all.text.lines().last(), Some(all.command.as_str()));
        assert_eq!(all.link.as_deref(), Some("https://runbook.example.com/runs"));
        assert_ne!(all.id, gather(8, &messages, &before, None).unwrap().id);
    }

    #[test]
    fn a_mixed_crowd_says_what_calls_for_a_person_first_and_is_bounded() {
        let mut crowd: Vec<Message> =
            (0..40).map(|run| message(&format!("r{run}"), Occasion::Started, "low")).collect();
        crowd.push(message("x", Occasion::Unresolved, "high"));
        let all = gather(1, &crowd, &[], None).unwrap();
        assert_eq!(all.subject, "41 messages: 1 × model-load-error unresolved, 40 × model-load-error started");
        assert_eq!(all.on, Occasion::Unresolved);
        assert!(all.text.starts_with("21 before these.\n- ") && all.text.lines().count() < 50, "{}", all.text);
    }

    #[test]
    fn the_newest_of_one_run_says_what_was_not_told_before_it() {
        let messages = [message("a", Occasion::Started, "low"), message("a", Occasion::Approval, "low")];
        let one = gather(1, &messages, &[], None).unwrap();
        assert_eq!((one.on, one.subject.as_str()), (Occasion::Approval, messages[1].subject.as_str()));
        assert!(one.text.starts_with(&format!("Before: {}\n", messages[0].subject)), "{}", one.text);
        assert!(one.text.ends_with(&messages[1].command));
    }

    #[test]
    fn drills_stay_marked() {
        let drill = |run: &str| {
            let facts = Facts { run: run.into(), drill: true, ..Facts::sample(Occasion::Started) };
            Templates::shipped().message("default", &facts)
        };
        assert!(gather(1, &[drill("a"), drill("b")], &[], None).unwrap().subject.starts_with("[DRILL] 2 runs"));
    }
}
