//! Starts and ends the process of the platform, which is this program again with `serve`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::error::LabError;
use crate::folder::Folder;

/// How long the platform may take to come up or to go; it takes well under a second.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The command by which a playbook starts the platform again. It returns as soon as the platform answers.
pub fn start_command(folder: &Folder) -> Result<Vec<String>, LabError> {
    serve_command(folder, "--background")
}

fn serve_command(folder: &Folder, flag: &str) -> Result<Vec<String>, LabError> {
    let program = std::env::current_exe().map_err(|source| LabError::Run { program: "this program".into(), source })?;
    let (root, port) = (folder.root().display().to_string(), folder.facts.port.to_string());
    let program = program.display().to_string();
    Ok([&program, "serve", "--port", &port, "--dir", &root, flag].map(str::to_owned).to_vec())
}

/// Starts the platform in a session of its own and returns when it answers. Whoever keeps the child
/// reaps it; when nobody does, it belongs to the first process of the machine.
pub async fn start(folder: &Folder) -> Result<Child, LabError> {
    refuse_if_running(folder)?;
    if !owner_lives(folder) {
        let what = format!("the lab of {} has ended", folder.root().display());
        return Err(LabError::impossible(what, "set it up again with `lab up`"));
    }
    let mut child = spawn(folder)?;
    let client = Client::new(folder)?;
    let answered =
        wait_until(async || client.health().await.is_ok() || child.try_wait().is_ok_and(|end| end.is_some()));
    answered.await;
    match running(folder) {
        Some(_) => Ok(child),
        None => {
            let console = fs::read_to_string(folder.console_file()).unwrap_or_default();
            let reason = console.lines().next().unwrap_or("it said nothing");
            let what = format!("the platform did not start: {}", reason.trim_start_matches("error: "));
            Err(LabError::impossible(what, "logs/console.log and logs/app.log in the folder of the lab say more"))
        }
    }
}

/// Two platforms of one folder would overwrite each other's pid file.
pub fn refuse_if_running(folder: &Folder) -> Result<(), LabError> {
    let Some(pid) = running(folder) else { return Ok(()) };
    let what = format!("a platform is already running in {} (pid {pid})", folder.root().display());
    Err(LabError::impossible(what, "stop it with Ctrl-C in its terminal, or use another --dir"))
}

fn spawn(folder: &Folder) -> Result<Child, LabError> {
    let path = folder.console_file();
    let console = File::create(&path).map_err(LabError::file("write", &path))?;
    let errors = console.try_clone().map_err(LabError::file("write", &path))?;
    let command = serve_command(folder, "--detached")?;
    let failed = |source| LabError::Run { program: command[0].clone(), source };
    Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(console)
        .stderr(errors)
        .spawn()
        .map_err(failed)
}

/// Asks the platform to end, and makes it end when it does not listen.
pub async fn stop(folder: &Folder) -> Result<(), LabError> {
    let Some(pid) = running(folder) else { return Ok(()) };
    signal(pid, Signal::TERM)?;
    if !wait_until(async || running(folder).is_none()).await {
        crash(folder).await?;
    }
    Ok(())
}

/// Ends the platform at once, as the kernel does when memory runs out: its pid file stays.
pub async fn crash(folder: &Folder) -> Result<(), LabError> {
    let Some(pid) = running(folder) else { return Ok(()) };
    signal(pid, Signal::KILL)?;
    if wait_until(async || running(folder).is_none()).await {
        Ok(())
    } else {
        Err(LabError::impossible(format!("process {pid} does not end"), "look at it with `ps`"))
    }
}

fn signal(pid: i32, signal: Signal) -> Result<(), LabError> {
    let failed = |source| LabError::Run { program: format!("kill for process {pid}"), source };
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match kill_process(pid, signal) {
        // It ended by itself in the meantime.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// The process of the pid file, if it is alive and really the platform of this folder: after a crash
/// the number may belong to somebody else.
pub fn running(folder: &Folder) -> Option<i32> {
    let pid: i32 = fs::read_to_string(folder.pid_file()).ok()?.trim().parse().ok()?;
    let command = command_line(pid)?;
    let mut arguments = command.split(|byte| *byte == 0).skip(1);
    let root = folder.root().as_os_str().as_encoded_bytes();
    let ours = arguments.next() == Some(b"serve") && arguments.any(|argument| argument == root);
    ours.then_some(pid)
}

/// Whether the process that set the lab up is still there.
pub fn owner_lives(folder: &Folder) -> bool {
    i32::try_from(folder.facts.owner).is_ok_and(|pid| command_line(pid).is_some())
}

/// The arguments of a living process; one that has ended and is not reaped yet has none.
fn command_line(pid: i32) -> Option<Vec<u8>> {
    let path = Path::new("/proc").join(pid.to_string()).join("cmdline");
    fs::read(path).ok().filter(|command| !command.is_empty())
}

/// Polls until `condition` holds; `false` when it never did.
pub async fn wait_until(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.is_ok()
}
