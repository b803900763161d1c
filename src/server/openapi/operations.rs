//! What each route takes and answers. A test compares this with the table of routes.

use axum::http::Method;
use serde_json::{Value, json};

use super::operation::{Operation, operation};
use crate::engine::event::Outcome;
use crate::report::view::RunDocument;
use crate::server::api::{
    answers, audit, escalations, health, holds, hooks, orders, playbook, playbooks, reload, runs, schedules, silences,
    tickets,
};

const JSON: &str = "application/json";
const NO_RUN: &str = "There is no such run, or it is not for this token.";

/// Everything that is said.
pub(super) fn all() -> Vec<Operation> {
    [of_server(), of_playbooks(), of_runs(), of_one_run(), of_audit(), of_holds(), of_escalations()]
        .into_iter()
        .flatten()
        .collect()
}

fn get(path: &'static str, name: &'static str, summary: &'static str) -> Operation {
    operation(Method::GET, path, name, summary)
}

fn post(path: &'static str, name: &'static str, summary: &'static str) -> Operation {
    operation(Method::POST, path, name, summary)
}

fn text() -> Value {
    json!({"type": "string"})
}

fn of_server() -> Vec<Operation> {
    vec![
        get("/health", "health", "Whether the server works, and events would be taken now.")
            .answers::<health::Health>(200, "They would be.")
            .answers::<health::Health>(503, "They would not be."),
        get("/metrics", "metrics", "Figures for Prometheus.")
            .about("Not for a token that is limited to some playbooks; `serve.metrics` can open it to this machine.")
            .answers_text("text/plain", "The text format of Prometheus.")
            .refuses(403, "The token's role is below `x-role`, or it is for some playbooks only."),
        post("/hooks/{hook}", "takeEvents", "Takes events.")
            .about("202 is said when they are durable; 4xx is never taken, 503 should come again.")
            .reads_any("What the sender sends.")
            .answers::<hooks::Taken>(202, "They are taken, durably."),
        get("/api/v1/openapi.json", "openapi", "This document.").answer(
            200,
            "OpenAPI 3.1.",
            JSON,
            json!({"type": "object"}),
        ),
        get("/api/v1/schedules", "listSchedules", "What runs by itself: next times, last outcomes, missed ones.")
            .answers::<schedules::Schedules>(200, "Schedules and watches."),
    ]
}

fn of_playbooks() -> Vec<Operation> {
    vec![
        get("/api/v1/playbooks", "listPlaybooks", "Playbooks, and files that are not valid.")
            .answers::<playbooks::Playbooks>(200, "The playbooks in use."),
        get("/api/v1/playbooks/{playbook}", "showPlaybook", "Inputs, triggers, causes, and steps with their risk.")
            .answers::<playbook::Detail>(200, "The playbook.")
            .refuses(404, "There is no such playbook, or it is not for this token."),
        get("/api/v1/tickets", "listTickets", "What waits, what is live, what became of the latest.")
            .answers::<tickets::Tickets>(200, "The tickets."),
        operation(Method::DELETE, "/api/v1/tickets/{ticket}", "withdrawTicket", "Takes one back that has not started.")
            .answers::<tickets::Withdrawn>(200, "It is taken back.")
            .refuses(404, "There is no such ticket, or it is not for this token.")
            .refuses(409, "Its run has started."),
    ]
}

