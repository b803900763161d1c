//! Digests of files.

use std::io::{self, Read};

use md5::Md5;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use crate::kind::StepError;
use crate::probe::blocking::Stop;

/// Large enough that reading costs little beside hashing, small enough to stop within a millisecond.
const PIECE: usize = 256 << 10;

/// How a digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Algorithm {
    Sha256,
    Sha512,
    Md5,
}

/// Why a text is not a digest.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum DigestFault {
    #[error("'{0}' is not made of hexadecimal digits")]
    NotHexadecimal(String),
    #[error("the digest has {found} digits, and {wanted}")]
    Length { found: usize, wanted: String },
}

impl Algorithm {
    const ALL: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512];

    fn digits(self) -> usize {
        match self {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }

    pub(super) fn is_weak(self) -> bool {
        self == Algorithm::Md5
    }

    /// The algorithm whose digests are as long as this one.
    pub(super) fn of_digest(digest: &str) -> Result<Self, DigestFault> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.digits() == digest.len()).ok_or_else(|| {
            DigestFault::Length {
                found: digest.len(),
                wanted: "32 (MD5), 64 (SHA-256) or 128 (SHA-512) are known".into(),
            }
        })
    }

    /// The digest of everything that can be read, in lower-case hexadecimal digits.
    pub(in crate::probe) fn of_reader(
        self,
        reader: impl Read,
        stop: &Stop,
        describe: impl FnOnce(io::Error) -> StepError,
    ) -> Result<String, StepError> {
        match self {
            Algorithm::Md5 => hash::<Md5>(reader, stop, describe),
            Algorithm::Sha256 => hash::<Sha256>(reader, stop, describe),
            Algorithm::Sha512 => hash::<Sha512>(reader, stop, describe),
        }
    }
}

fn hash<D: Digest>(
    mut reader: impl Read,
    stop: &Stop,
    describe: impl FnOnce(io::Error) -> StepError,
) -> Result<String, StepError> {
    let mut digest = D::new();
    let mut piece = vec![0; PIECE];
    loop {
        stop.check()?;
        match reader.read(&mut piece) {
            Ok(0) => return Ok(hex::encode(digest.finalize())),
            Ok(length) => digest.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(describe(error)),
        }
    }
}

/// The digest in lower case, when it can be one of this algorithm.
pub(super) fn check_digest(algorithm: Algorithm, text: &str) -> Result<String, DigestFault> {
    if text.is_empty() || !text.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        return Err(DigestFault::NotHexadecimal(text.chars().take(80).collect()));
    }
    if text.len() != algorithm.digits() {
        return Err(DigestFault::Length { found: text.len(), wanted: format!("{} are needed", algorithm.digits()) });
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_of_nothing() {
        for (algorithm, start) in [
            (Algorithm::Md5, "d41d8cd98f00b204"),
            (Algorithm::Sha256, "e3b0c44298fc1c14"),
            (Algorithm::Sha512, "cf83e1357eefb8bd"),
        ] {
            let digest = algorithm.of_reader(io::empty(), &Stop::never(), |error| panic!("{error}")).unwrap();
            assert!(digest.starts_with(start), "{digest}");
            assert_eq!(Algorithm::of_digest(&digest), Ok(algorithm));
            assert_eq!(check_digest(algorithm, &digest.to_uppercase()), Ok(digest));
        }
    }

    #[test]
    fn placeholders_are_no_digests() {
        assert!(check_digest(Algorithm::Sha256, "expected_checksum").is_err());
        assert!(check_digest(Algorithm::Sha256, "").is_err());
        assert!(check_digest(Algorithm::Sha256, "abc123").is_err());
        assert!(Algorithm::of_digest("abc123").is_err());
    }
}
