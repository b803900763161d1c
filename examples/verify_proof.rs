//! Checks a proof that `runbook audit prove` wrote, with nothing of `runbook`: only SHA-256, ed25519 and
//! base64. Short enough to be read, so that nobody has to trust the program that wrote the proof.
//!
//! ```text
//! verify_proof PUBLIC-KEY FILE     exit code 0: proven, 1: not proven, 2: wrong arguments
//! ```

use std::io::Write;
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, path] = arguments.as_slice() else {
        return say("usage: verify_proof PUBLIC-KEY FILE", 2);
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return say(&format!("cannot read {path}: {error}"), 2),
    };
    match verify(key.trim(), &text) {
        Ok(proven) => say(&proven, 0),
        Err(why) => say(&format!("NOT PROVEN: {why}"), 1),
    }
}

fn say(text: &str, code: u8) -> ExitCode {
    // Whoever closed the output still gets the code.
    drop(writeln!(std::io::stdout(), "{text}"));
    ExitCode::from(code)
}

/// What is proven, or why nothing is.
fn verify(key: &str, text: &str) -> Result<String, String> {
    // The first empty line ends the proof; the checkpoint with its signatures follows.
    let (proof, note) = text.split_once("\n\n").ok_or("there is no checkpoint")?;
    let (signed, signatures) = note.rsplit_once("\n\n").ok_or("the checkpoint has no signatures")?;
    let signed = format!("{signed}\n");
    let origin = check_signature(key, &signed, signatures)?;
    let mut lines = signed.lines();
    if lines.next() != Some(origin) {
        return Err("the checkpoint is of another trail than the key".into());
    }
    let size: u64 = lines.next().and_then(|line| line.parse().ok()).ok_or("the checkpoint has no size")?;
    let root = lines.next().and_then(hash).ok_or("the checkpoint has no root")?;

    let mut lines = proof.lines();
    if lines.next() != Some("c2sp.org/tlog-proof@v1") {
        return Err("it is not a proof of version 1".into());
    }
    let extra = lines.next().and_then(|line| line.strip_prefix("extra ")).ok_or("it does not hold the entry")?;
    let entry = BASE64_STANDARD.decode(extra).map_err(|error| format!("the entry cannot be read: {error}"))?;
    let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(|index| index.parse::<u64>().ok());
    let index = index.ok_or("it does not say which entry it is about")?;
    let path = lines.map(hash).collect::<Option<Vec<Hash>>>().ok_or("a line of the proof is not a hash")?;

    if root_of(leaf(&entry), index, size, &path) != Some(root) {
        return Err("the entry is not in the trail that was signed".into());
    }
    let shown = show(&entry).ok_or("the entry is not an audit entry of version 1")?;
    if shown.number != index + 1 {
        return Err(format!("the entry says it is number {}, the proof is about {}", shown.number, index + 1));
    }
    Ok(format!("PROVEN: entry {} of {size} in {origin}\n{}", index + 1, shown.text))
}

/// The name of the key, if it signed the text.
fn check_signature<'a>(key: &'a str, text: &str, signatures: &str) -> Result<&'a str, String> {
    let mut parts = key.splitn(3, '+');
    let (name, _, encoded) = (parts.next(), parts.next(), parts.next());
    let (name, encoded) = name.zip(encoded).ok_or("the key is not written as name+identifier+base64")?;
    let material = BASE64_STANDARD.decode(encoded).map_err(|error| format!("the key: {error}"))?;
    // 1 stands for ed25519 over the text of a note.
    let bytes =
        material.strip_prefix(&[1]).and_then(|bytes| bytes.try_into().ok()).ok_or("the key is of another kind")?;
    let verifier = VerifyingKey::from_bytes(bytes).map_err(|error| format!("the key: {error}"))?;
    let prefix = format!("\u{2014} {name} ");
    let ours = signatures.lines().filter_map(|line| line.strip_prefix(&prefix));
    let mut decoded = ours.filter_map(|signature| BASE64_STANDARD.decode(signature).ok());
    // The first four bytes name the key.
    let holds = |bytes: Vec<u8>| {
        let signature = bytes.get(4..).and_then(|bytes| Signature::from_slice(bytes).ok());
        signature.is_some_and(|signature| verifier.verify_strict(text.as_bytes(), &signature).is_ok())
    };
    if decoded.any(holds) { Ok(name) } else { Err("the checkpoint is not signed with this key".into()) }
}

fn hash(line: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(line).ok()?.try_into().ok()
}

/// RFC 6962 section 2.1: leaves are hashed with 0x00 in front, inner nodes with 0x01.
fn leaf(entry: &[u8]) -> Hash {
    Sha256::digest([&[0], entry].concat()).into()
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::digest([[1].as_slice(), &left, &right].concat()).into()
}

/// The root that follows from the hashes beside the way up, the lowest first (RFC 9162 section 2.1.3.2).
fn root_of(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut root) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            root = node(*beside, root);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place / 2, last / 2);
            }
        } else {
            root = node(root, *beside);
        }
        (place, last) = (place / 2, last / 2);
    }
    (last == 0).then_some(root)
}

struct Shown {
    number: u64,
    text: String,
}

/// Reads the canonical bytes of an entry, as docs/audit.md lists them.
fn show(entry: &[u8]) -> Option<Shown> {
    let mut rest = entry.strip_prefix(b"runbook audit entry, version 1\n")?;
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(taken)
    };
    let number = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let mut texts = Vec::new();
    for _ in 0..3 {
        let length = u64::from_be_bytes(take(8)?.try_into().ok()?);
        texts.push(String::from_utf8(take(usize::try_from(length).ok()?)?.to_vec()).ok()?);
    }
    let run_seq = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let at = i64::from_be_bytes(take(8)?.try_into().ok()?);
    take(32)?;
    let [run, kind, body] = texts.as_slice() else { return None };
    // Escaped: the texts were chosen by whoever caused the event, and they go to a terminal.
    let (run, kind, body) = (run.escape_debug(), kind.escape_debug(), body.escape_debug());
    let text = format!("run {run}, its event {run_seq} ({kind}), {at} ms after 1970-01-01T00:00:00Z\n{body}");
    rest.is_empty().then_some(Shown { number, text })
}
