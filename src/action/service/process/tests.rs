//! Against real processes; each test ends what it has started.

use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// A service in a folder of its own, ended with the test.
struct Fixture {
    folder: tempfile::TempDir,
    settings: Value,
}

impl Fixture {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({
            "pid_file": folder.path().join("pid"), "start": ["/bin/sh", "-c", script],
            "cwd": folder.path(), "log": folder.path().join("log"), "stop_grace": "5s",
        });
        Fixture { folder, settings }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.settings[key] = value;
        self
    }

    fn config(&self) -> Config {
        serde_json::from_value(self.settings.clone()).unwrap()
    }

    async fn act(&self, verb: Verb) -> Result<Change, StepError> {
        Service::act(verb, self.config(), &Context::for_tests()).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Ok(Some(running)) = identity::running(&self.config()) {
            running.kill().unwrap();
        }
    }
}

async fn exists(path: &Path) {
    while !path.exists() {
        tokio::task::yield_now().await;
    }
}

const LOOP: &str = "while :; do sleep 0.05; done";

#[tokio::test]
async fn a_service_is_started_once_and_stopped_for_good() {
    let service = Fixture::new(LOOP);
    let started = service.act(Verb::Start).await.unwrap();
    assert!(started.changed && started.state.active && started.failure.is_none(), "{started:?}");
    let pid = started.state.pid.unwrap();
    // A session of its own: the end of the engine's terminal does not reach it.
    assert_eq!(table::Entry::of(pid).unwrap().session, pid);

    let again = service.act(Verb::Start).await.unwrap();
    assert_eq!((again.changed, again.state.pid), (false, Some(pid)));
    assert!(service.act(Verb::Status).await.unwrap().state.since.is_some());

    let stopped = service.act(Verb::Stop).await.unwrap();
    assert!(stopped.changed && !stopped.state.active, "{stopped:?}");
    assert!(!table::Entry::of(pid).is_some_and(|entry| entry.is_alive()));
    assert!(!service.path("pid").exists() && !service.path("pid.start").exists());
    assert!(!service.act(Verb::Stop).await.unwrap().changed);
}

#[tokio::test]
async fn a_service_that_ends_at_once_fails_with_its_last_words() {
    let service = Fixture::new("echo 'port 80: permission denied'; exit 3");
    std::fs::write(service.path("log"), "an old line\n").unwrap();
    let change = service.act(Verb::Start).await.unwrap();
    let why = change.failure.unwrap();
    assert!(why.contains("exit status: 3") && why.ends_with("port 80: permission denied"), "{why}");
    assert!(!service.path("pid").exists());
}

#[tokio::test]
async fn restart_and_reload_reach_the_process() {
    let service = Fixture::new("trap 'echo again > reloaded' HUP; echo > up; while :; do sleep 0.05; done");
    let first = service.act(Verb::Start).await.unwrap().state.pid;
    exists(&service.path("up")).await;
    assert!(service.act(Verb::Reload).await.unwrap().changed);
    exists(&service.path("reloaded")).await;
    let change = service.act(Verb::Restart).await.unwrap();
    assert!(change.changed && change.failure.is_none() && change.state.pid != first, "{change:?}");
    service.act(Verb::Stop).await.unwrap();
    let error = service.act(Verb::Reload).await.unwrap_err();
    assert!(error.message.contains("does not run") && error.help.is_some());
}

#[tokio::test]
async fn a_group_that_ignores_the_signal_is_killed() {
    let script = "trap '' TERM; sh -c 'echo $$ > child; while :; do sleep 0.05; done' & echo > up; wait; sleep 60";
    let service = Fixture::new(script).with("stop_grace", json!(0.2));
    service.act(Verb::Start).await.unwrap();
    exists(&service.path("child")).await;
    let change = service.act(Verb::Stop).await.unwrap();
    assert!(change.message.contains("killed"), "{change:?}");
    let child: i32 = std::fs::read_to_string(service.path("child")).unwrap().trim().parse().unwrap();
    assert!(!table::Entry::of(child).is_some_and(|entry| entry.is_alive()));
}

#[tokio::test]
async fn a_number_that_passed_to_another_process_is_not_the_service() {
    let bystander = Fixture::new(LOOP);
    let pid = bystander.act(Verb::Start).await.unwrap().state.pid.unwrap();
    let service = Fixture::new(LOOP);
    std::fs::write(service.path("pid"), format!("{pid}\n")).unwrap();
    assert!(service.act(Verb::Status).await.unwrap().state.active);

    std::fs::write(service.path("pid.start"), format!("{pid} 1 another-boot\n")).unwrap();
    assert!(!service.act(Verb::Status).await.unwrap().state.active);
    std::fs::remove_file(service.path("pid.start")).unwrap();

    let service = service.with("match", json!("no such text"));
    assert!(!service.act(Verb::Status).await.unwrap().state.active);
    let service = service.with("match", json!("while"));
    assert!(service.act(Verb::Status).await.unwrap().state.active);

    // The number was written down long before the process that has it now was started.
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    std::fs::File::options().write(true).open(service.path("pid")).unwrap().set_modified(long_ago).unwrap();
    assert!(!service.act(Verb::Stop).await.unwrap().changed);
    assert!(bystander.act(Verb::Status).await.unwrap().state.active);
}

#[tokio::test]
async fn a_pid_file_with_something_else_in_it_is_an_error() {
    let service = Fixture::new(LOOP);
    for text in ["", "abc", "1", "0", "-5"] {
        std::fs::write(service.path("pid"), text).unwrap();
        let error = service.act(Verb::Stop).await.unwrap_err();
        assert!(error.message.contains("no process number"), "{text:?}: {error}");
    }
}

#[tokio::test]
async fn a_daemon_may_write_its_own_pid_file() {
    let script = "sh -c 'while :; do sleep 0.05; done' & echo $! > pid";
    let service = Fixture::new(script).with("writes_pid_file", json!(true));
    let change = service.act(Verb::Start).await.unwrap();
    assert!(change.state.active && change.failure.is_none(), "{change:?}");
    assert!(service.act(Verb::Stop).await.unwrap().changed);
}

#[tokio::test]
async fn a_start_without_a_place_for_the_pid_file_starts_nothing() {
    let service = Fixture::new("echo > ran").with("pid_file", json!("/no/such/folder/pid"));
    assert!(service.act(Verb::Start).await.unwrap_err().help.is_some());
    assert!(!service.path("ran").exists());
}

async fn server(status: u16) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let code = axum::http::StatusCode::from_u16(status).unwrap();
    let router = axum::Router::new().fallback(move || async move { code });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn readiness_is_asked_of_the_service() {
    let url = server(200).await;
    let service = Fixture::new(LOOP).with("ready", json!({"http": url}));
    let change = service.act(Verb::Start).await.unwrap();
    assert!(change.failure.is_none() && change.message.ends_with("is ready"), "{change:?}");

    let url = server(503).await;
    let service = Fixture::new(LOOP).with("ready", json!({"http": url, "within": "300ms"}));
    let why = service.act(Verb::Start).await.unwrap().failure.unwrap();
    assert!(why.contains("not ready") && why.contains("503"), "{why}");

    let service = Fixture::new("sleep 0.5; echo 'out of memory'; exit 1").with("ready", json!({"http": url}));
    let why = service.act(Verb::Start).await.unwrap().failure.unwrap();
    assert!(why.contains("ended before it was ready") && why.contains("out of memory"), "{why}");
}
