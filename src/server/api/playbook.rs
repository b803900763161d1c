//! `GET /api/v1/playbooks/NAME`: what one playbook takes, what starts it, and what it can do.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::Graph;
use crate::engine::event::{Phase, Risk};
use crate::language::{Declaration, DeclaredType};
use crate::playbook::Playbook;
use crate::server::route::Call;
use crate::server::{Shared, reply};
use crate::trigger::Timed;

/// A playbook.
#[derive(Serialize, ToSchema)]
#[schema(as = Playbook)]
pub(in crate::server) struct Detail {
    name: String,
    title: String,
    /// The error code it answers to.
    code: Option<String>,
    system: Option<String>,
    /// The contact group that owns it.
    owner: Option<String>,
    help: Option<String>,
    /// SHA-256 of its text, hexadecimal.
    digest: String,
    inputs: Vec<Input>,
    triggers: Vec<Starts>,
    causes: Vec<CauseDetail>,
    /// The steps in the order of the text.
    steps: Vec<StepDetail>,
    /// The highest risk of its steps.
    risk: Risk,
}

/// A value that a run takes.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybookInput)]
struct Input {
    name: String,
    /// What kind of value it is, such as `string` or `duration`.
    #[serde(rename = "type")]
    kind: DeclaredType,
    /// Which values fit, in words.
    expected: String,
    required: bool,
    /// The value when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    title: Option<String>,
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<Value>,
}

/// What starts it besides a person, of its own or of the site file.
#[derive(Serialize, ToSchema)]
#[serde(tag = "by", rename_all = "lowercase")]
#[schema(as = PlaybookTrigger)]
enum Starts {
    /// Alerts from a hook or a source of this name.
    Alert { source: String },
    /// `name` as in GET /api/v1/schedules.
    Schedule { name: String },
    /// `name` as in GET /api/v1/schedules.
    Watch { name: String },
}

/// A cause that it knows.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybookCause)]
struct CauseDetail {
    name: String,
    title: String,
}

/// A step.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybookStep)]
struct StepDetail {
    /// `remediate.restart`.
    step: String,
    kind: String,
    help: Option<String>,
    /// How much harm it can do.
    risk: Risk,
    /// Whether a person has to agree before it is done.
    asks: bool,
    /// Whether it has an action that reverses it.
    has_undo: bool,
    /// The causes it is a fix for.
    fixes: Vec<String>,
}

pub async fn show(call: Call) -> Response {
    let name = call.path.get("playbook").map_or("", String::as_str);
    let playbooks = call.shared.shelf.playbooks();
    match playbooks.get(name).filter(|_| call.who.may_touch(name)) {
        Some(playbook) => reply::value(StatusCode::OK, detail(&call.shared, playbook)),
        None => {
            let error = format!("there is no playbook '{name}'");
            reply::problem(StatusCode::NOT_FOUND, error, "GET /api/v1/playbooks lists them")
        }
    }
}

fn detail(shared: &Shared, playbook: &Playbook) -> Detail {
    let header = playbook.header.clone();
    let steps = steps(&shared.host.compile(playbook, Value::Null, "", ""));
    Detail {
        triggers: starts(shared, &header.name),
        name: header.name,
        title: header.title,
        code: header.code,
        system: header.system,
        owner: header.owner,
        help: header.help,
        digest: playbook.digest.clone(),
        inputs: playbook.inputs.iter().map(|(name, declaration)| input(name, declaration)).collect(),
        causes: playbook
            .causes
            .iter()
            .map(|cause| CauseDetail { name: cause.name.clone(), title: cause.title.clone() })
            .collect(),
        risk: steps.iter().map(|step| step.risk).max().unwrap_or(Risk::Safe),
        steps,
    }
}

fn input(name: &str, declaration: &Declaration) -> Input {
    Input {
        name: name.to_owned(),
        kind: declaration.kind,
        expected: declaration.expected(),
        required: declaration.default.is_none(),
        default: declaration.default.clone(),
        title: declaration.title.clone(),
        help: declaration.help.clone(),
        example: declaration.example.clone(),
    }
}

fn starts(shared: &Shared, playbook: &str) -> Vec<Starts> {
    let (rules, armed) = (shared.shelf.rules(), shared.shelf.armed());
    let alerts = rules.iter().filter(|rule| rule.playbook == playbook);
    let alerts = alerts.map(|rule| Starts::Alert { source: rule.source().to_owned() });
    let timers = armed.iter().map(|armed| &armed.timer).filter(|timer| timer.playbook == playbook);
    let timers = timers.map(|timer| match timer.timed {
        Timed::Schedule(..) => Starts::Schedule { name: timer.key.clone() },
        Timed::Watch(_) => Starts::Watch { name: timer.key.clone() },
    });
    alerts.chain(timers).collect()
}

/// Each step once: the detection is looked at a second time after a remediation, by steps that nobody wrote.
fn steps(graph: &Graph) -> Vec<StepDetail> {
    let written = graph.steps.iter().filter(|step| !(step.probe && step.phase == Phase::Verify));
    let detail = written.map(|step| StepDetail {
        step: step.id.clone(),
        kind: step.kind.clone(),
        help: step.help.clone(),
        risk: step.risk,
        asks: graph.asks(step),
        has_undo: step.undo.is_some(),
        fixes: step.fixes.clone(),
    });
    detail.collect()
}
