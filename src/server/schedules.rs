//! The schedules and watches of a place: which there are, and how each of them stands.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ServeError;
use crate::base::Timestamp;
use crate::engine::event::Outcome;
use crate::engine::intake::{Concurrency, Demand, Intake, Latest, Policy, WATCH};
use crate::engine::schedule::{Overlap, Schedule, Seen, Timetable, next_release};
use crate::playbook::{Playbook, Trigger, inputs};
use crate::site::Site;
use crate::trigger::{BadTimer, BadTrigger, SiteTrigger, Timed, Timer, site_triggers};

/// So many of the next times are shown.
const NEXT: usize = 3;

/// A schedule or watch of the place.
#[derive(Debug, Clone)]
pub struct Armed {
    pub timer: Timer,
    /// Why it cannot start anything.
    pub problem: Option<String>,
}

/// Every schedule and watch: those of the site file, and of the playbooks that it has no triggers for.
pub fn armed(site: &Site, playbooks: &BTreeMap<String, Playbook>) -> Result<Vec<Armed>, ServeError> {
    let of_site = site_triggers(&site.serve);
    let mut timers = Vec::new();
    for SiteTrigger { playbook: name, watch, schedule, .. } in &of_site {
        let playbook = playbooks.get(name).ok_or_else(|| ServeError::NoSuchPlaybook(name.clone()))?;
        let watch = watch.iter().map(|watch| watch.timer(name));
        for timer in schedule.iter().map(|schedule| schedule.timer(name)).chain(watch) {
            timers.push((playbook, timer));
        }
    }
    let own = playbooks.values().filter(|one| !of_site.iter().any(|trigger| trigger.playbook == one.header.name));
    timers.extend(own.flat_map(|playbook| own_timers(playbook).map(move |timer| (playbook, timer))));
    let mut armed: BTreeMap<String, Armed> = BTreeMap::new();
    for (playbook, timer) in timers {
        let bad = |error: BadTimer| BadTrigger { playbook: playbook.header.name.clone(), what: error.to_string() };
        let timer = timer.map_err(bad)?;
        let problem = problem(playbook, &timer);
        armed.insert(timer.key.clone(), Armed { timer, problem });
    }
    Ok(armed.into_values().collect())
}

fn own_timers(playbook: &Playbook) -> impl Iterator<Item = Result<Timer, BadTimer>> {
    playbook.header.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Alert(_) => None,
        Trigger::Watch(watch) => Some(watch.timer(&playbook.header.name)),
        Trigger::Schedule(schedule) => Some(schedule.timer(&playbook.header.name)),
    })
}

fn problem(playbook: &Playbook, timer: &Timer) -> Option<String> {
    if matches!(timer.timed, Timed::Watch(_)) && playbook.detect.is_none() {
        return Some("the playbook has no `detect`".into());
    }
    let problems = inputs::resolve(playbook, &inputs::given(&timer.with)).err()?;
    let all: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
    Some(format!("{}; give inputs by `with` in the trigger", all.join("; ")))
}

/// What the intake is asked for when a tick of this timer has come.
pub(super) fn demand(timer: &Timer, tick: Timestamp) -> Demand {
    let (source, concurrency) = match &timer.timed {
        Timed::Schedule(_, overlap) => ("schedule", Concurrency::from(*overlap)),
        // The run that is live is about what the watch sees.
        Timed::Watch(_) => (WATCH, Concurrency::Queue),
    };
    Demand {
        source: source.into(),
        delivery: None,
        identity: timer.key.clone(),
        since: tick.to_string(),
        playbook: timer.playbook.clone(),
        target: serde_json::to_string(&timer.with).unwrap_or_default(),
        inputs: timer.with.clone(),
        // They are of the site file or the playbook.
        from_outside: std::collections::BTreeSet::new(),
        labels: BTreeMap::new(),
        policy: Policy { concurrency, ..Policy::default() },
        withheld: None,
        tick: Some(tick),
        by_hand: false,
    }
}

/// A schedule or watch as people see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct Listed {
    /// Its name: the playbook, what it is due by, and its inputs.
    pub name: String,
    pub playbook: String,
    pub with: BTreeMap<String, Value>,
    /// Why it starts nothing, if so.
    pub problem: Option<String>,
    #[serde(flatten)]
    pub kind: Kind,
    /// The latest run that it asked for.
    pub last: Option<Last>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ScheduleKind)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    Schedule {
        /// The next times, without what is put off by jitter.
        next: Vec<Timestamp>,
        overlap: Overlap,
        /// Ticks that nobody was there for and that did not run, ever.
        missed: u64,
        last_missed: Option<Timestamp>,
    },
    Watch {
        every_ms: u64,
        /// Whether the detection held when it was last told.
        holds: bool,
        /// When that changed last.
        since: Option<Timestamp>,
        /// It changes too often: no run starts until it is calm.
        held_back: bool,
    },
}

/// The latest run that was asked for.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = LatestRun)]
pub struct Last {
    pub at: Timestamp,
    pub run: Option<crate::base::RunId>,
    pub outcome: Option<Outcome>,
    pub why: String,
}

impl From<&Latest> for Last {
    fn from(latest: &Latest) -> Self {
        Last { at: latest.tick, run: latest.run.clone(), outcome: latest.outcome, why: latest.why.clone() }
    }
}

/// How each of them stands at the moment `now`.
pub fn listed(armed: &[Armed], timetable: &Timetable, intake: &Intake, now: Timestamp) -> Vec<Listed> {
    let listed = |Armed { timer, problem }: &Armed| Listed {
        name: timer.key.clone(),
        playbook: timer.playbook.clone(),
        with: timer.with.clone(),
        problem: problem.clone(),
        kind: kind(timer, timetable, now),
        last: intake.latest(&timer.key).map(Last::from),
    };
    armed.iter().map(listed).collect()
}

fn kind(timer: &Timer, timetable: &Timetable, now: Timestamp) -> Kind {
    match &timer.timed {
        Timed::Schedule(schedule, overlap) => {
            let progress = timetable.schedule(&timer.key);
            Kind::Schedule {
                next: next_times(schedule, now),
                overlap: *overlap,
                missed: progress.map_or(0, |progress| progress.missed),
                last_missed: progress.and_then(|progress| progress.last_missed),
            }
        }
        Timed::Watch(looks) => {
            let Seen { holds, since, held_back, .. } = timetable.watch(&timer.key).cloned().unwrap_or_default();
            Kind::Watch { every_ms: looks.every.as_millis() as u64, holds, since, held_back }
        }
    }
}

fn next_times(schedule: &Schedule, now: Timestamp) -> Vec<Timestamp> {
    std::iter::successors(schedule.calendar.next(now), |tick| schedule.calendar.next(*tick)).take(NEXT).collect()
}

/// When the first of the schedules wants to be looked at.
pub(super) fn next_wake(armed: &[Armed], timetable: &Timetable) -> Option<Timestamp> {
    let schedules = armed.iter().filter(|armed| armed.problem.is_none()).filter_map(|armed| match &armed.timer.timed {
        Timed::Schedule(schedule, _) => next_release(schedule, timetable.schedule(&schedule.key)?.upto),
        Timed::Watch(_) => None,
    });
    schedules.min()
}
