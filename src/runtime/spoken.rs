//! What somebody says to a run.

use super::running::Running;
use crate::engine::What;

/// What a run is told when it goes on. Whoever found out that it counts may have the sole right to the run since
/// then, so that nothing comes in between.
#[derive(Debug, Default)]
pub struct Spoken {
    pub(super) words: Vec<What>,
    pub(super) held: Option<Running>,
}

impl Spoken {
    /// The words, without the right to the run: another one has to take it.
    pub fn into_words(self) -> Vec<What> {
        self.words
    }
}

impl From<Vec<What>> for Spoken {
    fn from(words: Vec<What>) -> Self {
        Spoken { words, held: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use crate::base::{Source, StepKey};
    use crate::engine::Answered;
    use crate::engine::event::{ApprovalVerdict, Outcome};
    use crate::journal::MemoryJournal;
    use crate::notify::Templates;
    use crate::playbook;
    use crate::report::FanOut;
    use crate::runtime::{AnswerError, Host, Nobody, RuntimeError};
    use crate::site::Site;

    const PLAYBOOK: &str = "
runbook: 1
name: asks
title: It asks
causes: {always: {title: Always, when: 'true'}}
remediate: {act: {fixes: [always], command: {argv: ['true']}, approve: {}}}
";

    #[tokio::test]
    async fn nothing_comes_between_an_answer_that_counts_and_the_run_that_goes_on_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site { state: folder.path().to_owned(), ..Site::default() };
        let templates = Templates::shipped();
        let journal = Arc::new(MemoryJournal::new());
        let host = Host::new(site, journal, Arc::new(Nobody), templates, Box::new(FanOut::default()));
        let playbook = playbook::parse(&Source::new(Path::new("asks.yaml"), PLAYBOOK.to_owned())).unwrap();
        let prepared = host.prepare(playbook, &BTreeMap::new(), "linus", "hand").unwrap();
        let run = prepared.run.clone();
        let parked = host.run(prepared, Arc::new(Nobody), None).await.unwrap();
        assert_eq!(parked.outcome, Some(Outcome::Parked));
        let says = |who: &'static str| {
            move |key: StepKey, _: String| Answered::new(key, ApprovalVerdict::Rejected, who.to_owned(), String::new())
        };
        let first = host.answers(&run, None, says("ada")).await.unwrap();
        let second = host.answers(&run, None, says("grace")).await;
        assert!(matches!(second, Err(AnswerError::Runtime(RuntimeError::RunsElsewhere(_)))), "{second:?}");
        let ended = host.go_on(&run, first, Arc::new(Nobody), None).await.unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Rejected));
        let third = host.answers(&run, None, says("grace")).await;
        assert!(matches!(third, Err(AnswerError::NothingWaits { .. })), "{third:?}");
    }
}
