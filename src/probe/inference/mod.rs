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
//! gRPC is not spoken; the servers that speak it offer the same over HTTP.

mod answer;
mod cases;
mod config;
mod exchange;
mod json;
mod latency;
mod lenient;
mod load;
mod openai;
mod parity;
mod protocol;
mod readiness;
mod tensor;
mod tensorflow;
mod torchserve;
mod v2;
mod verdict;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::{shown, until_cancelled};
use crate::kind::{Context, Effect, Kind, Outcome, StepResult};
use crate::probe::text::clean;
use cases::Cases;
pub use config::Config;
use config::ProtocolName;
use exchange::Exchange;
use latency::Latency;
use load::Tally;
use parity::Parity;
use readiness::Readiness;
use verdict::{Findings, Verdict};

/// Of a text that a model wrote, in the output.
const TEXT_BYTES: usize = 4 << 10;

pub struct Step;

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `match`, or the worst that was found: `other_model` (right answers, but not of the file on disk), `differs`,
    /// `not_finite`, `wrong_shape`, `invalid` (no valid answer of the protocol), `unanswered` (some requests got no
    /// answer), `refused` (an error status such as 503), `not_ready`.
    #[schemars(with = "String")]
    verdict: Verdict,
    /// Whether the server says it is ready; null when it was not asked. Says nothing about its answers.
    ready: Option<bool>,
    /// Whether every case was answered and every answer is right. Says nothing about refused requests of a case that
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
    /// Requests that were refused or got no answer.
    errors: usize,
    /// Their share of all requests.
    error_rate: f64,
    /// The status of the first refused request, such as 503; null when none was refused.
    status: Option<u16>,
    /// Requests with a 2xx answer: those whose time was measured.
    samples: usize,
    /// The mean time of a request in seconds, from sending it to the end of its answer; null without any.
    mean: Option<f64>,
    /// The longest, in seconds.
    slowest: Option<f64>,
    /// The median in seconds (type 7, as numpy); null with fewer than 20 samples.
    p50: Option<f64>,
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
    /// Whether the SHA-256 of the served model is that of `model_file`; null when one of them is not known.
    parity: Option<bool>,
    /// The SHA-256 of the served model as the server tells it; null when it does not.
    served_sha256: Option<String>,
    /// The SHA-256 of `model_file`; null without it.
    file_sha256: Option<String>,
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
    let readiness = readiness::ask(config, &exchange, protocol).await?;
    let parity = parity::compare(config, &exchange, context).await?;
    let datatypes = load::datatypes(config, &exchange, protocol, &cases).await?;
    let tally = load::send_all(config, &exchange, protocol, &cases, &datatypes).await?;
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
    let latency = Latency::of(tally.latencies);
    let wall = tally.wall.as_secs_f64();
    let comparison = findings.comparison;
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
        errors,
        error_rate,
        status: tally.refusal.map(|(status, _)| status),
        samples: latency.samples,
        mean: latency.mean,
        slowest: latency.slowest,
        p50: latency.p50,
        p95: latency.p95,
        p99: latency.p99,
        mean_ms: milliseconds(latency.mean),
        slowest_ms: milliseconds(latency.slowest),
        p50_ms: milliseconds(latency.p50),
        p95_ms: milliseconds(latency.p95),
        p99_ms: milliseconds(latency.p99),
        throughput: if wall > 0.0 { latency.samples as f64 / wall } else { 0.0 },
        parity: parity.holds(),
        served_sha256: parity.served,
        file_sha256: parity.file,
        text: tally.text.map(|text| clean(text.as_bytes(), TEXT_BYTES)),
        prompt_tokens: tally.usage.prompt_tokens,
        completion_tokens: tally.usage.completion_tokens,
        protocol: protocol.name().to_owned(),
        url,
    }
}

#[cfg(test)]
mod tests;
