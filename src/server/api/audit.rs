//! `/api/v1/audit/…`: what the audit trail proves to somebody who does not trust this machine. Nothing here has to be
//! believed: each answer is checked with the public key that `runbook audit key` prints.

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::journal_failed;
use crate::audit::{Checkpoint, Note};
use crate::journal::{self, Journal, JournalError, Proofs};
use crate::server::reply;
use crate::server::route::Call;

const TEXT: &str = "text/plain; charset=utf-8";

/// That the trail of `to` entries begins with the one of `from` entries (RFC 6962, 2.1.2).
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct ConsistencyProof {
    from: u64,
    to: u64,
    /// The nodes of the proof, each in base64 as in a checkpoint.
    hashes: Vec<String>,
}

/// The newest signed checkpoint, as signed note.
pub async fn checkpoint(call: Call) -> Response {
    match newest(call.shared.host.journal.as_ref()) {
        Ok((_, (_, note))) => reply::text(TEXT, note.to_string()),
        Err(refused) => refused,
    }
}

/// That an entry is in the trail, with the entry itself.
pub async fn inclusion(call: Call) -> Response {
    let number = match call.parameter("entry", "the number of an entry, from 1", |text| text.parse::<u64>().ok()) {
        Ok(Some(number)) if number > 0 => number,
        Ok(_) => return unprocessable("`entry` says which entry is to be proven, from 1"),
        Err(refused) => return refused,
    };
    // The proof holds the entry, which may be of any playbook.
    if !call.who.may_touch_all() {
        return reply::problem(StatusCode::FORBIDDEN, "this token is for some playbooks only", "");
    }
    match prove(call.shared.host.journal.as_ref(), number).await {
        Ok(text) => reply::text(TEXT, text),
        Err(refused) => refused,
    }
}

async fn prove(journal: &dyn Journal, number: u64) -> Result<String, Response> {
    let failed = |error: JournalError| journal_failed(&error);
    let none = || reply::problem(StatusCode::NOT_FOUND, format!("there is no entry {number}"), "");
    if number > journal.head().map_err(failed)?.count {
        return Err(none());
    }
    // An entry that nothing signed covers yet is signed now.
    if !newest(journal).is_ok_and(|(_, (checkpoint, _))| checkpoint.size >= number) {
        journal.checkpoint().await.map_err(failed)?;
    }
    let (proofs, signed) = newest(journal)?;
    journal::proof_text(proofs, number, &signed).map_err(failed)?.ok_or_else(none)
}

/// That nothing of a trail was changed since a checkpoint that somebody kept.
pub async fn consistency(call: Call) -> Response {
    let size = |name| call.parameter(name, "a number of entries", |text| text.parse::<u64>().ok());
    let (from, to) = match size("from").and_then(|from| Ok((from, size("to")?))) {
        Ok((Some(from), to)) => (from, to),
        Ok((None, _)) => return unprocessable("`from` is the number of entries of the checkpoint that you kept"),
        Err(refused) => return refused,
    };
    match consistent(call.shared.host.journal.as_ref(), from, to) {
        Ok(proof) => reply::value(StatusCode::OK, proof),
        Err(refused) => refused,
    }
}

fn consistent(journal: &dyn Journal, from: u64, to: Option<u64>) -> Result<ConsistencyProof, Response> {
    let failed = |error: JournalError| journal_failed(&error);
    let (proofs, (checkpoint, _)) = newest(journal)?;
    let to = to.unwrap_or(checkpoint.size);
    let count = journal.head().map_err(failed)?.count;
    if from > to || to > count {
        return Err(unprocessable(&format!("`from` is at most `to`, and `to` at most {count}, the number of entries")));
    }
    let hashes = proofs.consistency(from, to).map_err(failed)?;
    Ok(ConsistencyProof { from, to, hashes: hashes.iter().map(|hash| BASE64_STANDARD.encode(hash)).collect() })
}

type Signed<'j> = (&'j dyn Proofs, (Checkpoint, Note));

fn newest(journal: &dyn Journal) -> Result<Signed<'_>, Response> {
    let none = || reply::problem(StatusCode::NOT_FOUND, "nothing of the audit trail is signed yet", "");
    let proofs = journal.proofs().ok_or_else(none)?;
    let signed = journal::newest_checkpoint(proofs).map_err(|error| journal_failed(&error))?;
    Ok((proofs, signed.ok_or_else(none)?))
}

fn unprocessable(why: &str) -> Response {
    reply::problem(StatusCode::UNPROCESSABLE_ENTITY, why, "")
}
