//! `POST /api/v1/runs/RUN/approve`, `/reject` and `/break-glass`: what people say to a run that waits for them, under
//! the name of their token. 200 is said when the answer is durable.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use utoipa::ToSchema;

use super::{Named, named};
use crate::base::{RunId, StepKey};
use crate::engine::event::ApprovalVerdict;
use crate::engine::{Answered, Event, Record};
use crate::playbook::inputs::Given;
use crate::runtime::{AnswerError, RuntimeError};
use crate::server::reply;
use crate::server::route::Call;

/// An answer is written as soon as the run goes on, which takes some writes to the disk.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// Somebody who answers right after another one finds the run while it takes up the answer of the other: a moment.
const GLANCE: Duration = Duration::from_millis(50);
const GLANCES: usize = 40;

/// An answer to a question.
#[derive(Deserialize, ToSchema)]
#[schema(as = ApprovalSaid)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Body {
    /// The step that waits, as `approvals` of the run shows it. Approving needs it.
    #[serde(default)]
    step: Option<String>,
    /// What was shown, as `approvals` of the run says it. Approving needs it.
    #[serde(default)]
    digest: Option<String>,
    /// Why; it stands in the journal.
    #[serde(default)]
    reason: String,
    /// What the step wants to be told, by name.
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// An approval in an emergency, without those who should agree.
#[derive(Deserialize, ToSchema)]
#[schema(as = GlassToBreak)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Emergency {
    /// The step that waits, as `approvals` of the run shows it.
    step: String,
    /// What was shown, as `approvals` of the run says it.
    digest: String,
    /// Why nobody else can be waited for; not empty. It stands in the journal and in the report, and people are told.
    reason: String,
    /// What the step wants to be told, by name.
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// An answer that is durable.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct ApprovalKept {
    run: RunId,
    /// The name of the token.
    by: String,
}

/// What somebody says to a run that waits.
pub(in crate::server) struct Said {
    pub step: Option<String>,
    pub digest: Option<String>,
    pub reason: String,
    /// Why nobody else can be waited for, in an emergency.
    pub break_glass: Option<String>,
    pub answers: BTreeMap<String, Given>,
}

impl From<Body> for Said {
    fn from(body: Body) -> Self {
        let answers = given(body.answers);
        Said { step: body.step, digest: body.digest, reason: body.reason, break_glass: None, answers }
    }
}

impl From<Emergency> for Said {
    fn from(body: Emergency) -> Self {
        Said {
            step: Some(body.step),
            digest: Some(body.digest),
            // The one reason is that of the emergency, as on the command line.
            reason: String::new(),
            break_glass: Some(body.reason),
            answers: given(body.answers),
        }
    }
}

fn given(answers: BTreeMap<String, Value>) -> BTreeMap<String, Given> {
    answers.into_iter().map(|(name, value)| (name, Given::Value(value))).collect()
}

/// Approves exactly what the caller was shown: neither the step nor its digest is guessed.
pub async fn approve(call: Call) -> Response {
    match call.json::<Body>() {
        Ok(body) => answer(call, ApprovalVerdict::Approved, body.into()).await,
        Err(refused) => refused,
    }
}

/// Rejects one step, or every step that waits.
pub async fn reject(call: Call) -> Response {
    match call.json::<Body>() {
        Ok(body) => answer(call, ApprovalVerdict::Rejected, body.into()).await,
        Err(refused) => refused,
    }
}

/// Approves without those who should agree, in an emergency. The engine says who may: it is the same as on the command
/// line.
pub async fn break_glass(call: Call) -> Response {
    match call.json::<Emergency>() {
        Ok(body) => answer(call, ApprovalVerdict::Approved, body.into()).await,
        Err(refused) => refused,
    }
}

