//! The application log of the platform, in the format of its profile.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use runbook::base::Clock;

use crate::error::LabError;
use crate::profile::Profile;
use crate::wording::{LogEntry, Said};

pub struct Log {
    file: File,
    clock: Clock,
    profile: &'static Profile,
}

impl Log {
    pub fn open(path: &Path, clock: Clock, profile: &'static Profile) -> Result<Self, LabError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(LabError::file("write", path))?;
        Ok(Log { file, clock, profile })
    }

    pub fn info(&self, logger: &str, message: &str) {
        self.write("INFO", logger, message);
    }

    pub fn warning(&self, logger: &str, message: &str) {
        self.write("WARNING", logger, message);
    }

    pub fn error(&self, logger: &str, message: &str) {
        self.write("ERROR", logger, message);
    }

    pub fn say(&self, level: &str, (logger, message): Said) {
        self.write(level, logger, &message);
    }

    fn write(&self, level: &str, logger: &str, message: &str) {
        let line = (self.profile.wording.line)(&LogEntry { at: self.clock.now(), level, logger, message });
        // One write a line, so that lines never mix; a log that cannot be written must not stop the service.
        let _ = (&self.file).write_all(format!("{line}\n").as_bytes());
    }
}
