//! The text format in which services expose metrics (Prometheus text exposition format, 0.0.4).

use std::collections::BTreeMap;
use std::str::Chars;

pub(super) type Labels = BTreeMap<String, String>;

/// One line with a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// A line that is not in the format.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(super) struct FormatError {
    pub line: usize,
    problem: String,
}

/// What a page says of one metric.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metric {
    pub samples: Vec<Sample>,
    /// `counter`, `gauge`, `histogram`, `summary` or `untyped`.
    pub kind: Option<String>,
    pub help: Option<String>,
}

/// Reads a page and keeps the samples named `sample_name`, and type and help of the metric `name`. Every
/// line is checked: a page with one broken line is broken in ways nobody can foresee.
pub(super) fn read(page: &str, name: &str, sample_name: &str) -> Result<Metric, FormatError> {
    let mut metric = Metric::default();
    for (index, line) in page.lines().enumerate() {
        let line = line.trim();
        let wrong = |problem| FormatError { line: index + 1, problem };
        match line.strip_prefix('#') {
            Some(comment) => read_comment(comment.trim_start(), name, &mut metric),
            None if line.is_empty() => (),
            None => {
                let sample = read_sample(line).map_err(wrong)?;
                if sample.name == sample_name {
                    metric.samples.push(sample);
                }
            }
        }
    }
    Ok(metric)
}

fn read_comment(comment: &str, name: &str, metric: &mut Metric) {
    let mut words = comment.splitn(3, [' ', '\t']);
    let (keyword, subject, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
    if subject != Some(name) {
        return;
    }
    match keyword {
        Some("TYPE") => metric.kind = Some(rest.trim().to_owned()),
        Some("HELP") => metric.help = Some(unescape_help(rest.trim())),
        _ => (),
    }
}

fn unescape_help(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                Some('\\') | None => plain.push('\\'),
                Some(other) => plain.extend(['\\', other]),
            },
            other => plain.push(other),
        }
    }
    plain
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let name_end = line.find(|letter: char| !is_name_letter(letter)).unwrap_or(line.len());
    let (name, rest) = line.split_at(name_end);
    if !is_metric_name(name) {
        return Err("it does not begin with the name of a metric".into());
    }
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => read_labels(inside)?,
        None => (Labels::new(), rest),
    };
    // OpenMetrics adds an example after a hash, which is not ours to read.
    let numbers = rest.split(" # ").next().unwrap_or_default();
    let mut words = numbers.split_whitespace();
    let value = words.next().ok_or("there is no number")?;
    let value = value.parse().map_err(|_| format!("'{value}' is not a number"))?;
    match (words.next().map(str::parse::<f64>), words.next()) {
        (None | Some(Ok(_)), None) => Ok(Sample { name: name.to_owned(), labels, value }),
        _ => Err("after the number there is something else than a time".into()),
    }
}

/// Labels up to the closing brace, and what follows it.
fn read_labels(text: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once('=').ok_or("the labels are not closed")?;
        let name = name.trim();
        if !is_label_name(name) {
            return Err(format!("'{name}' is not the name of a label"));
        }
        let quoted =
            after.trim_start().strip_prefix('"').ok_or_else(|| format!("the label '{name}' is not in quotes"))?;
        let (value, after) = read_quoted(quoted).ok_or_else(|| format!("the label '{name}' has no closing quote"))?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label '{name}' is there twice"));
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.starts_with('}') => after,
            None => return Err(format!("after the label '{name}' a comma or a brace is missing")),
        };
    }
}

/// Text up to the closing quote, without its escapes, and what follows the quote.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut plain = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some((plain, letters.as_str())),
            '\\' => plain.push_str(&unescape(&mut letters)?),
            letter => plain.push(letter),
        }
    }
}

fn unescape(letters: &mut Chars<'_>) -> Option<String> {
    Some(match letters.next()? {
        'n' => "\n".into(),
        '"' => "\"".into(),
        '\\' => "\\".into(),
        // Prometheus keeps an escape it does not know, and so do we.
        other => format!("\\{other}"),
    })
}

fn is_name_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')
}

/// Whether this can be the name of a metric.
pub(super) fn is_metric_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(is_name_letter)
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn only(line: &str) -> Sample {
        let name_end = line.find(|letter| !is_name_letter(letter)).unwrap();
        read(line, "", &line[..name_end]).unwrap().samples.pop().unwrap()
    }

    #[test]
    fn a_page_as_services_write_it() {
        let page = "# HELP jobs_total Jobs done,\\nby \\\\state.\n# TYPE jobs_total counter\n\
            jobs_total{state=\"ok\",} 1027 1395066363000\n jobs_total{ state = \"a \\\"b\\\" \\\\ \\n\" }\t3e2\n\
            jobs_total_created 1\n# a remark\n\n# EOF\n";
        let metric = read(page, "jobs_total", "jobs_total").unwrap();
        assert_eq!(metric.kind.as_deref(), Some("counter"));
        assert_eq!(metric.help.as_deref(), Some("Jobs done,\nby \\state."));
        assert_eq!(metric.samples.len(), 2);
        assert_eq!((metric.samples[0].value, &metric.samples[0].labels), (1027.0, &labels(&[("state", "ok")])));
        assert_eq!(metric.samples[1].labels, labels(&[("state", "a \"b\" \\ \n")]));
    }

    #[test]
    fn numbers_of_every_form() {
        assert_eq!(only("a:b_c 1.5").value, 1.5);
        assert_eq!(only("a -3e-7").value, -3e-7);
        assert!(only("a NaN").value.is_nan());
        assert_eq!(only("a{x=\"}\"} +Inf").value, f64::INFINITY);
        assert_eq!(only("a -Inf 1395066363000").value, f64::NEG_INFINITY);
        assert_eq!(only("a_bucket{le=\"1\"} 5 # {trace_id=\"x\"} 0.3 1").value, 5.0);
    }

    #[test]
    fn broken_lines_are_named() {
        for line in [
            "<html>",
            "1a 1",
            "a",
            "a x",
            "a 1 2 3",
            "a 1 later",
            "a{x=\"1\" 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"1\" y=\"2\"} 1",
            "a{x:y=\"1\"} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a{=\"1\"} 1",
        ] {
            let error = read(&format!("good 1\n{line}\n"), "good", "good").unwrap_err();
            assert_eq!(error.line, 2, "{line}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_page_makes_it_panic(page in "\\PC{0,40}|[a-z{}=\",\\\\# 0-9\n]{0,60}") {
            let _ = read(&page, "a", "a");
        }

        #[test]
        fn every_label_value_survives(value in "\\PC{0,20}|[\\\\\"\n]{0,6}") {
            let written = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let sample = only(&format!("a{{x=\"{written}\"}} 1"));
            proptest::prop_assert_eq!(&sample.labels["x"], &value);
        }
    }
}
