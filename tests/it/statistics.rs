//! The statistics and the golden rule against numpy, scipy, scikit-learn and polygraphy, through
//! `scripts/check-statistics.py`.
//!
//! ```text
//! reference.json   values that the script computed once, compared here: no Python needed to test
//! script ─ cases with fresh random data ─► a test here computes them ─► script compares
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use runbook::base::environment;
use runbook::model::golden::{Case, Comparison, Tolerance, Values, compare};
use runbook::statistics::*;
use serde_json::{Value, json};

/// Agreement asked for, relative to numbers above 1 and absolute below.
const TOLERANCE: f64 = 1e-9;

/// A call of a function by its name in the case files.
fn evaluate(function: &str, arguments: &Value) -> Value {
    let list = |name: &str| numbers(&arguments[name]);
    let sorted = |name: &str| Sorted::new(list(name)).unwrap();
    let classes = |name: &str| whole_numbers(&arguments[name]);
    let number = |name: &str| arguments[name].as_f64().unwrap();
    let count = |name: &str| usize::try_from(arguments[name].as_u64().unwrap()).unwrap();
    match function {
        "mean" => json!(mean(&list("values"))),
        "standard_deviation" => json!(standard_deviation(&list("values"))),
        "quantile" => json!(sorted("values").quantile(number("p"))),
        "histogram" => json!(histogram(&sorted("values"), count("bins")).counts),
        "least_squares" => fitted(&list("x"), &list("y"), number("confidence")),
        "confusion" => confusion(&classes("labels"), &classes("predictions"), count("classes")),
        "wilson_interval" => {
            let (hits, total) = (count("hits") as u64, count("total") as u64);
            json!(wilson_interval(hits, total, number("confidence")))
        }
        "calibration" => calibration(arguments, count("bins")),
        "brier_score" => brier(arguments),
        "psi" => json!(ReferenceBins::new(&sorted("reference"), count("bins")).index(&sorted("current"))),
        "psi_limit" => {
            let (n, m, bins) = (count("n"), count("m"), count("bins"));
            json!([psi_noise(n, m, bins), psi_limit(number("limit"), n, m, bins, number("alpha"))])
        }
        "kolmogorov_smirnov" => {
            let test = kolmogorov_smirnov(&sorted("left"), &sorted("right"));
            json!([test.statistic, test.p_value])
        }
        "bonferroni" => json!(adjusted(&list("p_values"), Correction::Bonferroni)),
        "false_discovery" => json!(adjusted(&list("p_values"), Correction::FalseDiscovery)),
        "entropy" => json!(entropy(&list("shares"))),
        "evenness" => json!(evenness(&list("shares"))),
        "class_shares" => json!(class_shares(&classes("predictions"), count("classes"))),
        "share_index" => json!(share_index(&list("reference"), &list("current"))),
        "argmax" => json!(argmax(&list("values"))),
        "disagreements" => json!(disagreements(&classes("left"), &classes("right"))),
        "golden_rule" => golden(arguments),
        other => panic!("no function '{other}'"),
    }
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn whole_numbers(list: &Value) -> Vec<usize> {
    numbers(list).into_iter().map(|number| number as usize).collect()
}

fn fitted(x: &[f64], y: &[f64], confidence: f64) -> Value {
    let line = least_squares(x, y).unwrap();
    let (low, high) = line.slope_interval(confidence);
    json!([line.slope, line.intercept, line.slope_error, low, high])
}

fn confusion(labels: &[usize], predictions: &[usize], classes: usize) -> Value {
    let confusion = Confusion::new(labels, predictions, classes).unwrap();
    let scores = confusion.scores();
    json!({
        "accuracy": confusion.accuracy(),
        "precision": scores.iter().map(|score| score.precision).collect::<Vec<_>>(),
        "recall": scores.iter().map(|score| score.recall).collect::<Vec<_>>(),
        "f1": scores.iter().map(|score| score.f1).collect::<Vec<_>>(),
        "macro_f1": confusion.macro_f1(),
        "counts": confusion.rows().collect::<Vec<_>>(),
    })
}

fn calibration(arguments: &Value, bins: usize) -> Value {
    let correct: Vec<bool> = numbers(&arguments["correct"]).into_iter().map(|flag| flag == 1.0).collect();
    let table = reliability(&numbers(&arguments["confidences"]), &correct, bins).unwrap();
    json!({
        "expected_error": expected_calibration_error(&table),
        "maximum_error": maximum_calibration_error(&table),
        "confidence": table.iter().filter(|bin| bin.count > 0).map(|bin| bin.confidence).collect::<Vec<_>>(),
        "accuracy": table.iter().filter(|bin| bin.count > 0).map(|bin| bin.accuracy).collect::<Vec<_>>(),
    })
}

fn brier(arguments: &Value) -> Value {
    let rows: Vec<Vec<f64>> = arguments["probabilities"].as_array().unwrap().iter().map(numbers).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    json!(brier_score(&rows, &whole_numbers(&arguments["labels"])))
}

/// What `onnx_golden` makes of an answer of two dimensions.
fn golden(arguments: &Value) -> Value {
    let values = |name: &str| -> Values { serde_json::from_value(arguments[name].clone()).unwrap() };
    let tolerance: Tolerance = serde_json::from_value(arguments["tolerance"].clone()).unwrap();
    let outputs = |name: &str| BTreeMap::from([("y".to_owned(), values(name))]);
    let case = Case { name: "drawn".into(), inputs: BTreeMap::new(), outputs: outputs("expected") };
    let judged = Comparison::of(&[compare(&case, &outputs("actual"), tolerance)]);
    json!({
        "match": u8::from(judged.matched == 1),
        "max_absolute_error": judged.max_absolute_error,
        "max_relative_error": judged.max_relative_error,
        "label_flips": judged.label_flips,
    })
}

/// The largest distance between two values of the same form, relative above 1.
fn distance(left: &Value, right: &Value) -> f64 {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).map(|(left, right)| distance(left, right)).fold(0.0, f64::max)
        }
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            left.iter().map(|(name, left)| distance(left, &right[name])).fold(0.0, f64::max)
        }
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() / left.abs().max(1.0)
        }
        _ => f64::INFINITY,
    }
}

#[test]
fn the_functions_agree_with_the_programs_they_follow() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../src/statistics/reference.json")).unwrap();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    for case in cases {
        let function = case["function"].as_str().unwrap();
        let value = evaluate(function, &case["arguments"]);
        let distance = distance(&value, &case["value"]);
        assert!(distance <= TOLERANCE, "{function}: {value} is {distance:e} away from {}", case["value"]);
    }
}

/// The other way round, by `scripts/check-statistics.py --random`: it draws data, this computes, it compares.
#[test]
fn random_cases_are_computed_for_the_script() {
    let Some(path) = environment::path("RUNBOOK_STATISTICS_CASES") else {
        let text = "NOT CHECKED: statistics on random data; python scripts/check-statistics.py --random does\n";
        return std::io::stderr().write_all(text.as_bytes()).unwrap();
    };
    let mut cases: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{} holds no cases", path.display());
    for case in &mut cases {
        let value = evaluate(case["function"].as_str().unwrap(), &case["arguments"]);
        // NaN and infinity become null in JSON.
        assert!(!value.to_string().contains("null"), "{case}: {value}");
        case["value"] = value;
    }
    std::fs::write(answers_to(&path), serde_json::to_vec(&cases).unwrap()).unwrap();
}

/// Beside the cases, with another ending.
fn answers_to(cases: &Path) -> std::path::PathBuf {
    cases.with_extension("answers.json")
}
