//! Signed notes: a short text with signature lines below it, as people and tools of transparency logs
//! exchange it (C2SP signed-note).
//!
//! ```text
//! runbook/web-1/5f0c9a12          the text, which ends with a line break
//! 59
//! ftGhjy…=
//!                                 an empty line
//! — runbook/web-1/5f0c9a12 x08go/ZJ…=
//! ```

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// The specification asks for at least 16; more is a file that only wants to be read for long.
const MOST_SIGNATURES: usize = 64;

/// A text with its signatures, none of which is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub text: String,
    pub signatures: Vec<SignatureLine>,
}

/// One signature: whose it says it is, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    pub name: String,
    /// The first bytes of a hash over the name and the public key.
    pub id: [u8; 4],
    pub signature: Vec<u8>,
}

/// Text that is not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a signed note: {0}")]
pub struct InvalidNote(&'static str);

impl Note {
    /// Reads a note; its signatures still have to be verified.
    pub fn parse(source: &str) -> Result<Self, InvalidNote> {
        if source.chars().any(|character| character < ' ' && character != '\n') {
            return Err(InvalidNote("it has control characters"));
        }
        let (text, below) = source.rsplit_once("\n\n").ok_or(InvalidNote("it has no empty line"))?;
        let lines = below.strip_suffix('\n').ok_or(InvalidNote("its last line does not end"))?;
        let signatures = lines.split('\n').map(SignatureLine::parse).collect::<Option<Vec<_>>>();
        let signatures = signatures.ok_or(InvalidNote("a line below the text is not a signature"))?;
        if signatures.len() > MOST_SIGNATURES {
            return Err(InvalidNote("it has too many signatures"));
        }
        Ok(Note { text: format!("{text}\n"), signatures })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}

impl SignatureLine {
    /// Reads one line, without its line break.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        if !is_key_name(name) {
            return None;
        }
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        Some(SignatureLine { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }

    /// The identifier and the signature, as the line has them.
    pub fn encoded(&self) -> String {
        BASE64_STANDARD.encode([self.id.as_slice(), &self.signature].concat())
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{DASH}{} {}", self.name, self.encoded())
    }
}

/// Whether a line belongs to the signatures of a note.
pub(super) fn is_signature_line(line: &str) -> bool {
    line.starts_with(DASH)
}

/// Names stand between spaces in a note and between plus signs in a key.
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|character: char| character.is_whitespace() || character == '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "\u{2014} example.com/log Az3grlgtzPICa5OS8npVmf1Myq8=\n";

    #[test]
    fn a_note_survives_its_text() {
        let source = format!("a text\n\nwith an empty line\n\n{SIGNATURE}{SIGNATURE}");
        let note = Note::parse(&source).unwrap();
        assert_eq!((note.text.as_str(), note.signatures.len()), ("a text\n\nwith an empty line\n", 2));
        assert_eq!(note.to_string(), source);
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let unsigned = SIGNATURE.replacen('\u{2014}', "-", 1);
        let unnamed = SIGNATURE.replace("example.com/log", "exam+ple");
        let cut = SIGNATURE.trim_end();
        let bad = ["", "text\n", "text\n\n", SIGNATURE];
        let bad = bad.into_iter().map(str::to_owned).chain([
            format!("text\n\n{unsigned}"),
            format!("text\n\n{unnamed}"),
            format!("text\n\n{cut}"),
            format!("te\u{1b}xt\n\n{SIGNATURE}"),
            format!("text\n\n{}", SIGNATURE.repeat(MOST_SIGNATURES + 1)),
        ]);
        for source in bad {
            assert!(Note::parse(&source).is_err(), "{source:?}");
        }
    }
}
