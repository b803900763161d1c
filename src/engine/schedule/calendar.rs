//! When something is due, as a pure function of a moment: cron expressions in a time zone, and intervals.
//!
//! `croner` reads expressions and walks through wall-clock times; what the two changes of daylight saving make of
//! them is decided here, because a list of hours such as `0,30 2 * * *` must not lose its runs to a change.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp as Moment};

use crate::base::Timestamp;

/// When something is due.
#[derive(Debug, Clone)]
pub enum Calendar {
    Cron(Box<Zoned>),
    /// At the multiples of so many milliseconds since 1970-01-01T00:00:00Z, so that a restart moves nothing.
    Every(i64),
}

/// A cron expression in its time zone.
#[derive(Debug, Clone)]
pub struct Zoned {
    cron: Cron,
    zone: TimeZone,
    /// It is due in every hour of a day, so it is a rhythm and not a time of day.
    rhythm: bool,
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCalendar {
    #[error("'{text}' is no cron expression: {why}")]
    Cron { text: String, why: String },
    #[error("'{text}' is never due")]
    Never { text: String },
    #[error("an interval is at least {}", crate::base::units::show_duration(SHORTEST))]
    TooOften,
}

impl BadCalendar {
    /// What the reader can do.
    pub fn help(&self) -> &'static str {
        match self {
            BadCalendar::Cron { .. } => {
                "five fields: minute, hour, day of month, month, day of week, such as '0 6 * * mon-fri'; a field of seconds may stand before them"
            }
            BadCalendar::Never { .. } => "its day and month never come together",
            BadCalendar::TooOften => "what must be looked at more often is for an alert",
        }
    }
}

/// The resolution of cron itself.
pub const SHORTEST: Duration = Duration::from_secs(1);

impl Calendar {
    /// Due at an interval.
    pub fn every(interval: Duration) -> Result<Self, BadCalendar> {
        match interval < SHORTEST {
            true => Err(BadCalendar::TooOften),
            false => Ok(Calendar::Every(i64::try_from(interval.as_millis()).unwrap_or(i64::MAX))),
        }
    }

    /// Due when the wall clock of `zone` fits the expression.
    ///
    /// At a change of daylight saving, a time of day that does not exist is due once, at the first moment after the
    /// gap, and one that exists twice is due once, the first time. An expression for every hour of the day is no time
    /// of day but a rhythm: it is due whenever the clock shows such a time, which keeps its distances.
    pub fn cron(text: &str, zone: TimeZone) -> Result<Self, BadCalendar> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let why = |error: croner::errors::CronError| BadCalendar::Cron { text: text.to_owned(), why: plain(&error) };
        let cron = parser.parse(text).map_err(why)?;
        let rhythm = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        let zoned = Zoned { cron, zone, rhythm };
        // Leap days come at least every eight years; from then on everything comes that ever does.
        match zoned.civil_after(DateTime::constant(2000, 1, 1, 0, 0, 0, 0), true) {
            Some(_) => Ok(Calendar::Cron(Box::new(zoned))),
            None => Err(BadCalendar::Never { text: text.to_owned() }),
        }
    }

    /// The first moment after this one at which it is due; `None` when there is none before the end of time.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Calendar::Every(interval) => {
                after.0.div_euclid(*interval).checked_add(1)?.checked_mul(*interval).map(Timestamp)
            }
            Calendar::Cron(zoned) => zoned.next(after),
        }
    }

    /// The moments after `after` up to and with `until` at which it is due, in order.
    pub fn between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let next = move |moment: Timestamp| self.next(moment).filter(|due| *due <= until);
        std::iter::successors(next(after), move |due| next(*due))
    }
}

/// Without the first words of the crate, which say what we have said.
fn plain(error: &croner::errors::CronError) -> String {
    use croner::errors::CronError;
    let text = match error {
        CronError::EmptyPattern => "it is empty",
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => text,
        CronError::InvalidDate | CronError::InvalidTime | CronError::TimeSearchLimitExceeded => "there is no such time",
    };
    text.trim_end_matches('.').to_owned()
}

/// A stretch of time with one offset from UTC.
struct Stretch {
    offset: Offset,
    /// When it began, and the offset before.
    began: Option<(Moment, Offset)>,
    ends: Option<Moment>,
}

impl Zoned {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = Moment::from_millisecond(after.0).ok()?;
        let mut stretch = self.stretch(after);
        let mut from = (stretch.offset.to_datetime(after), false);
        loop {
            if let Some(due) = self.within(&stretch, from) {
                return Some(Timestamp(due.as_millisecond()));
            }
            // The next stretch, from its very beginning.
            let end = stretch.ends?;
            let before = stretch.offset;
            stretch = self.stretch(end);
            if self.skipped(end, before, stretch.offset) {
                return Some(Timestamp(end.as_millisecond()));
            }
            from = (stretch.offset.to_datetime(end), true);
        }
    }

    fn stretch(&self, at: Moment) -> Stretch {
        // Transitions before a moment are asked for from the next instant on, so that one right at it counts.
        let just_after = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at);
        let began = self.zone.preceding(just_after).next().map(|change| {
            let moment = change.timestamp();
            let earlier = moment.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(moment);
            (moment, self.zone.to_offset(earlier))
        });
        let ends = self.zone.following(at).next().map(|change| change.timestamp());
        Stretch { offset: self.zone.to_offset(at), began, ends }
    }

    /// The first due moment of a stretch after (or at, if inclusive) this wall-clock time.
    fn within(&self, stretch: &Stretch, (from, inclusive): (DateTime, bool)) -> Option<Moment> {
        let (from, inclusive) = match stretch.began {
            // What the clock shows for the second time was due the first time.
            Some((began, before)) if !self.rhythm && from < before.to_datetime(began) => {
                (before.to_datetime(began), true)
            }
            _ => (from, inclusive),
        };
        let due = stretch.offset.to_timestamp(self.civil_after(from, inclusive)?).ok()?;
        stretch.ends.is_none_or(|end| due < end).then_some(due)
    }

    /// Whether a time of day is due that the clock leaves out at this change.
    fn skipped(&self, change: Moment, before: Offset, offset: Offset) -> bool {
        let (gap, end) = (before.to_datetime(change), offset.to_datetime(change));
        !self.rhythm && gap < end && self.civil_after(gap, true).is_some_and(|due| due < end)
    }

    fn civil_after(&self, from: DateTime, inclusive: bool) -> Option<DateTime> {
        // A time between two seconds lies after the first of them.
        let whole = from.with().subsec_nanosecond(0).build().ok()?;
        self.cron.find_next_occurrence(&whole, inclusive && whole == from).ok()
    }
}
