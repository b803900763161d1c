//! When a line was written: time stamps in the forms logs use, found by themselves.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use regex::bytes::Regex;

use super::Timezone;
use crate::base::Timestamp;

/// A stamp begins within this many bytes; further on, a date is more likely part of the message.
const SEARCHED_BYTES: usize = 64;

/// A JSON line may have its time after a long message.
const SEARCHED_JSON_BYTES: usize = 16 << 10;

/// A syslog date further ahead than this is one of last year: it has no year, and clocks differ a little.
const AHEAD: i64 = 24 * 3600 * 1000;

/// The keys JSON loggers use for the time.
static JSON_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""(?:@?timestamp|time|ts|datetime|asctime|date)"\s*:\s*"?"#)
        .expect("the pattern is constant and a test uses it")
});

/// Reads the stamps of one log; remembers where they stand, since that rarely changes.
pub(super) struct Stamps {
    zone: TimeZone,
    now: Timestamp,
    found: Option<(Form, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// `2026-01-31T23:59:59.123Z`, with a space, a comma, slashes or another zone too.
    Iso,
    /// `31/Jan/2026:23:59:59 +0100`, of web servers.
    Web,
    /// `Jan 31 23:59:59`, of syslog.
    Syslog,
    /// Seconds, or a smaller unit, since 1970.
    Epoch,
}

/// Most frequent first. An `Epoch` is any number, so it comes last.
const FORMS: [Form; 4] = [Form::Iso, Form::Web, Form::Syslog, Form::Epoch];

impl Stamps {
    pub(super) fn new(timezone: Timezone, now: Timestamp) -> Self {
        let zone = match timezone {
            Timezone::Local => TimeZone::system(),
            Timezone::Utc => TimeZone::UTC,
        };
        Stamps { zone, now, found: None }
    }

    /// Milliseconds since 1970, or `None` for a line without a stamp.
    pub(super) fn read(&mut self, line: &[u8]) -> Option<i64> {
        if line.first() == Some(&b'{') {
            return self.read_json(line);
        }
        if let Some((form, start)) = self.found
            && let Some(moment) = self.parse(form, line.get(start..)?)
        {
            return Some(moment);
        }
        // Indented lines go on with the line before; a date in them is not their time.
        if line.first().is_none_or(u8::is_ascii_whitespace) {
            return None;
        }
        self.search(line)
    }

    fn read_json(&self, line: &[u8]) -> Option<i64> {
        let head = &line[..line.len().min(SEARCHED_JSON_BYTES)];
        JSON_KEY.find_iter(head).find_map(|key| {
            let value = &line[key.end()..];
            self.parse(Form::Iso, value).or_else(|| self.parse(Form::Epoch, value))
        })
    }

    fn search(&mut self, line: &[u8]) -> Option<i64> {
        let starts = (0..line.len().min(SEARCHED_BYTES)).filter(|start| begins_word(line, *start));
        for start in starts {
            for form in FORMS {
                if !form.may_stand_at(line, start) {
                    continue;
                }
                if let Some(moment) = self.parse(form, &line[start..]) {
                    self.found = Some((form, start));
                    return Some(moment);
                }
            }
        }
        None
    }

    fn parse(&self, form: Form, text: &[u8]) -> Option<i64> {
        let mut reader = Reader { rest: text };
        match form {
            Form::Iso => self.parse_iso(&mut reader),
            Form::Web => self.parse_web(&mut reader),
            Form::Syslog => self.parse_syslog(&mut reader),
            Form::Epoch => parse_epoch(text),
        }
    }

    fn parse_iso(&self, reader: &mut Reader) -> Option<i64> {
        let year = reader.digits(4)?;
        let separator = reader.one_of(b"-/")?;
        let month = reader.digits(2)?;
        reader.one_of(&[separator])?;
        let day = reader.digits(2)?;
        reader.one_of(b"Tt _")?;
        self.parse_time(reader, [year, month, day])
    }

    fn parse_web(&self, reader: &mut Reader) -> Option<i64> {
        let day = reader.digits(2)?;
        reader.one_of(b"/")?;
        let month = reader.month()?;
        reader.one_of(b"/")?;
        let year = reader.digits(4)?;
        reader.one_of(b":")?;
        self.parse_time(reader, [year, month, day])
    }

