//! Sessions of browsers: who has shown a token, for a while. They live in memory only, so a restart ends all of them,
//! and what is kept of each is the hash of its name, so that nobody who reads the memory can take it over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::access::Who;
use super::pace::Pace;
use crate::base::{Timestamp, entropy};

/// A shift and the way home: whoever looks at nothing for so long is asked again.
const IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest that one token typed in once is believed.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Open at the same time; the one that was not used for the longest makes room.
const MOST: usize = 1_000;
/// One try in so many seconds, and five at once: a person who mistypes does not notice, a program that guesses does.
const TRY_SECONDS: f64 = 6.0;
const TRIES_AT_ONCE: f64 = 5.0;

/// A session of a browser, as one request shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    key: Key,
    /// What every form of this session has to carry, in hex.
    pub csrf: String,
}

type Key = [u8; 32];

impl Session {
    fn of(id: &str) -> Self {
        let csrf = hex::encode(Sha256::digest(format!("runbook form {id}")));
        Session { key: Sha256::digest(id).into(), csrf }
    }
}

struct Open {
    /// Whose token it was opened with.
    who: Who,
    since: Timestamp,
    seen: Timestamp,
}

impl Open {
    fn lasts(&self, now: Timestamp) -> bool {
        now.since(self.seen) < IDLE && now.since(self.since) < LONGEST && !self.who.withdrawn.is_cancelled()
    }
}

pub(super) struct Sessions {
    open: Mutex<BTreeMap<Key, Open>>,
    tries: Pace,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Sessions { open: Mutex::default(), tries: Pace::with_burst(1.0 / TRY_SECONDS, TRIES_AT_ONCE * TRY_SECONDS) }
    }

    /// Whether this address may try to sign in now.
    pub(super) fn may_try(&self, address: IpAddr, now: Timestamp) -> bool {
        self.tries.take(&network(address), now)
    }

    /// Opens a session for whoever has shown a token, and gives its name for the cookie: 256 random bits in hex.
    pub(super) fn open(&self, who: Who, now: Timestamp) -> String {
        let id: String = (0..4).map(|_| format!("{:016x}", entropy::random())).collect();
        let mut open = self.lock();
        open.retain(|_, session| session.lasts(now));
        if open.len() >= MOST
            && let Some(idlest) = open.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key)
        {
            open.remove(&idlest);
        }
        open.insert(Session::of(&id).key, Open { who, since: now, seen: now });
        id
    }

    /// The session of this name and who has opened it, if it is open; looking at it keeps it so.
    pub(super) fn find(&self, id: &str, now: Timestamp) -> Option<(Session, Who)> {
        let session = Session::of(id);
        let mut all = self.lock();
        let open = all.get_mut(&session.key)?;
        if !open.lasts(now) {
            all.remove(&session.key);
            return None;
        }
        open.seen = now;
        Some((session, open.who.clone()))
    }

    pub(super) fn close(&self, session: &Session) {
        self.lock().remove(&session.key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who shares the tries: an address, or the network of IPv6 that one customer gets, who has all of its addresses.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments()[..4].iter().map(|part| format!("{part:x}:")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_795_369_212_000);

    fn after(hours: u64) -> Timestamp {
        START.plus(Duration::from_secs(hours * 3_600))
    }

    fn ada() -> Who {
        Who::nobody("ada")
    }

    #[test]
    fn a_session_ends_with_the_right_that_it_was_opened_with() {
        let sessions = Sessions::new();
        let (ada, other) = (ada(), ada());
        let (hers, others) = (sessions.open(ada.clone(), START), sessions.open(other, START));
        ada.withdrawn.cancel();
        assert!(sessions.find(&hers, START).is_none());
        assert!(sessions.find(&others, START).is_some());
    }

    #[test]
    fn a_session_that_is_used_lasts_a_week_and_one_that_is_not_half_a_day() {
        let sessions = Sessions::new();
        let (used, unused) = (sessions.open(ada(), START), sessions.open(ada(), START));
        assert_eq!(used.len(), 64);
        for hours in (6..168).step_by(6) {
            assert_eq!(sessions.find(&used, after(hours)).map(|(_, who)| who.name), Some("ada".to_owned()), "{hours}");
        }
        assert!(sessions.find(&used, after(168)).is_none());
        assert!(sessions.find(&unused, after(12)).is_none());
        assert!(sessions.find(&unused, START).is_none(), "over is over");
    }

    #[test]
    fn each_has_a_name_and_a_form_token_of_its_own_and_can_be_closed() {
        let sessions = Sessions::new();
        let (one, other) = (sessions.open(ada(), START), sessions.open(ada(), START));
        let csrf = |id: &str| sessions.find(id, START).map(|(session, _)| session.csrf);
        assert_ne!(csrf(&one), csrf(&other));
        assert_eq!(csrf(&one), csrf(&one));
        let (session, _) = sessions.find(&one, START).unwrap();
        sessions.close(&session);
        assert_eq!((csrf(&one), csrf(&other).is_some()), (None, true));
        assert_eq!(csrf("0000"), None);
    }

    #[test]
    fn there_are_so_many_and_the_idlest_makes_room() {
        let sessions = Sessions::new();
        let all: Vec<String> =
            (0..MOST as u64).map(|n| sessions.open(ada(), START.plus(Duration::from_secs(n)))).collect();
        sessions.find(&all[0], after(1));
        sessions.open(ada(), after(1));
        assert!(sessions.find(&all[0], after(1)).is_some(), "used just now");
        assert!(sessions.find(&all[1], after(1)).is_none());
        assert_eq!(sessions.lock().len(), MOST);
    }

    #[test]
    fn tries_to_sign_in_are_counted_for_each_network() {
        let sessions = Sessions::new();
        let tries =
            |address: &str, at: Timestamp| (0..100).filter(|_| sessions.may_try(address.parse().unwrap(), at)).count();
        assert_eq!(tries("192.0.2.1", START), 5);
        assert_eq!(tries("::ffff:192.0.2.1", START), 0, "the same address");
        assert_eq!((tries("2001:db8::1", START), tries("2001:db8::2", START)), (5, 0));
        assert_eq!((tries("192.0.2.2", START), tries("192.0.2.1", after(1))), (5, 5));
    }
}