fn of_runs() -> Vec<Operation> {
    vec![
        get("/api/v1/runs", "listRuns", "Runs, newest first, in pages.")
            .takes("limit", json!({"type": "integer", "minimum": 1, "maximum": 1000}), "Runs of a page; 50 by default.")
            .takes("unfinished", json!({"type": "boolean"}), "Only those that have not ended.")
            .takes("playbook", text(), "Only those of this playbook.")
            .takes("outcome", super::operation::reference::<Outcome>(), "Only those that ended so.")
            .takes("since", text(), "Only those that started then or later: RFC 3339, or how long ago, such as `2h`.")
            .takes("cursor", text(), "`next` of the page before.")
            .answers::<runs::RunList>(200, "A page; `next` is the `cursor` of the one after it."),
        post("/api/v1/runs", "startRun", "Starts a run.")
            .reads::<runs::Start>(true)
            .answers::<runs::Started>(202, "It is taken, durably.")
            .refuses(404, "There is no such playbook, or it is not for this token.")
            .refuses(409, "A run of this playbook with these inputs is live.")
            .refuses(422, "The inputs do not fit."),
        get("/api/v1/runs/{run}", "showRun", "One run.").answers::<RunDocument>(200, "The run.").refuses(404, NO_RUN),
        get("/api/v1/runs/{run}/report", "reportRun", "The incident report of a run.")
            .takes(
                "format",
                json!({"type": "string", "enum": ["markdown", "html", "json"], "default": "markdown"}),
                "`markdown` (default), `html` or `json`.",
            )
            .answers_text("text/markdown", "The report.")
            .answers_text("text/html", "The report.")
            .answers::<RunDocument>(200, "The report; as JSON, the run.")
            .refuses(404, NO_RUN),
        get("/api/v1/runs/{run}/events", "watchRun", "Its events as they happen (server-sent events).")
            .takes("after", json!({"type": "integer", "minimum": 0}), "The same, where no header can be sent.")
            .header("last-event-id", text(), "The number of the last event that was seen.")
            .answers_text("text/event-stream", "Events as they are in the journal, each as JSON.")
            .refuses(404, NO_RUN),
    ]
}

fn of_one_run() -> Vec<Operation> {
    vec![
        post("/api/v1/runs/{run}/cancel", "cancelRun", "Stops it, as Ctrl-C does.")
            .answers::<orders::Told>(202, "It has been told.")
            .refuses(404, NO_RUN)
            .refuses(409, "It does not go on here."),
        post("/api/v1/runs/{run}/approve", "approve", "Approves exactly what was shown.")
            .about("`step` and `digest` as `approvals` of the run shows them.")
            .reads::<answers::Body>(true)
            .answers::<answers::ApprovalKept>(200, "The answer is durable.")
            .refuses(404, NO_RUN)
            .refuses(409, "The answer does not count; the problem says why.")
            .refuses(422, "`step` or `digest` is missing."),
        post("/api/v1/runs/{run}/reject", "reject", "Rejects one step, or every one that waits.")
            .reads::<answers::Body>(false)
            .answers::<answers::ApprovalKept>(200, "The answer is durable.")
            .refuses(404, NO_RUN)
            .refuses(409, "The answer does not count; the problem says why."),
        post(
            "/api/v1/runs/{run}/break-glass",
            "breakGlass",
            "Approves in an emergency, without those who should agree.",
        )
        .about("For who started the run, and those who may answer. The reason is kept, and the owner is told.")
        .reads::<answers::Emergency>(true)
        .answers::<answers::ApprovalKept>(200, "The answer is durable.")
        .refuses(404, NO_RUN)
        .refuses(409, "The answer does not count; the problem says why.")
        .refuses(422, "The reason is empty."),
        post("/api/v1/runs/{run}/resolve", "resolveDoubt", "Says what became of a step in doubt.")
            .reads::<orders::Resolve>(true)
            .answers::<orders::Told>(202, "It has been told.")
            .refuses(404, NO_RUN)
            .refuses(409, "The step is not in doubt, or the run does not wait here.")
            .refuses(422, "The reason is empty."),
    ]
}

fn of_audit() -> Vec<Operation> {
    let size = || json!({"type": "integer", "minimum": 0});
    let unsigned = "Nothing is signed yet.";
    vec![
        get("/api/v1/audit/checkpoint", "auditCheckpoint", "The newest signed checkpoint of the audit trail.")
            .answers_text("text/plain", "A signed note (C2SP tlog-checkpoint).")
            .refuses(404, unsigned),
        get("/api/v1/audit/proofs/inclusion", "proveInclusion", "The proof that an entry is in the audit trail.")
            .about("What `runbook audit prove` writes. Not for a token that is limited to some playbooks.")
            .needs("entry", json!({"type": "integer", "minimum": 1}), "The number of the entry, from 1.")
            .answers_text("text/plain", "The entry and its proof (C2SP tlog-proof).")
            .refuses(403, "The token's role is below `x-role`, or it is for some playbooks only.")
            .refuses(404, "There is no such entry, or nothing is signed.")
            .refuses(422, "`entry` is missing, or zero."),
        get(
            "/api/v1/audit/proofs/consistency",
            "proveConsistency",
            "The proof that a later trail begins with an earlier one.",
        )
        .needs("from", size(), "The number of entries of a checkpoint that was kept.")
        .takes("to", size(), "The number of entries of a later one; by default the newest.")
        .answers::<audit::ConsistencyProof>(200, "The proof (RFC 6962, 2.1.2).")
        .refuses(404, unsigned)
        .refuses(422, "`from` is missing, or there are not that many entries."),
    ]
}

