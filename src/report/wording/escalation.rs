//! What an escalation has come to, in words.

use crate::base::Timestamp;
use crate::engine::escalation::{Case, Notice, Sent, Words};

/// One line for each thing that happened, in order, with its moment.
pub fn account(case: &Case) -> Vec<(Timestamp, String)> {
    let mut lines: Vec<(Timestamp, String)> =
        case.notices.iter().map(|notice| (notice.at, told(case, notice))).collect();
    lines.extend(case.acknowledged.as_ref().map(|answer| {
        let reason = if answer.reason.is_empty() { String::new() } else { format!(": {}", answer.reason) };
        (answer.at, format!("acknowledged by {} ({}){reason}", answer.by, answer.way))
    }));
    lines.extend(case.closed.as_ref().map(|closed| (closed.at, format!("closed: {}", closed.why))));
    if let Some(due) = case.next_level_at() {
        lines.push((due, "the next level is due unless somebody acknowledges".to_owned()));
    }
    if let Some(due) = case.begins_anew_at() {
        lines.push((due, "nobody was reached: the first level is told again then".to_owned()));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines
}

fn told(case: &Case, notice: &Notice) -> String {
    let what = match &notice.words {
        Words::Level { level, round } => {
            let names = case.climb.as_ref().and_then(|climb| climb.ladder.levels.get(*level as usize - 1));
            let names = names.map(|level| level.names.join(", ")).unwrap_or_default();
            let again = if *round > 1 { format!(", round {round}") } else { String::new() };
            format!("level {level} ({names}{again})")
        }
        Words::Final => "the final level".to_owned(),
        Words::Acknowledged => "the acknowledgement".to_owned(),
        Words::Closed => "the end".to_owned(),
        Words::Update { status } => format!("an update ({status})"),
    };
    let what = if notice.repeats.is_some() { format!("{what}, again") } else { what };
    let each: Vec<String> = notice.to.iter().map(|(channel, sent)| format!("{channel} {}", how(sent))).collect();
    match each.is_empty() {
        true => format!("{what}: no channel reaches them"),
        false => format!("{what}: {}", each.join(", ")),
    }
}

/// What became of a message, in words.
pub fn how(sent: &Sent) -> String {
    match sent {
        Sent::Pending => "is being told".to_owned(),
        Sent::Delivered { .. } => "told".to_owned(),
        Sent::Failed { error } => format!("not told ({error})"),
        Sent::Doubtful => "in doubt: it may have been told".to_owned(),
    }
}
