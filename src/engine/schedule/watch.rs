//! What follows from another look at a detection.

use std::time::Duration;

use super::{Fact, Flapping, Seen, Timetable};
use crate::base::Timestamp;

/// What is new after a look that was over at `now`. A look that could tell nothing is none.
pub fn observe(timetable: &Timetable, key: &str, flapping: Flapping, now: Timestamp, holds: bool) -> Vec<Fact> {
    let before = timetable.watch(key).cloned().unwrap_or_default();
    let changed = before.holds != holds;
    let recent = recent_changes(&before, flapping, now) + u32::from(changed);
    let mut facts = Vec::new();
    if changed {
        facts.push(Fact::Changed { key: key.to_owned(), holds });
    }
    if recent > flapping.changes && !before.held_back && holds {
        facts.push(Fact::Flapping { key: key.to_owned(), changes: recent });
    }
    if recent <= flapping.changes && before.held_back {
        facts.push(Fact::Calm { key: key.to_owned() });
    }
    facts
}

fn recent_changes(seen: &Seen, flapping: Flapping, now: Timestamp) -> u32 {
    let within = Duration::from_secs_f64(flapping.within);
    let recent = seen.changes.iter().filter(|change| now.since(**change) < within);
    u32::try_from(recent.count()).unwrap_or(u32::MAX)
}
