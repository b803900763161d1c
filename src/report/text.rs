//! Text on its way to a person: made harmless, measured, shortened and wrapped.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces characters that steer a terminal or hide in a text by a visible escape such as `\x1b`, so
/// that data from outside can neither move the cursor nor look like something else than it is.
/// The result is one line.
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !text.contains(is_treacherous) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        push_escaped(&mut escaped, character);
    }
    Cow::Owned(escaped)
}

/// The same for text of several lines, whose line breaks stay.
pub fn escape_control_in_lines(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => escaped.push('\n'),
            other if is_treacherous(other) => push_escaped(&mut escaped, other),
            other => escaped.push(other),
        }
    }
    escaped
}

fn push_escaped(escaped: &mut String, character: char) {
    let code = u32::from(character);
    // Writing to a string cannot fail, so the results do not matter.
    let _ = match character {
        '\n' => escaped.write_str("\\n"),
        '\r' => escaped.write_str("\\r"),
        '\t' => escaped.write_str("\\t"),
        _ if !is_treacherous(character) => escaped.write_char(character),
        _ if code < 0x100 => write!(escaped, "\\x{code:02x}"),
        _ => write!(escaped, "\\u{{{code:x}}}"),
    };
}

/// Control characters, and characters that are invisible or reorder the text around them.
pub(super) fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Columns the text takes on a terminal.
pub fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// The text, or as much of its beginning as fits into `columns` with an ellipsis.
pub fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    console::truncate_str(text, columns, "…")
}

/// Filled with spaces on the right up to `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Filled with spaces on the left up to `columns`.
pub fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Lines of at most `columns`. A longer word stays whole, since a path or an address broken in two
/// cannot be copied; runs of spaces stay too, since in a command they may mean something.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut words = text.split(' ');
    let mut lines = Vec::new();
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        if width(&line) + 1 + width(word) <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(escape_control("\u{1b}[2Jgone\u{9b}1m\u{7f}"), "\\x1b[2Jgone\\x9b1m\\x7f");
        assert_eq!(escape_control("two\r\n\tlines"), "two\\r\\n\\tlines");
    }

    #[test]
    fn text_cannot_be_reordered_or_hidden() {
        assert_eq!(escape_control("rm\u{202e}txt.sh\u{200b}"), "rm\\u{202e}txt.sh\\u{200b}");
        assert_eq!(escape_control("tag\u{e0041}"), "tag\\u{e0041}");
    }

    #[test]
    fn ordinary_text_of_any_language_stays() {
        for text in ["größer als 5 µm", "模型文件", "👩‍🔧 done"] {
            assert_eq!(escape_control(text), text);
        }
    }

    #[test]
    fn wrapping_keeps_addresses_whole() {
        let lines = wrap("get http://127.0.0.1:8000/a/very/long/address now", 12);
        assert_eq!(lines, ["get", "http://127.0.0.1:8000/a/very/long/address", "now"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(pad("模型", 6), "模型  ");
        assert_eq!(shorten("模型文件", 5), "模型…");
    }
}
