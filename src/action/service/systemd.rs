//! Units of systemd, through its own program `systemctl`: it is there wherever systemd is, asks polkit
//! as an operator would, and its `show` output is meant for programs.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Backend, Change, State, Verb};
use crate::action::process::{self, Environment, Finished, Launch, table};
use crate::base::{Timestamp, environment};
use crate::kind::{Context, StepError};

const MAX_MESSAGE: usize = 300;

pub struct Service;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The unit, such as `ocr-api.service`; without an ending it is a service.
    unit: String,
    /// Ask the manager of the current user and not that of the system.
    #[serde(default)]
    user: bool,
}

impl Backend for Service {
    const NAME: &'static str = "systemd";
    const SUMMARY: &'static str = "A unit of systemd.";
    const EXAMPLE: &'static str = "systemd: {unit: ocr-api.service}";
    type Config = Config;

    async fn act(verb: Verb, config: Config, context: &Context) -> Result<Change, StepError> {
        check_unit(&config.unit)?;
        // What systemd itself documents as the test whether it is the init system.
        if !config.user && !Path::new("/run/systemd/system").is_dir() {
            return Err(StepError::new("systemd is not running on this machine")
                .help("describe the service with the 'process' backend instead"));
        }
        Manager { program: "systemctl".into(), config, context }.act(verb).await
    }
}

/// A leading dash would be an option, and a slash or a pattern would mean other units.
fn check_unit(unit: &str) -> Result<(), StepError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ":_.@-\\".contains(letter);
    if unit.is_empty() || unit.len() > 255 || unit.starts_with('-') || !unit.chars().all(allowed) {
        return Err(StepError::new(format!("{unit:?} is not the name of a unit"))
            .help("a unit is named with letters, digits and :_.@- such as ocr-api.service"));
    }
    Ok(())
}

/// One unit and the program that manages it.
struct Manager<'a> {
    program: String,
    config: Config,
    context: &'a Context,
}

/// What `systemctl show` says.
#[derive(Debug, Default, Clone, PartialEq)]
struct Shown {
    loaded: String,
    active: String,
    sub: String,
    result: String,
    pid: Option<i32>,
    /// Microseconds after the start of the machine.
    since: Option<u64>,
}

impl Manager<'_> {
    async fn act(&self, verb: Verb) -> Result<Change, StepError> {
        let before = self.show().await?;
        match verb {
            Verb::Status => Ok(Change::none(before.state(), self.sentence(&before))),
            Verb::Start if before.is_active() => Ok(Change::none(before.state(), "it was running already")),
            Verb::Stop if before.is_stopped() => Ok(Change::none(before.state(), "it was not running")),
            Verb::Start => self.change("start", true).await,
            Verb::Restart => self.change("restart", true).await,
            Verb::Reload => self.change("reload", true).await,
            Verb::Stop => self.change("stop", false).await,
        }
    }

    /// Has systemd do it, which returns when the job is done, and looks at what came of it.
    async fn change(&self, verb: &str, wanted: bool) -> Result<Change, StepError> {
        let finished = self.call(&[verb]).await?;
        let after = self.show().await?;
        if finished.code == Some(0) {
            return Ok(match after.contradiction(wanted) {
                None => Change::done(after.state(), self.sentence(&after)),
                Some(why) => Change::failed(after.state(), true, format!("{}: {why}", self.config.unit)),
            });
        }
        if after.active == "failed" {
            let why = format!("{} is failed (result {})", self.config.unit, after.result);
            return Ok(Change::failed(after.state(), true, why));
        }
        let unit = &self.config.unit;
        Err(StepError::new(format!("systemctl {verb} {unit}: {}", last_words(&finished)))
            .help(format!("see why with: systemctl status {unit}; journalctl -u {unit} -n 50")))
    }

    async fn show(&self) -> Result<Shown, StepError> {
        let properties = "LoadState,ActiveState,SubState,Result,MainPID,ActiveEnterTimestampMonotonic";
        let finished = self.call(&["show", "--property", properties]).await?;
        if finished.code != Some(0) {
            return Err(StepError::new(format!("systemctl show: {}", last_words(&finished)))
                .help("is the system manager reachable? try: systemctl is-system-running"));
        }
        let shown = Shown::read(&finished.stdout.text(64 * 1024));
        match shown.loaded.as_str() {
            "not-found" => Err(StepError::new(format!("there is no unit '{}'", self.config.unit)).help(
                "list what there is with: systemctl list-unit-files; after adding a file: systemctl daemon-reload",
            )),
            "masked" => Err(StepError::new(format!("the unit '{}' is masked", self.config.unit))
                .help(format!("somebody wants it off; if that is over: systemctl unmask {}", self.config.unit))),
            _ => Ok(shown),
        }
    }

    async fn call(&self, verb: &[&str]) -> Result<Finished, StepError> {
        let mut argv = vec![self.program.as_str(), "--no-ask-password", "--no-pager"];
        if self.config.user {
            argv.push("--user");
        }
        argv.extend(verb);
        argv.extend(["--", &self.config.unit]);
        let launch = Launch::new(argv.into_iter().map(str::to_owned).collect(), self.environment(), None)?;
        Ok(process::run(launch, &self.context.cancel).await?)
    }

    fn environment(&self) -> Environment {
        let mut passed = Environment::inherited();
        if self.config.user {
            for name in ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"] {
                if let Some(value) = environment::path(name) {
                    passed.set(name, value);
                }
            }
        }
        passed
    }

    fn sentence(&self, shown: &Shown) -> String {
        format!("{} is {} ({})", self.config.unit, shown.active, shown.sub)
    }
}

