//! Making text from elsewhere safe to show: alert labels and step outputs reach people's terminals,
//! mail readers and chat windows.

/// The text with every character that moves a cursor, colours a terminal or turns the reading
/// direction shown as an escape. Line breaks stay.
pub fn visible(text: &str) -> String {
    escape(text, |letter| letter != '\n' && is_deceptive(letter))
}

/// Like [`visible`], and line breaks are escaped too, so that a value cannot pretend to be a line of
/// the message around it.
pub fn one_line(text: &str) -> String {
    escape(text, is_deceptive)
}

fn escape(text: &str, unwanted: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if unwanted(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            // Line and paragraph separators, then the marks that change the reading direction.
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `limit` characters, the last one an ellipsis when something was cut.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_turned_text_become_visible() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\u{202e}d\0"), "a\\u{1b}[2Jb\nc\\u{202e}d\\u{0}");
        assert_eq!(one_line("a\r\nb"), "a\\r\\nb");
        assert_eq!(one_line("a\u{2028}b\u{2029}c\u{2066}d\u{200f}e"), "a\\u{2028}b\\u{2029}c\\u{2066}d\\u{200f}e");
        assert_eq!(one_line("Größe 5 µm"), "Größe 5 µm");
    }

    #[test]
    fn shortened_text_counts_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }
}
