//! The result of a check, as people read it: on the command line and on the page the same words.

use std::time::Duration;

use super::{Completeness, Report};
use crate::base::{Timestamp, units};

impl Report {
    /// How long ago the last entry was written that something kept elsewhere vouches for.
    pub fn window(&self, now: Timestamp) -> Option<Duration> {
        self.anchored_at.map(|at| now.since(Timestamp(at)))
    }

    /// What was found, a line each; `with_key` says whether the reader brought a public key. Not escaped for a terminal.
    pub fn lines(&self, with_key: bool, now: Timestamp) -> Vec<String> {
        let mut lines: Vec<String> = self.findings.iter().map(|finding| format!("✗ {finding}")).collect();
        let read = format!("{} of {}", counted(self.entries, "entry", "entries"), counted(self.runs, "run", "runs"));
        lines.push(match self.is_sound() {
            true => format!("✓ The audit trail holds: {read}, each as it was written."),
            false => {
                let findings = counted(self.findings.len() as u64, "finding", "findings");
                format!("The audit trail does not hold: {findings} in {read}.")
            }
        });
        lines.push(format!("  Integrity:    {}", integrity(self, with_key)));
        lines.push(format!("  Completeness: {}", completeness(self)));
        if self.is_sound() {
            lines.push(format!("  Undetectable: {}", undetectable(self, now)));
            lines.push(format!("  Last entry:   {}", self.head));
        }
        lines
    }
}

fn integrity(report: &Report, with_key: bool) -> String {
    let signatures = match (with_key, report.signed) {
        (false, _) => "signatures were not checked, give the public key with --key".to_owned(),
        (true, 0) => "no checkpoint beside the entries is signed with the key you gave".to_owned(),
        (true, signed) => format!("{} signed with the key you gave", counted(signed, "checkpoint", "checkpoints")),
    };
    let verdict = if report.is_intact() { "every entry fits" } else { "broken, see above" };
    format!("{verdict}; {signatures}")
}

fn completeness(report: &Report) -> String {
    match report.completeness {
        Completeness::ProvenToAnchor => format!("proven up to entry {} by what was kept elsewhere", report.anchored),
        Completeness::Incomplete => "entries at the end are gone, see above".to_owned(),
        Completeness::Unprovable => "the end cannot be proven without an anchor (--anchor FILE or --head)".to_owned(),
    }
}

fn undetectable(report: &Report, now: Timestamp) -> String {
    let entries = report.head.count.saturating_sub(report.anchored);
    match (report.anchored, entries) {
        (0, _) => "whoever can write the journal, and its key, could have rewritten all of it".to_owned(),
        (_, 0) => "nothing; no entry is newer than the last one that is anchored".to_owned(),
        (anchored, _) => {
            let since = report.window(now).map(|passed| format!(", of the last {}", units::show_duration(passed)));
            let newer = counted(entries, "entry", "entries");
            format!("changes to the {newer} after entry {anchored}{}", since.unwrap_or_default())
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
