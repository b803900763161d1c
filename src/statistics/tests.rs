//! The functions against numpy, scipy and scikit-learn, through `scripts/check-statistics.py`.
//!
//! ```text
//! reference.json                 written by the script, read here: no Python needed to test
//! target/statistics-cases.json   written here, read by the script: other numbers each time the seed moves
//! ```

use serde_json::{Value, json};

use super::*;

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
    let cases: Vec<Value> = serde_json::from_str(include_str!("reference.json")).unwrap();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    for case in cases {
        let function = case["function"].as_str().unwrap();
        let value = evaluate(function, &case["arguments"]);
        let distance = distance(&value, &case["value"]);
        assert!(distance <= TOLERANCE, "{function}: {value} is {distance:e} away from {}", case["value"]);
    }
}

/// Numbers that look random and are the same on every machine (`SplitMix64` of Steele, Lea and Flood).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() * limit as f64) as usize
    }

    /// Bell-shaped by summing, with some values repeated.
    fn sample(&mut self, count: usize) -> Vec<f64> {
        let bell = |numbers: &mut Self| (0..6).map(|_| numbers.next()).sum::<f64>() - 3.0;
        (0..count)
            .map(|index| {
                let value = bell(self);
                if index % 5 == 0 { (value * 2.0).round() } else { value }
            })
            .collect()
    }

    fn shares(&mut self, count: usize) -> Vec<f64> {
        let parts: Vec<f64> = (0..count).map(|_| self.next() + 1e-6).collect();
        let sum: f64 = parts.iter().sum();
        parts.into_iter().map(|part| part / sum).collect()
    }
}

fn drawn(function: &str, numbers: &mut Numbers) -> Value {
    let count = 3 + numbers.below(300);
    match function {
        "mean" | "standard_deviation" => json!({"values": numbers.sample(count)}),
        "quantile" => json!({"values": numbers.sample(count), "p": numbers.next()}),
        "histogram" => json!({"values": numbers.sample(count), "bins": 1 + numbers.below(20)}),
        "least_squares" => {
            json!({"x": numbers.sample(count), "y": numbers.sample(count), "confidence": 0.5 + numbers.next() / 2.01})
        }
        "confusion" => {
            let mut classes = || (0..count).map(|_| numbers.below(6)).collect::<Vec<_>>();
            json!({"labels": classes(), "predictions": classes(), "classes": 6})
        }
        "wilson_interval" => json!({"hits": numbers.below(count), "total": count, "confidence": 0.95}),
        "calibration" => {
            let confidences: Vec<f64> = (0..count).map(|_| numbers.next()).collect();
            let correct: Vec<usize> = (0..count).map(|_| numbers.below(2)).collect();
            json!({"confidences": confidences, "correct": correct, "bins": 1 + numbers.below(20)})
        }
        "brier_score" => {
            let rows: Vec<Vec<f64>> = (0..count).map(|_| numbers.shares(5)).collect();
            // Every class occurs, as scikit-learn wants it.
            let labels: Vec<usize> = (0..count).map(|row| if row < 5 { row } else { numbers.below(5) }).collect();
            json!({"probabilities": rows, "labels": labels})
        }
        "psi" => {
            let (reference, current) = (numbers.sample(count), numbers.sample(200));
            json!({"reference": reference, "current": current, "bins": 1 + numbers.below(20)})
        }
        "psi_limit" => {
            let (bins, alpha) = (2 + numbers.below(18), 1e-6 + numbers.next() / 10.0);
            json!({"n": count, "m": 20 + numbers.below(900), "bins": bins, "limit": 0.25, "alpha": alpha})
        }
        "kolmogorov_smirnov" => json!({"left": numbers.sample(count), "right": numbers.sample(60)}),
        "bonferroni" | "false_discovery" => {
            let p_values: Vec<f64> = (0..count).map(|_| numbers.next().powi(3)).collect();
            json!({ "p_values": p_values })
        }
        "entropy" => json!({"shares": numbers.shares(count)}),
        other => panic!("no function '{other}'"),
    }
}

#[test]
fn cases_for_the_script_are_written() {
    const EACH: usize = 20;
    let reference: Vec<Value> = serde_json::from_str(include_str!("reference.json")).unwrap();
    let mut functions: Vec<&str> = reference.iter().map(|case| case["function"].as_str().unwrap()).collect();
    functions.dedup();
    let mut numbers = Numbers(20_240_607);
    let mut cases = Vec::new();
    for function in functions.iter().flat_map(|function| [*function; EACH]) {
        let arguments = drawn(function, &mut numbers);
        let value = evaluate(function, &arguments);
        // NaN and infinity become null in JSON.
        assert!(!value.to_string().contains("null"), "{function}: {value}");
        cases.push(json!({"function": function, "arguments": arguments, "value": value}));
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("statistics-cases.json"), serde_json::to_vec(&cases).unwrap()).unwrap();
}