/// Hands in an answer under the name of the caller. What is approved is exactly what the caller was shown: neither the
/// step nor its digest is guessed.
pub(in crate::server) async fn answer(call: Call, verdict: ApprovalVerdict, said: Said) -> Response {
    if verdict == ApprovalVerdict::Approved && (said.step.is_none() || said.digest.is_none()) {
        let help = "`approvals` of GET /api/v1/runs/RUN has both, with what will be done";
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "`step` and `digest` say what you approve", help);
    }
    if said.break_glass.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        let help = "say why nobody else can be waited for";
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "breaking the glass needs a reason", help);
    }
    let Named { run, .. } = match named(&call) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    // Until the answer is durable: who comes next finds the run as it leaves it.
    let _turn = call.shared.runs.turn(&run).await;
    // Before it can be written down, so that it is not missed.
    let (who, news) = (call.who.name.clone(), call.shared.watch.subscribe());
    let word = |key, shown| Answered {
        digest: Some(said.digest.clone().unwrap_or(shown)),
        break_glass: said.break_glass.clone(),
        answers: said.answers.clone(),
        ..Answered::new(key, verdict, who.clone(), said.reason.clone())
    };
    let mut given = give(&call, &run, said.step.as_deref(), &word).await;
    for _ in 0..GLANCES {
        if !matches!(given, Err(NotGiven::GoesOn)) {
            break;
        }
        tokio::time::sleep(GLANCE).await;
        given = give(&call, &run, said.step.as_deref(), &word).await;
    }
    match given {
        Err(NotGiven::GoesOn) => goes_on(&run),
        Err(NotGiven::Refused(error)) => refused(&error),
        Ok(()) => match tokio::time::timeout(KEPT_WITHIN, kept(news, &run, &who)).await {
            Ok(true) => reply::value(StatusCode::OK, ApprovalKept { run, by: who }),
            _ => reply::later(format!("whether run {run} has kept the answer is not known")),
        },
    }
}

/// Why an answer was not given.
enum NotGiven {
    /// The run does not wait at this moment.
    GoesOn,
    Refused(AnswerError),
}

async fn give(
    call: &Call,
    run: &RunId,
    step: Option<&str>,
    word: impl Fn(StepKey, String) -> Answered,
) -> Result<(), NotGiven> {
    match call.shared.host.answers(run, step, word).await {
        Ok(answers) => call.shared.runs.answer(run, answers).then_some(()).ok_or(NotGiven::GoesOn),
        Err(AnswerError::Runtime(RuntimeError::RunsElsewhere(_))) => Err(NotGiven::GoesOn),
        Err(error) => Err(NotGiven::Refused(error)),
    }
}

/// Whether an answer of this person has been written down.
async fn kept(mut news: Receiver<Record>, run: &RunId, who: &str) -> bool {
    while let Ok(record) = news.recv().await {
        let by = match &record.event {
            Event::ApprovalSettled { by, .. } | Event::ApprovalCounted { by, .. } => by,
            _ => continue,
        };
        if record.run == *run && by == who {
            return true;
        }
    }
    false
}

fn goes_on(run: &RunId) -> Response {
    let help = "it goes on, here or elsewhere; answer when it waits again";
    reply::problem(StatusCode::CONFLICT, format!("run {run} does not wait at this moment"), help)
}

fn refused(error: &AnswerError) -> Response {
    match error {
        AnswerError::NothingWaits { .. } => {
            reply::problem(StatusCode::CONFLICT, error.to_string(), "GET /api/v1/runs/RUN shows where it stands")
        }
        AnswerError::NotCounted { .. } => {
            let help = "nothing was changed; GET /api/v1/runs/RUN shows what is asked, and of whom";
            reply::problem(StatusCode::CONFLICT, error.to_string(), help)
        }
        AnswerError::Runtime(RuntimeError::Journal(error)) => super::journal_failed(error),
        AnswerError::Runtime(error) => {
            reply::problem(StatusCode::CONFLICT, error.to_string(), "`runbook resume RUN` says more")
        }
    }
}
