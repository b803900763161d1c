//! From marks to findings: what was done to a chain that does not hold.
//!
//! Every entry first gets a role. A hash confirms the number of a *genuine* one, wherever it stands;
//! an *edited* one has lost that and is taken to be what its place says; an *inserted* one stands
//! where there is no place for it. Then the genuine and the edited ones together must be all numbers
//! once, in order, each chained to the one before.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::book::{Book, Mark, short};
use super::{Content, Entry, Finding, GENESIS, Head, Tampering, finding::LostEvents, hash_of};

/// Pairs of so many edited entries are tried for exchanged contents; trying is quadratic.
const EXCHANGES_TRIED: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Genuine,
    Edited,
    Inserted,
}

/// An entry that belongs to the chain: its number, and the place of its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    number: u64,
    place: usize,
}

/// Says what happened. A sound chain is only asked whether its runs are complete.
pub(super) fn explain(mut book: Book, end: Option<Head>, unmet: &[Head], sound: bool) -> Vec<Finding> {
    if !sound {
        book.number_suspects();
    }
    let roles = if sound { vec![Role::Genuine; book.marks.len()] } else { roles(&book, end) };
    let mut explanation = Explanation::new(book, roles);
    if !sound {
        explanation.find_exchanged();
        explanation.find_inserted_and_edited();
        explanation.find_disorder();
        explanation.find_replaced();
        explanation.find_differing_heads(end.iter().chain(unmet));
        explanation.find_missing(end.iter().chain(unmet).map(|head| head.count).max().unwrap_or(0));
    }
    explanation.find_incomplete_runs();
    explanation.findings
}

fn roles(book: &Book, end: Option<Head>) -> Vec<Role> {
    let winners = winners(book, end);
    let beyond = |number: u64| end.is_some_and(|end| number > end.count);
    let mut taken: HashSet<u64> = winners.keys().copied().collect();
    let role = |(place, mark): (usize, &Mark)| match mark.number {
        Some(number) if winners[&number] == place && !beyond(number) => Role::Genuine,
        Some(_) => Role::Inserted,
        None if mark.stored == 0 || beyond(mark.stored) || !taken.insert(mark.stored) => Role::Inserted,
        None => Role::Edited,
    };
    book.marks.iter().enumerate().map(role).collect()
}

/// The place of the entry with each confirmed number. Of several, the one that another entry or the
/// head was chained to is the genuine one.
fn winners(book: &Book, end: Option<Head>) -> HashMap<u64, usize> {
    let mut vouched: HashSet<u64> = book.marks.iter().map(|mark| mark.previous).collect();
    vouched.extend(end.map(|end| short(&end.hash)));
    let mut winners: HashMap<u64, usize> = HashMap::new();
    for (place, mark) in book.marks.iter().enumerate() {
        let Some(number) = mark.number else { continue };
        let winner = winners.entry(number).or_insert(place);
        if !vouched.contains(&book.marks[*winner].hash) && vouched.contains(&mark.hash) {
            *winner = place;
        }
    }
    winners
}

struct Explanation {
    book: Book,
    roles: Vec<Role>,
    /// In the order they were read.
    members: Vec<Member>,
    /// In the order of their numbers.
    sorted: Vec<Member>,
    /// Numbers of entries whose content is not what was once written there.
    doubtful: HashSet<u64>,
    /// Places that a finding about their order explains already.
    displaced: HashSet<usize>,
    findings: Vec<Finding>,
}

impl Explanation {
    fn new(book: Book, roles: Vec<Role>) -> Self {
        let member = |(place, mark): (usize, &Mark)| Member { number: mark.number.unwrap_or(mark.stored), place };
        let belongs = |member: &Member| roles[member.place] != Role::Inserted;
        let members: Vec<Member> = book.marks.iter().enumerate().map(member).filter(belongs).collect();
        let mut sorted = members.clone();
        sorted.sort_by_key(|member| member.number);
        let (doubtful, displaced) = (HashSet::new(), HashSet::new());
        Explanation { book, roles, members, sorted, doubtful, displaced, findings: Vec::new() }
    }

    fn found(&mut self, place: usize, seq: u64, what: Tampering) {
        self.findings.push(self.book.finding(place, seq, what));
    }

