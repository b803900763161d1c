//! A plain process with a pid file, for machines and containers without an init system.
//!
//! The service is started by `setsid` of util-linux in a session of its own, so that neither the end of
//! the engine nor a key pressed in its terminal reaches it; where `setsid` is missing it gets at least a
//! process group of its own. It is known again by pid *and* start: a number alone may have passed to
//! another process since.

mod identity;
mod launch;
mod ready;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use self::identity::Running;
use super::{Backend, Change, State, Verb};
use crate::action::process::{Identity, table};
use crate::base::units;
use crate::kind::{Context, StepError};

/// How long a killed process may take to go; only one stuck in the kernel needs longer.
const KILL_LIMIT: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub struct Service;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that holds the number of the main process, relative to the folder of the engine. Beside it the engine keeps
    /// `<pid_file>.start`, which tells this process from a later one with the same number.
    #[schemars(extend("x-encode" = "path"))]
    pid_file: PathBuf,
    /// The program and its arguments; constant text.
    #[schemars(length(min = 1), extend("items" = {"type": "string", "x-constant": true}))]
    start: Vec<String>,
    /// The folder the service starts in; by default that of the engine.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    cwd: Option<PathBuf>,
    /// Environment variables; constant text. Beside them the service gets only PATH, HOME, LANG, LC_*, TZ,
    /// USER, LOGNAME and TMPDIR of the engine.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = {"type": "string", "x-constant": true}))]
    env: BTreeMap<String, String>,
    /// The file to which standard output and standard error are appended; without it they are discarded.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    log: Option<PathBuf>,
    /// Set it when the service writes the pid file itself, as a daemon does that goes to the background.
    #[serde(default)]
    writes_pid_file: bool,
    /// Text that the command line of the running service contains. A process with the right number and
    /// another command line is not the service.
    #[serde(default, rename = "match")]
    matches: Option<String>,
    /// The signal that asks the service to end.
    #[serde(default)]
    stop_signal: SignalName,
    /// The signal that asks the service to read its configuration again.
    #[serde(default = "hang_up")]
    reload_signal: SignalName,
    /// How long the service may take to end before it is killed.
    #[serde(default = "default_grace", deserialize_with = "seconds")]
    #[schemars(extend("x-unit" = "duration"))]
    stop_grace: f64,
    /// What has to answer before the service counts as started.
    #[serde(default)]
    ready: Option<Ready>,
}

/// When a started service is ready.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// An address that answers with a status from 200 to 299.
    #[schemars(extend("x-encode" = "url"))]
    http: String,
    /// How long it may take until then.
    #[serde(default = "default_within", deserialize_with = "seconds")]
    #[schemars(extend("x-unit" = "duration"))]
    within: f64,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
enum SignalName {
    #[default]
    #[serde(rename = "TERM")]
    Term,
    #[serde(rename = "INT")]
    Int,
    #[serde(rename = "QUIT")]
    Quit,
    #[serde(rename = "HUP")]
    Hup,
    #[serde(rename = "USR1")]
    Usr1,
    #[serde(rename = "USR2")]
    Usr2,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Term => Signal::TERM,
            SignalName::Int => Signal::INT,
            SignalName::Quit => Signal::QUIT,
            SignalName::Hup => Signal::HUP,
            SignalName::Usr1 => Signal::USR1,
            SignalName::Usr2 => Signal::USR2,
        }
    }
}

fn hang_up() -> SignalName {
    SignalName::Hup
}

fn default_grace() -> f64 {
    10.0
}

fn default_within() -> f64 {
    10.0
}

/// Seconds, or a duration as people write it: settings in a site file arrive as they are written.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }
    let seconds = match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)?,
        Written::Text(text) => units::parse_duration(&text).map_err(serde::de::Error::custom)?,
    };
    Ok(seconds.as_secs_f64())
}

impl Backend for Service {
    const NAME: &'static str = "process";
    const SUMMARY: &'static str = "A process with a pid file, started by the engine itself.";
    const EXAMPLE: &'static str = "process: {pid_file: run/api.pid, start: [python3, server.py], log: run/api.log, \
                                   ready: {http: 'http://127.0.0.1:8000/health', within: 30s}}";
    type Config = Config;

