//! Windows of time that come back every week, in the time zone of the people they are for.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::base::Timestamp;

/// A window of time that comes back every week.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it begins. Default: every day.
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
    /// The time of day at which it begins, such as `22:00`.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: Time,
    /// The time of day at which it ends, such as `06:00`; on the next day when it is not after `from`.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub to: Time,
    /// An IANA time zone such as `Europe/Berlin`. Default: UTC.
    #[serde(default = "utc", deserialize_with = "zone")]
    #[schemars(with = "String")]
    pub timezone: TimeZone,
    /// Whether every playbook changes nothing while it is open. Without it, it only counts for playbooks that name it
    /// under `within`.
    #[serde(default)]
    pub withhold: bool,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Day::Mon => Weekday::Monday,
            Day::Tue => Weekday::Tuesday,
            Day::Wed => Weekday::Wednesday,
            Day::Thu => Weekday::Thursday,
            Day::Fri => Weekday::Friday,
            Day::Sat => Weekday::Saturday,
            Day::Sun => Weekday::Sunday,
        }
    }
}

fn every_day() -> Vec<Day> {
    vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun]
}

fn utc() -> TimeZone {
    TimeZone::UTC
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    Time::strptime("%H:%M", &text).map_err(|_| de::Error::custom(format!("'{text}' is no time of day such as 22:00")))
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    TimeZone::get(&name)
        .map_err(|_| de::Error::custom(format!("'{name}' is no time zone known here, such as Europe/Berlin")))
}

impl Window {
    /// Whether it is open at a moment. The times are those of the clock on the wall, so that on the days
    /// on which the clock changes a window is an hour shorter or longer.
    pub fn is_open(&self, now: Timestamp) -> bool {
        // A moment outside the calendar is in no window.
        let Ok(now) = jiff::Timestamp::from_millisecond(now.0) else { return false };
        let here = now.to_zoned(self.timezone.clone());
        let time = here.time();
        if self.from < self.to {
            return self.begins_on(&here) && self.from <= time && time < self.to;
        }
        let yesterday = here.checked_sub(1.day());
        let from_before = yesterday.is_ok_and(|yesterday| self.begins_on(&yesterday)) && time < self.to;
        from_before || (self.begins_on(&here) && self.from <= time)
    }

    fn begins_on(&self, day: &Zoned) -> bool {
        self.days.iter().any(|wanted| wanted.weekday() == day.weekday())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn window(value: serde_json::Value) -> Window {
        serde_json::from_value(value).expect("a window")
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().expect("a moment").as_millisecond())
    }

    #[test]
    fn a_window_is_open_from_its_beginning_to_just_before_its_end() {
        let window = window(json!({"days": ["mon"], "from": "09:00", "to": "17:00"}));
        assert!(!window.is_open(at("2026-11-23T08:59:59Z")));
        assert!(window.is_open(at("2026-11-23T09:00:00Z")));
        assert!(!window.is_open(at("2026-11-23T17:00:00Z")));
        assert!(!window.is_open(at("2026-11-24T12:00:00Z")), "a Tuesday");
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let window = window(json!({"days": ["fri"], "from": "22:00", "to": "06:00"}));
        assert!(window.is_open(at("2026-11-27T23:00:00Z")));
        assert!(window.is_open(at("2026-11-28T05:59:00Z")), "Saturday morning still belongs to Friday");
        assert!(!window.is_open(at("2026-11-27T05:00:00Z")), "Friday morning belongs to Thursday");
    }

    #[test]
    fn a_window_follows_the_clock_on_the_wall_when_it_changes() {
        let window = window(json!({"from": "09:00", "to": "10:00", "timezone": "Europe/Berlin"}));
        assert!(window.is_open(at("2026-10-24T07:30:00Z")), "summer time");
        assert!(window.is_open(at("2026-10-26T08:30:00Z")), "winter time");
        assert!(!window.is_open(at("2026-10-26T07:30:00Z")));
    }

    #[test]
    fn a_zone_or_time_that_does_not_exist_is_refused() {
        let bad = |value| serde_json::from_value::<Window>(value).expect_err("refused").to_string();
        assert!(bad(json!({"from": "09:00", "to": "10:00", "timezone": "Mars/Olympus"})).contains("no time zone"));
        assert!(bad(json!({"from": "9 am", "to": "10:00"})).contains("no time of day"));
    }
}
