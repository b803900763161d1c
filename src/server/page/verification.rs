//! `/audit/verify`: what `runbook audit verify` does, for people who have no shell: within bounds, and one at a time.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::{audit, words};
use crate::audit::{Head, PublicKey, Report, Trust};
use crate::journal;
use crate::report::line::Mark;
use crate::server::api::journal_failed;
use crate::server::reply;
use crate::server::route::Call;

/// Whoever looks at a page waits no longer, and a moment of the journal that is held open makes its file grow.
const LONGEST: Duration = Duration::from_secs(20);
/// What is noted of each entry takes memory until the end.
const MOST_ENTRIES: u64 = 1_000_000;

/// What the reader brought along, and whether a key is part of it.
struct Brought {
    trust: Trust,
    with_key: bool,
}

pub(super) fn form(call: &Call) -> Markup {
    html! {
        form.stack method="post" action="/audit/verify" {
            (words::csrf(call))
            p { "Whether every entry is as it was written. Without something that was kept elsewhere the end proves nothing; all of these may stay empty:" }
            label for="head" { "Last entry that was written down elsewhere " span.quiet { "(--head NUMBER:HASH)" } }
            input #head name="head" autocomplete="off" maxlength="200";
            label for="key" { "Public key " span.quiet { "(--key, as " code { "runbook audit key" } " printed it)" } }
            input #key name="key" autocomplete="off" maxlength="500";
            label for="anchor" { "Checkpoints that an anchor kept " span.quiet { "(--anchor, the text of the file; needs the key)" } }
            textarea #anchor name="anchor" rows="4" {}
            div.buttons { button type="submit" { "Verify now" } }
        }
    }
}

pub async fn verify(call: Call) -> Response {
    match found(&call).await {
        Ok(notice) => audit::page(&call, StatusCode::OK, &notice).await,
        Err(refused) => match Problem::of(refused).await {
            Some(problem) => audit::page(&call, problem.status, &problem.notice()).await,
            None => super::see("/audit"),
        },
    }
}

async fn found(call: &Call) -> Result<Markup, Response> {
    // What is found names runs of every playbook.
    if !call.who.may_touch_all() {
        return Err(reply::problem(StatusCode::FORBIDDEN, "this token is for some playbooks only", ""));
    }
    let Brought { trust, with_key } =
        brought(call).map_err(|why| reply::problem(StatusCode::UNPROCESSABLE_ENTITY, why, ""))?;
    let busy = || reply::later("the audit trail is being verified for somebody at this moment");
    let place = call.shared.verifying.clone().try_acquire_owned().map_err(|_| busy())?;
    let (journal, stopping) = (call.shared.host.journal.clone(), call.shared.stopping.clone());
    // Dropped together with the request, when nobody waits for it any more.
    let gone = CancellationToken::new();
    let _here = gone.clone().drop_guard();
    let since = Instant::now();
    let bounds = move |entries| is_within(entries, since.elapsed()) && !stopping.is_cancelled() && !gone.is_cancelled();
    let verified = tokio::task::spawn_blocking(move || {
        let _place = place;
        journal::verify_while(journal.as_ref(), &trust, &bounds)
    });
    match verified.await {
        Ok(Ok(Some(report))) => Ok(shown(call, &report, with_key)),
        Ok(Ok(None)) => Ok(too_long()),
        Ok(Err(error)) => Err(journal_failed(&error)),
        Err(_) => Err(reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "the verification broke off: a bug", "")),
    }
}

fn is_within(entries: u64, passed: Duration) -> bool {
    entries <= MOST_ENTRIES && passed < LONGEST
}

fn brought(call: &Call) -> Result<Brought, String> {
    let form = call.form();
    let field = |name: &str| form.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let head = field("head").map(str::parse::<Head>).transpose().map_err(|error| error.to_string())?;
    let key = field("key").map(str::parse::<PublicKey>).transpose().map_err(|error| error.to_string())?;
    let with_key = key.is_some();
    let mut trust = Trust::default().heads(head).keys(key);
    match field("anchor") {
        Some(_) if !with_key => return Err("checkpoints are worth nothing without the public key".to_owned()),
        Some(text) => trust.anchor("what you gave", text).map_err(|error| error.to_string())?,
        None => {}
    }
    Ok(Brought { trust, with_key })
}

fn shown(call: &Call, report: &Report, with_key: bool) -> Markup {
    let lines = report.lines(with_key, call.shared.host.clock.now());
    let (class, role) = if report.is_sound() { ("notice good", "status") } else { ("notice bad", "alert") };
    html! { div class=(class) role=(role) { pre tabindex="0" { (lines.join("\n")) } } }
}

fn too_long() -> Markup {
    html! {
        div.notice role="status" {
            p { (words::state(Mark::Note, "not verified")) ": the trail is longer than what a page verifies, which is " (MOST_ENTRIES) " entries within " (LONGEST.as_secs()) " s. The command line has no bounds." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_verifies_for_so_long_and_so_much() {
        assert!(is_within(MOST_ENTRIES, LONGEST - Duration::from_millis(1)));
        assert!(!is_within(MOST_ENTRIES + 1, Duration::ZERO));
        assert!(!is_within(0, LONGEST));
    }
}
