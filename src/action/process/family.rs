//! Who belongs to a started program, wherever its descendants have gone to, and signals to all of them.
//!
//! A process group and a session can be left, and the tie to a parent breaks when the parent ends. What
//! holds is, from strongest to weakest: a control group; a reaper that inherits every orphan; the marks in
//! the environment that each descendant starts with.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};

use super::Identity;
use super::cgroup::Leaf;
use super::environment::Environment;
use super::table::{self, Entry};

/// A program and its descendants.
#[derive(Debug)]
pub struct Family {
    leader: Pid,
    kin: Kin,
}

/// How descendants are told from strangers.
#[derive(Debug)]
pub enum Kin {
    /// By the leader's group, by their parents, and by these variables of their environment.
    Marks(Vec<String>),
    /// This process inherits every orphan, so that all descendants are below it.
    Reaper(Option<Leaf>),
}

impl Kin {
    /// The marks of a program with this environment: the names that tell one attempt from all others.
    pub fn marked(environment: &Environment) -> Self {
        let names = ["RB_IDEMPOTENCY_KEY", "RB_ATTEMPT"];
        let marks: Vec<String> = names.iter().filter_map(|name| environment.line(name)).collect();
        // One of them alone is shared with other attempts.
        Kin::Marks(if marks.len() == names.len() { marks } else { Vec::new() })
    }
}

impl Family {
    /// The leader must be an unreaped child that leads a process group.
    pub fn new(leader: Pid, kin: Kin) -> Self {
        Family { leader, kin }
    }

    /// All that are alive.
    pub fn alive(&self) -> Vec<Entry> {
        let everybody = table::all();
        let members = match &self.kin {
            Kin::Marks(marks) => self.marked(&everybody, marks),
            Kin::Reaper(leaf) => below(&everybody, &leaf.as_ref().map(Leaf::members).unwrap_or_default()),
        };
        everybody.into_iter().filter(|entry| members.contains(&entry.pid) && entry.is_alive()).collect()
    }

    fn marked(&self, everybody: &[Entry], marks: &[String]) -> HashSet<i32> {
        let leader = self.leader.as_raw_nonzero().get();
        let since = everybody.iter().find(|entry| entry.pid == leader).map_or(u64::MAX, |entry| entry.start);
        let has_marks = |entry: &Entry| !marks.is_empty() && entry.start >= since && entry.has_variables(marks);
        let is_root = |entry: &&Entry| entry.pid == leader || entry.group == leader || has_marks(entry);
        let roots: HashSet<i32> = everybody.iter().filter(is_root).map(|entry| entry.pid).collect();
        with_descendants(everybody, roots)
    }

    /// Sends the signal to everybody alive.
    pub fn signal(&self, signal: Signal) {
        if let (Kin::Reaper(Some(leaf)), Signal::KILL) = (&self.kin, signal) {
            leaf.kill();
        }
        // At once for those in the group, which is most; no such group: they have gone.
        let _ = kill_process_group(self.leader, signal);
        let leader = self.leader.as_raw_nonzero().get();
        self.alive().iter().filter(|entry| entry.group != leader).for_each(|entry| send(entry, signal));
    }

    /// Reaps the orphans that this process has inherited and that have ended; the leader is not among them.
    pub fn reap_orphans(&self) {
        let (own, leader) = (own_pid(), self.leader.as_raw_nonzero().get());
        let is_orphan = |entry: &&Entry| entry.parent == own && entry.pid != leader && !entry.is_alive();
        for entry in table::all().iter().filter(is_orphan) {
            let _ = waitpid(Pid::from_raw(entry.pid), WaitOptions::NOHANG);
        }
    }
}

/// A number can pass to a stranger between the look and the signal, so it goes to a held process.
fn send(entry: &Entry, signal: Signal) {
    if let Ok(Some(handle)) = Identity::of(entry).hold() {
        // Ended, or not ours to signal any more: the next look tells.
        let _ = handle.signal(signal);
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

/// Everybody below this process, and those with these numbers and everybody below them.
fn below(everybody: &[Entry], also: &[i32]) -> HashSet<i32> {
    let own = own_pid();
    let mut members = with_descendants(everybody, also.iter().copied().chain([own]).collect());
    members.remove(&own);
    members
}

/// The table is in the order of numbers and not of birth, so it is gone through until nobody is added.
fn with_descendants(everybody: &[Entry], mut members: HashSet<i32>) -> HashSet<i32> {
    loop {
        let before = members.len();
        for entry in everybody {
            if members.contains(&entry.parent) {
                members.insert(entry.pid);
            }
        }
        if members.len() == before {
            return members;
        }
    }
}
