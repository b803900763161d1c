//! Real programs that misbehave in every way that has stalled or outlived an engine before.

use super::*;
use crate::base::Clock;

fn shell(script: &str) -> Launch {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Launch::new(argv, Environment::inherited(), None).unwrap()
}

async fn finish(launch: Launch) -> Finished {
    run(launch, &CancellationToken::new()).await.unwrap()
}

/// Runs the script until it has written a line to the file `ready`, then cancels it.
async fn cancel_when_ready(script: &str, grace: Duration) -> (Finished, String) {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let mut environment = Environment::inherited();
    environment.set("READY", ready.clone());
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let launch = Launch::new(argv, environment, None).unwrap().grace(grace);
    let cancel = CancellationToken::new();
    let (finished, written) = tokio::join!(run(launch, &cancel), async {
        let written = written_line(&ready).await;
        cancel.cancel();
        written
    });
    (finished.unwrap(), written)
}

async fn written_line(path: &std::path::Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => tokio::task::yield_now().await,
        }
    }
}

fn is_alive(pid: &str) -> bool {
    table::Entry::of(pid.parse().unwrap()).is_some_and(|entry| entry.is_alive())
}

#[tokio::test]
async fn codes_and_signals_are_told_apart() {
    let ended = finish(shell("echo out; echo err >&2; exit 3")).await;
    assert_eq!((ended.code, ended.signal), (Some(3), None));
    assert_eq!((ended.stdout.text(100), ended.stderr.text(100)), ("out\n".into(), "err\n".into()));
    assert!(!ended.leaked && ended.stopped.is_none());
    let ended = finish(shell("kill -9 $$")).await;
    assert_eq!((ended.code, ended.signal), (None, Some(9)));
}

#[tokio::test]
async fn standard_input_is_empty_or_the_given_text() {
    assert_eq!(finish(shell("cat")).await.stdout.total(), 0);
    let text = "x".repeat(300_000);
    assert_eq!(finish(shell("cat").stdin(Some(text.clone()))).await.stdout.text(400_000), text);
    // The program ends without reading a text that is larger than the pipe.
    assert_eq!(finish(shell("exit 0").stdin(Some(text))).await.code, Some(0));
}

#[tokio::test]
async fn both_pipes_are_drained_at_once() {
    let script = "i=0; while [ $i -lt 50 ]; do head -c 4096 /dev/zero; head -c 4096 /dev/zero >&2; i=$((i+1)); done";
    let ended = finish(shell(script)).await;
    assert_eq!((ended.stdout.total(), ended.stderr.total()), (204_800, 204_800));
}

#[tokio::test]
async fn endless_output_is_counted_and_not_kept() {
    let ended = finish(shell("head -c 100000000 /dev/zero")).await;
    assert_eq!(ended.stdout.total(), 100_000_000);
    assert_eq!(ended.stdout.bytes().len(), 1 << 20);
}

#[tokio::test]
async fn a_grandchild_that_holds_the_output_does_not_delay_the_step() {
    let clock = Clock::start();
    let ended = finish(shell("sleep 20 & echo $!")).await;
    assert!(ended.leaked);
    assert_eq!(ended.code, Some(0));
    assert!(clock.elapsed() < Duration::from_secs(5));
    let pid = ended.stdout.text(100).trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_cancelled_program_may_clean_up() {
    let script = "trap 'echo cleaned; exit 5' TERM; echo $$ > $READY; while :; do sleep 0.05; done";
    let (ended, _) = cancel_when_ready(script, Duration::from_secs(5)).await;
    assert_eq!(ended.stopped, Some(Stopped::Cancelled));
    assert_eq!((ended.code, ended.stdout.text(100).as_str()), (Some(5), "cleaned\n"));
}

#[tokio::test]
async fn a_group_that_ignores_term_is_killed_whole() {
    let child = "trap \"\" TERM; echo $$ > $READY; while :; do sleep 0.05; done";
    let script = format!("trap '' TERM; sh -c '{child}' & wait; while :; do sleep 0.05; done");
    let (ended, pid) = cancel_when_ready(&script, Duration::from_millis(100)).await;
    assert_eq!(ended.signal, Some(9));
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn children_left_by_a_leader_that_obeyed_are_killed_too() {
    let child = "trap \"\" TERM; echo $$ > $READY; while :; do sleep 0.05; done";
    let (ended, pid) = cancel_when_ready(&format!("sh -c '{child}' & wait"), Duration::from_millis(100)).await;
    assert_eq!(ended.signal, Some(15));
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn a_stopped_program_can_be_ended() {
    let (ended, _) = cancel_when_ready("echo $$ > $READY; kill -STOP $$", Duration::from_secs(5)).await;
    assert_eq!(ended.signal, Some(15));
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let script = format!("sh -c 'echo $$ > {}; exec sleep 30' & wait", ready.display());
    let pid = tokio::select! {
        _ = finish(shell(&script)) => panic!("the program ended by itself"),
        pid = written_line(&ready) => pid,
    };
    // The signal is sent by the drop; the kernel needs a moment to remove the process.
    tokio::time::timeout(Duration::from_secs(5), async {
        while is_alive(&pid) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn arguments_reach_the_program_unchanged() {
    let hostile = ["$(touch pwned)", "`id`", "a b", "'", "\"", "--flag", "-n", ";", "\n", "*", "é\u{1b}[0m", ""];
    let mut argv: Vec<String> = vec!["printf".into(), "%s\\0".into()];
    argv.extend(hostile.map(str::to_owned));
    let ended = finish(Launch::new(argv, Environment::inherited(), None).unwrap()).await;
    assert_eq!(ended.stdout.text(1000), hostile.map(|argument| format!("{argument}\0")).concat());
    let nul = Launch::new(vec!["echo".into(), "a\0b".into()], Environment::inherited(), None);
    assert!(matches!(nul, Err(StartError::Nul { position: 1 })));
}

#[tokio::test]
async fn open_files_of_the_engine_stay_with_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let listed = finish(shell("ls -l /proc/self/fd")).await.stdout.text(10_000);
    assert!(listed.contains("/dev/null"), "{listed}");
    assert!(!listed.contains(file.path().to_str().unwrap()), "{listed}");
}

#[tokio::test]
async fn a_thousand_runs_have_the_right_status_and_leave_no_zombie() {
    for _ in 0..100 {
        let many = (0..10).map(|code| finish(shell(&format!("echo $$; exit {code}"))));
        for (code, ended) in futures_util::future::join_all(many).await.into_iter().enumerate() {
            assert_eq!(ended.code, Some(code as i32));
            let pid = ended.stdout.text(100).trim().parse().unwrap();
            assert_eq!(table::Entry::of(pid), None);
        }
    }
}

#[tokio::test]
async fn t28_a_wait_that_is_dropped_a_thousand_times_still_gives_the_right_status() {
    let launch = shell("read line; exit 7").stdin(Some(String::new()));
    let (mut group, streams) = Group::spawn(&launch, Kin::marked(&launch.environment)).unwrap();
    let never = CancellationToken::new();
    for _ in 0..1000 {
        tokio::select! {
            biased;
            stopped = group.end(std::future::pending(), &never) => panic!("it ended by itself: {stopped:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(streams.stdin);
    assert_eq!(group.end(std::future::pending(), &never).await, None);
    assert_eq!(group.reap().await.and_then(|status| status.code()), Some(7));
}