    async fn act(verb: Verb, config: Config, context: &Context) -> Result<Change, StepError> {
        match verb {
            Verb::Status => status(&config),
            Verb::Start => start(&config, context).await,
            Verb::Stop => stop(&config).await,
            Verb::Restart => restart(&config, context).await,
            Verb::Reload => reload(&config),
        }
    }
}

fn status(config: &Config) -> Result<Change, StepError> {
    Ok(match identity::running(config)? {
        Some(running) => Change::none(running.state(), format!("it runs with pid {}", running.entry.pid)),
        None => Change::none(stopped(), "it does not run"),
    })
}

async fn start(config: &Config, context: &Context) -> Result<Change, StepError> {
    if let Some(running) = identity::running(config)? {
        let change = Change::none(running.state(), format!("it was running already with pid {}", running.entry.pid));
        return ready::check(config, context, &running, change).await;
    }
    match launch::launch(config).await? {
        Ok(running) => {
            let change = Change::done(running.state(), format!("it was started with pid {}", running.entry.pid));
            ready::check(config, context, &running, change).await
        }
        Err(why) => Ok(Change::failed(stopped(), true, why)),
    }
}

async fn stop(config: &Config) -> Result<Change, StepError> {
    let Some(running) = identity::running(config)? else {
        return Ok(Change::none(stopped(), "it was not running"));
    };
    let pid = running.entry.pid;
    let grace = Duration::from_secs_f64(config.stop_grace);
    running.signal(config.stop_signal.into())?;
    // A stopped process cannot act on a signal before it continues.
    running.signal(Signal::CONT)?;
    let message = if running.gone_within(grace).await {
        format!("it ended (pid {pid})")
    } else {
        running.kill()?;
        if !running.gone_within(KILL_LIMIT).await {
            return Ok(Change::failed(running.state(), true, format!("pid {pid} runs on although it was killed")));
        }
        format!("it was killed after {} (pid {pid})", units::show_duration(grace))
    };
    identity::forget(config)?;
    Ok(Change::done(stopped(), message))
}

async fn restart(config: &Config, context: &Context) -> Result<Change, StepError> {
    let stopped = stop(config).await?;
    if stopped.failure.is_some() {
        return Ok(stopped);
    }
    let started = start(config, context).await?;
    let message = format!("{}; {}", stopped.message, started.message);
    Ok(Change { message, changed: true, ..started })
}

fn reload(config: &Config) -> Result<Change, StepError> {
    let Some(running) = identity::running(config)? else {
        return Err(
            StepError::new("the service does not run, so it cannot reload").help("start it: service: {start: …}")
        );
    };
    running.signal(config.reload_signal.into())?;
    Ok(Change::done(running.state(), format!("pid {} was asked to reload", running.entry.pid)))
}

fn stopped() -> State {
    State { state: "stopped".into(), ..State::default() }
}

impl Running {
    fn state(&self) -> State {
        State { active: true, state: "running".into(), pid: Some(self.entry.pid), since: self.entry.started_at() }
    }

    fn signal(&self, signal: Signal) -> Result<(), StepError> {
        self.handle.signal(signal).map_err(|error| {
            StepError::because(format!("cannot send a signal to pid {}", self.entry.pid), &error)
                .help("run the engine as the user of the service")
        })
    }

    /// Kills the main process and, when it led a group of its own, those left of the group.
    fn kill(&self) -> Result<(), StepError> {
        self.signal(Signal::KILL)?;
        for member in self.members() {
            let handle = Identity::of(&member).hold();
            if let Some(handle) = handle.map_err(|error| StepError::because("cannot open a process", &error))? {
                handle.signal(Signal::KILL).map_err(|error| StepError::because("cannot kill a process", &error))?;
            }
        }
        Ok(())
    }

    fn members(&self) -> Vec<table::Entry> {
        let leads = self.entry.group == self.entry.pid;
        if leads { table::alive_in_group(self.entry.pid) } else { Vec::new() }
    }

    /// Waits until the main process and its group are gone.
    async fn gone_within(&self, limit: Duration) -> bool {
        let gone = async {
            self.handle.ended().await;
            while !self.members().is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(limit, gone).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
