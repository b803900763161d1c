//! Programs that misbehave, and engines that die over them. The numbers are those of the test plan.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use runbook::action::process::table;
use runbook::base::{Clock, environment};
use serde_json::{Value, json};

use crate::support::{Runbook, is_alive, wait_until};

/// A playbook with one remediation `step` by this shell text, and more keys of the command and of the step.
fn playbook(shell: &str, command: &str, step: &str) -> Runbook {
    let text = format!(
        "runbook: 1\nname: p\ntitle: A program\nremediate:\n  step:\n    command:\n      argv: [sh, program.sh]\n{}\n    risk: safe\n{}\n",
        indented(command, 6),
        indented(step, 4),
    );
    Runbook::new().file("p.yaml", text).file("program.sh", shell)
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

fn output(place: &Runbook) -> Value {
    place.newest()["steps"]["remediate.step"]["output"].clone()
}

/// Who is alive of what the place's programs have started, wherever they went: each was given the run's name.
fn survivors(place: &Runbook) -> usize {
    let mark = vec![format!("RB_RUN={}", place.newest_run())];
    table::all().iter().filter(|entry| entry.is_alive() && entry.has_variables(&mark)).count()
}

/// Leaves its group, its session and its parent, and ignores every request to end.
const ESCAPE: &str = "
trap '' TERM HUP INT
cat /proc/self/cgroup > group
setsid sh -c 'trap \"\" TERM; (trap \"\" TERM; setsid sh -c \"trap \\\"\\\" TERM; echo up > up; while :; do sleep 0.1; done\" &) &' &
while :; do sleep 0.1; done
";

fn t19(site: &str, step: &str) -> Runbook {
    let place = playbook(ESCAPE, "grace: 200ms", &format!("timeout: 3s\n{step}"));
    place.write("runbook.yaml", site);
    let mut running = place.args(["run", "p.yaml", "--yes"]).start();
    running.until("the escape", || place.exists("up"));
    running.done().exits(1).says("not done within 3.0 s");
    assert_eq!(survivors(&place), 0, "{site} {step}");
    place
}

#[test]
#[expect(clippy::print_stderr, reason = "what could not be tried here must be seen")]
fn t19_a_step_that_double_forks_and_ignores_term_is_ended_by_its_control_group() {
    let place = t19("cgroups: true\n", "effect: once");
    if !place.read("group").contains("/runbook-") {
        eprintln!("t19: this machine lets nobody make a control group here; only the other way was tried");
    }
}

#[test]
fn t19_a_step_that_double_forks_and_ignores_term_is_ended_without_a_control_group() {
    let place = t19("cgroups: false\n", "effect: once");
    assert!(!place.read("group").contains("/runbook-"));
}

#[test]
fn t19_a_direct_step_that_double_forks_and_ignores_term_is_ended_too() {
    t19("cgroups: false\n", "effect: idempotent");
}

/// At most 127 processes, whatever happens.
const BOMB: &str = "
trap '' TERM
fork() { if [ $1 -gt 0 ]; then fork $(($1 - 1)) & fork $(($1 - 1)) & fi; exec sleep 30; }
fork 6
";

#[test]
fn t20_a_fork_bomb_is_bounded_and_the_engine_goes_on() {
    let place = playbook(BOMB, "limits: {processes: 24}", "timeout: 20s\non_error: continue");
    let text =
        format!("{}  other: {{command: {{argv: [\"true\"]}}, risk: safe, effect: idempotent}}\n", place.read("p.yaml"));
    place.write("p.yaml", text);
    let done = place.args(["run", "p.yaml", "--yes"]).done();
    assert!(done.took < Duration::from_secs(15), "the engine answered: {:?}", done.took);
    assert_eq!(survivors(&place), 0);
    let steps = place.newest()["steps"].clone();
    assert_eq!(
        (&steps["remediate.step"]["status"], &steps["remediate.other"]["status"]),
        (&"error".into(), &"passed".into())
    );
    done.says("more than 24 processes");
}

/// Says that it runs, then waits until it may end.
const WAITS: &str =
    "echo once >> effects\necho $$ > waiting\nwhile [ ! -e go ]; do sleep 0.05; done\necho the result\nexit 0\n";

/// Kills the engine while the step waits.
fn killed(place: &Runbook) {
    let mut running = place.args(["run", "p.yaml", "--yes"]).start();
    running.until("the step", || place.read("waiting").ends_with('\n'));
    running.kill();
}

fn waiting(place: &Runbook) -> i32 {
    place.read("waiting").trim().parse().expect("a number")
}

#[test]
fn t21_a_step_whose_engine_was_killed_comes_to_its_end_and_its_result_is_adopted() {
    for ended_before in [true, false] {
        let place = playbook(WAITS, "", "");
        killed(&place);
        let step = waiting(&place);
        assert!(is_alive(step), "it goes on without its engine");
        let shim = place.shim_of("waiting").expect("its shim");
        assert_eq!(shim.session, shim.pid, "what ends the terminal of the engine does not reach it");
        if ended_before {
            place.write("go", "");
            wait_until("the step's end", || !is_alive(step));
            place.args(["resume", "--yes"]).done().exits(0);
        } else {
            let mut resumed = place.args(["resume", "--yes"]).start();
            resumed.until_it_says("resumed");
            place.write("go", "");
            resumed.done().exits(0);
        }
        assert_eq!(place.read("effects"), "once\n", "never run again");
        let output = output(&place);
        assert_eq!((&output["adopted"], &output["stdout"]), (&true.into(), &"the result\n".into()));
        assert_eq!(std::fs::read_dir(place.state().join("receipts")).expect("a folder").count(), 0, "nothing is kept");
        place.call("audit verify").exits(0);
    }
}

/// The request of an engine that died right after it, when another one had taken the attempt over already.
#[test]
fn t21_an_attempt_that_was_taken_over_before_it_began_never_begins() {
    let place = Runbook::new();
    let begin = |attempt: &str| {
        let request = json!({
            "launch": {
                "program": "/bin/sh", "argv": ["sh", "-c", format!("echo > did-{attempt}")], "environment": [],
                "folder": null, "stdin": null, "grace": {"secs": 1, "nanos": 0},
                "confinement": {"limits": {}, "sandbox": null, "new_privileges": false},
            },
            "receipt": place.path(attempt), "orphan": "finish", "time_limit": {"secs": 10, "nanos": 0},
            "cgroups": false, "secrets": [],
        });
        place.args(["__shim"]).stdin(format!("{request}\n")).done().exits(0);
        place.exists(&format!("did-{attempt}"))
    };
    place.write("free/empty", "");
    assert!(begin("free"), "what nobody has taken over begins");
    place.write("taken/begun", json!({"shim": null}).to_string());
    assert!(!begin("taken"));
}

#[test]
fn t21_a_step_that_dies_with_its_engine_is_gone_within_two_seconds_and_is_not_in_doubt() {
    for effect in ["once", "idempotent"] {
        let place = playbook(&format!("trap '' TERM\n{WAITS}"), "orphan: kill", &format!("effect: {effect}"));
        killed(&place);
        let clock = Clock::start();
        let step = waiting(&place);
        wait_until("the step's end", || !is_alive(step));
        assert!(clock.elapsed() < Duration::from_secs(2), "{:?}", clock.elapsed());
        place.args(["resume", "--yes"]).done().exits(1).says("ended because runbook died").does_not_say("doubt");
        assert_eq!(survivors(&place), 0);
        assert_eq!(place.read("effects"), "once\n");
    }
}

#[test]
fn t21_a_step_taken_over_can_still_be_ended_by_hand() {
    let place = playbook(WAITS, "grace: 100ms", "");
    killed(&place);
    let mut resumed = place.args(["resume", "--yes"]).start();
    resumed.until_it_says("resumed");
    resumed.interrupt();
    resumed.until_it_says("cancel asked");
    resumed.interrupt();
    resumed.done().exits(4);
    assert_eq!(survivors(&place), 0);
}

#[test]
fn t21_a_step_whose_engine_is_gone_ends_at_its_time_limit_by_itself() {
    let place = playbook(WAITS, "grace: 100ms", "timeout: 1s");
    killed(&place);
    let step = waiting(&place);
    wait_until("the step's end", || !is_alive(step));
    place.args(["resume", "--yes"]).done().exits(1).says("it was not done within 1.0 s");
}

/// The files of this name in the receipts of all attempts.
fn receipts(place: &Runbook, name: &str) -> Vec<PathBuf> {
    let below = |folder: PathBuf| std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    below(place.state().join("receipts")).flat_map(below).map(|attempt| attempt.join(name)).collect()
}

#[test]
fn t22_a_stranger_with_the_number_of_a_shim_is_neither_waited_for_nor_signalled() {
    let place = playbook(WAITS, "", "timeout: 2s");
    killed(&place);
    assert!(place.fail_shim_of("waiting"));
    let mut stranger = Command::new("sleep").arg("30").stdin(Stdio::null()).spawn().expect("a stranger");
    let path = receipts(&place, "begun").pop().expect("the attempt had begun");
    let mut begun: Value = serde_json::from_slice(&std::fs::read(&path).expect("a receipt")).expect("JSON");
    begun["shim"]["pid"] = stranger.id().into();
    std::fs::write(&path, begun.to_string()).expect("a receipt");
    let done = place.args(["resume", "--yes"]).done().exits(3);
    assert!(is_alive(stranger.id() as i32), "not signalled");
    stranger.kill().expect("it still runs");
    stranger.wait().expect("its end");
    assert!(done.took < Duration::from_secs(2), "not waited for: {:?}", done.took);
}

#[test]
fn t23_a_grandchild_that_holds_the_output_does_not_hold_up_the_step() {
    for effect in ["once", "idempotent"] {
        let place = playbook("sleep 30 &\necho $! > left\nexit 0\n", "", &format!("effect: {effect}"));
        let done = place.args(["run", "p.yaml", "--yes"]).done().exits(0);
        let output = output(&place);
        assert_eq!(output["leaked"], true, "{effect}");
        let overrun = output["duration"].as_f64().expect("seconds");
        assert!(overrun < 2.0 && done.took < Duration::from_secs(10), "{effect}: {overrun} s");
        let left = place.read("left").trim().parse().expect("a number");
        // What a successful program leaves running may be its purpose.
        assert!(is_alive(left), "{effect}");
        let pid = rustix::process::Pid::from_raw(left).expect("a number");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it still runs");
    }
}

/// The most memory the process ever used, in KiB.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn t24_gibibytes_of_output_are_read_and_not_kept() {
    // One in plain `cargo test`.
    let asked = environment::variable("RUNBOOK_TEST_GIBIBYTES").and_then(|count| count.parse().ok());
    let bytes = asked.unwrap_or(1_u64) << 30;
    for effect in ["once", "idempotent"] {
        let program = format!(
            "echo $$ > waiting\nhead -c {bytes} /dev/zero\necho > written\nwhile [ ! -e go ]; do sleep 0.05; done\n"
        );
        let place = playbook(&program, "", &format!("effect: {effect}"));
        let mut running = place.args(["run", "p.yaml", "--yes"]).start();
        running.until("the output", || place.exists("written"));
        let engine = running.id() as i32;
        let readers = [Some(engine), place.shim_of("waiting").map(|shim| shim.pid)];
        let peaks: Vec<u64> = readers.into_iter().flatten().map(peak).collect();
        place.write("go", "");
        running.done().exits(0);
        assert!(peaks.iter().all(|peak| *peak < 64 << 10), "{effect}: {peaks:?} KiB");
        assert_eq!(output(&place)["stdout_bytes"], bytes);
    }
}

