//! Durations and sizes as people write them: `15m`, `1h30m`, `512 MiB`.

use std::time::Duration;

/// Seconds of a written duration: `90s`, `1m30s`, `250ms`, `2h`, `1d`, `0`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(|| duration_help(text))?;
        let unit_length = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let seconds = match &after[..unit_length] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(duration_help(text)),
        };
        total += number * seconds;
        rest = after[unit_length..].trim_start();
    }
    if text.is_empty() {
        Err(duration_help(text))
    } else {
        Duration::try_from_secs_f64(total).map_err(|_| duration_help(text))
    }
}

fn duration_help(text: &str) -> String {
    format!("'{text}' is not a duration; write for example 90s, 15m or 1h30m")
}

/// Bytes of a written size: `512 MiB`, `1.5 GB`, `4096`, `10 KiB`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size; write for example 512 MiB, 2 GB or 4096");
    let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
    let scale: f64 = match unit.trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * scale;
    // 2^53: beyond it a float no longer holds every whole number.
    if bytes.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(wrong())
    }
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    text[..end].parse().ok().map(|number| (number, &text[end..]))
}

/// A duration for people: `250 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let pair = |large: u128, name: &str, small: u128, rest: &str| match small {
        0 => format!("{large} {name}"),
        _ => format!("{large} {name} {small} {rest}"),
    };
    match milliseconds {
        0..=999 => format!("{milliseconds} ms"),
        1_000..=59_999 => format!("{:.1} s", duration.as_secs_f64()),
        60_000..=3_599_999 => pair(milliseconds / 60_000, "min", milliseconds / 1000 % 60, "s"),
        _ => pair(milliseconds / 3_600_000, "h", milliseconds / 60_000 % 60, "min"),
    }
}

/// A size for people: `1.5 GiB`.
pub fn show_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..units.len()).rev().find(|step| bytes >= 1_u64 << (10 * step)).unwrap_or(0);
    if step == 0 {
        format!("{bytes} B")
    } else {
        format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * step)) as f64, units[step])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        for wrong in ["", "5", "5 parsecs", "m", "-1s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("512 MiB").unwrap(), 512 << 20);
        assert_eq!(parse_bytes("1.5GB").unwrap(), 1_500_000_000);
        for wrong in ["", "5 apples", "-1", "0.3 B"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shown_for_people() {
        assert_eq!(show_duration(Duration::from_secs(250)), "4 min 10 s");
        assert_eq!(show_bytes(1_610_612_736), "1.5 GiB");
    }
}
