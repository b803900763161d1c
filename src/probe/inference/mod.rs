//! `inference`: does a model server answer a known question rightly, and how fast?
//!
//! ```text
//! readiness ─ served hash ─ N requests, P at a time ─ each answer judged ─ verdict
//! ```
//!
//! What the server says of itself and what it answers are told apart: only an answer that was compared
//! with the right one is proof. Which course makes which end of the step:
//!
//! | what happened | end |
//! |---|---|
//! | every answer is right (and it says it is ready, if asked) | passed |
//! | a wrong answer, a refusal (a status such as 404, 429, 503), not ready, another model than on disk | failed |
//! | no answer to any request, a redirect, 401 or 403, an answer beyond `body_limit` | error |
//!
//! ```text
//!                     ┌ OverHttp<V2, TensorFlow, …> ┐
//! case ─ Protocol ────┤                             ├─ Route ─ Exchange ─ bytes ─ Protocol ─ Answer ─ Judge
//!                     └ Grpc ───────────────────────┘   HttpChannel, GrpcChannel
//! ```
//!
//! The network belongs to this process, the model file of `parity` to a child of its own (`local`).

mod answer;
mod cases;
mod config;
mod exchange;
mod form;
mod grpc;
mod http;
mod json;
mod lenient;
mod load;
pub(super) mod local;
mod openai;
mod over_http;
mod parity;
mod protocol;
mod readiness;
mod route;
mod tensor;
mod tensorflow;
mod torchserve;
mod v2;
mod verdict;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::{shown, until_cancelled};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::model::golden::Comparison;
use crate::probe::latency::{Bars, Latency};
use crate::probe::text::clean;
use answer::Judge;
use cases::Cases;
pub use config::Config;
use config::ProtocolName;
use exchange::Exchange;
use load::Tally;
use parity::Parity;
use readiness::Readiness;
use route::Route;
use verdict::{Findings, Verdict};

/// Of a text that a model wrote, in the output.
const TEXT_BYTES: usize = 4 << 10;

pub struct Step;

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `match`, or the worst that was found: `other_model` (right answers, but not of the file on disk), `differs`,
    /// `not_finite`, `wrong_shape` (an output is missing, or the answer is not of the form that a schema describes), `invalid` (no valid
    /// answer of the protocol), `unanswered` (some requests got no
    /// answer), `refused` (an error status such as 503), `not_ready`.
    #[schemars(with = "String")]
    verdict: Verdict,
    /// Whether the server says it is ready; null when it was not asked. Says nothing about its answers.
    ready: Option<bool>,
    /// Whether every case was answered and every answer is right, as far as the step says what is. Says nothing about refused requests of a case that
    /// was answered at another time.
    correct: bool,
    /// Cases that were asked.
    cases: usize,
    /// Cases that were answered, and rightly each time.
    matched: usize,
    /// NaN and infinities in the answers, the worst answer to each case.
    not_finite: usize,
    /// Rows whose largest number is at another place, so that another label would be chosen; of the worst answer to
    /// each case.
    label_flips: usize,
    /// The largest distance between an answered and a right number.
    max_absolute_error: f64,
    /// The largest distance as a share of the right number, where that is not zero.
    max_relative_error: f64,
    /// The first thing that is not as it should be in the worst case, in words; null when all answers match.
    first_difference: Option<String>,
    /// The case with the worst answer; null when all match.
    worst_case: Option<String>,
    /// Requests that were sent to the model.
    requests: usize,
    /// Requests whose answer was not right.
    wrong: usize,
    /// Requests that were refused: answered with an error status.
    refused: usize,
    /// Requests that got no answer: no connection, none in time, or one that broke off.
    unanswered: usize,
    /// Requests that were refused or got no answer. Their time is not measured.
    errors: usize,
    /// Their share of all requests.
    error_rate: f64,
    /// The status of the first refused request, such as 503, or with gRPC such as 14 (UNAVAILABLE); null when none was
    /// refused.
    status: Option<u16>,
    /// Requests that were answered and not refused: those whose time was measured.
    samples: usize,
    /// The mean time of a request in seconds, from sending it to the end of its answer; null without any.
    mean: Option<f64>,
    /// The shortest, in seconds.
    fastest: Option<f64>,
    /// The longest, in seconds.
    slowest: Option<f64>,
    /// The median in seconds (type 7, as numpy); null with fewer than 20 samples.
    p50: Option<f64>,
    /// The 90th percentile in seconds; null with fewer than 100 samples.
    p90: Option<f64>,
    /// The 95th percentile in seconds; null with fewer than 200 samples, of which ten lie beyond it.
    p95: Option<f64>,
    /// The 99th percentile in seconds; null with fewer than 1000 samples.
    p99: Option<f64>,
    /// `mean` in milliseconds.
    mean_ms: Option<f64>,
    /// `slowest` in milliseconds.
    slowest_ms: Option<f64>,
    /// `p50` in milliseconds.
    p50_ms: Option<f64>,
    /// `p95` in milliseconds.
    p95_ms: Option<f64>,
    /// `p99` in milliseconds.
    p99_ms: Option<f64>,
    /// Answered requests in a second, with `parallel` of them under way.
    throughput: f64,
    /// The measured requests by their seconds, for the picture.
    histogram: Bars,
    /// Whether the served model is the file of `parity`, by their hashes and by their answers; null when it was not
    /// asked, or nothing could be compared.
    parity: Option<bool>,
    /// Cases that both answered.
    parity_cases: usize,
    /// Cases that both answered alike, each time.
    parity_matched: usize,
    /// Rows whose largest number is at another place in the server's answer than in the file's.
    parity_label_flips: usize,
    /// The largest distance between an answer of the server and one of the file.
    parity_max_absolute_error: f64,
    /// The largest distance as a share of what the file answers, where that is not zero.
    parity_max_relative_error: f64,
    /// The engine that ran the file, with its version; null when it was not run.
    parity_engine: Option<String>,
    /// The SHA-256 of the served model as the server tells it; null when it does not.
    served_sha256: Option<String>,
    /// The SHA-256 of the file of `parity`; null without it.
    file_sha256: Option<String>,
    /// What lowers the weight of `parity`, such as an engine that may compute an operator differently.
    warnings: Vec<String>,
    /// What a language model wrote first, at most 4 KiB; null with other protocols.
    text: Option<String>,
    /// Tokens of the question, if the server counts them.
    prompt_tokens: Option<u64>,
    /// Tokens of the answer, if the server counts them.
    completion_tokens: Option<u64>,
    /// The protocol that was spoken, such as `v2`.
    protocol: String,
    /// The address that was asked, without its query.
    url: String,
}