#[test]
fn t25_both_pipes_by_turns_do_not_block_a_thousand_times() {
    let items = (0..1000).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    let program = "i=0; while [ $i -lt 25 ]; do printf '%4096s' x; printf '%4096s' x >&2; i=$((i + 1)); done";
    let text = format!(
        "runbook: 1\nname: many\ntitle: Many\ninputs: {{items: {{type: list, default: [{items}]}}}}\ndiagnose:\n  turns:\n    \
         for_each: {{in: inputs.items, as: item, limit: 8}}\n    command: {{argv: [sh, -c, \"{program}\"]}}\n    \
         effect: read\n    expect: stdout_bytes == 102400 && stderr_bytes == 102400\n"
    );
    let place = Runbook::new().file("many.yaml", text.replace("\\n", "\n"));
    place.args(["run", "many.yaml"]).done().exits(0);
    assert_eq!(place.newest()["steps"]["diagnose.turns"]["output"]["passed_count"], 1000);
}

#[test]
fn t26_hostile_bytes_and_endless_lines_are_stored_and_shown_harmless() {
    let program = "printf '\\033]0;owned\\007\\033[2J nul:\\000 bad:\\377\\376 end\\n'\n\
                   head -c 100000000 /dev/zero | tr '\\0' a\nprintf '\\033[31mlast words\\n' >&2\nexit 3\n";
    for effect in ["once", "idempotent"] {
        let place = playbook(program, "", &format!("effect: {effect}"));
        let run = place.args(["run", "p.yaml", "--yes"]).done().exits(1).says("last words").stdout();
        assert_eq!(output(&place)["stdout_bytes"].as_u64().expect("a number"), 100_000_000 + 32, "{effect}");
        let name = place.newest_run();
        let views =
            ["show", "show --format json", "audit export", "history"].map(|call| place.call(call).exits(0).stdout());
        let report = place.args(["report", &name]).done().exits(0).stdout();
        for text in views.iter().chain([&run, &report]) {
            assert!(!text.contains('\u{1b}') && !text.contains('\0'), "{effect}: a raw control character");
        }
    }
}

