//! The keys that notes are signed and checked with: ed25519, written as transparency logs write them.
//!
//! ```text
//! public    NAME+5f0c9a12+base64(type ‖ key)               (C2SP signed-note, verifier keys)
//! private   PRIVATE+KEY+NAME+5f0c9a12+base64(type ‖ seed)  (as golang.org/x/mod/sumdb/note)
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest, Sha256};

use super::note::{Note, SignatureLine, is_key_name};

const PRIVATE: &str = "PRIVATE+KEY+";

/// What a key signs; the byte is its type in C2SP signed-note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The text of a note.
    Note = 0x01,
    /// A statement of a witness with its time, over the text of a checkpoint (C2SP tlog-cosignature).
    Cosignature = 0x04,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    purpose: Purpose,
    key: VerifyingKey,
}

/// Text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: {why}")]
pub struct InvalidKey {
    what: &'static str,
    why: &'static str,
}

/// What a note says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The key signed it.
    Signed,
    /// It has no signature that says it is of this key.
    Unsigned,
    /// A signature says it is of this key and is not.
    Forged,
}

impl PublicKey {
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let hash = Sha256::digest([self.name.as_bytes(), b"\n", &self.material()].concat());
        [hash[0], hash[1], hash[2], hash[3]]
    }

    fn material(&self) -> Vec<u8> {
        [&[self.purpose as u8], self.key.as_bytes().as_slice()].concat()
    }

    /// Judges the signatures of a note that say they are of this key.
    pub fn verify(&self, note: &Note) -> Verdict {
        let id = self.id();
        let mut ours = note.signatures.iter().filter(|line| line.name == self.name && line.id == id).peekable();
        if ours.peek().is_none() {
            return Verdict::Unsigned;
        }
        if ours.all(|line| self.accepts(&note.text, &line.signature)) { Verdict::Signed } else { Verdict::Forged }
    }

    fn accepts(&self, text: &str, signature: &[u8]) -> bool {
        let (message, signature) = match self.purpose {
            Purpose::Note => (text.to_owned(), signature),
            Purpose::Cosignature => {
                let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
                (format!("cosignature/v1\ntime {}\n{text}", u64::from_be_bytes(*time)), signature)
            }
        };
        // Strict: a signature that another verifier would refuse is no proof.
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, material) = (hex::encode(self.id()), BASE64_STANDARD.encode(self.material()));
        write!(formatter, "{}+{id}+{material}", self.name)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |why| InvalidKey { what: "public key", why };
        let parts = Parts::split(text.trim()).ok_or(invalid("it is written as name+identifier+base64"))?;
        let purpose = match parts.kind {
            0x01 => Purpose::Note,
            0x04 => Purpose::Cosignature,
            _ => return Err(invalid("it is not an ed25519 key")),
        };
        let key =
            VerifyingKey::from_bytes(&parts.bytes).map_err(|_| invalid("its bytes are not a point of the curve"))?;
        let key = PublicKey { name: parts.name, purpose, key };
        if key.id() == parts.id { Ok(key) } else { Err(invalid("its identifier does not fit; was it copied whole?")) }
    }
}

/// The parts that public and private keys are written with.
struct Parts {
    name: String,
    id: [u8; 4],
    kind: u8,
    bytes: [u8; 32],
}

impl Parts {
    fn split(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '+');
        let (name, digits, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let mut id = [0; 4];
        hex::decode_to_slice(digits, &mut id).ok()?;
        let material = BASE64_STANDARD.decode(encoded).ok()?;
        let (kind, bytes) = material.split_first()?;
        is_key_name(name).then_some(())?;
        Some(Parts { name: name.to_owned(), id, kind: *kind, bytes: bytes.try_into().ok()? })
    }
}

