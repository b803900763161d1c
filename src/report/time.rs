//! Moments as people read them.

use crate::base::Timestamp;

/// The time zone in which a reporter shows times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeZoneChoice {
    /// The zone of this machine; for a person at a terminal.
    #[default]
    Local,
    /// Marked by a `Z`; for reports and logs that travel.
    Utc,
}

impl TimeZoneChoice {
    /// `17:40:12`, or `17:40:12Z`.
    pub fn time(self, at: Timestamp) -> String {
        match self {
            TimeZoneChoice::Local => at.to_local_time(),
            TimeZoneChoice::Utc => format_utc(at, "%H:%M:%SZ"),
        }
    }

    /// `2026-11-22 17:40:12`, or `2026-11-22 17:40:12Z`.
    pub fn date_time(self, at: Timestamp) -> String {
        match self {
            TimeZoneChoice::Local => at.to_local_date_time(),
            TimeZoneChoice::Utc => format_utc(at, "%Y-%m-%d %H:%M:%SZ"),
        }
    }
}

fn format_utc(at: Timestamp, pattern: &str) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(moment) => moment.strftime(pattern).to_string(),
        Err(_) => at.to_rfc3339(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_is_marked() {
        let at = Timestamp(1_795_369_212_345);
        assert_eq!(TimeZoneChoice::Utc.date_time(at), "2026-11-22 17:40:12Z");
        assert_eq!(TimeZoneChoice::Utc.time(at), "17:40:12Z");
    }

    #[test]
    fn a_moment_outside_the_calendar_is_still_shown() {
        assert_eq!(TimeZoneChoice::Utc.time(Timestamp(i64::MAX)), format!("{} ms", i64::MAX));
    }
}