#[test]
fn t27_a_program_gets_three_files_and_a_short_list_of_variables() {
    const ALLOWED: &[&str] = &[
        "PATH",
        "HOME",
        "LANG",
        "TZ",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "RB_RUN",
        "RB_STEP",
        "RB_ATTEMPT",
        "RB_IDEMPOTENCY_KEY",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    let program = "env > variables\nsleep 5 &\nwhile [ \"$(cat /proc/$!/comm)\" != sleep ]; do :; done\nls /proc/$!/fd > files\ngrep NoNewPrivs /proc/self/status > privileges\nkill $!\n";
    for (effect, command, privileges) in [
        ("once", "", "1"),
        ("idempotent", "", "1"),
        ("once", "new_privileges: true", "0"),
        ("idempotent", "new_privileges: true", "0"),
    ] {
        let place = playbook(program, command, &format!("effect: {effect}"))
            .variable("API_TOKEN", "hunter22")
            .variable("LD_LIBRARY_PATH", "/nowhere")
            .variable("LC_EVIL", "x");
        place.args(["run", "p.yaml", "--yes"]).done().exits(0);
        assert_eq!(place.read("files"), "0\n1\n2\n", "{effect}");
        let variables = place.read("variables");
        let names: BTreeSet<&str> = variables.lines().filter_map(|line| line.split('=').next()).collect();
        let others: Vec<_> = names.iter().filter(|name| !ALLOWED.contains(name)).collect();
        assert!(others.is_empty(), "{effect}: {others:?}");
        assert_eq!(place.read("privileges").split_whitespace().last(), Some(privileges), "{effect} {command}");
    }
}

/// What a careless parent left open is not for the programs that steps start.
#[test]
fn t27_a_program_gets_no_file_that_the_engine_has_inherited() {
    for effect in ["once", "idempotent"] {
        let place = playbook("[ -e /proc/$$/fd/7 ] && echo > leaked\nexit 0\n", "", &format!("effect: {effect}"));
        place
            .write("careless.sh", format!("exec 7< p.yaml\nexec '{}' run p.yaml --yes", env!("CARGO_BIN_EXE_runbook")));
        drop(place.shell("careless.sh").exits(0));
        assert!(!place.exists("leaked"), "{effect}");
    }
}

#[test]
fn t28_a_wait_for_a_step_that_is_given_up_and_taken_up_again_ends_with_its_result() {
    let place = playbook(&WAITS.replace("exit 0", "exit 7"), "", "");
    killed(&place);
    for _ in 0..10 {
        let mut resumed = place.args(["resume", "--yes"]).start();
        resumed.until_it_says("resumed");
        resumed.kill();
    }
    place.write("go", "");
    place.args(["resume", "--yes"]).done().exits(1).says("exit code 7");
    assert_eq!((place.read("effects").as_str(), survivors(&place)), ("once\n", 0));
}

#[test]
fn limits_hold_for_the_program() {
    let program = "ulimit -n > files\nulimit -t > seconds\nulimit -d > memory\n";
    let place = playbook(program, "limits: {open_files: 50, cpu: 20s, memory: 64 MiB}", "effect: idempotent");
    place.args(["run", "p.yaml", "--yes"]).done().exits(0);
    let read = |name| place.read(name).trim().to_owned();
    assert_eq!((read("files"), read("seconds"), read("memory")), ("50".into(), "20".into(), "65536".into()));
}

#[test]
#[expect(clippy::print_stderr, reason = "what could not be tried here must be seen")]
fn a_sandbox_says_what_it_enforces() {
    let program = "cat inside/text\ncat outside/text\necho new > inside/new\necho new > written/new\nexit 0\n";
    let command = "sandbox: {read: [program.sh, inside], write: [written]}";
    let place = playbook(program, command, "").file("inside/text", "seen\n").file("outside/text", "secret\n");
    place.write("written/old", "");
    place.args(["run", "p.yaml", "--yes"]).done().exits(0);
    let output = output(&place);
    if output["sandbox"] == "not supported by this kernel" {
        eprintln!("a_sandbox_says_what_it_enforces: this kernel has no Landlock");
        return;
    }
    assert_eq!((&output["sandbox"], &output["stdout"]), (&"enforced".into(), &"seen\n".into()));
    assert!(!place.exists("inside/new") && place.exists("written/new"));
}

#[test]
fn a_sandbox_of_files_that_are_not_there_starts_nothing() {
    let place = playbook("echo > effect\n", "sandbox: {read: [nowhere]}", "");
    place.args(["run", "p.yaml", "--yes"]).done().exits(1).says("nowhere of the sandbox does not exist");
    assert!(!place.exists("effect"));
}
