//! Test 17 of the reliability test plan: a journal that cannot be gone on with harms its own run only. Test 3 on
//! the journals of real runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use runbook::base::{Redacted, RunId, StepKey};
use runbook::engine::event::{AttemptResult, Event, Role, StepStatus};
use runbook::engine::{Record, RunState};
use runbook::journal::{Journal, SqliteJournal};
use runbook::report::RunView;

use crate::faults::{RUN, effects, place};
use crate::proofs::journal;
use crate::support::Runbook;
use crate::tracing::tell;
use serde_json::json;

fn open(place: &Runbook) -> SqliteJournal {
    SqliteJournal::open(journal(place)).expect("a journal")
}

/// The events of the newest run.
fn records(place: &Runbook) -> Vec<Record> {
    open(place).read(&RunId::from(place.newest_run())).expect("its events")
}

/// Runs of different shapes: one that fixed the fault, one that found nothing, and one that failed and undid.
fn real_runs() -> Vec<Vec<Record>> {
    let resolved = place();
    drop(resolved.args(RUN).done().exits(0));
    let healthy = place();
    std::fs::remove_file(healthy.path("fault")).expect("the fault");
    drop(healthy.args(RUN).done().exits(0));
    let failed = place().file("step.sh", "[ $1 != once ]");
    drop(failed.args(RUN).done().exits(1));
    [resolved, healthy, failed].iter().map(records).collect()
}

#[test]
fn t03_every_prefix_of_a_real_journal_is_a_legal_state() {
    let mut prefixes = 0;
    for records in real_runs() {
        for length in 1..=records.len() {
            let state = RunState::replay(&records[..length]).expect("a legal state");
            assert_eq!(state.seq, length as u64);
            let view = RunView::of(&records[..length]);
            assert!(view.to_json()["id"].is_string(), "every prefix can be shown");
            prefixes += 1;
        }
    }
    tell(&format!("test 3: {prefixes} prefixes of real journals, illegal = 0"));
}

/// These events as those of another run, numbered anew.
fn of_run(events: impl IntoIterator<Item = Record>, run: &RunId) -> Vec<Record> {
    let numbered = events.into_iter().zip(1..);
    numbered.map(|(record, seq)| Record { run: run.clone(), seq, ..record }).collect()
}

/// Every journal that one slip makes of this one: an event lost, told twice, or told too early.
fn slips(records: &[Record]) -> Vec<Vec<Record>> {
    let run = &records[0].run;
    let mut slips = Vec::new();
    for place in 1..records.len() {
        let (before, after) = records.split_at(place);
        let lost = before.iter().chain(&after[1..]).cloned();
        let twice = before.iter().chain(&after[..1]).chain(after).cloned();
        slips.extend([of_run(lost, run), of_run(twice, run)]);
        for earlier in 1..place {
            let mut moved = records.to_vec();
            let event = moved.remove(place);
            moved.insert(earlier, event);
            slips.push(of_run(moved, run));
        }
    }
    slips
}

/// Whatever order events come in: an error at most, and never a panic, of the engine or of a view.
#[test]
fn t17_no_order_of_events_makes_the_replay_or_a_view_panic() {
    let (mut tried, mut refused) = (0, 0);
    for records in real_runs() {
        for slip in slips(&records) {
            let replay = catch_unwind(|| RunState::replay(&slip).is_err());
            refused += usize::from(replay.expect("the replay does not panic"));
            let view = catch_unwind(AssertUnwindSafe(|| RunView::of(&slip).to_json()));
            drop(view.expect("a view does not panic"));
            tried += 1;
        }
    }
    assert!(tried > 1_000 && refused > 0, "{tried}, {refused}");
    tell(&format!("test 17: {tried} poisoned journals, {refused} refused, panics = 0"));
}

/// Journals of runs that have not ended, each with something in it that cannot be.
fn poisons(begun: &[Record]) -> Vec<(&'static str, Vec<Record>)> {
    let last = begun.last().expect("events").clone();
    let then = |event: Event| {
        let more = Record { event, ..last.clone() };
        begun.iter().cloned().chain([more]).collect::<Vec<_>>()
    };
    let stranger = StepKey::plain("remediate.stranger");
    let ended = |key: &StepKey| Event::AttemptEnded {
        key: key.clone(),
        role: Role::Main,
        attempt: 1,
        result: AttemptResult::Cancelled,
    };
    let finished = Event::StepFinished {
        key: stranger.clone(),
        status: StepStatus::Passed,
        output: json!(null),
        reason: None,
        help: None,
    };
    let mut other_plan = begun.to_vec();
    if let Event::RunStarted(header) = &mut other_plan[0].event {
        header.steps.reverse();
    }
    vec![
        ("the end of what never began", then(ended(&StepKey::plain("remediate.again")))),
        ("a step that does not exist", then(finished)),
        ("an end of a step that does not exist", then(ended(&stranger))),
        ("the undo of nothing", then(Event::UndoFinished { key: stranger, error: None })),
        ("a second start", then(begun[0].event.clone())),
        ("the steps of another plan", other_plan),
    ]
}

#[test]
fn t17_a_poisoned_run_is_left_as_it_is_and_everything_else_goes_on() {
    let place = place();
    drop(place.args(RUN).done().exits(0));
    let whole = records(&place);
    let phase = whole.iter().position(|record| matches!(record.event, Event::PhaseStarted { .. })).expect("a phase");
    let begun = &whole[..=phase];
    // A sound run that was interrupted is older than all of them.
    place.write("fault", "");
    std::fs::remove_dir_all(place.path("effects")).expect("what was done");
    std::fs::create_dir(place.path("effects")).expect("an empty folder");
    let sound = RunId::from("0101-000000-aaaa".to_owned());
    let poisons = poisons(begun);
    {
        let journal = open(&place);
        let keep = |run: &RunId, records: &[Record]| {
            let records = Redacted::of(of_run(records.iter().cloned(), run)).expect("no secrets");
            journal.append(run, records).wait().expect("a durable journal");
        };
        keep(&sound, begun);
        for (number, (_, records)) in poisons.iter().enumerate() {
            keep(&RunId::from(format!("0101-00000{number}-bbbb")), records);
        }
    }
    for (number, (what, _)) in poisons.iter().enumerate() {
        let run = format!("0101-00000{number}-bbbb");
        for command in [vec!["show", &run], vec!["report", &run]] {
            drop(place.args(command).done().exits(0).does_not_say("panicked"));
        }
        let done = place.args(["resume", &run, "--yes"]).done().does_not_say("panicked");
        assert_eq!(done.status.code(), Some(5), "{what}: {}", done.shown());
    }
    // Without a name the newest that can be gone on with is gone on with.
    let done = place.args(["resume", "--yes"]).done().exits(0).does_not_say("panicked");
    for number in 0..poisons.len() {
        assert!(done.shown().contains("left as it is: run"), "{number}: {}", done.shown());
    }
    assert_eq!(place.args(["show", sound.as_str(), "--format", "json"]).done().json()["outcome"], "resolved");
    assert_eq!(effects(&place, "remediate.once"), 1);
    drop(place.call("resume --yes").exits(5).says("take over by hand"));
    drop(place.call("history").exits(0).does_not_say("panicked"));
    drop(place.call("audit verify").exits(0));
    drop(place.file("fault", "").args(RUN).done().exits(0));
    tell(&format!("test 17: {} poisoned runs, crash loops = 0", poisons.len()));
}
