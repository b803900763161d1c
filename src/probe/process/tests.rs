//! The `process` kind against real processes and made-up process files.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::*;

/// A process that waits for input that never comes, and is ended with the test.
struct Waiting(Child);

impl Waiting {
    fn start(marker: &str) -> Self {
        let child = Command::new("sh").args(["-c", "read line", marker]).stdin(Stdio::piped()).spawn().unwrap();
        let waiting = Waiting(child);
        // The command line is that of the test program until the new program is loaded.
        while !std::fs::read(format!("/proc/{}/cmdline", waiting.pid())).unwrap().starts_with(b"sh\0") {
            std::thread::yield_now();
        }
        waiting
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

#[tokio::test]
async fn a_running_process_by_its_number() {
    let process = Waiting::start("by-number");
    let output = run(json!({"pid": process.pid()})).await.unwrap().output;
    assert!(output.running && output.explanation.is_empty());
    assert_eq!((output.pid, output.count), (Some(process.pid()), 1));
    assert_eq!(output.command.as_deref(), Some("sh -c read line by-number"));
    assert!(output.rss.unwrap() > 0 && output.rss_total == output.rss.unwrap());
    assert_eq!(output.threads, Some(1));
    assert!(output.open_files.unwrap() >= 3 && output.open_files_limit.unwrap() > 0);
    assert!(output.uptime.unwrap() < 60.0);
}

#[tokio::test]
async fn the_same_process_keeps_its_start() {
    let process = Waiting::start("same-start");
    let first = run(json!({"pid": process.pid()})).await.unwrap().output;
    let second = run(json!({"pid": process.pid()})).await.unwrap().output;
    assert_eq!(first.started_ticks, second.started_ticks);
    assert!((first.started_at.unwrap() - second.started_at.unwrap()).abs() < 1.0);
}

#[tokio::test]
async fn all_processes_with_a_text_in_their_command() {
    let marker = format!("marker-{}-text", std::process::id());
    let first = Waiting::start(&marker);
    let second = Waiting::start(&marker);
    let output = run(json!({"command_contains": marker, "name": "sh"})).await.unwrap().output;
    assert_eq!(output.count, 2);
    assert!(output.pids.contains(&first.pid()) && output.pids.contains(&second.pid()));
    assert!(output.rss_total > output.rss.unwrap());
    let other = run(json!({"command_contains": marker, "name": "not-sh"})).await.unwrap().output;
    assert!(!other.running && other.explanation == "no process matches");
}

#[tokio::test]
async fn a_pid_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.pid");
    let absent = run(json!({"pid_file": path})).await.unwrap();
    assert!(absent.failure.is_none() && !absent.output.running);
    assert!(absent.output.explanation.contains("does not exist"));

    std::fs::write(&path, "garbage").unwrap();
    assert!(run(json!({"pid_file": path})).await.unwrap_err().message.contains("does not hold a process number"));

    let process = Waiting::start("by-file");
    std::fs::write(&path, format!("{}\n", process.pid())).unwrap();
    let output = run(json!({"pid_file": path})).await.unwrap().output;
    assert!(output.running && !output.stale_pid_file);
}

#[tokio::test]
async fn a_number_given_to_a_stranger_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.pid");
    let process = Waiting::start("stranger");
    std::fs::write(&path, process.pid().to_string()).unwrap();
    let yesterday = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    assert!(run(json!({"pid_file": path})).await.unwrap().output.stale_pid_file);

    let guarded = run(json!({"pid_file": path, "name": "datacloak"})).await.unwrap().output;
    assert!(!guarded.running && guarded.explanation.contains("another one: sh -c"), "{}", guarded.explanation);
}

#[tokio::test]
async fn a_zombie_is_not_running() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    // Not asked how it ended, it stays a zombie.
    while Proc::system().process(pid).unwrap().unwrap().is_running() {
        std::thread::yield_now();
    }
    let output = run(json!({ "pid": pid })).await.unwrap().output;
    assert!(!output.running && output.zombies == 1 && output.count == 0);
    assert_eq!(output.state.as_deref(), Some("zombie"));
    child.wait().unwrap();
    let gone = run(json!({ "pid": pid })).await.unwrap().output;
    assert_eq!((gone.running, gone.zombies, gone.state), (false, 0, None));
}

#[tokio::test]
async fn a_search_without_a_text_is_an_error() {
    for config in [json!({}), json!({"name": ""}), json!({"command_contains": " "}), json!({"pid": 0})] {
        assert!(run(config.clone()).await.is_err(), "{config}");
    }
    assert!(run(json!({"pid": 1, "pid_file": "x"})).await.unwrap_err().help.is_some());
}

#[test]
fn this_program_does_not_find_itself() {
    let own = Proc::system().process(std::process::id()).unwrap().unwrap();
    let text = String::from_utf8_lossy(&own.arguments[0]).into_owned();
    let config = Config { pid_file: None, pid: None, name: None, command_contains: Some(text) };
    let found = Search::new(config).unwrap().find(&Proc::system(), &Stop::never()).unwrap();
    assert!(found.processes.iter().all(|process| process.pid != own.pid));
}
