//! Checkpoints: the size and root of the tree, signed (C2SP tlog-checkpoint).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::note::{Note, SignatureLine, is_signature_line};
use super::{GENESIS, Hash, SigningKey};

/// Marks a checkpoint that had to fit on one line, as in a syslog message.
const ONE_LINE: &str = "runbook-checkpoint ";

/// The state of a log: everything in its first `size` entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is; the same as the name of its key.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Text that is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: its lines are an origin, a number of entries and a root in base64")]
pub struct InvalidCheckpoint;

impl Checkpoint {
    /// Reads the text of a note; lines after the third may say more and are left alone.
    pub fn parse(text: &str) -> Result<Self, InvalidCheckpoint> {
        let mut lines = text.lines();
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(InvalidCheckpoint);
        let (origin, digits, encoded) = (line()?, line()?, line()?);
        let size = digits.parse::<u64>().map_err(|_| InvalidCheckpoint)?;
        // One number has one text, so that two notes with different texts never mean the same.
        if size.to_string() != digits {
            return Err(InvalidCheckpoint);
        }
        let mut root = GENESIS;
        match BASE64_STANDARD.decode_slice_unchecked(encoded, &mut root) {
            Ok(32) if BASE64_STANDARD.encode(root) == encoded => Ok(Checkpoint { origin: origin.into(), size, root }),
            _ => Err(InvalidCheckpoint),
        }
    }

    /// Signs it; `key` must bear the name of the origin.
    pub fn sign(&self, key: &SigningKey) -> Note {
        let text = self.to_string();
        let signature = key.sign(&text);
        Note { text, signatures: vec![signature] }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n{}\n{}", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }
}

/// A signed checkpoint on one line, for places that keep lines: `runbook-checkpoint ORIGIN SIZE ROOT SIGNATURE`.
pub fn one_line(checkpoint: &Checkpoint, note: &Note) -> String {
    let root = BASE64_STANDARD.encode(checkpoint.root);
    let signature = note.signatures.first().map(SignatureLine::encoded).unwrap_or_default();
    format!("{ONE_LINE}{} {} {root} {signature}", checkpoint.origin, checkpoint.size)
}

/// Every note in a file that may hold anything else beside, with the number of the line it begins in,
/// counted from 1: notes one after the other, lines of a syslog, the history of a repository.
pub fn notes_in(file: &str) -> Vec<(u64, Note)> {
    let lines: Vec<&str> = file.lines().collect();
    let mut notes = Vec::new();
    let mut block = 0;
    let mut place = 0;
    while place < lines.len() {
        if let Some(note) = from_one_line(lines[place]) {
            notes.push((place as u64 + 1, note));
            (block, place) = (place + 1, place + 1);
        } else if lines[place].is_empty() {
            let below = &lines[place + 1..];
            let signatures = below.iter().take_while(|line| is_signature_line(line)).count();
            let note = lines[block..place].join("\n") + "\n\n" + &below[..signatures].join("\n") + "\n";
            notes.extend(Note::parse(&note).ok().map(|note| (block as u64 + 1, note)));
            place += 1 + signatures;
            block = place;
        } else {
            place += 1;
        }
    }
    notes
}

fn from_one_line(line: &str) -> Option<Note> {
    let (_, told) = line.split_once(ONE_LINE)?;
    let mut words = told.split_whitespace();
    let (origin, size, root, signature) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Note::parse(&format!("{origin}\n{size}\n{root}\n\n\u{2014} {origin} {signature}\n")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Verdict;

    /// The example of C2SP tlog-checkpoint and tlog-cosignature.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn key() -> SigningKey {
        SigningKey::new("runbook/web-1/5f0c9a12", &[3; 32]).unwrap()
    }

    fn signed(size: u64) -> (Checkpoint, Note) {
        let checkpoint = Checkpoint { origin: key().name().into(), size, root: [size as u8; 32] };
        let note = checkpoint.sign(&key());
        (checkpoint, note)
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.to_string(), EXAMPLE);
        assert_eq!(Checkpoint::parse(&format!("{EXAMPLE}an extension\n")).unwrap(), checkpoint);
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused() {
        for (good, bad) in
            [("20852163", "020852163"), ("20852163", "+1"), ("CsUY", "CsU"), ("q2I=", "q2J="), ("e", "\n")]
        {
            assert_eq!(Checkpoint::parse(&EXAMPLE.replacen(good, bad, 1)), Err(InvalidCheckpoint), "{bad}");
        }
        assert_eq!(Checkpoint::parse(""), Err(InvalidCheckpoint));
    }

    #[test]
    fn notes_are_found_among_other_lines() {
        let (one, two, three) = (signed(1), signed(2), signed(3));
        let line = one_line(&three.0, &three.1);
        let file = format!("commit 5f0c\n\n{}{}Nov 22 web-1 runbook[7]: {line}\n\nthe end\n\n", one.1, two.1);
        let found = notes_in(&file);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 8, 13]);
        let notes: Vec<Note> = found.into_iter().map(|(_, note)| note).collect();
        assert_eq!(notes, [one.1, two.1, three.1]);
        assert!(notes.iter().all(|note| key().public().verify(note) == Verdict::Signed));
        assert_eq!(Checkpoint::parse(&notes[2].text), Ok(three.0));
    }

    #[test]
    fn a_half_written_note_at_the_end_is_no_note() {
        let (_, note) = signed(1);
        let whole = note.to_string();
        let cuts = (0..whole.len() - 1).filter(|at| whole.is_char_boundary(*at));
        assert!(cuts.clone().count() > 100);
        for at in cuts {
            let found = notes_in(&whole[..at]);
            assert!(found.iter().all(|(_, note)| key().public().verify(note) != Verdict::Signed), "{at}: {found:?}");
        }
    }
}
