//! `witness`: checkpoints to an HTTP witness (C2SP tlog-witness), which signs only what continues the
//! trail that it has seen.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Anchor, AnchorError, Offer, blocking, file};
use crate::audit::{Note, PublicKey, SignatureLine, Verdict};

/// A witness answers with a few lines; more is not an answer.
const LONGEST_ANSWER: usize = 64 << 10;

/// A witness signs in milliseconds; it is told soon that one hangs.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The first try may not know what the witness has seen; the second does, unless another program of
/// this trail was faster once more.
const TRIES: u32 = 3;

pub struct Keeper;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The witness's submission prefix; `/add-checkpoint` is added to it.
    pub url: String,
    /// The witness's public key, as the witness publishes it.
    pub key: String,
    /// The file that checkpoints with the witness's signature are added to.
    pub file: PathBuf,
}

impl Anchor for Keeper {
    const NAME: &'static str = "witness";
    const SUMMARY: &'static str =
        "Asks an HTTP witness (C2SP tlog-witness) to sign checkpoints, which it does only for a trail that grows.";
    const EXAMPLE: &'static str = "{url: 'https://witness.example.com', key: witness.example.com/w1+8d66cf3f+BNVG…, \
        file: /var/lib/runbook/witnessed.checkpoints}";
    type Config = Config;

    async fn keep(config: Config, offer: Offer) -> Result<(), AnchorError> {
        let key = config.key.parse::<PublicKey>();
        let key = key.map_err(|error| AnchorError::failed(format!("the key of the witness: {error}")))?;
        let mut old = file::last_in(&config.file, &offer.checkpoint.origin).map_or(0, |last| last.size);
        for _ in 0..TRIES {
            match submit(&config.url, &key, &offer, old.min(offer.checkpoint.size)).await? {
                Answer::Cosigned(note) => {
                    let path = config.file;
                    return blocking(move || file::add(&path, &offer, &note).map(drop)).await;
                }
                Answer::HasSeen(size) => old = size,
            }
        }
        Err(AnchorError::failed("the witness keeps saying that it has seen another number of entries"))
    }
}

enum Answer {
    /// The note with the witness's signatures.
    Cosigned(Note),
    /// The witness last saw this number of entries.
    HasSeen(u64),
}

async fn submit(url: &str, key: &PublicKey, offer: &Offer, old: u64) -> Result<Answer, AnchorError> {
    let new = offer.checkpoint.size;
    let proof = offer.history.consistency(old, new).map_err(AnchorError::failed)?;
    let proof: String = proof.iter().map(|hash| BASE64_STANDARD.encode(hash) + "\n").collect();
    let body = format!("old {old}\n{proof}\n{}", offer.note);
    let address = format!("{}/add-checkpoint", url.trim_end_matches('/'));
    let sent = offer.http.post(address).body(body).timeout(TIME_LIMIT).send().await;
    let response = sent.map_err(|error| AnchorError::failed(format!("the witness does not answer: {error}")))?;
    let status = response.status();
    let text = text(response).await?;
    match status {
        StatusCode::OK => cosigned(&text, key, offer).map(Answer::Cosigned),
        StatusCode::CONFLICT => has_seen(&text, old, new).map(Answer::HasSeen),
        StatusCode::UNPROCESSABLE_ENTITY => Err(AnchorError::contradicts(format!(
            "the witness has seen other entries among the first {old}: the journal was rewritten"
        ))),
        StatusCode::NOT_FOUND => Err(AnchorError::failed(format!(
            "the witness does not know '{}'; give its operator what `runbook audit key` prints",
            offer.checkpoint.origin
        ))),
        StatusCode::FORBIDDEN => Err(AnchorError::failed(
            "the witness knows another key for this trail; give its operator what `runbook audit key` prints",
        )),
        other => Err(AnchorError::failed(format!("the witness answered {other}"))),
    }
}

/// What a conflict says of the state of the witness.
fn has_seen(text: &str, old: u64, new: u64) -> Result<u64, AnchorError> {
    let size =
        text.trim_end().parse::<u64>().map_err(|_| AnchorError::failed("the witness answered 409 and no number"))?;
    if size > new {
        return Err(AnchorError::contradicts(format!(
            "the witness has seen {size} entries and the journal has only {new}: entries were taken away, or the \
             journal was replaced by an older one"
        )));
    }
    if size == old {
        return Err(AnchorError::contradicts(format!(
            "the witness has seen {size} other entries: the journal was rewritten"
        )));
    }
    Ok(size)
}

/// The offered note with those signatures of the answer that are of the witness's key.
fn cosigned(text: &str, key: &PublicKey, offer: &Offer) -> Result<Note, AnchorError> {
    let mut note = offer.note.clone();
    let lines = text.lines().filter_map(SignatureLine::parse);
    note.signatures.extend(lines.filter(|line| line.name == key.name()));
    match key.verify(&note) {
        Verdict::Signed => Ok(note),
        Verdict::Unsigned => Err(AnchorError::failed("the answer has no signature of the witness's key")),
        Verdict::Forged => Err(AnchorError::failed("the witness's signature is not valid")),
    }
}

async fn text(mut response: Response) -> Result<String, AnchorError> {
    let mut bytes = Vec::new();
    let broken = |error| AnchorError::failed(format!("the answer of the witness breaks off: {error}"));
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(AnchorError::failed("the answer of the witness is too long"));
        }
    }
    String::from_utf8(bytes).map_err(|_| AnchorError::failed("the answer of the witness is not text"))
}
