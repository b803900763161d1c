//! What the journal on disk and the one in memory both promise.

use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::Trust;
use crate::audit::{Entry, Head, export::verify_export};
use crate::base::StepKey;
use crate::engine::event::StepStatus;
use crate::journal::{
    FindRunError, JournalError, MemoryJournal, RunFilter, Stored, Visitor, export, find_run, verify, verify_while,
};

/// Runs the test on an empty journal of each sort.
fn on_each(test: impl Fn(&dyn Journal)) {
    test(&MemoryJournal::new());
    test(&Place::new().open());
}

fn step_finished(output: Value) -> Event {
    Event::StepFinished {
        key: StepKey::plain("diagnose.file"),
        status: StepStatus::Passed,
        output,
        reason: None,
        help: None,
    }
}

#[test]
fn an_empty_journal_is_empty_and_sound() {
    on_each(|journal| {
        assert_eq!(journal.head().unwrap(), Head::EMPTY);
        assert_eq!(journal.read(&run("none")).unwrap(), []);
        assert_eq!(journal.runs(&RunFilter::default()).unwrap(), []);
        assert!(verify(journal, &Trust::default()).unwrap().is_sound());
    });
}

#[test]
fn what_was_appended_is_read_back() {
    on_each(|journal| {
        let (first, second) = (run("1122-170012-k3f9"), run("1122-170013-b2c3"));
        let written =
            records(&first, 1, [started("one"), phase(), step_finished(json!({"b": 1, "a": [null, "\u{0}"]}))]);
        journal.append(&first, masked(written[..1].to_vec())).wait().unwrap();
        add(journal, &second, 1, [started("two")]);
        journal.append(&first, masked(written[1..].to_vec())).wait().unwrap();
        assert_eq!(journal.read(&first).unwrap(), *written);
        assert_eq!(journal.read(&second).unwrap().len(), 1);
        let report = verify(journal, &Trust::default().heads([journal.head().unwrap()])).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!((report.entries, report.runs, report.anchored), (4, 2, 4));
    });
}

#[test]
fn checking_stops_when_it_may_not_go_on_and_says_nothing_then() {
    on_each(|journal| {
        add(journal, &run("one"), 1, [started("one"), phase(), phase()]);
        let asked = std::cell::RefCell::new(Vec::new());
        let noting = |most: u64| {
            asked.borrow_mut().clear();
            let goes_on = |entries| {
                asked.borrow_mut().push(entries);
                entries <= most
            };
            verify_while(journal, &Trust::default(), &goes_on).unwrap()
        };
        let whole = noting(3);
        assert_eq!(whole, Some(verify(journal, &Trust::default()).unwrap()));
        assert_eq!(*asked.borrow(), [3, 0, 1, 2], "how many there are, and then how many were read");
        assert_eq!(noting(2), None);
        assert_eq!(*asked.borrow(), [3], "not one is read");
        let counted = std::cell::Cell::new(0);
        let twice = |_| counted.replace(counted.get() + 1) < 2;
        assert_eq!(verify_while(journal, &Trust::default(), &twice).unwrap(), None);
        assert_eq!(counted.get(), 3);
    });
}

/// Three kinds of event have a time of their own beside that of their record.
#[test]
fn events_with_a_time_of_their_own_keep_both_times() {
    on_each(|journal| {
        let run = run("1122-170012-k3f9");
        let written = records(&run, 1, [started("one"), Event::RecheckScheduled { at: Timestamp(5) }]);
        journal.append(&run, written.clone()).wait().unwrap();
        assert_eq!(journal.read(&run).unwrap(), *written);
    });
}

#[test]
fn an_append_that_does_not_continue_its_run_is_refused_whole() {
    on_each(|journal| {
        let run = run("1122-170012-k3f9");
        add(journal, &run, 1, [started("one"), phase()]);
        let head = journal.head().unwrap();
        let twice = journal.append(&run, records(&run, 2, [phase()])).wait().unwrap_err();
        assert!(matches!(twice, JournalError::Conflict { expected: 3, found: 2, .. }), "{twice}");
        let ahead = journal.append(&run, records(&run, 4, [phase()])).wait().unwrap_err();
        assert!(matches!(ahead, JournalError::Conflict { expected: 3, found: 4, .. }), "{ahead}");
        let mut gap = records(&run, 3, [phase(), phase()]).into_inner();
        gap[1].seq = 5;
        let gap = journal.append(&run, masked(gap)).wait().unwrap_err();
        assert!(matches!(gap, JournalError::Conflict { expected: 4, found: 5, .. }), "{gap}");
        assert_eq!(journal.head().unwrap(), head);
        add(journal, &run, 3, [phase()]);
    });
}

#[test]
fn an_event_of_another_run_or_one_too_deep_to_be_read_again_is_refused() {
    on_each(|journal| {
        let (one, other) = (run("one"), run("other"));
        let stray = journal.append(&one, records(&other, 1, [phase()])).wait().unwrap_err();
        assert!(matches!(stray, JournalError::Unwritable { .. }), "{stray}");
        let deep = (0..150).fold(Value::Null, |inner, _| json!([inner]));
        let deep = journal.append(&one, records(&one, 1, [step_finished(deep)])).wait().unwrap_err();
        assert!(matches!(deep, JournalError::Unwritable { .. }), "{deep}");
        let wide = json!((0..150).map(|number| json!([number])).collect::<Vec<_>>());
        add(journal, &one, 1, [step_finished(wide)]);
    });
}

#[test]
fn appending_nothing_changes_nothing() {
    on_each(|journal| {
        journal.append(&run("one"), masked(Vec::new())).wait().unwrap();
        assert_eq!(journal.head().unwrap(), Head::EMPTY);
    });
}