    /// Pairs of edited entries whose hashes fit when their contents change places.
    fn find_exchanged(&mut self) {
        let suspects = std::mem::take(&mut self.book.suspects);
        let tried = &suspects[..suspects.len().min(EXCHANGES_TRIED)];
        for (position, (place, entry)) in tried.iter().enumerate() {
            let rest = &tried[position + 1..];
            let Some((other, with)) = rest.iter().find(|(_, other)| are_exchanged(entry, other)) else { continue };
            self.displaced.extend([*place, *other]);
            self.doubtful.extend([entry.seq, with.seq]);
            self.found(*place, entry.seq, Tampering::Swapped { with: with.seq });
        }
    }

    fn find_inserted_and_edited(&mut self) {
        for place in 0..self.roles.len() {
            let stored = self.book.marks[place].stored;
            match self.roles[place] {
                Role::Genuine => {}
                Role::Inserted => self.found(place, stored, Tampering::Inserted),
                Role::Edited if self.displaced.contains(&place) => {}
                Role::Edited => {
                    self.doubtful.insert(stored);
                    self.found(place, stored, Tampering::Edited);
                }
            }
        }
    }

    /// Members that stand where another number belongs, or carry another number than theirs.
    fn find_disorder(&mut self) {
        self.find_swapped();
        self.find_moved();
        self.find_renumbered();
    }

    fn find_swapped(&mut self) {
        let belongs_at: HashMap<u64, usize> =
            self.sorted.iter().enumerate().map(|(rank, member)| (member.number, rank)).collect();
        let mut swapped = Vec::new();
        for (rank, member) in self.members.iter().enumerate() {
            let own = belongs_at[&member.number];
            let other = self.members[own];
            // The later of the two is met second and skipped, so that a pair is reported once.
            if rank < own && belongs_at[&other.number] == rank {
                swapped.push((*member, other));
            }
        }
        for (early, late) in swapped {
            self.displaced.extend([early.place, late.place]);
            // The later number stands first; the finding names the lower one.
            self.found(late.place, late.number, Tampering::Swapped { with: early.number });
        }
    }

    /// The fewest members whose removal leaves the rest in order are the ones that were moved.
    fn find_moved(&mut self) {
        let rest: Vec<Member> =
            self.members.iter().filter(|member| !self.displaced.contains(&member.place)).copied().collect();
        let in_order = longest_increasing(&rest);
        for (rank, member) in rest.iter().enumerate() {
            if !in_order.contains(&member.place) {
                let after = if rank == 0 { 0 } else { rest[rank - 1].number };
                self.displaced.insert(member.place);
                self.found(member.place, member.number, Tampering::Moved { after });
            }
        }
    }

    fn find_renumbered(&mut self) {
        let mut block: Option<(Member, u64, u64)> = None;
        let mut blocks = Vec::new();
        for member in &self.sorted {
            let stored = self.book.marks[member.place].stored;
            if stored == member.number || self.displaced.contains(&member.place) {
                blocks.extend(block.take());
                continue;
            }
            match &mut block {
                Some((_, last, last_stored)) if member.number == *last + 1 && stored == last_stored.wrapping_add(1) => {
                    (*last, *last_stored) = (member.number, stored);
                }
                _ => blocks.extend(block.replace((*member, member.number, stored))),
            }
        }
        blocks.extend(block);
        for (first, last, _) in blocks {
            let stored = self.book.marks[first.place].stored;
            self.found(first.place, first.number, Tampering::Renumbered { last, stored });
        }
    }

    /// A genuine entry that its genuine successor was not chained to.
    fn find_replaced(&mut self) {
        for pair in self.sorted.clone().windows(2) {
            let genuine = pair.iter().all(|member| self.roles[member.place] == Role::Genuine);
            let (entry, next) = (self.book.marks[pair[0].place], self.book.marks[pair[1].place]);
            if genuine && pair[0].number + 1 == pair[1].number && entry.hash != next.previous {
                self.doubtful.insert(pair[0].number);
                self.found(pair[0].place, pair[0].number, Tampering::Replaced);
            }
        }
        let first = self.sorted.first().copied().filter(|first| first.number == 1);
        if let Some(first) = first.filter(|first| self.roles[first.place] == Role::Genuine)
            && self.book.marks[first.place].previous != short(&GENESIS)
        {
            self.found(first.place, 1, Tampering::Broken);
        }
    }

