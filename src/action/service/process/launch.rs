//! Starting a service that outlives the engine.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::identity::{self, Running};
use super::{Config, LOOK_AGAIN};
use crate::action::process::{Environment, StartError, find_program, table};
use crate::kind::StepError;

/// A service that cannot run (no port, a bad configuration) usually says so and ends within this time.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a daemon may take to go to the background and write its pid file, unless `ready` says.
const PID_FILE_LIMIT: Duration = Duration::from_secs(10);
const MAX_MESSAGE: usize = 300;

/// Starts the service; the inner error says why it did not stay.
pub(super) async fn launch(config: &Config) -> Result<Result<Running, String>, StepError> {
    identity::check_writable(config)?;
    let log = config.log.as_deref().map(open_log).transpose()?;
    let log_start = log.as_ref().and_then(|log| log.metadata().ok()).map_or(0, |metadata| metadata.len());
    let mut child = spawn(config, log)?;
    let ended = if config.writes_pid_file {
        wait_for_pid_file(config, &mut child).await?
    } else {
        if let Err(error) = remember(config, &child) {
            // Nobody would find it again.
            let _ = child.start_kill();
            return Err(error);
        }
        timeout(SETTLE, child.wait()).await.ok().and_then(Result::ok).map(|status| status.to_string())
    };
    if let Some(why) = ended {
        identity::forget(config)?;
        return Ok(Err(with_log("the service ended at once", &why, config.log.as_deref(), log_start)));
    }
    // Dropping the child does not end it: the runtime reaps it when it ends by itself.
    Ok(identity::running(config)?.ok_or_else(|| "the service ended while it was being started".to_owned()))
}

/// No await stands between the start and this, so a cancelled step does not lose the process.
fn remember(config: &Config, child: &Child) -> Result<(), StepError> {
    let entry = child.id().and_then(|pid| table::Entry::of(i32::try_from(pid).ok()?));
    // Without an entry it has ended already, which the caller sees by itself.
    entry.map_or(Ok(()), |entry| identity::remember(config, &entry))
}

/// Waits until the daemon has written its pid file; tells why there is none.
async fn wait_for_pid_file(config: &Config, child: &mut Child) -> Result<Option<String>, StepError> {
    let limit = config.ready.as_ref().map_or(PID_FILE_LIMIT, |ready| Duration::from_secs_f64(ready.within));
    let written = async {
        loop {
            // A file that is being written may be empty for a moment.
            if let Ok(Some(running)) = identity::running(config) {
                identity::remember(config, &running.entry)?;
                return Ok(None);
            }
            if let Some(status) = child.try_wait().ok().flatten().filter(|status| !status.success()) {
                return Ok(Some(status.to_string()));
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    match timeout(limit, written).await {
        Ok(result) => result,
        Err(_) => Ok(Some(format!("no running process in {}", config.pid_file.display()))),
    }
}

fn spawn(config: &Config, log: Option<File>) -> Result<Child, StepError> {
    let name = config.start.first().filter(|name| !name.is_empty()).ok_or(StartError::Empty)?;
    let mut environment = Environment::inherited();
    for (name, value) in &config.env {
        environment.set(name, value);
    }
    let program = find_program(name, environment.search_path(), config.cwd.as_deref())?;
    let mut command = match find_program("setsid", environment.search_path(), None) {
        Ok(setsid) => {
            let mut command = Command::new(setsid);
            command.arg(&program);
            command
        }
        Err(_) => {
            let mut command = Command::new(&program);
            command.process_group(0);
            command
        }
    };
    command.args(&config.start[1..]).env_clear().stdin(Stdio::null());
    command.envs(environment.variables().iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &config.cwd {
        command.current_dir(folder);
    }
    let (stdout, stderr) = outputs(log)?;
    command.stdout(stdout).stderr(stderr);
    command.spawn().map_err(|source| StartError::Spawn { program, source }.into())
}

fn outputs(log: Option<File>) -> Result<(Stdio, Stdio), StepError> {
    let Some(log) = log else { return Ok((Stdio::null(), Stdio::null())) };
    let second = log.try_clone().map_err(|error| StepError::because("cannot use the log file twice", &error))?;
    Ok((log.into(), second.into()))
}

fn open_log(path: &Path) -> Result<File, StepError> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path).map_err(|error| {
        StepError::because(format!("cannot open the log {}", path.display()), &error)
            .help("the folder of the log must exist and be writable")
    })
}

/// The reason with the last line that the service has written to its log since it was started.
pub(super) fn with_log(what: &str, why: &str, log: Option<&Path>, from: u64) -> String {
    match log.and_then(|path| last_line(path, from)) {
        Some(line) => format!("{what} ({why}): {line}"),
        None => format!("{what} ({why})"),
    }
}

fn last_line(path: &Path, from: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let end = file.metadata().ok()?.len();
    // The last lines are enough, and a log can be large.
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(4096)))).ok()?;
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(MAX_MESSAGE).collect())
}