#[test]
fn runs_are_listed_newest_first_with_how_they_ended() {
    on_each(|journal| {
        let names = ["1122-100000-aaaa", "1122-110000-bbbb", "1122-120000-cccc", "1122-110000-bbbb/remediate.x.1"];
        for name in names {
            add(journal, &run(name), 1, [started("model-load-error")]);
        }
        add(journal, &run(names[0]), 2, [finished(Outcome::Resolved)]);
        add(journal, &run(names[1]), 2, [finished(Outcome::Parked)]);
        let listed = |filter: &RunFilter| {
            let runs = journal.runs(filter).unwrap();
            runs.iter().map(|summary| (summary.run.to_string(), summary.outcome)).collect::<Vec<_>>()
        };
        let all = [(names[2], None), (names[1], Some(Outcome::Parked)), (names[0], Some(Outcome::Resolved))];
        let all = all.map(|(name, outcome)| (name.to_owned(), outcome));
        assert_eq!(listed(&RunFilter::default()), all);
        assert_eq!(listed(&RunFilter { limit: 2, ..RunFilter::default() }), all[..2]);
        assert_eq!(listed(&RunFilter { unfinished: true, ..RunFilter::default() }), all[..1]);
        assert_eq!(listed(&RunFilter { playbook: Some("other".into()), ..RunFilter::default() }), []);
        assert_eq!(listed(&RunFilter { children: true, ..RunFilter::default() }).len(), 4);
        // A parked run that goes on has not ended.
        add(journal, &run(names[1]), 3, [Event::Resumed { by: "ada".into() }]);
        assert_eq!(listed(&RunFilter { unfinished: true, ..RunFilter::default() }).len(), 2);
        let first = &journal.runs(&RunFilter::default()).unwrap()[2];
        assert_eq!((first.title.as_str(), first.by.as_str()), ("The title of model-load-error", "ada"));
        assert_eq!(
            (first.started_at, first.finished_at),
            (Timestamp(1_700_000_000_001), Some(Timestamp(1_700_000_000_002)))
        );
        assert_eq!((first.severity, first.damage.as_deref()), (Some(Severity::High), None));
    });
}

#[test]
fn a_run_is_found_by_its_beginning_or_its_last_letters() {
    on_each(|journal| {
        for name in ["1122-100000-k3f9", "1122-110000-b2c3", "1121-110000-d4f5", "1121-110000-d4f5/remediate.x.1"] {
            add(journal, &run(name), 1, [started("one")]);
        }
        let found = |asked: &str| find_run(journal, asked).map(|run| run.to_string());
        assert_eq!(found("1122-10").unwrap(), "1122-100000-k3f9");
        assert_eq!(found("1121-110000-d4f5").unwrap(), "1121-110000-d4f5");
        assert_eq!(found("1121-110000-d4f5/").unwrap(), "1121-110000-d4f5/remediate.x.1");
        assert_eq!(found(" b2c3 ").unwrap(), "1122-110000-b2c3");
        let Err(FindRunError::Ambiguous { matches, .. }) = find_run(journal, "1122") else { panic!() };
        assert_eq!(matches, [run("1122-110000-b2c3"), run("1122-100000-k3f9")]);
        let slip = find_run(journal, "1122-100000-k3f8").unwrap_err();
        assert!(slip.help().starts_with("did you mean 1122-100000-k3f9"), "{}", slip.help());
        for asked in ["", "%", "1122_1", "zzzzzzz"] {
            assert!(matches!(find_run(journal, asked), Err(FindRunError::NoSuchRun { .. })), "{asked}");
        }
    });
}

#[test]
fn an_export_of_the_journal_is_checked_without_it() {
    on_each(|journal| {
        add(journal, &run("one"), 1, [started("one"), phase(), finished(Outcome::Healthy)]);
        let file = export(journal, Vec::new()).unwrap();
        let report = verify_export(file.as_slice(), &Trust::default().heads([journal.head().unwrap()])).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!((report.entries, report.anchored), (3, 3));
    });
}

struct Stop(Vec<u64>);

impl Visitor for Stop {
    fn begin(&mut self, _stored: Stored) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        self.0.push(entry.seq);
        if self.0.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn a_visitor_may_stop() {
    on_each(|journal| {
        add(journal, &run("one"), 1, [started("one"), phase(), phase()]);
        let mut stop = Stop(Vec::new());
        journal.entries(&mut stop).unwrap();
        assert_eq!(stop.0, [1, 2]);
    });
}

#[test]
fn a_memory_journal_refuses_when_told_to() {
    let journal = MemoryJournal::new();
    journal.refuse_with(JournalError::DiskFull { path: "/var".into() });
    assert!(journal.append(&run("one"), records(&run("one"), 1, [phase()])).wait().is_err());
    journal.refuse_with(None);
    add(&journal, &run("one"), 1, [phase()]);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Through the journal, an export and back, an event is the event that was appended.
    #[test]
    fn any_output_survives(output in any_value()) {
        let (journal, run) = (MemoryJournal::new(), run("one"));
        let written = records(&run, 1, [step_finished(output)]);
        journal.append(&run, written.clone()).wait().unwrap();
        prop_assert_eq!(journal.read(&run).unwrap(), written.into_inner());
        let file = export(&journal, Vec::new()).unwrap();
        prop_assert!(verify_export(file.as_slice(), &Trust::default()).unwrap().is_sound());
    }
}

/// Without this feature a number read back can differ in its last bit from the one that was judged. A
/// development dependency switches it on for tests, so that only the manifest shows it missing.
#[test]
fn numbers_are_read_back_exactly_outside_of_tests_too() {
    let manifest = include_str!("../../../Cargo.toml");
    let line = manifest.lines().find(|line| line.starts_with("serde_json =")).unwrap();
    assert!(line.contains("float_roundtrip"), "{line}");
}
