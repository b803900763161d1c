//! `/audit`: how far the audit trail reaches, and the last signature over it.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{self, Here};
use super::problem::Problem;
use super::{verification, words};
use crate::audit::{Checkpoint, Head};
use crate::base::Timestamp;
use crate::journal::JournalError;
use crate::report::line::Mark;
use crate::server::api::journal_failed;
use crate::server::route::Call;

/// What the journal says about itself.
struct Trail {
    head: Head,
    /// The newest checkpoint, and when the last entry in it was written.
    signed: Option<(Checkpoint, Option<Timestamp>)>,
}

fn trail(call: &Call) -> Result<Trail, JournalError> {
    let journal = &call.shared.host.journal;
    let mut signed = None;
    if let Some(proofs) = journal.proofs()
        && let Some(note) = proofs.newest_checkpoint()?
        && let Ok(checkpoint) = Checkpoint::parse(&note.text)
    {
        let last = proofs.entry(checkpoint.size)?.map(|entry| Timestamp(entry.content.at));
        signed = Some((checkpoint, last));
    }
    Ok(Trail { head: journal.head()?, signed })
}

pub async fn show(call: Call) -> Response {
    page(&call, StatusCode::OK, &html! {}).await
}

/// The page, with what a verification came to above it.
pub(super) async fn page(call: &Call, status: StatusCode, notice: &Markup) -> Response {
    let trail = match trail(call) {
        Ok(trail) => trail,
        Err(error) => {
            let problem = Problem::of(journal_failed(&error)).await;
            return problem.map_or_else(|| super::see("/runs"), |problem| problem.page(call, Here::Audit));
        }
    };
    frame::page(call, status, Here::Audit, "Audit", &html! { (notice) (content(call, &trail)) })
}

fn content(call: &Call, trail: &Trail) -> Markup {
    let now = call.shared.host.clock.now();
    let head = trail.head.to_string();
    let services = call.shared.host.services();
    let anchors: Vec<&String> = services.site.audit.anchors.iter().flat_map(|anchor| anchor.anchor.keys()).collect();
    html! {
        p { "Everything that runs do is an entry of this trail. Each one is chained to the one before it." }
        dl {
            dt { "Last entry" } dd { code { (head) } }
            dt { "Last checkpoint" }
            dd {
                @match &trail.signed {
                    Some((checkpoint, last)) => {
                        (words::state(Mark::Passed, "signed")) " over the first " (checkpoint.size) " entries"
                        @if let Some(last) = last { ", up to " (words::moment(*last, now)) }
                        @if trail.head.count > checkpoint.size { " " span.caution { "– " (trail.head.count - checkpoint.size) " entries came after it" } }
                        br; "Root " code { (hex::encode(checkpoint.root)) } br; "Key " code { (checkpoint.origin) }
                    }
                    None => (words::state(Mark::Note, "none yet")),
                }
            }
            dt { "Anchors" }
            dd { @if anchors.is_empty() { "none; " code { "audit.anchors" } " of the site file keeps checkpoints elsewhere" } @else { @for anchor in &anchors { code { (anchor) } " " } } }
        }
        h2 { "To verify it" }
        @if call.who.may_touch_all() {
            (verification::form(call))
        } @else {
            p.quiet { "A token for all playbooks verifies it." }
        }
        p { "Kept outside of this machine, the last entry proves every entry up to it. To believe nothing that this machine says, verify it from the command line, or an export on another one:" }
        pre tabindex="0" { "runbook audit verify --head " (head) }
    }
}
