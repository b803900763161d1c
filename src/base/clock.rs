//! The one place that reads a clock.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A moment on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `duration` later; saturates instead of wrapping.
    pub fn plus(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `duration` before; saturates instead of wrapping.
    pub fn minus(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time passed since `earlier`; zero when `earlier` lies in the future.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// A moment as people write it: `2026-12-24 18:00` in local time, or RFC 3339 with an offset.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let local = || {
            let local = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"].into_iter().find_map(|form| {
                let broken = jiff::fmt::strtime::parse(form, text).ok()?;
                broken.to_datetime().or_else(|_| broken.to_date().map(|date| date.at(0, 0, 0, 0))).ok()
            })?;
            local.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
        };
        let moment = text.parse::<jiff::Timestamp>().ok().or_else(local)?;
        Some(Timestamp(moment.as_millisecond()))
    }

    /// RFC 3339 in UTC, to the millisecond.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => format!("{moment:.3}"),
            Err(_) => format!("{} ms", self.0),
        }
    }

    /// Time of day in the local time zone, `HH:MM:SS`, for terminals.
    pub fn to_local_time(self) -> String {
        self.format_local("%H:%M:%S")
    }

    /// Date and time in the local time zone, for lists.
    pub fn to_local_date_time(self) -> String {
        self.format_local("%Y-%m-%d %H:%M:%S")
    }

    fn format_local(self, pattern: &str) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => moment.to_zoned(jiff::tz::TimeZone::system()).strftime(pattern).to_string(),
            Err(_) => self.0.to_string(),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_rfc3339())
    }
}

/// Wall clock whose readings advance with the monotonic clock from the moment it was made, so that
/// a stepped wall clock changes no measured duration.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
    pub fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Clock { wall: Timestamp(wall.as_millis() as i64), started: Instant::now() }
    }

    /// The same clock, put forward if it is behind `moment`: time that was recorded does not come again, even
    /// if the wall clock was set back since.
    #[must_use]
    pub fn not_before(self, moment: Timestamp) -> Self {
        let behind = moment.since(self.now());
        Clock { wall: self.wall.plus(behind), ..self }
    }

    pub fn now(&self) -> Timestamp {
        self.wall.plus(self.elapsed())
    }

    /// Monotonic time since the clock was started.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_time_that_was_recorded_does_not_come_again() {
        let clock = Clock::start();
        let ahead = clock.now().plus(Duration::from_secs(31_536_000));
        let run = clock.not_before(ahead);
        assert!(run.now() >= ahead && run.now().since(ahead) < Duration::from_secs(60));
        assert!(clock.not_before(Timestamp(0)).now() < ahead, "a clock that is not behind stays as it is");
    }
}
