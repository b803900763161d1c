//! The verifier: reads entries one by one, then says what is not as it was written.
//!
//! Whether a chain is sound is decided while reading, with whole hashes. What exactly happened to an
//! unsound one is worked out at the end by `explain`, from what the `book` keeps of every entry.

use super::book::Book;
use super::explain::explain;
use super::tree_check::TreeCheck;
use super::{Completeness, Entry, Finding, Hash, Head, Report, Tampering, Trust, hash_of};

/// How far from its place the number of an entry is looked for, and for how many entries: enough for
/// a handful of deletions, and a file of rubbish still takes seconds, not hours.
const FARTHEST_GUESS: u64 = 32;
const GUESSES: u32 = 1_000;

/// Checks a chain. Feed it every entry in the order it is stored in, then ask for the report.
#[derive(Debug)]
pub struct Verifier {
    end: Option<Head>,
    anchors: Vec<Anchor>,
    book: Book,
    last: Head,
    /// The last entry whose number its hash confirms.
    proven: Head,
    sound: bool,
    guesses: u32,
    unreadable: Vec<Finding>,
    tree: TreeCheck,
}

/// A head kept elsewhere, and whether the entry it names was met.
#[derive(Debug)]
struct Anchor {
    head: Head,
    met: bool,
}

impl Default for Verifier {
    fn default() -> Self {
        Verifier::new()
    }
}

impl Verifier {
    pub fn new() -> Self {
        Verifier {
            end: None,
            anchors: Vec::new(),
            book: Book::default(),
            last: Head::EMPTY,
            proven: Head::EMPTY,
            sound: true,
            guesses: GUESSES,
            unreadable: Vec::new(),
            tree: TreeCheck::default(),
        }
    }

    /// The chain must end with this head: the one stored beside the entries.
    pub fn end_at(&mut self, head: Head) {
        self.end = Some(head);
    }

    /// The chain must pass through this head, which was kept where the writer of the journal cannot
    /// change it.
    #[must_use]
    pub fn passing(mut self, head: Head) -> Self {
        let met = head == Head::EMPTY;
        self.anchors.push(Anchor { head, met });
        self
    }

    /// The trail is held against `trust`; `inside` are the checkpoints stored beside its entries.
    #[must_use]
    pub fn trusting(self, trust: &Trust, inside: &[String]) -> Self {
        let mut verifier = trust.heads.iter().fold(self, |verifier, head| verifier.passing(*head));
        verifier.tree = TreeCheck::new(trust, inside);
        verifier
    }

    /// The kept nodes of the tree give this root for all entries.
    pub fn tree_ends_with(&mut self, root: Hash) {
        self.tree.end = Some(root);
    }

    /// Takes the next entry.
    pub fn feed(&mut self, entry: Entry) {
        let number = self.confirmed_number(&entry);
        let follows = Some(entry.seq) == self.last.count.checked_add(1) && entry.previous == self.last.hash;
        self.sound &= follows && number == Some(entry.seq);
        self.last = Head::of(&entry);
        for anchor in &mut self.anchors {
            anchor.met |= anchor.head == self.last;
        }
        self.tree.feed(&entry);
        if let Some(number) = number {
            self.proven = Head { count: number, hash: entry.hash };
        }
        self.book.note(entry, number);
    }

    /// Notes something in the place of an entry that is none.
    pub fn feed_unreadable(&mut self, line: u64, why: impl Into<String>) {
        self.sound = false;
        let what = Tampering::Unreadable { line, why: why.into() };
        self.unreadable.push(Finding { seq: self.last.count + 1, run: None, event: None, what });
    }

