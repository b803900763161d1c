//! What the verifier remembers of the entries it read: a mark of each, some sixty bytes, so that a
//! million entries fit in the memory of any machine, and the whole of those that look wrong.

use std::collections::{HashMap, HashSet};

use super::{Entry, Finding, GENESIS, Hash, Tampering, hash_of};

/// Of so many entries that do not match their hash the whole content is kept, to find out whether
/// they were moved. Somebody who edits more than this has not moved a few entries.
const SUSPECTS_KEPT: usize = 10_000;

/// What is remembered of the entries.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub marks: Vec<Mark>,
    /// Entries that do not match their hash, each with the place of its mark.
    pub suspects: Vec<(usize, Entry)>,
    pub names: Names,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// The number it is stored under.
    pub stored: u64,
    /// The number its hash confirms.
    pub number: Option<u64>,
    pub run: u32,
    pub run_seq: u64,
    pub kind: u32,
    /// The beginning of each hash: enough to explain with, too little to prove with.
    pub previous: u64,
    pub hash: u64,
}

/// Texts that many entries share, stored once.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Names {
    fn number_of(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    pub fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}

pub(super) fn short(hash: &Hash) -> u64 {
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

impl Book {
    pub fn note(&mut self, entry: Entry, number: Option<u64>) {
        self.marks.push(Mark {
            stored: entry.seq,
            number,
            run: self.names.number_of(&entry.content.run),
            run_seq: entry.content.run_seq,
            kind: self.names.number_of(&entry.content.kind),
            previous: short(&entry.previous),
            hash: short(&entry.hash),
        });
        if number.is_none() && self.suspects.len() < SUSPECTS_KEPT {
            self.suspects.push((self.marks.len() - 1, entry));
        }
    }

    /// How many runs there are. Streams of standing orders and of the intake, which are none, begin with a dot.
    pub fn runs(&self) -> u64 {
        let streams: HashSet<u32> = self.marks.iter().map(|mark| mark.run).collect();
        streams.into_iter().filter(|stream| !self.names.text(*stream).starts_with('.')).count() as u64
    }

    /// A finding about the entry at this place, under the number it is known by.
    pub fn finding(&self, place: usize, seq: u64, what: Tampering) -> Finding {
        let mark = &self.marks[place];
        let (run, event) = (self.names.text(mark.run).to_owned(), self.names.text(mark.kind).to_owned());
        Finding { seq, run: Some(run), event: Some(event), what }
    }

    /// Finds the number of each suspect whose predecessor is known by its hash, until no more are found.
    pub fn number_suspects(&mut self) {
        let mut known: HashMap<u64, u64> =
            self.marks.iter().filter_map(|mark| mark.number.map(|number| (mark.hash, number))).collect();
        known.insert(short(&GENESIS), 0);
        loop {
            let before = self.suspects.len();
            let marks = &mut self.marks;
            self.suspects.retain(|(place, entry)| {
                let Some(previous) = known.get(&short(&entry.previous)) else { return true };
                let number = previous.saturating_add(1);
                if hash_of(number, &entry.content, &entry.previous) != entry.hash {
                    return true;
                }
                marks[*place].number = Some(number);
                known.insert(short(&entry.hash), number);
                false
            });
            if self.suspects.len() == before {
                return;
            }
        }
    }
}
