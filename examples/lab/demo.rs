//! A whole incident in one command: set up, break, run a playbook with the real program, clean up.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Demo;
use crate::commands::raise;
use crate::error::LabError;
use crate::folder::Folder;
use crate::{faults, supervisor};

/// What build scripts of our dependencies ask for; the one of `ring` does.
const TOLD_BY_CARGO: [&str; 7] = [
    "MANIFEST_DIR",
    "MANIFEST_LINKS",
    "PKG_NAME",
    "PKG_VERSION_MAJOR",
    "PKG_VERSION_MINOR",
    "PKG_VERSION_PATCH",
    "PKG_VERSION_PRE",
];

pub async fn run(demo: Demo) -> Result<ExitCode, LabError> {
    let runbook = match &demo.runbook {
        Some(program) => program.clone(),
        None => build_runbook().await?,
    };
    // Kept when it is over: the journal in it is what a demonstration is about.
    let root = tempfile::Builder::new().prefix("runbook-lab-").tempdir();
    let root = root.map_err(LabError::file("create a folder in", &std::env::temp_dir()))?.keep();
    let folder = raise(&root, 0, &demo.profile).await?;
    let ended = rehearse(&folder, &runbook, &demo).await;
    supervisor::stop(&folder).await?;
    let code = ended?;
    summarise(&folder, &runbook);
    Ok(code)
}

async fn rehearse(folder: &Folder, runbook: &Path, demo: &Demo) -> Result<ExitCode, LabError> {
    let fault = faults::find(&demo.fault)?;
    println!("The {} runs at {}.", folder.profile.title, folder.api());
    fault.inject(folder).await?;
    println!("Broken: {} ({})", fault.name, fault.summary);
    let mut command = Command::new(runbook);
    command.arg("run").arg(&demo.playbook).arg("--inputs").arg(folder.inputs_file());
    command.env("RUNBOOK_STATE", folder.state());
    if approves_everything(demo) {
        command.arg("--yes");
    }
    println!("$ {}\n", shown(&command));
    wait(command).await.map(exit_code)
}

/// Without a terminal nobody can be asked, and a demonstration that waits for ever shows nothing.
fn approves_everything(demo: &Demo) -> bool {
    let nobody_to_ask = !std::io::stdin().is_terminal();
    if nobody_to_ask && !demo.yes {
        println!("There is no terminal to ask for approval; as this is a demonstration, every step is approved.");
    }
    demo.yes || nobody_to_ask
}

/// Waits for the program. Ctrl-C reaches it directly from the terminal; here it must not end the
/// lab before its platform is stopped.
async fn wait(mut command: Command) -> Result<ExitStatus, LabError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let failed = |source| LabError::Run { program, source };
    let _interrupt = signal(SignalKind::interrupt()).map_err(LabError::Signals)?;
    command.status().await.map_err(failed)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // 1 when a signal ended it: it said nothing else about how the run went.
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn summarise(folder: &Folder, runbook: &Path) {
    let state = folder.state();
    println!("\nThe journal, which is also the audit log, is in {}. Read it with:", state.display());
    for command in ["show", "history", "audit verify"] {
        println!("  RUNBOOK_STATE={} {} {command}", state.display(), runbook.display());
    }
    println!("  the platform's log is {}", folder.log_file().display());
    println!("Nothing runs any more; delete {} when you have seen enough.", folder.root().display());
}

/// The program that belongs to this build of the lab. One that is there may be of older sources, which `cargo` knows
/// at once.
async fn build_runbook() -> Result<PathBuf, LabError> {
    let failed = |source| LabError::Run { program: "this program".into(), source };
    let lab = std::env::current_exe().map_err(failed)?;
    // target/<profile>/examples/lab
    let Some(target) = lab.parent().and_then(Path::parent) else {
        return Err(LabError::impossible("the lab is not in a target folder", "run it with `cargo run --example lab`"));
    };
    build(target).await?;
    Ok(target.join("runbook"))
}

async fn build(target: &Path) -> Result<(), LabError> {
    let mut command = Command::new("cargo");
    // Together with the lab the program shares the features of its dependencies, so nothing is compiled twice.
    command.args(["build", "--bin", "runbook", "--example", "lab"]);
    // `cargo run` tells this program about its package. Build scripts that ask for these variables would run
    // again, and with them everything that depends on them, this very program included.
    for about in TOLD_BY_CARGO {
        command.env_remove(format!("CARGO_{about}"));
    }
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    if target.ends_with("release") {
        command.arg("--release");
    }
    println!("$ {}", shown(&command));
    match wait(command).await? {
        status if status.success() => Ok(()),
        status => Err(LabError::impossible(format!("cargo ended with {status}"), "see its messages above")),
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