    /// The number under which the entry matches its hash: its own, or another one when somebody
    /// numbered the entries anew.
    fn confirmed_number(&mut self, entry: &Entry) -> Option<u64> {
        let fits = |number: u64| hash_of(number, &entry.content, &entry.previous) == entry.hash;
        if fits(entry.seq) {
            return Some(entry.seq);
        }
        let next = self.proven.count.saturating_add(1);
        if entry.previous == self.proven.hash && fits(next) {
            return Some(next);
        }
        // Behind a deleted entry whose number was closed up, only trying finds the old number.
        self.guesses = self.guesses.checked_sub(1)?;
        let near = |distance| [entry.seq.checked_add(distance), entry.seq.checked_sub(distance)];
        (1..=FARTHEST_GUESS).flat_map(near).flatten().find(|number| fits(*number))
    }

    /// Everything that was found.
    pub fn finish(self) -> Report {
        let unmet: Vec<Head> = self.anchors.iter().filter(|anchor| !anchor.met).map(|anchor| anchor.head).collect();
        let met = self.anchors.iter().filter(|anchor| anchor.met).map(|anchor| anchor.head.count);
        let met = met.chain([self.tree.anchored]).max().unwrap_or(0);
        let sound = self.sound && unmet.is_empty() && self.end.is_none_or(|end| end == self.last);
        let mut report = Report {
            entries: self.book.marks.len() as u64,
            runs: self.book.runs(),
            head: self.last,
            end_checked: self.end.is_some(),
            anchored: met,
            anchored_at: self.tree.written_at(met),
            signed: self.tree.signed,
            completeness: if met > 0 { Completeness::ProvenToAnchor } else { Completeness::Unprovable },
            findings: self.unreadable,
        };
        report.findings.extend(explain(self.book, self.end, &unmet, sound));
        if report.findings.is_empty() && !sound {
            let seq = report.head.count;
            report.findings.push(Finding { seq, run: None, event: None, what: Tampering::Broken });
        }
        // In a broken chain every root differs; the chain says better what happened.
        let roots = self.tree.finish(report.findings.is_empty());
        report.findings.extend(roots);
        report.findings.sort_by_key(|finding| finding.seq);
        if report.findings.iter().any(|finding| finding.is_about_the_end(report.head.count)) {
            report.completeness = Completeness::Incomplete;
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{chain, content};
    use super::*;
    use crate::audit::Content;

    const LENGTH: u64 = 24;

    fn report(entries: Vec<Entry>) -> Report {
        let end = Head::of(chain(LENGTH).last().unwrap());
        check(ending_at(end), entries)
    }

    fn ending_at(head: Head) -> Verifier {
        let mut verifier = Verifier::new();
        verifier.end_at(head);
        verifier
    }

    fn check(mut verifier: Verifier, entries: Vec<Entry>) -> Report {
        entries.into_iter().for_each(|entry| verifier.feed(entry));
        verifier.finish()
    }

    /// The findings about a chain that `damage` was done to, as people read them.
    fn findings(damage: impl FnOnce(&mut Vec<Entry>)) -> Vec<String> {
        let mut entries = chain(LENGTH);
        damage(&mut entries);
        report(entries).findings.iter().map(ToString::to_string).collect()
    }

    fn named(seq: u64, what: &str) -> String {
        format!("entry {seq} (run 1122-170012-k3f9, step_finished) {what}")
    }

    /// An entry that is sound in itself, in the place of number `seq`.
    fn forged(seq: u64, previous: Hash) -> Entry {
        Head { count: seq - 1, hash: previous }.chain(content("forged", 1, "{}"))
    }

    const EDITED: &str = "was edited: it does not match its own hash";
    const REPLACED: &str = "was replaced: the entry after it was chained to another one";
    const INSERTED: &str = "was inserted: it was never part of the chain";

    #[test]
    fn a_chain_as_written_is_sound() {
        let report = report(chain(LENGTH));
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!((report.entries, report.runs, report.end_checked), (LENGTH, 1, true));
        assert_eq!(report.head, Head::of(&chain(LENGTH)[23]));
        assert!(check(ending_at(Head::EMPTY), Vec::new()).is_sound());
    }

    #[test]
    fn an_edited_body_run_time_or_link_is_named() {
        let edits: [fn(&mut Entry); 5] = [
            |entry| entry.content.body.push(' '),
            |entry| entry.content.at += 1,
            |entry| entry.previous[31] ^= 1,
            |entry| entry.hash[0] ^= 1,
            |entry| entry.content.run_seq += 1,
        ];
        for edit in edits {
            assert_eq!(findings(|entries| edit(&mut entries[16])), [named(17, EDITED)]);
        }
        let edited = findings(|entries| entries[16].content.run = "\u{1b}[2Jclean".into());
        assert_eq!(
            edited,
            [r"entry 17 (run \u{1b}[2Jclean, step_finished) was edited: it does not match its own hash"]
        );
    }

    #[test]
    fn an_entry_with_a_new_hash_is_named() {
        let replaced = findings(|entries| {
            let before = Head::of(&entries[15]);
            entries[16] = before.chain(Content { body: "{}".into(), ..entries[16].content.clone() });
        });
        assert_eq!(replaced, [named(17, REPLACED)]);
    }

    #[test]
    fn a_chain_written_anew_from_an_entry_on_differs_from_its_head() {
        let mut entries = chain(LENGTH);
        entries[16].content.body = "{}".into();
        for place in 16..entries.len() {
            entries[place] = Head::of(&entries[place - 1]).chain(entries[place].content.clone());
        }
        let anew = report(entries.clone()).findings;
        assert_eq!(anew.len(), 1);
        assert_eq!((anew[0].seq, &anew[0].what), (24, &Tampering::HeadDiffers));
        let anchor = Head::of(&chain(LENGTH)[19]);
        let anchored = check(Verifier::new().passing(anchor), entries.clone());
        assert_eq!((anchored.findings[0].seq, &anchored.findings[0].what), (20, &Tampering::HeadDiffers));
        assert_eq!(anchored.anchored, 0);
        let early = check(Verifier::new().passing(Head::of(&chain(10)[9])), entries);
        assert_eq!((early.anchored, early.is_sound(), early.end_checked), (10, true, false));
    }

    #[test]
    fn missing_entries_are_named_with_their_events() {
        let lost = findings(|entries| drop(entries.remove(17)));
        assert_eq!(lost, ["entry 18 is missing: event 18 of run 1122-170012-k3f9"]);
        let lost = findings(|entries| drop(entries.drain(17..20)));
        assert_eq!(lost, ["entries 18 to 20 are missing, among them events 18 to 20 of run 1122-170012-k3f9"]);
        assert_eq!(findings(|entries| entries.truncate(22)), ["entries 23 to 24 are missing"]);
        assert_eq!(findings(Vec::clear), ["entries 1 to 24 are missing"]);
    }

    #[test]
    fn deleted_entries_whose_numbers_were_closed_up_are_missing_all_the_same() {
        let lost = findings(|entries| {
            entries.remove(17);
            entries[17..].iter_mut().for_each(|entry| entry.seq -= 1);
        });
        assert_eq!(lost[0], "entry 18 is missing: event 18 of run 1122-170012-k3f9");
        assert_eq!(lost[1..], ["entries 19 to 24 are renumbered, starting with 18"]);
    }

    #[test]
    fn a_run_that_lacks_events_in_a_fitting_chain_is_named() {
        let mut head = Head::EMPTY;
        let next = |run_seq| {
            let entry = head.chain(content("run", run_seq, "{}"));
            head = Head::of(&entry);
            entry
        };
        let entries: Vec<Entry> = [1, 2, 4].into_iter().map(next).collect();
        let found = check(ending_at(head), entries).findings;
        let events = crate::audit::LostEvents { run: "run".into(), first: 3, last: 3 };
        assert_eq!((found.len(), found[0].seq, &found[0].what), (1, 3, &Tampering::Incomplete { events }));
    }

    #[test]
    fn inserted_entries_are_named() {
        let name = |seq| format!("entry {seq} (run forged, step_finished) {INSERTED}");
        let second = |previous_at: usize, at: usize| {
            findings(move |entries| entries.insert(at, forged(20, entries[previous_at].hash)))
        };
        // A second entry 20, before or after the genuine one, linked or not.
        for (previous_at, at) in [(18, 19), (18, 20), (3, 19), (3, 22)] {
            assert_eq!(second(previous_at, at), [name(20)], "{previous_at} {at}");
        }
        let shifted = findings(|entries| {
            entries.insert(19, forged(20, entries[18].hash));
            entries[20..].iter_mut().for_each(|entry| entry.seq += 1);
        });
        assert_eq!(shifted, [name(20), "entries 20 to 24 are renumbered, starting with 21".into()]);
        assert_eq!(findings(|entries| entries.push(forged(25, entries[23].hash))), [name(25)]);
        let unsound = findings(|entries| {
            entries.insert(19, Entry { hash: [7; 32], ..forged(20, entries[18].hash) });
            entries[20..].iter_mut().for_each(|entry| entry.seq += 1);
        });
        assert_eq!(unsound[0], name(20));
    }

    #[test]
    fn swapped_entries_are_named() {
        for (left, right) in [(20_u64, 21_u64), (3, 17), (1, 24)] {
            let said = vec![format!("entries {left} and {right} were swapped (run 1122-170012-k3f9, step_finished)")];
            let (first, second) = (left as usize - 1, right as usize - 1);
            assert_eq!(findings(|entries| entries.swap(first, second)), said, "lines");
            let rows = |entries: &mut Vec<Entry>| {
                entries.swap(first, second);
                (entries[first].seq, entries[second].seq) = (left, right);
            };
            assert_eq!(findings(rows), said, "numbers");
            let bodies = |entries: &mut Vec<Entry>| {
                let body = entries[first].content.body.clone();
                entries[first].content.body = std::mem::replace(&mut entries[second].content.body, body);
            };
            assert_eq!(findings(bodies), said, "bodies");
        }
    }

    #[test]
    fn a_moved_entry_is_named_and_its_neighbours_are_not() {
        let moved = findings(|entries| {
            let entry = entries.remove(4);
            entries.insert(20, entry);
        });
        assert_eq!(moved, [named(5, "was moved: it stands after entry 21")]);
        let moved = findings(|entries| {
            let entry = entries.remove(20);
            entries.insert(0, entry);
        });
        assert_eq!(moved, [named(21, "was moved to the beginning")]);
    }

    #[test]
    fn several_damages_are_all_reported() {
        let all = findings(|entries| {
            entries[2].content.body.clear();
            entries.swap(19, 20);
            entries.remove(9);
        });
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[0].starts_with("entry 3 ") && all[1].starts_with("entry 10 is missing"), "{all:?}");
        assert!(all[2].starts_with("entries 20 and 21 were swapped"), "{all:?}");
    }

    #[test]
    fn without_a_head_the_end_is_not_vouched_for() {
        let report = check(Verifier::new(), chain(LENGTH - 2));
        assert!(report.is_sound() && !report.end_checked && report.anchored == 0);
    }

    proptest! {
        /// Whatever is done to the chain, a chain that is not the one written is never called sound.
        #[test]
        fn no_damage_goes_unnoticed(damages in prop::collection::vec((0_u8..6, any::<u8>(), any::<u8>()), 1..6)) {
            let mut entries = chain(LENGTH);
            for (what, first, second) in damages {
                let length = entries.len();
                if length == 0 { break; }
                let (place, other) = (usize::from(first) % length, usize::from(second) % length);
                match what {
                    0 => entries[place].content.body.push('x'),
                    1 => drop(entries.remove(place)),
                    2 => entries.swap(place, other),
                    3 => entries[place].seq = u64::from(second),
                    4 => entries.insert(place, entries[other].clone()),
                    _ => entries[place] = forged(u64::from(first) + 1, entries[other].hash),
                }
            }
            let same = entries == chain(LENGTH);
            prop_assert_eq!(report(entries).is_sound(), same);
        }
    }
}
