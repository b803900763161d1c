//! Units and ranges that a person can read: 0.0009 seconds are 900 µs, and an axis never has no length.

use crate::base::picture::Unit;
use crate::report::values::rounded;

/// A unit that makes the numbers of a picture short.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    unit: Unit,
    /// How many of the output's unit are one of these.
    factor: f64,
    /// `ms`, `MiB`, `×10^9`; empty for bare numbers.
    name: String,
}

const SECONDS: &[(f64, &str)] = &[(1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (3600.0, "h")];
const BYTES: &[(f64, &str)] =
    &[(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB"), (1_099_511_627_776.0, "TiB")];

/// Beyond it a number is written with a power of ten.
const LARGEST_PLAIN: f64 = 1e6;
const SMALLEST_PLAIN: f64 = 1e-3;

impl Scale {
    /// The unit for numbers of which the largest is this one.
    pub fn of(unit: Unit, largest: f64) -> Self {
        /// Less cannot be divided by without becoming infinite.
        const LEAST: f64 = 1e-290;
        let largest = Some(largest.abs()).filter(|largest| *largest >= LEAST).unwrap_or(0.0);
        let named = match unit {
            Unit::Seconds => SECONDS,
            Unit::Bytes => BYTES,
            Unit::Number => &[(1.0, "")],
        };
        let fitting = named.iter().rev().find(|(factor, _)| *factor <= largest).or(named.first());
        let (factor, name) = fitting.copied().unwrap_or((1.0, ""));
        let rest = largest / factor;
        // Powers of ten keep what is drawn between a thousandth and a million, whatever was measured.
        if rest > 0.0 && !(SMALLEST_PLAIN..LARGEST_PLAIN).contains(&rest) {
            let power = rest.log10().floor();
            return Scale {
                unit,
                factor: factor * 10_f64.powf(power),
                name: format!("×10^{power} {name}").trim().to_owned(),
            };
        }
        Scale { unit, factor, name: name.to_owned() }
    }

    /// The number in this unit.
    pub fn apply(&self, value: f64) -> f64 {
        value / self.factor
    }

    /// The number with the unit that suits it, whatever the others have: `1.9 ms`.
    pub fn show(&self, value: f64) -> String {
        let own = Scale::of(self.unit, value);
        format!("{} {}", rounded(own.apply(value)), own.name).trim_end().to_owned()
    }

    /// What an axis is called: `time of a run (ms)`.
    pub fn axis(&self, measure: &str) -> String {
        if self.name.is_empty() { measure.to_owned() } else { format!("{measure} ({})", self.name) }
    }
}

/// A range around the values, never empty and never so narrow that its ends are the same number.
pub fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    /// A thousandth is what the labels of an axis still tell apart.
    const NARROWEST: f64 = 1e-3;
    let least = low.abs().max(high.abs()).max(1.0) * NARROWEST;
    if high - low < least { ((low + high - least) / 2.0, (low + high + least) / 2.0) } else { (low, high) }
}

/// The number at a tick of an axis of this length: as many digits as tell ticks apart.
pub fn tick(value: f64, length: f64) -> String {
    let decimals = (2.0 - length.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_make_numbers_short() {
        assert_eq!(Scale::of(Unit::Seconds, 0.0019).show(0.000_28), "280 µs");
        assert_eq!(Scale::of(Unit::Seconds, 0.000_9).axis("time"), "time (µs)");
        assert_eq!(Scale::of(Unit::Seconds, 90.0).show(90.0), "90 s");
        assert_eq!(Scale::of(Unit::Bytes, 106_000_000.0).show(106_000_000.0), "101.1 MiB");
        assert_eq!(Scale::of(Unit::Number, 0.25).show(0.25), "0.25");
        assert_eq!(Scale::of(Unit::Number, 2.5e9).show(2.5e9), "2.5 ×10^9");
        assert_eq!(Scale::of(Unit::Number, 0.0).show(0.0), "0");
    }

    #[test]
    fn ticks_differ_on_a_short_axis() {
        assert_eq!([101.12, 101.13].map(|value| tick(value, 0.05)), ["101.12", "101.13"]);
        assert_eq!(tick(0.300_000_000_000_000_04, 1.0), "0.3");
        assert_eq!(tick(-1e-12, 1.0), "0");
        assert_eq!(tick(1500.0, 2000.0), "1500");
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_of_a_size_that_can_be_drawn(values in prop::collection::vec(any::<f64>(), 0..8), unit in 0..3) {
            let unit = [Unit::Seconds, Unit::Bytes, Unit::Number][unit as usize];
            let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
            let scale = Scale::of(unit, values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs())));
            let (low, high) = range(values.iter().map(|value| scale.apply(*value)));
            prop_assert!(low.is_finite() && high.is_finite() && high - low >= 0.9e-3, "{} {}", low, high);
            prop_assert!(low.abs().max(high.abs()) <= 1.1 * LARGEST_PLAIN);
        }
    }
}