    fn find_differing_heads<'a>(&mut self, heads: impl Iterator<Item = &'a Head>) {
        for head in heads {
            let Ok(rank) = self.sorted.binary_search_by_key(&head.count, |member| member.number) else { continue };
            let place = self.sorted[rank].place;
            let differs = self.book.marks[place].hash != short(&head.hash);
            // One reason for one entry is enough: an edited one is named already.
            if differs && self.roles[place] == Role::Genuine && self.doubtful.insert(head.count) {
                self.found(place, head.count, Tampering::HeadDiffers);
            }
        }
    }

    /// Numbers that no member has, up to the last one that a head counts.
    fn find_missing(&mut self, count: u64) {
        let mut expected = 1_u64;
        let numbers: Vec<u64> = self.sorted.iter().map(|member| member.number).collect();
        for number in numbers.into_iter().chain([count.saturating_add(1)]) {
            if number > expected {
                let what = Tampering::Missing { last: number - 1, events: Vec::new() };
                self.findings.push(Finding { seq: expected, run: None, event: None, what });
            }
            expected = expected.max(number.saturating_add(1));
        }
    }

    /// Events that a run lacks belong to the missing entries among which they would stand, if any.
    fn find_incomplete_runs(&mut self) {
        for (run, members) in self.members_by_run() {
            let mut before = Member { number: 0, place: 0 };
            let mut expected = 1;
            for member in members {
                let run_seq = self.book.marks[member.place].run_seq;
                if run_seq > expected {
                    let run = self.book.names.text(run).to_owned();
                    self.lost(LostEvents { run, first: expected, last: run_seq - 1 }, before, member);
                }
                expected = expected.max(run_seq.saturating_add(1));
                before = member;
            }
        }
    }

    fn lost(&mut self, events: LostEvents, before: Member, after: Member) {
        let between = |number: u64| before.number < number && number < after.number;
        if self.doubtful.iter().any(|number| between(*number)) {
            return;
        }
        let gap = self.findings.iter_mut().find_map(|finding| match &mut finding.what {
            Tampering::Missing { events, .. } if between(finding.seq) => Some(events),
            _ => None,
        });
        match gap {
            Some(missing) => missing.push(events),
            None => self.found(after.place, after.number, Tampering::Incomplete { events }),
        }
    }

    /// Members of each run in the order of their numbers, without those whose content is in doubt.
    fn members_by_run(&self) -> BTreeMap<u32, Vec<Member>> {
        let mut runs: BTreeMap<u32, Vec<Member>> = BTreeMap::new();
        for member in self.sorted.iter().filter(|member| !self.doubtful.contains(&member.number)) {
            runs.entry(self.book.marks[member.place].run).or_default().push(*member);
        }
        runs
    }
}

/// Whether each of the two fits its hash with the other's content, or with the other's body alone.
fn are_exchanged(left: &Entry, right: &Entry) -> bool {
    let fits = |entry: &Entry, content: &Content| hash_of(entry.seq, content, &entry.previous) == entry.hash;
    let with_body =
        |entry: &Entry, other: &Entry| Content { body: other.content.body.clone(), ..entry.content.clone() };
    (fits(left, &right.content) && fits(right, &left.content))
        || (fits(left, &with_body(left, right)) && fits(right, &with_body(right, left)))
}

/// The places of a longest run of members whose numbers increase.
fn longest_increasing(members: &[Member]) -> HashSet<usize> {
    // `tails[n]` is the rank of the smallest member that ends an increasing run of n + 1 members.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(members.len());
    for (rank, member) in members.iter().enumerate() {
        let length = tails.partition_point(|tail| members[*tail].number < member.number);
        before.push(length.checked_sub(1).map(|shorter| tails[shorter]));
        tails.truncate(tails.len().max(length));
        match tails.get_mut(length) {
            Some(tail) => *tail = rank,
            None => tails.push(rank),
        }
    }
    let last = tails.last().copied();
    std::iter::successors(last, |rank| before[*rank]).map(|rank| members[rank].place).collect()
}