fn last_words(finished: &Finished) -> String {
    finished.stderr.last_line(MAX_MESSAGE).unwrap_or_else(|| format!("exit code {}", finished.code.unwrap_or(-1)))
}

impl Shown {
    fn read(text: &str) -> Self {
        let value = |name: &str| {
            let of_line = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            text.lines().find_map(of_line).unwrap_or_default()
        };
        Shown {
            loaded: value("LoadState"),
            active: value("ActiveState"),
            sub: value("SubState"),
            result: value("Result"),
            // Zero stands for none in both.
            pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
            since: value("ActiveEnterTimestampMonotonic").parse().ok().filter(|since| *since != 0),
        }
    }

    fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    fn is_stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Why the unit is not as wanted although systemd reported success.
    fn contradiction(&self, wanted: bool) -> Option<String> {
        // A unit that runs once and ends is inactive after a successful start.
        let finished_well = self.active == "inactive" && self.result == "success";
        let fits = if wanted { self.is_active() || finished_well } else { self.is_stopped() };
        (!fits).then(|| format!("it is {} ({}, result {})", self.active, self.sub, self.result))
    }

    fn state(&self) -> State {
        let since = self.since.filter(|_| self.is_active()).and_then(after_boot);
        let state = if self.is_active() { &self.sub } else { &self.active };
        State { active: self.is_active(), state: state.clone(), pid: self.pid, since }
    }
}

fn after_boot(microseconds: u64) -> Option<Timestamp> {
    Some(table::booted_at()?.plus(std::time::Duration::from_micros(microseconds)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A stand-in for `systemctl` that keeps the state of one unit in a file and logs its calls.
    struct Fake {
        folder: tempfile::TempDir,
        context: Context,
    }

    impl Fake {
        fn new(state: &str, on_change: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().display();
            let script = format!(
                "#!/bin/sh\ncd '{place}'\necho \"$*\" >> calls\n\
                 case \"$3\" in\nshow) cat state;;\n*) {on_change}\nesac\n"
            );
            let program = folder.path().join("systemctl");
            std::fs::write(&program, script).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::write(folder.path().join("state"), state).unwrap();
            Fake { folder, context: Context::for_tests() }
        }

        async fn act(&self, verb: Verb) -> Result<Change, StepError> {
            let program = self.folder.path().join("systemctl").display().to_string();
            let config = Config { unit: "api.service".into(), user: false };
            Manager { program, config, context: &self.context }.act(verb).await
        }

        fn calls(&self) -> String {
            std::fs::read_to_string(self.folder.path().join("calls")).unwrap()
        }
    }

    const RUNNING: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nMainPID=4242\n\
                           ActiveEnterTimestampMonotonic=1000000\n";
    const STOPPED: &str = "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nMainPID=0\n";
    const FAILED: &str = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nMainPID=0\n";

    #[tokio::test]
    async fn the_state_of_a_running_unit() {
        let change = Fake::new(RUNNING, "").act(Verb::Status).await.unwrap();
        assert!(change.state.active && change.state.since.is_some() && !change.changed);
        assert_eq!((change.state.pid, change.state.state.as_str()), (Some(4242), "running"));
        let fake = Fake::new(RUNNING, "exit 9");
        assert!(!fake.act(Verb::Start).await.unwrap().changed);
        assert!(!fake.calls().contains("start"));
    }

    #[tokio::test]
    async fn a_start_is_done_and_looked_at() {
        let fake = Fake::new(STOPPED, &format!("printf '%s' '{RUNNING}' > state"));
        let change = fake.act(Verb::Start).await.unwrap();
        assert!(change.changed && change.state.active && change.failure.is_none());
        assert!(fake.calls().contains("--no-ask-password --no-pager start -- api.service"));
        let change = Fake::new(STOPPED, "true").act(Verb::Stop).await.unwrap();
        assert!(!change.changed && change.failure.is_none());
    }

    #[tokio::test]
    async fn a_unit_that_does_not_come_up_fails_and_a_refusal_is_an_error() {
        let change = Fake::new(STOPPED, &format!("printf '%s' '{FAILED}' > state; exit 1")).act(Verb::Restart).await;
        assert_eq!(change.unwrap().failure.as_deref(), Some("api.service is failed (result exit-code)"));
        let error = Fake::new(STOPPED, "echo 'Access denied' >&2; exit 4").act(Verb::Start).await.unwrap_err();
        assert_eq!(error.message, "systemctl start api.service: Access denied");
        let change = Fake::new(RUNNING, "true").act(Verb::Stop).await.unwrap();
        assert!(change.failure.unwrap().contains("it is active"));
    }

    #[tokio::test]
    async fn a_unit_that_is_not_there_is_an_error() {
        for (state, part) in [("LoadState=not-found\n", "there is no unit"), ("LoadState=masked\n", "is masked")] {
            let error = Fake::new(state, "").act(Verb::Start).await.unwrap_err();
            assert!(error.message.contains(part) && error.help.is_some(), "{error}");
        }
    }

    #[test]
    fn names_that_are_not_units_are_refused() {
        for name in ["", "-H", "--user", "a b", "../x", "a*", "a;b", "ü"] {
            assert!(check_unit(name).is_err(), "{name}");
        }
        for name in ["api", "getty@tty1.service", "dev-disk\\x2dby.mount"] {
            assert!(check_unit(name).is_ok(), "{name}");
        }
    }
}
