//! What a step costs beside the process that it starts.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Outcome;
use crate::measure::{Alternative, in_turn};
use crate::playbooks::{Effect, PROGRAM, Shape, processes};

const CHAIN: usize = 200;
const FAN: usize = 500;
/// The number of steps that run side by side unless a site says otherwise.
const PARALLEL: usize = 16;
const ROUNDS: usize = 15;

pub fn measure(out: &mut dyn Write, folder: &Path) -> Outcome {
    let folder = tempfile::tempdir_in(folder)?;
    let place = Place { folder: folder.path() };
    let mut chain = vec![
        Alternative::new("posix_spawn and wait", || spawn_each(CHAIN)),
        Alternative::new("posix_spawn, wait and fdatasync", || spawn_and_sync(CHAIN, folder.path())),
    ];
    chain.extend(place.runs("chain", Shape::Chain, CHAIN)?);
    in_turn(ROUNDS, chain)?.print(out, &format!("a chain of {CHAIN} process steps"))?;
    let mut fan = vec![Alternative::new(format!("posix_spawn and wait on {PARALLEL} threads"), || {
        spawn_side_by_side(FAN, PARALLEL)
    })];
    fan.extend(place.runs("fan", Shape::Fan, FAN)?);
    in_turn(ROUNDS, fan)?.print(out, &format!("a fan of {FAN} process steps, {PARALLEL} at a time"))?;
    Ok(())
}

struct Place<'a> {
    folder: &'a Path,
}

impl Place<'_> {
    fn runs(&self, name: &str, shape: Shape, count: usize) -> Result<Vec<Alternative<'_>>, Box<dyn Error>> {
        let both = [("effect: read", Effect::Read), ("effect: once", Effect::Once)];
        both.into_iter()
            .map(|(word, effect)| {
                let playbook = self.folder.join(format!("{name}-{}.yaml", word.replace(": ", "-")));
                std::fs::write(&playbook, processes(shape, effect, count))?;
                Ok(Alternative::new(format!("runbook run, {word}"), move || run(&playbook, self.folder)))
            })
            .collect()
    }
}

/// Runs a playbook with the real binary, as a script would.
pub fn run(playbook: &Path, folder: &Path) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(["run", "--format", "json"]).arg(playbook).current_dir(folder);
    command.env("RUNBOOK_STATE", folder.join("state")).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", playbook.display()).into()) }
}

/// The standard library starts it by `posix_spawn`.
fn spawn() -> Outcome {
    let mut command = Command::new(PROGRAM);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{PROGRAM} ended with {status}").into()) }
}

fn spawn_each(count: usize) -> Outcome {
    (0..count).try_for_each(|_| spawn())
}

/// The least that any engine does which makes each result durable before the next step starts: an
/// append to a file whose space is already there.
fn spawn_and_sync(count: usize, folder: &Path) -> Outcome {
    let mut log = File::create(folder.join("log"))?;
    log.write_all(&vec![0; 4096 * count])?;
    log.sync_all()?;
    std::io::Seek::rewind(&mut log)?;
    (0..count).try_for_each(|_| {
        spawn()?;
        log.write_all(&[1; 4096])?;
        Ok(log.sync_data()?)
    })
}

fn spawn_side_by_side(count: usize, parallel: usize) -> Outcome {
    let next = AtomicUsize::new(0);
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            spawn().map_err(|error| error.to_string())?;
        }
        Ok::<(), String>(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parallel).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?.map_err(Into::into))
    })
}
