//! The `disk` kind: how full a file system is, and what fills a folder.

mod largest;

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, StatVfsMountFlags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use super::files::file_error;
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

/// Entries asked for at most, so that the output stays readable.
const MOST_LARGEST: usize = 100;

/// Measures the file system that holds a path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Any existing file or folder of the file system.
    #[schemars(extend("x-encode" = "path"))]
    pub path: PathBuf,
    /// Also find this many of the largest entries directly below the folder `path`, each folder with
    /// everything in it on the same file system. Takes seconds on large folders. At most 100.
    #[serde(default)]
    #[schemars(range(max = 100))]
    pub largest: usize,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// Bytes of the file system.
    pub total: u64,
    /// Bytes in use.
    pub used: u64,
    /// Bytes not in use, those kept back for root included.
    pub free: u64,
    /// Bytes that programs without special rights can still write.
    pub available: u64,
    /// Share in use of what such programs can ever have, 0 to 100, as `df` shows it.
    pub used_percent: f64,
    /// Files and folders the file system can hold; 0 when it has no such limit.
    pub inodes_total: u64,
    /// How many more it can hold; 0 when it has no such limit.
    pub inodes_free: u64,
    /// Share of the inodes in use, 0 to 100; 0 when there is no limit.
    pub inodes_used_percent: f64,
    /// True when nothing can be written because it is mounted read-only.
    pub read_only: bool,
    /// The largest entries below the folder, largest first; empty unless asked for.
    pub largest: Vec<LargestEntry>,
    /// Folders below it that could not be listed, so that `largest` may be too small.
    pub unreadable_folders: u64,
}

/// An entry directly below the folder.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct LargestEntry {
    /// The file or folder.
    pub path: String,
    /// Bytes on the disk of the file, or of everything in the folder.
    pub size: u64,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "disk";
    const SUMMARY: &'static str = "Measures free space and inodes of a file system, and finds what fills a folder.";
    const EXAMPLE: &'static str = "disk: {path: /var/lib/models, largest: 10}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        if config.largest > MOST_LARGEST {
            return Err(StepError::new(format!("`largest` is {}, which is more than {MOST_LARGEST}", config.largest))
                .help("a smaller number names what fills the disk as well"));
        }
        let output = run_blocking(&context, move |stop| {
            let mut output = measure(&config.path)?;
            if config.largest > 0 {
                let found = largest::find(&config.path, config.largest, stop)?;
                (output.largest, output.unreadable_folders) = (found.entries, found.unreadable_folders);
            }
            Ok(output)
        });
        Ok(Outcome::passed(output.await?))
    }
}

fn measure(path: &Path) -> Result<Output, StepError> {
    let numbers = rustix::fs::statvfs(path).map_err(|error| file_error("measure", path, &error.into()))?;
    Ok(interpret(&numbers))
}

fn interpret(numbers: &StatVfs) -> Output {
    let bytes = |blocks: u64| blocks.saturating_mul(numbers.f_frsize);
    let used = bytes(numbers.f_blocks.saturating_sub(numbers.f_bfree));
    let available = bytes(numbers.f_bavail);
    Output {
        total: bytes(numbers.f_blocks),
        used,
        free: bytes(numbers.f_bfree),
        available,
        // Not a share of `total`: a file system is full for everybody but root before `free` is 0.
        used_percent: percent(used, used.saturating_add(available)),
        inodes_total: numbers.f_files,
        inodes_free: numbers.f_ffree,
        inodes_used_percent: percent(numbers.f_files.saturating_sub(numbers.f_ffree), numbers.f_files),
        read_only: numbers.f_flag.contains(StatVfsMountFlags::RDONLY),
        ..Output::default()
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    fn numbers() -> StatVfs {
        let mut numbers = rustix::fs::statvfs("/").unwrap();
        (numbers.f_frsize, numbers.f_blocks, numbers.f_bfree, numbers.f_bavail) = (4096, 1000, 100, 50);
        (numbers.f_files, numbers.f_ffree, numbers.f_flag) = (200, 50, StatVfsMountFlags::empty());
        numbers
    }

    #[tokio::test]
    async fn this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let output = run(json!({ "path": folder.path() })).await.unwrap().output;
        assert!(output.total > 0 && output.free >= output.available && output.used <= output.total);
        assert!((0.0..=100.0).contains(&output.used_percent));
        assert!(output.largest.is_empty() && !output.read_only);
    }

    #[tokio::test]
    async fn a_missing_path_cannot_be_measured() {
        let error = run(json!({"path": "no/such/folder"})).await.unwrap_err();
        assert!(error.message.contains("no/such/folder") && error.help.is_some());
        assert!(run(json!({"path": "/", "largest": 101})).await.unwrap_err().help.is_some());
    }

    #[test]
    fn a_disk_is_full_before_the_reserve_is_used() {
        let mut full = numbers();
        full.f_bavail = 0;
        let output = interpret(&full);
        assert_eq!((output.available, output.used_percent), (0, 100.0));
        assert_eq!(output.free, 100 * 4096);
        let output = interpret(&numbers());
        assert_eq!((output.total, output.used), (4_096_000, 900 * 4096));
        assert_eq!(output.inodes_used_percent, 75.0);
    }

    #[test]
    fn file_systems_without_inode_limits_or_blocks() {
        let mut odd = numbers();
        (odd.f_files, odd.f_ffree, odd.f_blocks, odd.f_bfree, odd.f_bavail) = (0, 0, 0, 0, 0);
        odd.f_flag = StatVfsMountFlags::RDONLY;
        let output = interpret(&odd);
        assert_eq!((output.used_percent, output.inodes_used_percent, output.read_only), (0.0, 0.0, true));
    }
}
