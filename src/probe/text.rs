//! Text from outside made safe to show: no control characters, no runaway length.

use crate::base::redaction;

/// Text for people from bytes of any encoding, at most about `limit` bytes of it.
///
/// Control characters could move the cursor or recolour a terminal, and direction marks could make a
/// line read as something else; both appear as escapes. What is not UTF-8 appears as U+FFFD.
pub(super) fn clean(bytes: &[u8], limit: usize) -> String {
    // Masked before it is cut, or the part of a secret that is left would be shown.
    let masked = redaction::known();
    let bytes = masked.bytes(bytes);
    // Looking at a little more than `limit` decides whether something was cut, whatever its length.
    let head = &bytes[..bytes.len().min(limit + 4)];
    let mut shown = String::with_capacity(head.len().min(limit));
    for letter in String::from_utf8_lossy(head).chars() {
        let before = shown.len();
        push_visible(&mut shown, letter);
        if shown.len() > limit {
            shown.truncate(before);
            shown.push('…');
            return shown;
        }
    }
    shown
}

fn push_visible(shown: &mut String, letter: char) {
    if letter.is_control() || is_direction_mark(letter) {
        shown.extend(letter.escape_default());
    } else {
        shown.push(letter);
    }
}

fn is_direction_mark(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_marks_are_visible() {
        assert_eq!(clean(b"a\x1b[31mb\tc\x00", 99), r"a\u{1b}[31mb\tc\u{0}");
        assert_eq!(clean("x\u{202e}y".as_bytes(), 99), r"x\u{202e}y");
        assert_eq!(clean("größe ✓".as_bytes(), 99), "größe ✓");
    }

    #[test]
    fn other_encodings_are_replaced() {
        assert_eq!(clean(b"caf\xe9", 99), "caf\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(clean(b"abcdef", 3), "abc…");
        assert_eq!(clean(b"abc", 3), "abc");
        assert_eq!(clean("äöü".as_bytes(), 3), "ä…");
        assert!(clean(&vec![0x1b; 1 << 20], 100).len() < 110);
    }
}
