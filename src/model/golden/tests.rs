//! Golden files and their comparison.

use serde_json::json;

use super::*;

fn row(data: &[f64]) -> Values {
    Values { shape: vec![1, data.len()], data: data.to_vec() }
}

fn case(expected: Values) -> Case {
    Case { name: "one".into(), inputs: BTreeMap::new(), outputs: BTreeMap::from([("p".to_owned(), expected)]) }
}

fn compared(expected: Values, actual: Values) -> CaseResult {
    compare(&case(expected), &BTreeMap::from([("p".to_owned(), actual)]), Tolerance { absolute: 0.5, relative: 0.1 })
}

#[test]
fn the_rule_is_the_one_of_numpy() {
    // 0.5 + 0.1 * 20 = 2.5 around 20, bounds included; the golden number decides, not the answered one.
    assert_eq!(compared(row(&[20.0, 0.0]), row(&[22.5, 0.5])).verdict, Verdict::Match);
    assert_eq!(compared(row(&[20.0]), row(&[22.6])).verdict, Verdict::Differs);
    assert_eq!(compared(row(&[-20.0]), row(&[-17.5])).verdict, Verdict::Match);
}

#[test]
fn errors_are_measured_and_placed() {
    let expected = Values { shape: vec![2, 2], data: vec![1.0, 2.0, 4.0, 0.0] };
    let actual = Values { shape: vec![2, 2], data: vec![1.0, 2.0, 7.0, 2.0] };
    let result = compared(expected, actual);
    assert_eq!((result.max_absolute_error, result.max_relative_error), (3.0, 0.75));
    assert_eq!(result.first_difference.as_deref(), Some("'p'[1, 0] is 7; expected 4"));
}

#[test]
fn nan_and_infinity_are_counted_and_never_match() {
    let result = compared(row(&[1.0, 2.0, 3.0]), row(&[f64::NAN, f64::INFINITY, 3.0]));
    assert_eq!((result.verdict, result.not_finite, result.label_flips), (Verdict::NotFinite, 2, 0));
    assert_eq!(result.max_absolute_error, 0.0);
    assert_eq!(result.first_difference.as_deref(), Some("'p'[0, 0] is NaN; expected 1"));
}

#[test]
fn shapes_are_compared_before_numbers() {
    let flat = Values { shape: vec![2], data: vec![1.0, 2.0] };
    let result = compared(row(&[1.0, 2.0]), flat);
    assert_eq!(result.verdict, Verdict::WrongShape);
    assert_eq!(result.first_difference.as_deref(), Some("'p' has the shape [2]; expected the shape [1, 2]"));
    let missing = compare(&case(row(&[1.0])), &BTreeMap::new(), Tolerance::default());
    assert_eq!(missing.first_difference.as_deref(), Some("'p' is not answered; expected the shape [1, 1]"));
}

#[test]
fn a_label_may_flip_within_the_tolerance() {
    let expected = Values { shape: vec![3, 2], data: vec![0.6, 0.4, 0.1, 0.9, 0.5, 0.5] };
    let actual = Values { shape: vec![3, 2], data: vec![0.4, 0.6, 0.1, 0.9, 0.5, 0.5] };
    let result = compared(expected, actual);
    assert_eq!((result.verdict, result.label_flips), (Verdict::Match, 1));
    // One number a row is no choice between labels.
    let column = |data: &[f64]| Values { shape: vec![2, 1], data: data.to_vec() };
    assert_eq!(compared(column(&[1.0, 2.0]), column(&[2.0, 1.0])).label_flips, 0);
}

#[test]
fn an_empty_batch_matches_itself() {
    let empty = Values { shape: vec![0, 3], data: vec![] };
    assert_eq!(compared(empty.clone(), empty).verdict, Verdict::Match);
}

#[test]
fn the_summary_names_the_worst_case() {
    let result = |name: &str, expected: &[f64], actual: &[f64]| CaseResult {
        name: name.into(),
        ..compared(row(expected), row(actual))
    };
    let results = [
        result("good", &[1.0], &[1.0]),
        result("far", &[1.0], &[9.0]),
        result("nan", &[1.0], &[f64::NAN]),
        result("near", &[1.0], &[2.0]),
    ];
    let all = Comparison::of(&results);
    assert_eq!((all.verdict, all.worst_case.as_deref()), (Verdict::NotFinite, Some("nan")));
    assert_eq!((all.cases, all.matched, all.mismatched, all.max_absolute_error), (4, 1, 3, 8.0));
    let differing = Comparison::of(&[results[1].clone(), results[3].clone()]);
    assert_eq!(differing.worst_case.as_deref(), Some("far"));
    assert_eq!(Comparison::of(&results[..1]).first_difference, None);
}

fn file(change: impl FnOnce(&mut serde_json::Value)) -> Result<Golden, GoldenError> {
    let mut file = json!({
        "cases": [{
            "name": "one",
            "inputs": {"x": {"shape": [1, 2], "data": [1, 2.5]}},
            "outputs": {"p": {"shape": [1], "data": [0.5]}},
        }],
    });
    change(&mut file);
    Golden::parse(file.to_string().as_bytes())
}

#[test]
fn a_file_without_tolerance_has_the_default() {
    assert_eq!(file(|_| {}).unwrap().tolerance, Tolerance { absolute: 1e-5, relative: 1e-5 });
    let partly = file(|file| file["tolerance"] = json!({"absolute": 0.1})).unwrap();
    assert_eq!(partly.tolerance, Tolerance { absolute: 0.1, relative: 1e-5 });
}

#[test]
fn a_file_that_would_judge_nothing_is_refused() {
    let message = |change: fn(&mut serde_json::Value)| {
        let error = file(change).unwrap_err();
        format!("{error}: {:?}", std::error::Error::source(&error))
    };
    assert!(message(|file| file["cases"] = json!([])).contains("no case"));
    assert!(message(|file| file["cases"][0]["outputs"] = json!({})).contains("expects no output"));
    assert!(message(|file| file["cases"][0]["outputs"]["p"]["data"] = json!([])).contains("but 0 numbers"));
    assert!(message(|file| file["tolerance"] = json!({"relative": -1})).contains("from 0 upwards"));
    assert!(message(|file| file["tolerances"] = json!({})).contains("unknown field"));
    let twice = |file: &mut serde_json::Value| {
        let first = file["cases"][0].clone();
        file["cases"].as_array_mut().unwrap().push(first);
    };
    assert!(message(twice).contains("two cases have the name 'one'"));
    assert!(
        message(|file| file["cases"][0]["inputs"]["x"]["shape"] = json!([4_294_967_296_u64, 4_294_967_296_u64]))
            .contains("but 2 numbers")
    );
}

#[test]
fn integers_are_exact_or_refused() {
    let values = |data: &[f64]| Values { shape: vec![data.len()], data: data.to_vec() };
    assert_eq!(values(&[-3.0]).to_tensor("int64").unwrap().element(), "int64");
    assert!(values(&[1.5]).to_tensor("int32").is_err());
    assert!(values(&[3e9]).to_tensor("int32").is_err());
    assert!(values(&[1e300]).to_tensor("int64").is_err());
    assert!(values(&[1.0]).to_tensor("float64").is_err());
    let back = values(&[-3.0, 7.0]);
    assert_eq!(Values::from(&back.to_tensor("int32").unwrap()), back);
}
