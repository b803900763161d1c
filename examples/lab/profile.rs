//! The systems that the lab can stand in for: their models, their routes, their words.

use runbook::base::Timestamp;

/// What distinguishes one platform from another. The engine room is the same for all of them.
pub struct Profile {
    pub name: &'static str,
    pub title: &'static str,
    pub providers: &'static [ProviderSpec],
    pub routes: Routes,
    /// What the names of metrics and loggers begin with.
    pub prefix: &'static str,
    pub log_line: fn(&LogEntry<'_>) -> String,
}

/// A model of the platform. The first one of a profile is the one that faults are done to.
pub struct ProviderSpec {
    pub name: &'static str,
    pub input: &'static str,
    pub features: usize,
    pub output: &'static str,
    pub classes: usize,
}

/// The paths that differ between platforms.
pub struct Routes {
    pub providers: &'static str,
    pub test: &'static str,
    pub reload: &'static str,
}

/// A line of the application log before it has a format.
pub struct LogEntry<'a> {
    pub at: Timestamp,
    pub level: &'a str,
    pub logger: String,
    pub message: &'a str,
}

static PROFILES: &[&Profile] = &[&CAD];

/// The CAD and drawing-recognition platform.
static CAD: Profile = Profile {
    name: "cad",
    title: "CAD ML platform",
    providers: &[
        ProviderSpec { name: "ocr-text", input: "features", features: 64, output: "probabilities", classes: 10 },
        ProviderSpec { name: "ocr-layout", input: "features", features: 48, output: "probabilities", classes: 6 },
    ],
    routes: Routes { providers: "/api/v1/ocr/providers", test: "/api/v1/ocr/test", reload: "/api/v1/admin/reload" },
    prefix: "ocr",
    log_line: python_line,
};

/// The default format of Python's logging, with the milliseconds behind a comma and in local time.
fn python_line(entry: &LogEntry<'_>) -> String {
    let LogEntry { at, level, logger, message } = entry;
    format!("{},{:03} {level} {logger} {message}", at.to_local_date_time(), at.0.rem_euclid(1000))
}

impl Profile {
    pub fn find(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().copied().find(|profile| profile.name == name)
    }

    /// The provider that faults are done to.
    pub fn first(&self) -> &'static ProviderSpec {
        &self.providers[0]
    }
}

pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|profile| profile.name)
}