    fn parse_time(&self, reader: &mut Reader, [year, month, day]: [i64; 3]) -> Option<i64> {
        let time = reader.time()?;
        let fraction = reader.milliseconds();
        let date_time = civil([year, month, day], time)?;
        let moment = match reader.offset() {
            Some(seconds) => Offset::UTC.to_timestamp(date_time).ok()?.as_millisecond() - seconds * 1000,
            None => self.in_zone(date_time)?,
        };
        Some(moment + fraction)
    }

    fn parse_syslog(&self, reader: &mut Reader) -> Option<i64> {
        let month = reader.month()?;
        reader.one_of(b" ")?;
        let day = if reader.one_of(b" ").is_some() { reader.digits(1)? } else { reader.digits(2)? };
        reader.one_of(b" ")?;
        let time = reader.time()?;
        let this_year = jiff::Timestamp::from_millisecond(self.now.0).ok()?.to_zoned(self.zone.clone()).year();
        // The 29th of February exists only in some years, hence the search further back.
        (0..=4).map(|back| i64::from(this_year) - back).find_map(|year| {
            let moment = self.in_zone(civil([year, month, day], time)?)?;
            (moment <= self.now.0 + AHEAD).then_some(moment)
        })
    }

    fn in_zone(&self, date_time: DateTime) -> Option<i64> {
        Some(self.zone.to_timestamp(date_time).ok()?.as_millisecond())
    }
}

impl Form {
    fn may_stand_at(self, line: &[u8], start: usize) -> bool {
        match self {
            Form::Iso | Form::Web => true,
            // After the priority some transports leave in front, `<34>`.
            Form::Syslog => start == 0 || start <= 5 && line[start - 1] == b'>',
            Form::Epoch => start == 0 || start == 1 && matches!(line[0], b'[' | b'('),
        }
    }
}

fn begins_word(line: &[u8], start: usize) -> bool {
    line[start].is_ascii_alphanumeric() && (start == 0 || !line[start - 1].is_ascii_alphanumeric())
}

fn civil([year, month, day]: [i64; 3], [hour, minute, second]: [i64; 3]) -> Option<DateTime> {
    let small = |number: i64| i8::try_from(number).ok();
    // A leap second has no place in Unix time; it counts as the second before.
    let second = small(second.min(59))?;
    DateTime::new(i16::try_from(year).ok()?, small(month)?, small(day)?, small(hour)?, small(minute)?, second, 0).ok()
}

fn parse_epoch(text: &[u8]) -> Option<i64> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: i64 = std::str::from_utf8(&text[..length]).ok()?.parse().ok()?;
    if text.get(length).is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    // The number of digits tells the unit, for all times from 2001 to 2286.
    match length {
        10 => Some(number * 1000 + Reader { rest: &text[length..] }.milliseconds()),
        13 => Some(number),
        16 => Some(number / 1000),
        19 => Some(number / 1_000_000),
        _ => None,
    }
}

