//! Standing orders: facts that outlive every run and keep runs from remediating, or from starting. They stand in
//! the journal as the events of a stream of its own, so that they survive restarts and the audit trail
//! tells who gave and who lifted them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Event, Record};
pub use super::matches::{Comparison, Matcher, Matches, Unfit};
use crate::base::Timestamp;

/// The name under which the orders stand in the journal; no run has a name like it.
pub const STREAM: &str = ".standing";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Nothing is changed by any run until it is lifted, or until its time is over.
    Frozen {
        by: String,
        reason: String,
        until: Option<Timestamp>,
    },
    Unfrozen {
        by: String,
        reason: String,
    },
    /// The budget of a playbook for one target is spent: the fix does not help for long.
    BreakerOpened {
        playbook: String,
        target: String,
        why: String,
    },
    /// A person has looked, and the count begins anew.
    BreakerClosed {
        playbook: String,
        target: String,
        by: String,
        reason: String,
    },
    /// What is matched starts no run by itself until then. Its name is the number of this event in the stream.
    Silenced {
        matches: Matches,
        by: String,
        reason: String,
        until: Timestamp,
    },
    /// A silence is over before its time.
    SilenceEnded {
        silence: u64,
        by: String,
    },
}

/// A silence as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Silence {
    /// Its name.
    #[serde(rename = "silence")]
    pub number: u64,
    #[serde(flatten)]
    pub matches: Matches,
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// A freeze as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Freeze {
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
}

/// What is known of a breaker that was ever opened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Breaker {
    /// When and why it opened; `None` while it is closed.
    pub open: Option<(Timestamp, String)>,
    /// Remediations before this moment count no more.
    pub closed_at: Option<Timestamp>,
}

/// The fold of all orders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    pub seq: u64,
    freeze: Option<Freeze>,
    breakers: BTreeMap<(String, String), Breaker>,
    silences: BTreeMap<u64, Silence>,
}

