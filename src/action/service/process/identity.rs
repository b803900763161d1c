//! Which process is the service.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::Pid;

use super::Config;
use crate::action::process::{Handle, table};
use crate::base::Timestamp;
use crate::kind::StepError;

/// The kernel gives the start of the machine in whole seconds, and a daemon writes its file at once.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// The service's main process, alive when it was looked at.
pub(super) struct Running {
    pub entry: table::Entry,
    pub handle: Handle,
}

/// The service's main process; `None` when it does not run.
pub(super) fn running(config: &Config) -> Result<Option<Running>, StepError> {
    let Some(pid) = read_pid(&config.pid_file)? else { return Ok(None) };
    let handle = Handle::open(pid).map_err(|error| StepError::because(format!("cannot watch pid {pid}"), &error))?;
    // The entry is read with the handle in hand, so that both mean the same process.
    let entry = table::Entry::of(pid.as_raw_nonzero().get()).filter(table::Entry::is_alive);
    let (Some(handle), Some(entry)) = (handle, entry) else { return Ok(None) };
    Ok(is_service(config, &entry).then_some(Running { entry, handle }))
}

fn is_service(config: &Config, entry: &table::Entry) -> bool {
    let fits = |text: &String| entry.command_line().contains(text.as_str());
    let same = match Record::read(&config.pid_file).filter(|record| record.pid == entry.pid) {
        Some(record) => record == Record::of(entry),
        None => started_before_file(&config.pid_file, entry),
    };
    same && config.matches.as_ref().is_none_or(fits)
}

/// A process that started after its number was written down is another one.
fn started_before_file(pid_file: &Path, entry: &table::Entry) -> bool {
    let modified = fs::metadata(pid_file).and_then(|metadata| metadata.modified()).ok();
    let written = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    match (written, entry.started_at()) {
        (Some(written), Some(started)) => started <= Timestamp::default().plus(written + CLOCK_SLACK),
        _ => false,
    }
}

fn read_pid(pid_file: &Path) -> Result<Option<Pid>, StepError> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StepError::because(format!("cannot read {}", pid_file.display()), &error)),
    };
    // Some daemons write more behind the number.
    let number = text.split_whitespace().next().and_then(|word| word.parse().ok()).filter(|pid| *pid > 1);
    number.and_then(Pid::from_raw).map(Some).ok_or_else(|| {
        StepError::new(format!("{} holds no process number", pid_file.display()))
            .help("look whether the service runs; if it does not, remove the file")
    })
}

/// Remembers a process that was just started: the file that tells it from later ones first, so that
/// there is never a number without it.
pub(super) fn remember(config: &Config, entry: &table::Entry) -> Result<(), StepError> {
    write(&record_path(&config.pid_file), &Record::of(entry).to_text())?;
    if config.writes_pid_file { Ok(()) } else { write(&config.pid_file, &format!("{}\n", entry.pid)) }
}

/// Removes the traces of a process that has ended.
pub(super) fn forget(config: &Config) -> Result<(), StepError> {
    for path in [config.pid_file.clone(), record_path(&config.pid_file)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StepError::because(format!("cannot remove {}", path.display()), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Fails when the pid file could not be written: a service must not be started that would not be found again.
pub(super) fn check_writable(config: &Config) -> Result<(), StepError> {
    write(&record_path(&config.pid_file), "")
}

fn write(path: &Path, text: &str) -> Result<(), StepError> {
    let fresh = with_ending(path, "new");
    let written = fs::File::create(&fresh).and_then(|mut file| file.write_all(text.as_bytes()));
    // Renamed into place, since a reader must never see half a number.
    written.and_then(|()| fs::rename(&fresh, path)).map_err(|error| {
        StepError::because(format!("cannot write {}", path.display()), &error)
            .help("the folder of the pid file must exist and be writable")
    })
}

fn record_path(pid_file: &Path) -> PathBuf {
    with_ending(pid_file, "start")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    path.with_added_extension(ending)
}

/// What the engine writes down of a process it has started.
#[derive(Debug, PartialEq)]
struct Record {
    pid: i32,
    start: u64,
    boot: String,
}

impl Record {
    fn of(entry: &table::Entry) -> Self {
        Record { pid: entry.pid, start: entry.start, boot: table::boot_id() }
    }

    fn to_text(&self) -> String {
        format!("{} {} {}\n", self.pid, self.start, self.boot)
    }

    fn read(pid_file: &Path) -> Option<Self> {
        let text = fs::read_to_string(record_path(pid_file)).ok()?;
        let mut words = text.split_whitespace();
        Some(Record {
            pid: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
        })
    }
}