/// A key that signs notes. Its bytes are overwritten when it is dropped and shown nowhere.
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// A key from 32 random bytes. The name must have no space and no plus sign.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        if !is_key_name(name) {
            return Err(InvalidKey { what: "key name", why: "it is empty or has a space or a plus sign" });
        }
        Ok(SigningKey { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), purpose: Purpose::Note, key: self.key.verifying_key() }
    }

    /// Signs a text that ends with a line break.
    pub fn sign(&self, text: &str) -> SignatureLine {
        let signature = self.key.sign(text.as_bytes()).to_bytes().to_vec();
        SignatureLine { name: self.name.clone(), id: self.public().id(), signature }
    }

    /// The key as it is kept in its file; whoever reads it can sign.
    pub fn reveal(&self) -> String {
        let material = [&[Purpose::Note as u8], self.key.as_bytes().as_slice()].concat();
        format!("{PRIVATE}{}+{}+{}", self.name, hex::encode(self.public().id()), BASE64_STANDARD.encode(material))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.public())
    }
}

impl FromStr for SigningKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |why| InvalidKey { what: "private key", why };
        let text = text.trim().strip_prefix(PRIVATE).ok_or(invalid("it does not begin with PRIVATE+KEY+"))?;
        let parts = Parts::split(text).ok_or(invalid("its parts cannot be read"))?;
        if parts.kind != Purpose::Note as u8 {
            return Err(invalid("it is not an ed25519 key"));
        }
        let key = SigningKey::new(&parts.name, &parts.bytes)?;
        if key.public().id() == parts.id { Ok(key) } else { Err(invalid("its identifier does not fit")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the reference implementation of signed notes (golang.org/x/mod/sumdb/note).
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

    #[test]
    fn the_vectors_of_signed_notes_hold() {
        let (key, public): (SigningKey, PublicKey) = (SECRET.parse().unwrap(), PUBLIC.parse().unwrap());
        assert_eq!((key.public().to_string(), key.reveal()), (PUBLIC.into(), SECRET.into()));
        assert_eq!(key.sign(TEXT).to_string(), LINE);
        let note = Note::parse(&format!("{TEXT}\n{LINE}\n")).unwrap();
        assert_eq!(public.verify(&note), Verdict::Signed);
        let other = Note { text: TEXT.replacen("answer", "question", 1), ..note.clone() };
        assert_eq!(public.verify(&other), Verdict::Forged);
        let stranger = SigningKey::new("PeterNeumann", &[7; 32]).unwrap();
        assert_eq!(stranger.public().verify(&note), Verdict::Unsigned, "the same name, another key");
    }

    #[test]
    fn no_part_and_no_change_of_a_key_is_a_key() {
        let cut = (0..PUBLIC.len()).flat_map(|from| (from + 1..=PUBLIC.len()).map(move |to| &PUBLIC[from..to]));
        assert!(cut.filter(|part| *part != PUBLIC).all(|part| part.parse::<PublicKey>().is_err()));
        for place in 0..PUBLIC.len() {
            let mut changed = PUBLIC.as_bytes().to_vec();
            changed[place] += 1;
            assert!(String::from_utf8(changed).unwrap().parse::<PublicKey>().is_err(), "{place}");
        }
        // With fitting identifiers, but too long, and of an unknown type.
        for bad in [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
        for bad in ["", "PRIVATE+KEY+", PUBLIC, &SECRET[..SECRET.len() - 1]] {
            assert!(bad.parse::<SigningKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cosignature_covers_the_time_and_the_text() {
        let key = SigningKey::new("witness.example/w1", &[9; 32]).unwrap();
        let witness = PublicKey { purpose: Purpose::Cosignature, ..key.public() };
        let signed = |time: u64| {
            let message = format!("cosignature/v1\ntime {time}\n{TEXT}");
            let signature = key.key.sign(message.as_bytes()).to_bytes();
            let signature = [1_679_315_147_u64.to_be_bytes().as_slice(), &signature].concat();
            let line = SignatureLine { name: key.name().into(), id: witness.id(), signature };
            Note { text: TEXT.into(), signatures: vec![line] }
        };
        assert_eq!(witness.verify(&signed(1_679_315_147)), Verdict::Signed);
        assert_eq!(witness.verify(&signed(1_679_315_148)), Verdict::Forged);
        assert_eq!(witness.to_string().parse::<PublicKey>().unwrap(), witness);
    }

    #[test]
    fn a_private_key_is_not_shown_by_accident() {
        let key: SigningKey = SECRET.parse().unwrap();
        assert!(!format!("{key:?}").contains("AYEKFALV"));
    }
}
