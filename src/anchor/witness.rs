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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::StatusCode as Code;
    use axum::routing::post;

    use super::super::doubles::Log;
    use super::*;
    use crate::audit::proof::is_consistent;
    use crate::audit::{Checkpoint, SigningKey, Verdict, notes_in};
    use crate::http::test_server::TestServer;

    const NAME: &str = "witness.example/w1";

    /// Judges a request as the specification says, and signs with a key of the plain type.
    fn judge(seen: &mut Option<Checkpoint>, body: &str) -> (Code, String) {
        let (head, note) = body.split_once("\n\n").unwrap();
        let note = Note::parse(note).unwrap();
        if Log::key().public().verify(&note) != Verdict::Signed {
            return (Code::FORBIDDEN, String::new());
        }
        let new = Checkpoint::parse(&note.text).unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<[u8; 32]> =
            lines.map(|line| BASE64_STANDARD.decode(line).unwrap().try_into().unwrap()).collect();
        let known = seen.as_ref().map_or(0, |seen| seen.size);
        if old != known {
            return (Code::CONFLICT, format!("{known}\n"));
        }
        if let Some(seen) = seen
            && !is_consistent(old, &seen.root, new.size, &new.root, &proof)
        {
            return (Code::UNPROCESSABLE_ENTITY, String::new());
        }
        *seen = Some(new);
        (Code::OK, format!("{}\n", key().sign(&note.text)))
    }

    fn key() -> SigningKey {
        SigningKey::new(NAME, &[5; 32]).unwrap()
    }

    async fn witness() -> TestServer {
        let seen = Arc::new(Mutex::new(None));
        let answer = move |body: String| async move { judge(&mut seen.lock().unwrap(), &body) };
        TestServer::serve(Router::new().route("/add-checkpoint", post(answer))).await
    }

    fn config(server: &TestServer, file: &std::path::Path) -> Config {
        Config { url: server.url("/"), key: key().public().to_string(), file: file.to_owned() }
    }

    #[tokio::test]
    async fn a_growing_trail_is_signed_and_kept_and_another_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (file, lost) = (place.path().join("kept"), place.path().join("lost"));
        let server = witness().await;
        for size in [3, 7] {
            Keeper::keep(config(&server, &file), Log::of(20).offer(size)).await.unwrap();
        }
        // Without the file, the answer 409 says what the witness has seen.
        Keeper::keep(config(&server, &lost), Log::of(20).offer(9)).await.unwrap();
        let kept = notes_in(&std::fs::read_to_string(&file).unwrap());
        assert!(kept.len() == 2 && kept.iter().all(|(_, note)| key().public().verify(note) == Verdict::Signed));
        let shorter = Keeper::keep(config(&server, &lost), Log::of(20).offer(8)).await.unwrap_err();
        assert!(shorter.contradicts && shorter.message.contains("has seen 9 entries"), "{shorter}");
        let forked = Keeper::keep(config(&server, &lost), Log::forked(20).offer(15)).await.unwrap_err();
        assert!(forked.contradicts && forked.message.contains("rewritten"), "{forked}");
    }

    #[tokio::test]
    async fn a_signature_of_another_key_is_not_accepted() {
        let place = tempfile::tempdir().unwrap();
        let server = witness().await;
        let stranger = SigningKey::new(NAME, &[6; 32]).unwrap().public().to_string();
        let config = Config { key: stranger, ..config(&server, &place.path().join("kept")) };
        let refused = Keeper::keep(config, Log::of(3).offer(3)).await.unwrap_err();
        assert!(refused.message.contains("no signature of the witness's key"), "{refused}");
        assert!(!place.path().join("kept").exists());
    }
}