fn of_holds() -> Vec<Operation> {
    vec![
        get("/api/v1/holds", "showHolds", "The freeze and the open breakers.")
            .answers::<holds::Holds>(200, "What holds runs back."),
        get("/api/v1/silences", "listSilences", "What starts no run by itself for some time.")
            .answers::<silences::Silences>(200, "The silences whose time is not over."),
        post("/api/v1/silences", "silence", "Alerts, schedules and watches that fit start no run until it is over.")
            .about("A token that is for some playbooks names those.")
            .reads::<silences::Wanted>(true)
            .answers::<silences::Silenced>(201, "It holds, durably.")
            .refuses(403, "The token's role is below `x-role`, or it is for other playbooks.")
            .refuses(422, "It is about nothing, the reason is empty, or `for` is no duration."),
        operation(Method::DELETE, "/api/v1/silences/{silence}", "endSilence", "Ends a silence before its time.")
            .answers::<holds::Done>(200, "It is over, durably.")
            .refuses(404, "There is no such silence, or it is not for this token."),
        post("/api/v1/freeze", "freeze", "No run changes anything until it is lifted.")
            .reads::<holds::Freeze>(true)
            .answers::<holds::Done>(200, "It holds, durably.")
            .refuses(403, "The token's role is below `x-role`, or it is for some playbooks only.")
            .refuses(422, "The reason is empty, or `for` is no duration."),
        post("/api/v1/unfreeze", "unfreeze", "Lifts the freeze.")
            .reads::<holds::Unfreeze>(true)
            .answers::<holds::Done>(200, "It is lifted, durably.")
            .refuses(403, "The token's role is below `x-role`, or it is for some playbooks only.")
            .refuses(422, "The reason is empty."),
        post("/api/v1/reload", "reload", "Reads the site file and the playbooks again.")
            .about("All of it is in use afterwards, or none of it. What was opened with a token that is gone ends.")
            .answers::<reload::InUse>(200, "It is in use.")
            .answers::<reload::AsBefore>(422, "It is not valid, and everything stays as it was.")
            .refuses(403, "The token's role is below `x-role`, or it is for some playbooks only."),
    ]
}

/// An escalation of a run, as the journal has it.
fn escalation() -> Value {
    json!({
        "type": "object",
        "required": ["run", "playbook", "climb", "notices", "acknowledged", "closed", "next_level_at"],
        "properties": {
            "run": {"type": "string"},
            "playbook": {"type": "string"},
            "climb": {"type": ["object", "null"], "description": "The policy, and where it stands."},
            "notices": {"type": "array", "items": {"type": "object"}, "description": "What was told to whom."},
            "acknowledged": {"type": ["object", "null"], "description": "Who has taken over, and how."},
            "closed": {"type": ["object", "null"], "description": "Why it is over."},
            "next_level_at": {"type": ["integer", "null"], "description": "In milliseconds since 1970."},
        },
    })
}

fn of_escalations() -> Vec<Operation> {
    let all = json!({
        "type": "object",
        "required": ["escalations"],
        "properties": {"escalations": {"type": "array", "items": escalation()}},
    });
    let say = |path, name, summary, done| {
        post(path, name, summary)
            .reads::<escalations::Said>(false)
            .answer(200, done, JSON, escalation())
            .refuses(404, NO_RUN)
            .refuses(409, "The run was not escalated, or nothing follows from it any more; the problem says why.")
    };
    vec![
        get("/api/v1/escalations", "listEscalations", "Who is escalated to, and who has taken over; the latest first.")
            .takes("limit", json!({"type": "integer", "minimum": 1, "maximum": 1000}), "How many; 50 by default.")
            .takes("open", json!({"type": "boolean"}), "Only those that are not over.")
            .answer(200, "The escalations.", JSON, all),
        say(
            "/api/v1/escalations/{run}/ack",
            "acknowledge",
            "Takes over: no further level is told.",
            "It is taken over.",
        ),
        say("/api/v1/escalations/{run}/next", "escalateFurther", "Tells the next level.", "It is told."),
        say("/api/v1/escalations/{run}/close", "closeEscalation", "Ends it.", "It is over."),
    ]
}
