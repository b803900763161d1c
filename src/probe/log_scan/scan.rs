//! Reads log files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::collect::Collector;
use super::lines::Lines;
use super::seek::{SEARCHED_FROM, start_of_tail, start_of_window};
use super::select::select;
use super::stamp::Stamps;
use super::{Output, Settings};
use crate::kind::StepError;
use crate::probe::blocking::Stop;
use crate::probe::files::{file_error, open_regular};

/// Files named in the output.
const LISTED: usize = 100;

/// Few enough calls to the kernel that matching, not reading, takes the time.
const READ_BYTES: usize = 256 << 10;

pub(super) fn files(
    patterns: &[String],
    missing_ok: bool,
    settings: Settings,
    stop: &Stop,
) -> Result<Output, StepError> {
    let selection = select(patterns, missing_ok, &settings, stop)?;
    let mut collector = settings.collector();
    for path in &selection.files {
        // A file that has just been rotated away is read under its new name, or not at all.
        if let Some(file) = open_regular(path)? {
            scan_file(file, path, &settings, &mut collector, stop)?;
        }
    }
    let mut output = collector.finish();
    let names = |paths: &[std::path::PathBuf]| {
        paths.iter().take(LISTED).map(|path| path.to_string_lossy().into_owned()).collect()
    };
    output.complete = selection.skipped.is_empty();
    output.files = names(&selection.files);
    output.skipped_files = names(&selection.skipped);
    Ok(output)
}

fn scan_file(
    mut file: File,
    path: &Path,
    settings: &Settings,
    collector: &mut Collector,
    stop: &Stop,
) -> Result<(), StepError> {
    let describe = |error: &io::Error| file_error("read", path, error);
    let mut stamps = Stamps::new(settings.timezone, settings.now);
    // What is written from here on belongs to the next scan; a busy log would never end.
    let length = file.metadata().map_err(|error| describe(&error))?.len();
    let start = start_of(&mut file, length, settings, &mut stamps, stop, &describe)?;
    file.seek(SeekFrom::Start(start)).map_err(|error| describe(&error))?;
    collector.start_file(path.to_string_lossy().into_owned());
    let reader = BufReader::with_capacity(READ_BYTES, file.take(length - start));
    let mut lines = Lines::new(reader);
    let (mut at, mut has_text) = (None, false);
    while let Some(line) = lines.next(stop, describe)? {
        stop.check()?;
        at = stamps.read(line.bytes).or(at);
        has_text |= !line.bytes.is_empty();
        collector.count_read(line.length, line.cut);
        collector.line(line.bytes, at);
    }
    if settings.since.is_some() && has_text && at.is_none() {
        return Err(StepError::new(format!("no line of {} has a time stamp that is recognised", path.display()))
            .help("use `tail` instead of `window` and `since`, or let the program write RFC 3339 time stamps"));
    }
    Ok(())
}

fn start_of(
    file: &mut File,
    length: u64,
    settings: &Settings,
    stamps: &mut Stamps,
    stop: &Stop,
    describe: &dyn Fn(&io::Error) -> StepError,
) -> Result<u64, StepError> {
    if let Some(count) = settings.tail {
        return start_of_tail(file, length, count, stop, describe);
    }
    match settings.since {
        Some(since) if length >= SEARCHED_FROM => start_of_window(file, length, since, stamps, stop, describe),
        _ => Ok(0),
    }
}
