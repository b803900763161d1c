//! Sends the cases, several at a time, and counts what comes back.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use super::answer::Judge;
use super::cases::Cases;
use super::config::Config;
use super::exchange::{Exchange, NoAnswer, Reply};
use super::protocol::{Protocol, Usage};
use super::tensor::Datatypes;
use crate::kind::StepError;
use crate::model::golden::{Case, CaseResult};
use crate::probe::text::clean;

/// A server that lost these and answered nothing is taken for gone, so that nobody waits for the rest.
const GONE_AFTER: usize = 3;

/// Of what is wrong with an answer.
const MESSAGE_BYTES: usize = 500;

/// Everything that came back.
#[derive(Default)]
pub(super) struct Tally {
    /// For each case the worst answer.
    pub results: Vec<Option<CaseResult>>,
    pub requests: usize,
    /// Seconds of each request that was answered with 2xx.
    pub latencies: Vec<f64>,
    pub refused: usize,
    pub lost: usize,
    /// The first refusal: its status, and the status with what the server says.
    pub refusal: Option<(u16, String)>,
    pub loss: Option<StepError>,
    /// What a language model wrote, the first time.
    pub text: Option<String>,
    pub usage: Usage,
    /// From the first request to the last answer.
    pub wall: Duration,
}

/// Sends all requests. An error when not a single one got any answer, since nothing was measured then.
pub(super) async fn send_all(
    config: &Config,
    exchange: &Exchange,
    protocol: &dyn Protocol,
    cases: &Cases,
    datatypes: &Datatypes,
) -> Result<Tally, StepError> {
    let body = |case| protocol.request(case, datatypes).map(|body| body.to_string().into_bytes());
    let bodies: Vec<Vec<u8>> = cases.cases.iter().map(body).collect::<Result<_, StepError>>()?;
    let judge = Judge::new(config, protocol, cases.tolerance);
    let count = config.requests.unwrap_or(bodies.len());
    let mut tally = Tally { results: vec![None; bodies.len()], ..Tally::default() };
    let started = exchange.elapsed();
    let ask = |request: usize| {
        let index = request % bodies.len();
        let reply = exchange.post(protocol.address(), bodies[index].clone());
        async move { (index, reply.await) }
    };
    let mut replies = stream::iter(0..count).map(ask).buffer_unordered(config.parallel);
    while let Some((index, reply)) = replies.next().await {
        tally.requests += 1;
        match reply {
            Ok(reply) if reply.status.is_success() => {
                tally.latencies.push(reply.took.as_secs_f64());
                tally.note_answer(index, &judge, &cases.cases[index], &reply);
            }
            Ok(reply) => tally.note_refusal(&reply),
            Err(NoAnswer::Hopeless(error)) => return Err(error),
            Err(NoAnswer::Lost(error)) => tally.note_loss(error, count)?,
        }
    }
    tally.wall = exchange.elapsed().saturating_sub(started);
    Ok(tally)
}

impl Tally {
    fn note_answer(&mut self, index: usize, judge: &Judge<'_>, case: &Case, reply: &Reply) {
        let answer = match reply.json() {
            Ok(body) => judge.protocol.answer(&body, &judge.wanted(case)).map_err(|what| format!("the answer {what}")),
            Err(error) => Err(format!("the answer is not JSON ({error}): {}", reply.complaint())),
        };
        let result = match answer {
            Ok(answer) => {
                let result = judge.judge(case, &answer);
                if self.text.is_none() && self.usage == Usage::default() {
                    (self.text, self.usage) = (answer.text, answer.usage);
                }
                result
            }
            // It may quote names that the server chose.
            Err(why) => CaseResult::run_failed(&case.name, clean(why.as_bytes(), MESSAGE_BYTES)),
        };
        let worst = &mut self.results[index];
        if worst.as_ref().is_none_or(|worst| is_worse(&result, worst)) {
            *worst = Some(result);
        }
    }

    fn note_refusal(&mut self, reply: &Reply) {
        self.refused += 1;
        self.refusal.get_or_insert_with(|| (reply.status.as_u16(), reply.complaint()));
    }

    fn note_loss(&mut self, error: StepError, count: usize) -> Result<(), StepError> {
        self.lost += 1;
        let first = self.loss.get_or_insert(error);
        if self.lost == self.requests && self.lost >= count.min(GONE_AFTER) {
            return Err(first.clone());
        }
        Ok(())
    }
}

fn is_worse(result: &CaseResult, than: &CaseResult) -> bool {
    (result.verdict, result.max_absolute_error) > (than.verdict, than.max_absolute_error)
}

/// The element types of the inputs: those of the step, and for the others what the server says about
/// the model. A server that says nothing is no fault; the answers will tell.
pub(super) async fn datatypes(
    config: &Config,
    exchange: &Exchange,
    protocol: &dyn Protocol,
    cases: &Cases,
) -> Result<Datatypes, StepError> {
    let mut datatypes = Datatypes::new();
    if let Some(url) = protocol.description().filter(|_| !cases.are_typed(&config.datatypes)) {
        let reply = exchange.get(&url).await.map_err(NoAnswer::into_error)?;
        let description = reply.json().ok().filter(|_| reply.status.is_success()).unwrap_or(Value::Null);
        datatypes = protocol.datatypes(&description);
    }
    datatypes.extend(config.datatypes.clone());
    Ok(datatypes)
}
