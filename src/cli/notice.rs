//! The line about runs that were interrupted and that nobody goes on with.

use super::output;
use super::setup;
use crate::base::RunId;
use crate::journal::{Journal, RunFilter};
use crate::runtime::is_running;
use crate::site::Site;

/// Enough to find the newest; how many there are beyond that helps nobody.
const LOOKED_AT: usize = 50;

/// Says it where a command has no need of the journal, and makes none where there was none.
pub(super) fn without_journal(site: &Site) {
    if site.journal_file().exists()
        && let Ok(journal) = setup::open_journal(site)
    {
        left_behind(site, journal.as_ref(), None);
    }
}

/// Says in one line on standard error which run waits to be resumed, other than the one that the command goes on
/// with. It never fails: a notice must not keep a command from doing what it was asked for.
pub(super) fn left_behind(site: &Site, journal: &dyn Journal, except: Option<&RunId>) {
    let filter = RunFilter { limit: LOOKED_AT, unfinished: true, ..RunFilter::default() };
    let Ok(runs) = journal.runs(&filter) else { return };
    let is_left = |run: &RunId| Some(run) != except && !is_running(&site.state, run);
    let left: Vec<_> = runs.into_iter().filter(|run| is_left(&run.run)).collect();
    let Some(newest) = left.first() else { return };
    let run = &newest.run;
    let others = match left.len() - 1 {
        0 => String::new(),
        others => format!(" ({others} more: `runbook history`)"),
    };
    output::error(&format!(
        "note: run {run} of {} was interrupted and nobody runs it; `runbook resume {run}` goes on with it{others}",
        newest.playbook
    ));
}
