//! The page on which whoever was told takes over. Its address is signed and expires, so that it needs no login and
//! opens nothing else; opening it changes nothing, since mail scanners open what they find.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::{RunId, Secret, Timestamp, entropy, private};

/// The longest that a level waits in practice.
const LASTS: Duration = Duration::from_secs(3 * 86_400);

/// Makes and checks addresses, by a key of the state folder.
pub struct Links {
    key: Secret<String>,
}

/// Why an address opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("it was not made here")]
    Forged,
    #[error("it has expired")]
    Expired,
}

impl Links {
    /// With the key of this state folder, which is made on first use.
    pub fn of(state: &Path) -> io::Result<Self> {
        let file = state.join("links.key");
        let key = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(state, &file)?,
            read => read?,
        };
        Ok(Links { key: Secret::new(key) })
    }

    /// The path and query of the page for whoever `channel` reaches.
    pub fn path(&self, run: &RunId, channel: &str, now: Timestamp) -> String {
        let until = now.plus(LASTS).0;
        let signature = hex::encode(self.mac(run.as_str(), channel, until).finalize().into_bytes());
        let (run, channel) = (in_url(run.as_str()), in_url(channel));
        format!("/ack/{run}?to={channel}&until={until}&signature={signature}")
    }

    /// Whether an address was made here for this run and channel and has not expired.
    pub fn check(&self, run: &str, channel: &str, until: &str, signature: &str, now: Timestamp) -> Result<(), BadLink> {
        let until: i64 = until.parse().map_err(|_| BadLink::Forged)?;
        let signature = hex::decode(signature).map_err(|_| BadLink::Forged)?;
        self.mac(run, channel, until).verify_slice(&signature).map_err(|_| BadLink::Forged)?;
        if now.0 > until { Err(BadLink::Expired) } else { Ok(()) }
    }

    fn mac(&self, run: &str, channel: &str, until: i64) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.reveal().as_bytes()).expect("HMAC takes keys of any length");
        // Each part with its length, so that no two addresses are signed alike.
        for part in ["acknowledge", run, channel, &until.to_string()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// Makes the key; of two programs that do so at once, both take the one that was first.
fn make(state: &Path, file: &Path) -> io::Result<String> {
    private::create_folder(state)?;
    let key: String = (0..4).map(|_| format!("{:016x}", entropy::random())).collect();
    let new: PathBuf = state.join(format!("links.key.{:016x}", entropy::random()));
    let mut written = private::create(&new)?;
    written.write_all(key.as_bytes())?;
    written.sync_all()?;
    let linked = fs::hard_link(&new, file);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read_to_string(file),
    }
}

/// Everything but letters, digits and `-._~`, as RFC 3986 asks in a part of an address.
fn in_url(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_opens_what_it_was_made_for_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let links = Links::of(folder.path()).unwrap();
        let (run, now) = (RunId::from("1122-174012-k3f9/remediate.x.1".to_owned()), Timestamp(1_000));
        let path = links.path(&run, "slack:ml", now);
        assert!(path.starts_with("/ack/1122-174012-k3f9%2Fremediate.x.1?to=slack%3Aml&until="), "{path}");
        let until = now.plus(LASTS);
        let signature = path.rsplit('=').next().unwrap();
        // The same key again.
        let links = Links::of(folder.path()).unwrap();
        let check = |run: &str, to: &str, until: i64, signature: &str, now: Timestamp| {
            links.check(run, to, &until.to_string(), signature, now)
        };
        let run = run.as_str();
        assert_eq!(check(run, "slack:ml", until.0, signature, until), Ok(()));
        assert_eq!(check(run, "slack:ml", until.0, signature, Timestamp(until.0 + 1)), Err(BadLink::Expired));
        assert_eq!(check(run, "slack:ml", until.0 + 1, signature, until), Err(BadLink::Forged), "a longer life");
        assert_eq!(check(run, "slack:m", until.0, signature, until), Err(BadLink::Forged), "another channel");
        assert_eq!(check("other", "slack:ml", until.0, signature, until), Err(BadLink::Forged), "another run");
        assert_eq!(check(run, "slack:ml", until.0, &signature[2..], until), Err(BadLink::Forged), "half a signature");
        assert_eq!(check(run, "slack:ml", until.0, "", until), Err(BadLink::Forged));
        let other = tempfile::tempdir().unwrap();
        let others = Links::of(other.path()).unwrap();
        assert_eq!(others.check(run, "slack:ml", &until.0.to_string(), signature, now), Err(BadLink::Forged));
    }
}
