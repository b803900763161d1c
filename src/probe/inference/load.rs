//! Sends the cases, several at a time, and counts what comes back.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use prost::bytes::Bytes;

use super::answer::{Judge, Judgement};
use super::cases::Cases;
use super::config::Config;
use super::exchange::{Exchange, NoAnswer, Refusal};
use super::protocol::{Answer, Protocol, Usage};
use super::route::Route;
use super::tensor::Datatypes;
use crate::kind::StepError;
use crate::model::golden::{self, Case, CaseResult};
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
    /// The same by what the model file answers; nothing when that was not asked.
    pub parity: Vec<Option<CaseResult>>,
    pub requests: usize,
    /// Seconds of each request that was answered and not refused.
    pub latencies: Vec<f64>,
    /// Requests whose answer was not right.
    pub wrong: usize,
    pub refused: usize,
    pub lost: usize,
    /// The first one.
    pub refusal: Option<Refusal>,
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
    questions: &[Route],
    judge: &Judge<'_>,
) -> Result<Tally, StepError> {
    let count = config.requests.unwrap_or(questions.len());
    let nothing = vec![None; questions.len()];
    let mut tally = Tally { results: nothing.clone(), parity: nothing, ..Tally::default() };
    let started = exchange.elapsed();
    let ask = |request: usize| {
        let index = request % questions.len();
        let reply = exchange.ask(questions[index].clone());
        async move { (index, reply.await) }
    };
    let mut replies = stream::iter(0..count).map(ask).buffer_unordered(config.parallel);
    while let Some((index, reply)) = replies.next().await {
        tally.requests += 1;
        match reply.map(|reply| (reply.said, reply.took)) {
            Ok((Ok(message), took)) => {
                tally.latencies.push(took.as_secs_f64());
                let case = &cases.cases[index];
                let answer = protocol.answer(&message, &judge.wanted(index, case));
                tally.note_answer(index, judge, case, answer);
            }
            Ok((Err(refusal), _)) => tally.note_refusal(refusal),
            Err(NoAnswer::Hopeless(error)) => return Err(error),
            Err(NoAnswer::Lost(error)) => tally.note_loss(error, count)?,
        }
    }
    tally.wall = exchange.elapsed().saturating_sub(started);
    Ok(tally)
}

impl Tally {
    fn note_answer(&mut self, index: usize, judge: &Judge<'_>, case: &Case, answer: Result<Answer, String>) {
        let judgement = match answer {
            Ok(answer) => {
                let judgement = judge.judge(index, case, &answer);
                if self.text.is_none() && self.usage == Usage::default() {
                    (self.text, self.usage) = (answer.text, answer.usage);
                }
                judgement
            }
            // It may quote names that the server chose.
            Err(why) => {
                let why = clean(format!("the answer {why}").as_bytes(), MESSAGE_BYTES);
                Judgement { result: CaseResult::run_failed(&case.name, why), parity: None }
            }
        };
        self.wrong += usize::from(judgement.result.verdict != golden::Verdict::Match);
        keep_worst(&mut self.results[index], judgement.result);
        if let Some(parity) = judgement.parity {
            keep_worst(&mut self.parity[index], parity);
        }
    }

    fn note_refusal(&mut self, refusal: Refusal) {
        self.refused += 1;
        self.refusal.get_or_insert(refusal);
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

fn keep_worst(worst: &mut Option<CaseResult>, result: CaseResult) {
    let rank = |result: &CaseResult| (result.verdict, result.max_absolute_error);
    if worst.as_ref().is_none_or(|worst| rank(&result) > rank(worst)) {
        *worst = Some(result);
    }
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
    if let Some(route) = protocol.description().filter(|_| !cases.are_typed(&config.datatypes)) {
        let reply = exchange.ask(route).await.map_err(NoAnswer::into_error)?;
        datatypes = protocol.datatypes(&reply.said.unwrap_or_else(|_| Bytes::new()));
    }
    datatypes.extend(config.datatypes.clone());
    Ok(datatypes)
}
