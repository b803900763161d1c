//! How many requests each hook takes, or each address that tries to sign in: a bucket of tokens, kept as the moment at which it is full again (the generic
//! cell rate algorithm, ITU-T I.371). One sender that runs wild so uses up its own share only.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::base::Timestamp;

/// So many seconds of the rate may come at once: a storm begins with everything that it has.
const BURST_SECONDS: f64 = 5.0;

/// Names whose buckets are looked through for full ones, which need not be remembered. More hooks than this are
/// nowhere; addresses come from outside.
const MANY: usize = 1_024;

pub(super) struct Pace {
    /// Requests a second.
    rate: f64,
    /// How many seconds' worth may come at once.
    burst: f64,
    /// When the bucket of each name is full again, in milliseconds since 1970.
    full_at: Mutex<BTreeMap<String, f64>>,
}

impl Pace {
    /// `rate` is in requests a second.
    pub(super) fn new(rate: f64) -> Self {
        Pace::with_burst(rate, BURST_SECONDS)
    }

    /// `rate` is in requests a second, `burst` in seconds.
    pub(super) fn with_burst(rate: f64, burst: f64) -> Self {
        Pace { rate, burst, full_at: Mutex::default() }
    }

    /// Takes one request of this name; false when it has to come later.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> bool {
        let now = now.0 as f64;
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MANY {
            all.retain(|_, full_at| *full_at > now);
        }
        // With so many that are not full, all others share one bucket: a crowd of addresses does not fill the memory.
        let name = if all.len() >= MANY && !all.contains_key(name) { "" } else { name };
        let full_at = all.entry(name.to_owned()).or_insert(now);
        let after = full_at.max(now) + 1_000.0 / self.rate;
        // One fits into the smallest bucket.
        let depth = 1_000.0 * self.burst.max(1.0 / self.rate);
        let fits = after - now <= depth;
        if fits {
            *full_at = after;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_369_212_000;

    fn taken(pace: &Pace, hook: &str, at: i64) -> usize {
        (0..1_000).filter(|_| pace.take(hook, Timestamp(START + at))).count()
    }

    #[test]
    fn a_burst_is_taken_and_then_as_many_as_the_rate_says() {
        let pace = Pace::new(10.0);
        assert_eq!(taken(&pace, "a", 0), 50);
        assert_eq!(taken(&pace, "a", 0), 0);
        assert_eq!(taken(&pace, "a", 1_000), 10);
        assert_eq!(taken(&pace, "a", 60_000), 50, "what was not used is not saved beyond the burst");
    }

    #[test]
    fn one_hook_uses_up_its_own_share_only() {
        let pace = Pace::new(10.0);
        assert_eq!((taken(&pace, "a", 0), taken(&pace, "b", 0)), (50, 50));
    }

    #[test]
    fn a_crowd_of_names_shares_a_bucket_and_not_the_memory() {
        let pace = Pace::new(10.0);
        let all = (0..MANY).filter(|name| pace.take(&name.to_string(), Timestamp(START))).count();
        assert_eq!(all, MANY);
        assert_eq!((taken(&pace, "a", 0), taken(&pace, "b", 0)), (50, 0));
        assert_eq!((taken(&pace, "b", 60_000), taken(&pace, "c", 60_000)), (50, 50), "the others are full again");
        assert!(pace.full_at.lock().unwrap().len() <= MANY + 1);
    }

    #[test]
    fn a_slow_rate_takes_one_at_a_time() {
        let pace = Pace::new(0.01);
        assert_eq!([0, 99_000, 101_000].map(|at| taken(&pace, "a", at)), [1, 0, 1]);
    }
}