/// Takes a stamp apart from left to right.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        let number = digits
            .iter()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))?;
        self.rest = rest;
        Some(number)
    }

    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !wanted.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    fn month(&mut self) -> Option<i64> {
        const MONTHS: [&[u8]; 12] =
            [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
        let (name, rest) = self.rest.split_at_checked(3)?;
        let month = MONTHS.iter().position(|month| *month == name)?;
        self.rest = rest;
        Some(month as i64 + 1)
    }

    fn time(&mut self) -> Option<[i64; 3]> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        Some([hour, minute, self.digits(2)?])
    }

    /// The fraction of a second; 0 without one.
    fn milliseconds(&mut self) -> i64 {
        let Some((b'.' | b',', digits)) = self.rest.split_first() else { return 0 };
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return 0;
        }
        self.rest = &digits[length..];
        (0..3)
            .fold(0, |number, place| number * 10 + i64::from(digits[..length].get(place).map_or(0, |byte| byte - b'0')))
    }

    /// Seconds east of Greenwich, when a zone is named.
    fn offset(&mut self) -> Option<i64> {
        let spaced = self.one_of(b" ").is_some();
        if self.rest.starts_with(b"UTC") || self.rest.starts_with(b"GMT") || !spaced && self.rest.starts_with(b"Z") {
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        let colon = self.one_of(b":").is_some();
        let minutes = match self.digits(2) {
            Some(minutes) => minutes,
            // "+02" alone; after a space or with a colon it is something else.
            None if !spaced && !colon => 0,
            None => return None,
        };
        // No zone is further off than 14 hours.
        (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-01T12:00:00Z.
    const NOW: Timestamp = Timestamp(1_769_947_200_000);
    /// 2026-01-31T23:59:59Z.
    const MOMENT: i64 = 1_769_903_999_000;

    fn stamps() -> Stamps {
        Stamps::new(Timezone::Utc, NOW)
    }

    #[test]
    fn the_forms_logs_use() {
        for (line, moment) in [
            ("2026-01-31T23:59:59Z started", MOMENT),
            ("2026-01-31T23:59:59.123456789Z x", MOMENT + 123),
            ("2026-01-31 23:59:59,5 ERROR x", MOMENT + 500),
            ("2026-01-31 23:59:59 - message", MOMENT),
            ("2026-01-31 23:59:59 -12 items", MOMENT),
            ("2026-02-01T00:59:59+01:00 x", MOMENT),
            ("2026-02-01 00:59:59 +0100 x", MOMENT),
            ("2026-01-31T18:59:59-05 x", MOMENT),
            ("2026-01-31 23:59:59 UTC [7] LOG: x", MOMENT),
            ("2026/01/31 23:59:59 [error] 1#1: x", MOMENT),
            ("[2026-01-31 23:59:59] x", MOMENT),
            ("INFO [main] 2026-01-31 23:59:59 x", MOMENT),
            ("10.0.0.1 - - [01/Feb/2026:00:59:59 +0100] \"GET /\"", MOMENT),
            ("Jan 31 23:59:59 host app[1]: x", MOMENT),
            ("<34>Jan 31 23:59:59 host app: x", MOMENT),
            ("Feb  1 00:00:00 host x", MOMENT + 1000),
            ("1769903999 x", MOMENT),
            ("1769903999.250 x", MOMENT + 250),
            ("[1769903999123] x", MOMENT + 123),
            (r#"{"level":"info","ts":1769903999.5,"msg":"at 2020-01-01 00:00:00"}"#, MOMENT + 500),
            (r#"{"log":"{\"time\":\"2020-01-01T00:00:00Z\"}","time":"2026-01-31T23:59:59Z"}"#, MOMENT),
            (r#"{"@timestamp": "2026-01-31T23:59:59Z"}"#, MOMENT),
            ("2026-01-31T23:59:60Z leap", MOMENT),
        ] {
            assert_eq!(stamps().read(line.as_bytes()), Some(moment), "{line}");
        }
    }

    #[test]
    fn lines_without_a_stamp() {
        for line in [
            "",
            "Traceback (most recent call last):",
            "    at 2026-01-31 23:59:59 in main",
            "2026-13-45 99:99:99 x",
            "2026-01-31",
            "12345 items",
            "1769903999abc",
            "version 1769903999",
            "Janitor 31 23:59:59",
            r#"{"level":"info"}"#,
            "{",
        ] {
            assert_eq!(stamps().read(line.as_bytes()), None, "{line}");
        }
        let late = format!("{} 2026-01-31 23:59:59", "x".repeat(100));
        assert_eq!(stamps().read(late.as_bytes()), None);
        assert_eq!(stamps().read(&[0xff; 300]), None);
    }

    #[test]
    fn a_date_without_a_year_is_not_in_the_future() {
        // Two days after "now" means last year; a few minutes mean a clock that goes ahead.
        let year = 365 * 24 * 3600 * 1000;
        assert_eq!(stamps().read(b"Feb  3 12:00:00 x"), Some(NOW.0 + 2 * 24 * 3600 * 1000 - year));
        assert_eq!(stamps().read(b"Feb  1 12:05:00 x"), Some(NOW.0 + 300_000));
        // 2024 was the last year with this day.
        assert_eq!(stamps().read(b"Feb 29 00:00:00 x"), Some(1_709_164_800_000));
    }

    #[test]
    fn stamps_may_change_their_place() {
        let mut stamps = stamps();
        for line in ["[INFO] 2026-01-31 23:59:59 a", "[WARNING] 2026-01-31 23:59:59 b", "[INFO] 2026-01-31 23:59:59 c"]
        {
            assert_eq!(stamps.read(line.as_bytes()), Some(MOMENT), "{line}");
        }
        assert_eq!(stamps.read(b"short"), None);
    }
}
