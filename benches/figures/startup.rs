//! How long the binary takes to say its version, and to run one step.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::measure::{Alternative, in_turn};
use crate::playbooks::{Effect, PROGRAM, Shape, processes};
use crate::steps::run;

const ROUNDS: usize = 50;

pub fn measure(out: &mut dyn Write, folder: &Path) -> Outcome {
    let folder = tempfile::tempdir_in(folder)?;
    let playbook = folder.path().join("one.yaml");
    std::fs::write(&playbook, processes(Shape::Chain, Effect::Read, 1))?;
    let alternatives = vec![
        Alternative::new(PROGRAM, || start(Command::new(PROGRAM))),
        Alternative::new("runbook --version", || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
            command.arg("--version");
            start(command)
        }),
        Alternative::new("a run of one step", || run(&playbook, folder.path())),
        Alternative::new("a run of one step, its first journal", || run_anew(&playbook, folder.path())),
    ];
    in_turn(ROUNDS, alternatives)?.print(out, "start-up")?;
    Ok(())
}

fn start(mut command: Command) -> Outcome {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("ended with {status}").into()) }
}

/// Includes making a folder, which costs next to nothing beside making a journal.
fn run_anew(playbook: &Path, folder: &Path) -> Outcome {
    let folder = tempfile::tempdir_in(folder)?;
    run(playbook, folder.path())
}
