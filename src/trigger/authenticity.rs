//! Who a request comes from: bearer tokens, basic authentication and HMAC signatures, all compared in a time
//! that does not depend on where they differ.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Refusal, Request};
use crate::base::{Secret, Timestamp};

/// How far the clock of a sender may be off, and how long a signed request may be under way (Standard Webhooks).
const TOLERANCE_MS: u64 = 5 * 60 * 1_000;

/// Whether two texts are the same, without telling by the time it takes how much of them is.
pub fn same(offered: &str, expected: &str) -> bool {
    let mac = |text: &str| mac(text.as_bytes(), &[b"runbook"]).finalize();
    // The comparison of two results is constant in time, and they are of one length.
    mac(offered) == mac(expected)
}

/// Whether the bytes are the HMAC-SHA256 (RFC 2104) of the parts under one of the secrets.
pub fn is_signed<'s>(keys: impl IntoIterator<Item = &'s [u8]>, parts: &[&[u8]], signature: &[u8]) -> bool {
    // Every key is tried, so that the time does not tell which one fits.
    keys.into_iter().fold(false, |signed, key| mac(key, parts).verify_slice(signature).is_ok() | signed)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// The bearer token of an `authorization` header, or the password of its basic authentication.
pub fn token(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// That the request carries one of the secrets as its bearer token or as the password of basic authentication.
pub(super) fn by_token(request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
    let offered = request.header("authorization").and_then(token);
    let offered = offered.ok_or_else(|| Refusal::NotAuthentic("it has no token".into()))?;
    let known = secrets.iter().fold(false, |known, secret| same(&offered, secret.reveal()) | known);
    match known {
        true => Ok(()),
        false => Err(Refusal::NotAuthentic("its token is not one of this hook".into())),
    }
}

/// That a moment in seconds since 1970, as a sender signed it, is not too far from now.
pub(super) fn is_recent(seconds: &str, now: Timestamp) -> Result<(), Refusal> {
    let signed = seconds.trim().parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000));
    let signed = signed.ok_or_else(|| Refusal::NotAuthentic("its time is no number of seconds".into()))?;
    match now.0.abs_diff(signed) <= TOLERANCE_MS {
        true => Ok(()),
        false => Err(Refusal::NotAuthentic("its time is more than five minutes off".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_from_both_schemes_and_nothing_else() {
        assert_eq!(token("Bearer abc"), Some("abc".into()));
        assert_eq!(token("basic dXNlcjpwYXNz"), Some("pass".into()));
        assert_eq!((token("Digest abc"), token("abc"), token("")), (None, None, None));
    }

    #[test]
    fn only_the_same_text_is_the_same() {
        assert!(same("a-long-token", "a-long-token"));
        for other in ["", "a-long-toke", "a-long-token ", "A-long-token"] {
            assert!(!same(other, "a-long-token"), "{other}");
        }
    }

    #[test]
    fn either_of_two_secrets_signs_and_no_other() {
        let by_old = mac(b"old", &[b"body"]).finalize().into_bytes();
        assert!(is_signed([&b"new"[..], b"old"], &[b"bo", b"dy"], &by_old));
        assert!(!is_signed([&b"new"[..]], &[b"body"], &by_old));
        assert!(!is_signed([&b"old"[..]], &[b"Body"], &by_old));
        assert!(!is_signed([&b"old"[..]], &[b"body"], &by_old[..31]));
    }

    #[test]
    fn a_time_is_recent_within_five_minutes_both_ways() {
        let now = Timestamp(1_000_000_000);
        for (seconds, recent) in [("1000000", true), ("1000300", true), ("999700", true)] {
            assert_eq!(is_recent(seconds, now).is_ok(), recent, "{seconds}");
        }
        for wrong in ["1000301", "999699", "", "now", "9223372036854775807", "-1"] {
            assert!(is_recent(wrong, now).is_err(), "{wrong}");
        }
    }
}
