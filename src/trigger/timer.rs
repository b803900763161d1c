//! Triggers that wait for no event: set times, and a detection that is looked at again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::base::suggestion;
use crate::base::units::show_duration;
use crate::engine::schedule::{Calendar, Flapping, Missed, Overlap, Schedule};

/// A run starts at set times.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTrigger {
    /// A cron expression: minute, hour, day of month, month, day of week; a field of seconds may stand before them.
    /// Either this or `every`.
    #[serde(default)]
    pub cron: Option<String>,
    /// An interval, counted from midnight UTC: 15m is at every quarter of an hour. Either this or `cron`.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub every: Option<f64>,
    /// The IANA time zone of `cron`, such as Europe/Berlin. Default: UTC.
    #[serde(default)]
    pub timezone: Option<String>,
    /// What happens to runs that were due while no server was there. Default: skip.
    #[serde(default)]
    pub missed: Missed,
    /// The most missed runs that `missed: run_all` makes up for, the latest ones. Default: 10.
    #[serde(default = "default_catch_up")]
    #[schemars(range(min = 1, max = 1_000))]
    pub catch_up: u16,
    /// What happens when a run is due while one with the same inputs is live. Default: skip.
    #[serde(default)]
    pub overlap: Overlap,
    /// Runs are put off by up to this, each by a part of its own, so that not everything starts at once. Default: 0s.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub jitter: f64,
    /// Inputs of its runs.
    #[serde(default)]
    pub with: BTreeMap<String, Value>,
}

/// The detection is evaluated in an interval; a run starts when it holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchTrigger {
    /// The interval.
    #[schemars(extend("x-unit" = "duration"))]
    pub every: f64,
    /// When the detection changes too often to act on: one run more, then none until it is calm.
    #[serde(default)]
    pub flapping: Flapping,
    /// Inputs of the detection and of its runs.
    #[serde(default)]
    pub with: BTreeMap<String, Value>,
}

fn default_catch_up() -> u16 {
    // Enough for a night of hourly runs with nobody there, few enough for one morning.
    10
}

/// Such a trigger, ready.
#[derive(Debug, Clone)]
pub struct Timer {
    /// Its name in the journal and for people. What is about something else has another one.
    pub key: String,
    pub playbook: String,
    pub timed: Timed,
    /// Inputs of its runs.
    pub with: BTreeMap<String, Value>,
}

#[derive(Debug, Clone)]
pub enum Timed {
    Schedule(Box<Schedule>, Overlap),
    Watch(Looks),
}

/// How a detection is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    pub every: Duration,
    pub flapping: Flapping,
}

/// A setting that can never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadTimer {
    /// The key of the setting; of the whole trigger when there is none.
    pub setting: &'static str,
    pub what: String,
    pub help: Option<String>,
}

impl ScheduleTrigger {
    pub fn timer(&self, playbook: &str) -> Result<Timer, BadTimer> {
        let (calendar, rhythm) = self.calendar()?;
        let key = key(playbook, &rhythm, &self.with);
        let jitter = Duration::from_secs_f64(self.jitter);
        let catch_up = usize::from(self.catch_up);
        let schedule = Schedule { key: key.clone(), calendar, jitter, missed: self.missed, catch_up };
        let timed = Timed::Schedule(Box::new(schedule), self.overlap);
        Ok(Timer { key, playbook: playbook.to_owned(), timed, with: self.with.clone() })
    }

    fn calendar(&self) -> Result<(Calendar, String), BadTimer> {
        let bad = |setting, error: crate::engine::schedule::BadCalendar| {
            let help = Some(error.help().to_owned());
            BadTimer { setting, what: error.to_string(), help }
        };
        match (&self.cron, self.every) {
            (Some(cron), None) => {
                let (zone, named) = zone(self.timezone.as_deref())?;
                let calendar = Calendar::cron(cron, zone).map_err(|error| bad("cron", error))?;
                Ok((calendar, format!("{} {named}", cron.trim())))
            }
            (None, Some(every)) if self.timezone.is_none() => {
                let every = Duration::from_secs_f64(every);
                let calendar = Calendar::every(every).map_err(|error| bad("every", error))?;
                Ok((calendar, format!("every {}", show_duration(every))))
            }
            (None, Some(_)) => Err(BadTimer {
                setting: "timezone",
                what: "an interval is the same in every time zone".into(),
                help: Some("leave `timezone` out, or use `cron`".into()),
            }),
            _ => Err(BadTimer {
                setting: "",
                what: "a schedule has either `cron` or `every`".into(),
                help: Some("write {cron: '0 6 * * *'} or {every: 15m}".into()),
            }),
        }
    }
}

fn zone(name: Option<&str>) -> Result<(TimeZone, &str), BadTimer> {
    let Some(name) = name else { return Ok((TimeZone::UTC, "UTC")) };
    match TimeZone::get(name) {
        Ok(zone) => Ok((zone, name)),
        Err(_) => {
            let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
            let near = suggestion::did_you_mean(name, known.iter().map(String::as_str));
            let help = near.unwrap_or_else(|| "names are those of the IANA database, such as Europe/Berlin".into());
            Err(BadTimer { setting: "timezone", what: format!("there is no time zone '{name}'"), help: Some(help) })
        }
    }
}

impl WatchTrigger {
    pub fn timer(&self, playbook: &str) -> Result<Timer, BadTimer> {
        let every = Duration::from_secs_f64(self.every);
        let bad = |error: crate::engine::schedule::BadCalendar| BadTimer {
            setting: "every",
            what: error.to_string(),
            help: Some(error.help().to_owned()),
        };
        Calendar::every(every).map_err(bad)?;
        // Without the interval: how often one looks changes nothing about what was seen.
        let key = key(playbook, "watch", &self.with);
        let timed = Timed::Watch(Looks { every, flapping: self.flapping });
        Ok(Timer { key, playbook: playbook.to_owned(), timed, with: self.with.clone() })
    }
}

fn key(playbook: &str, rhythm: &str, with: &BTreeMap<String, Value>) -> String {
    match with.is_empty() {
        true => format!("{playbook}: {rhythm}"),
        false => format!("{playbook}: {rhythm} {}", serde_json::to_string(with).unwrap_or_default()),
    }
}
