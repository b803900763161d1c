//! The answers of Prometheus' HTTP API.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Series;
use crate::http::Body;
use crate::kind::StepError;

/// Every number goes into the journal; beyond this a query should aggregate.
const MAX_VALUES: usize = 10_000;
/// Enough to see which series are meant; the numbers of all of them are in the list of values.
const MAX_SERIES: usize = 100;

/// What a query found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub values: Vec<Option<f64>>,
    pub count: usize,
    pub series: Vec<Series>,
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<VectorItem>),
    Matrix(Vec<MatrixItem>),
    Scalar(Sample),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct VectorItem {
    metric: BTreeMap<String, String>,
    /// Missing where the series is a native histogram.
    value: Option<Sample>,
}

#[derive(Deserialize)]
struct MatrixItem {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<Sample>,
}

/// A moment and a number, which is text because JSON knows no NaN.
#[derive(Deserialize)]
struct Sample(IgnoredAny, String);

/// Reads an answer; what Prometheus calls an error is one.
pub(super) fn decode(place: &str, status: StatusCode, body: &Body) -> Result<Found, StepError> {
    if body.truncated {
        return Err(too_much(format!("the answer is larger than {} bytes", body.bytes.len())));
    }
    let answer: Answer = serde_json::from_slice(&body.bytes).map_err(|error| {
        let error = StepError::because(format!("{place} answered {status} and not as Prometheus does"), &error);
        with_code(error, status)
            .help("check that the address is that of Prometheus, with its path prefix if it has one")
    })?;
    if answer.status != "success" {
        return Err(refused(&answer, status));
    }
    let mut found = match answer.data {
        Some(data) => numbers(data)?,
        None => return Err(StepError::new(format!("the answer of {place} has no data"))),
    };
    if found.values.len() > MAX_VALUES {
        return Err(too_much(format!("the query found {} numbers, more than {MAX_VALUES}", found.values.len())));
    }
    found.series.truncate(MAX_SERIES);
    found.warnings = answer.warnings;
    Ok(found)
}

fn too_much(why: String) -> StepError {
    StepError::new(why).help("aggregate in the query, for example with sum by (…), max or topk")
}

fn refused(answer: &Answer, status: StatusCode) -> StepError {
    let kind = answer.error_type.as_deref().unwrap_or("unknown");
    let error = answer.error.as_deref().unwrap_or("no reason given");
    let help = match kind {
        "bad_data" => "correct the query; the Prometheus page shows where it is wrong",
        "timeout" | "canceled" => "the query takes too long; narrow it, or raise `timeout` of the step",
        _ => "look into the log of Prometheus",
    };
    with_code(StepError::new(format!("Prometheus refused the query ({kind}): {error}")), status).help(help)
}

/// Only for what a retry can help: a wrong query stays wrong.
fn with_code(error: StepError, status: StatusCode) -> StepError {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        error.code(status.as_u16())
    } else {
        error
    }
}

fn numbers(data: Data) -> Result<Found, StepError> {
    match data {
        Data::Scalar(sample) => Ok(Found { values: vec![number(&sample)?], count: 1, ..Found::default() }),
        Data::String(_) => Err(StepError::new("the query gives a text and not numbers").help("remove the quotes")),
        Data::Vector(items) => vector(items),
        Data::Matrix(items) => matrix(items),
    }
}

fn vector(items: Vec<VectorItem>) -> Result<Found, StepError> {
    let mut found = Found { count: items.len(), ..Found::default() };
    for VectorItem { metric, value } in items {
        let value = number(&value.ok_or_else(native_histogram)?)?;
        found.values.push(value);
        found.series.push(Series { labels: metric, value });
    }
    Ok(found)
}

fn matrix(items: Vec<MatrixItem>) -> Result<Found, StepError> {
    let mut found = Found { count: items.len(), ..Found::default() };
    for MatrixItem { metric, values } in items {
        let values: Vec<Option<f64>> = values.iter().map(number).collect::<Result<_, _>>()?;
        let last = *values.last().ok_or_else(native_histogram)?;
        found.values.extend(values);
        found.series.push(Series { labels: metric, value: last });
    }
    Ok(found)
}

fn native_histogram() -> StepError {
    StepError::new("the query gives native histograms and not numbers")
        .help("wrap it, for example in histogram_quantile(0.95, …) or histogram_count(…)")
}

/// The number, `None` when it is not finite.
fn number(Sample(_, text): &Sample) -> Result<Option<f64>, StepError> {
    let number: f64 = text.parse().map_err(|_| StepError::new(format!("Prometheus gave '{text}' for a number")))?;
    Ok(Some(number).filter(|number| number.is_finite()))
}