impl Kind for Step {
    const NAME: &'static str = "inference";
    const SUMMARY: &'static str =
        "Asks a model server questions with known answers; judges the answers, their form and their speed.";
    const EXAMPLE: &'static str =
        "inference: {url: 'http://127.0.0.1:8000', model: ocr, cases: models/ocr-text/golden.json, ready: true}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        until_cancelled(&context, ask(&config, &context)).await
    }
}

async fn ask(config: &Config, context: &Context) -> StepResult<Output> {
    config.check()?;
    let protocol = protocol::choose(config)?;
    let protocol = &*protocol;
    let cases = Cases::of(config, context).await?;
    let exchange = Exchange::new(config, protocol.address(), context).await?;
    let parity = Parity::of(config, &cases, &exchange, context).await?;
    let judge = Judge::new(config, cases.tolerance, parity.local.as_ref())?;
    let readiness = readiness::ask(config, &exchange, protocol).await?;
    let datatypes = load::datatypes(config, &exchange, protocol, &cases).await?;
    let questions = cases.cases.iter().map(|case| protocol.question(case, &datatypes));
    let questions: Vec<Route> = questions.collect::<Result<_, StepError>>()?;
    let tally = load::send_all(config, &exchange, protocol, &cases, &questions, &judge).await?;
    let findings = Findings::of(&tally, &readiness, &parity, config.allowed_error_rate);
    let url = shown(protocol.address());
    let failure = findings.failure.clone();
    Ok(Outcome::judged(output(config.protocol, url, findings, tally, &readiness, parity), failure))
}

fn output(
    protocol: ProtocolName,
    url: String,
    findings: Findings,
    tally: Tally,
    readiness: &Readiness,
    parity: Parity,
) -> Output {
    let milliseconds = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1000.0);
    let (errors, error_rate) = (tally.errors(), tally.error_rate());
    let samples = tally.latencies.len();
    let latency = Latency::of(tally.latencies);
    let of_latency = |seconds: fn(&Latency) -> Option<f64>| latency.as_ref().and_then(seconds);
    let (mean, fastest, slowest) = (
        of_latency(|latency| Some(latency.mean)),
        of_latency(|latency| Some(latency.fastest)),
        of_latency(|latency| Some(latency.slowest)),
    );
    let (p50, p95, p99) =
        (of_latency(|latency| latency.p50), of_latency(|latency| latency.p95), of_latency(|latency| latency.p99));
    let wall = tally.wall.as_secs_f64();
    let comparison = findings.comparison;
    // Of nothing: no case, nothing that differs.
    let by_file = findings.parity.unwrap_or_else(|| Comparison::of(&[]));
    let local = parity.local;
    Output {
        verdict: findings.verdict,
        ready: readiness.told(),
        correct: findings.correct,
        cases: tally.results.len(),
        matched: comparison.matched,
        not_finite: comparison.not_finite,
        label_flips: comparison.label_flips,
        max_absolute_error: comparison.max_absolute_error,
        max_relative_error: comparison.max_relative_error,
        first_difference: comparison.first_difference,
        worst_case: comparison.worst_case,
        requests: tally.requests,
        wrong: tally.wrong,
        refused: tally.refused,
        unanswered: tally.lost,
        errors,
        error_rate,
        status: tally.refusal.map(|refusal| refusal.code),
        samples,
        mean,
        fastest,
        slowest,
        p50,
        p90: of_latency(|latency| latency.p90),
        p95,
        p99,
        mean_ms: milliseconds(mean),
        slowest_ms: milliseconds(slowest),
        p50_ms: milliseconds(p50),
        p95_ms: milliseconds(p95),
        p99_ms: milliseconds(p99),
        throughput: if wall > 0.0 { samples as f64 / wall } else { 0.0 },
        histogram: latency.map_or_else(Bars::empty, |latency| latency.histogram),
        parity: findings.same_model,
        parity_cases: by_file.cases,
        parity_matched: by_file.matched,
        parity_label_flips: by_file.label_flips,
        parity_max_absolute_error: by_file.max_absolute_error,
        parity_max_relative_error: by_file.max_relative_error,
        parity_engine: local.as_ref().map(|local| local.engine.clone()),
        served_sha256: parity.served,
        file_sha256: parity.file,
        warnings: local.map(|local| local.warnings).unwrap_or_default(),
        text: tally.text.map(|text| clean(text.as_bytes(), TEXT_BYTES)),
        prompt_tokens: tally.usage.prompt_tokens,
        completion_tokens: tally.usage.completion_tokens,
        protocol: protocol.name().to_owned(),
        url,
    }
}

#[cfg(test)]
mod tests;
