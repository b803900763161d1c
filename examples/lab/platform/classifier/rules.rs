//! Classification by rules alone, without a model: what an emergency leaves.

/// A type with the confidence in it.
#[derive(Debug, PartialEq)]
pub struct Guess {
    pub column_type: &'static str,
    pub confidence: f64,
}

/// Above this share of numbers a column is numeric.
const NUMERIC_SHARE: f64 = 0.8;
/// Characters on average from which on text is long.
const LONG_TEXT: f64 = 20.0;

/// `None` without values: a mean over nothing is not a number.
pub fn classify(values: &[String]) -> Option<Guess> {
    let count = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let numeric = values.iter().filter(|value| value.trim().parse::<f64>().is_ok()).count() as f64 / count;
    let length = values.iter().map(|value| value.chars().count()).sum::<usize>() as f64 / count;
    Some(if numeric > NUMERIC_SHARE {
        Guess { column_type: "Numeric", confidence: numeric }
    } else if length > LONG_TEXT {
        Guess { column_type: "TextLong", confidence: 0.7 }
    } else {
        Guess { column_type: "TextShort", confidence: 0.6 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[&str]) -> Option<&'static str> {
        classify(&values.iter().map(ToString::to_string).collect::<Vec<_>>()).map(|guess| guess.column_type)
    }

    #[test]
    fn numbers_long_and_short_text_are_told_apart() {
        assert_eq!(kind(&["1", "2.5", "-3"]), Some("Numeric"));
        assert_eq!(kind(&["1", "2", "3", "4", "none"]), Some("TextShort"), "0.8 is not above 0.8");
        assert_eq!(kind(&["a sentence of more than twenty letters"]), Some("TextLong"));
        assert_eq!(kind(&[]), None);
    }
}
