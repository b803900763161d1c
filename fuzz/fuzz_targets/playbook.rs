//! Text that someone wrote as a playbook: any mistake in it becomes a diagnostic that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runbook::base::Source;

fuzz_target!(|text: &str| {
    let source = Source::new("fuzzed.yaml", text);
    let (playbook, mut problems) = runbook::playbook::examine(&source);
    if let Some(playbook) = &playbook {
        problems.extend(runbook::plan::check(playbook));
    }
    for problem in &problems {
        assert!(!problem.message.is_empty(), "a mistake without a word about it");
        if let Some((source, span)) = &problem.place {
            assert!(span.start <= span.end && span.end <= source.text.len(), "{problem:?} points past the text");
            source.line_column(span.start);
            source.excerpt(*span);
        }
    }
});