impl Standing {
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut standing = Standing::default();
        records.into_iter().for_each(|record| standing.apply(record));
        standing
    }

    fn apply(&mut self, record: &Record) {
        self.seq = record.seq;
        // Only orders are ever written to the stream.
        let Event::StandingOrder(order) = &record.event else { return };
        match order.clone() {
            Order::Frozen { by, reason, until } => {
                self.freeze = Some(Freeze { by, reason, since: record.at, until });
            }
            Order::Unfrozen { .. } => self.freeze = None,
            Order::BreakerOpened { playbook, target, why } => {
                self.breaker_of(playbook, target).open = Some((record.at, why));
            }
            Order::BreakerClosed { playbook, target, .. } => {
                let closed = Breaker { open: None, closed_at: Some(record.at) };
                *self.breaker_of(playbook, target) = closed;
            }
            Order::Silenced { matches, by, reason, until } => {
                let silence = Silence { number: record.seq, matches, by, reason, since: record.at, until };
                self.silences.insert(record.seq, silence);
            }
            Order::SilenceEnded { silence, .. } => drop(self.silences.remove(&silence)),
        }
    }

    fn breaker_of(&mut self, playbook: String, target: String) -> &mut Breaker {
        self.breakers.entry((playbook, target)).or_insert(Breaker { open: None, closed_at: None })
    }

    /// The freeze, unless its time is over.
    pub fn freeze(&self, now: Timestamp) -> Option<&Freeze> {
        self.freeze.as_ref().filter(|freeze| freeze.until.is_none_or(|until| now < until))
    }

    /// The silences whose time is not over, oldest first.
    pub fn silences(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        self.silences.values().filter(move |silence| now < silence.until)
    }

    /// The silence of something with these labels that would start a playbook, if there is one.
    pub fn silence_of(&self, playbook: &str, labels: &BTreeMap<String, String>, now: Timestamp) -> Option<&Silence> {
        self.silences(now).find(|silence| silence.matches.fits(playbook, labels))
    }

    /// The breaker of a playbook for a target, if it was ever opened or closed.
    pub fn breaker(&self, playbook: &str, target: &str) -> Option<&Breaker> {
        self.breakers.get(&(playbook.to_owned(), target.to_owned()))
    }

    /// The open breakers: playbook, target, since when, why.
    pub fn open_breakers(&self) -> impl Iterator<Item = (&str, &str, Timestamp, &str)> {
        self.breakers.iter().filter_map(|((playbook, target), breaker)| {
            let (since, why) = breaker.open.as_ref()?;
            Some((playbook.as_str(), target.as_str(), *since, why.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RunId;

    fn standing(orders: Vec<Order>) -> Standing {
        let record = |(index, order)| Record {
            run: RunId::from(STREAM.to_owned()),
            seq: index as u64 + 1,
            at: Timestamp(1_000 * (index as i64 + 1)),
            event: Event::StandingOrder(order),
        };
        let records: Vec<Record> = orders.into_iter().enumerate().map(record).collect();
        Standing::replay(&records)
    }

    fn frozen(until: Option<i64>) -> Order {
        Order::Frozen { by: "ada".into(), reason: "migration".into(), until: until.map(Timestamp) }
    }

    #[test]
    fn t53_a_freeze_stands_until_it_is_lifted_and_not_only_for_one_run() {
        assert!(standing(vec![frozen(None)]).freeze(Timestamp(i64::MAX)).is_some());
        let lifted = Order::Unfrozen { by: "ada".into(), reason: "done".into() };
        assert!(standing(vec![frozen(None), lifted]).freeze(Timestamp(3_000)).is_none());
    }

    #[test]
    fn a_freeze_with_an_end_ends_by_itself_and_not_before() {
        let standing = standing(vec![frozen(Some(5_000))]);
        assert!(standing.freeze(Timestamp(4_999)).is_some());
        assert!(standing.freeze(Timestamp(5_000)).is_none());
    }

    #[test]
    fn a_silence_is_about_what_fits_all_it_names_until_its_time_or_its_end() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let of = |playbooks: &[&str], of: &[(&str, &str)]| Order::Silenced {
            matches: Matches {
                playbooks: playbooks.iter().map(|name| (*name).to_owned()).collect(),
                labels: labels(of),
                ..Matches::default()
            },
            by: "ada".into(),
            reason: "planned".into(),
            until: Timestamp(5_000),
        };
        let silenced = |standing: &Standing, playbook: &str, of: &[(&str, &str)], at: i64| {
            standing.silence_of(playbook, &labels(of), Timestamp(at)).map(|silence| silence.number)
        };
        let standing_of = standing(vec![of(&["p"], &[("host", "a")])]);
        assert_eq!(silenced(&standing_of, "p", &[("host", "a"), ("x", "y")], 4_999), Some(1));
        assert_eq!(silenced(&standing_of, "p", &[("host", "a")], 5_000), None, "its time is over");
        assert_eq!(silenced(&standing_of, "q", &[("host", "a")], 1_000), None);
        assert_eq!(silenced(&standing_of, "p", &[("host", "ab")], 1_000), None, "the whole value counts");
        assert_eq!(silenced(&standing_of, "p", &[], 1_000), None);
        assert_eq!(silenced(&standing(vec![of(&[], &[])]), "p", &[], 1_000), None, "one of nothing is about nothing");
        let ended = Order::SilenceEnded { silence: 1, by: "ada".into() };
        assert_eq!(silenced(&standing(vec![of(&["p"], &[]), ended]), "p", &[], 1_000), None);
    }

    #[test]
    fn t52_a_breaker_stays_open_until_a_person_closes_it() {
        let opened = Order::BreakerOpened { playbook: "p".into(), target: "a".into(), why: "3 runs within 1h".into() };
        let open = standing(vec![opened.clone()]);
        assert_eq!(open.open_breakers().count(), 1);
        assert!(open.breaker("p", "b").is_none(), "another target is not concerned");
        let closed = Order::BreakerClosed {
            playbook: "p".into(),
            target: "a".into(),
            by: "ada".into(),
            reason: "disk replaced".into(),
        };
        let closed = standing(vec![opened, closed]);
        assert_eq!(closed.open_breakers().count(), 0);
        assert_eq!(closed.breaker("p", "a").and_then(|breaker| breaker.closed_at), Some(Timestamp(2_000)));
    }
}
