//! Test 10 of the reliability test plan: somebody sets the wall clock while a run goes on.

use std::path::PathBuf;

use crate::support::Runbook;
use crate::tracing::tell;

/// The library that shows programs another time, where it is installed. Where it is not, that is said.
pub fn other_time() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists());
    if library.is_none() {
        tell("NOT CHECKED: test 10 (a clock that jumps) needs libfaketime; the Debian package is named libfaketime");
    }
    library
}

/// The wall clock is what the file `clock` says, read at each look; other clocks go on as they are.
fn place(library: &std::path::Path, playbook: &str) -> Runbook {
    let place = Runbook::new().file("clock", "+0").file("jumps.yaml", playbook);
    let clock = place.path("clock").display().to_string();
    place
        .variable("LD_PRELOAD", library.display().to_string())
        .variable("FAKETIME_TIMESTAMP_FILE", clock)
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

const JUMPS: [&str; 4] = ["+1h", "-1h", "+365d", "-365d"];
/// How long each step takes, in milliseconds.
const TAKES: i64 = 300;

#[test]
fn t10_a_clock_that_is_set_changes_no_duration() {
    let Some(library) = other_time() else { return };
    let step = |(number, jump): (usize, &&str)| {
        let needs = if number == 0 { String::new() } else { format!("needs: [s{}], ", number - 1) };
        format!(
            "  s{number}: {{{needs}command: {{argv: [sh, -c, 'echo {jump} > clock; sleep 0.3']}}, risk: safe, \
             effect: idempotent, timeout: 20s}}\n"
        )
    };
    let steps: String = JUMPS.iter().enumerate().map(step).collect();
    let place = place(&library, &format!("runbook: 1\nname: jumps\ntitle: Jumps\nremediate:\n{steps}"));
    let done = place.call("run jumps.yaml --yes --format json").exits(0);
    let took = i64::try_from(done.took.as_millis()).expect("not that long");
    let times: Vec<i64> = done.events().iter().filter_map(|event| event["at"].as_i64()).collect();
    assert!(times.is_sorted() && times[times.len() - 1] - times[0] <= took, "{times:?} within {took} ms");
    let run = place.newest();
    let mut worst = 0;
    for number in 0..JUMPS.len() {
        let step = &run["steps"][format!("remediate.s{number}")];
        let measured = step["duration_ms"].as_i64().expect("a duration");
        assert!((TAKES..=took).contains(&measured), "{measured} ms within {took} ms: {step}");
        let ran = (step["output"]["duration"].as_f64().expect("seconds") * 1000.0) as i64;
        worst = worst.max((measured - ran).abs());
    }
    assert!(worst <= 1_000, "{worst} ms");
    place.call("audit verify").exits(0);
    tell(&format!("test 10: {} jumps of the clock, durations wrong by {worst} ms at most", JUMPS.len()));
}

/// A time that was written down may lie a year ahead when the run goes on.
#[test]
fn t10_a_run_that_goes_on_with_a_clock_set_back_waits_no_longer_than_it_would_have() {
    let Some(library) = other_time() else { return };
    let playbook = "runbook: 1\nname: jumps\ntitle: Jumps\nremediate:\n  flaky:\n    command: {argv: [test, -e, ready]}\n    \
                    risk: safe\n    effect: idempotent\n    retry: {attempts: 2, backoff: 3s, on: [failed]}\n";
    let place = place(&library, playbook);
    let mut running = place.args(["run", "jumps.yaml", "--yes"]).start();
    running.until_it_says("tries again");
    running.kill();
    drop(running);
    place.write("ready", "");
    place.write("clock", "-365d");
    let done = place.call("resume --yes").exits(0);
    assert!(done.took.as_secs() < 30, "{:?}", done.took);
}
