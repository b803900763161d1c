//! Data inside Markdown: nothing from outside can become markup, a link or HTML.

use crate::report::text::escape_control;

/// Data as prose, for any place but the beginning of a line.
pub fn prose(text: &str) -> String {
    let text = escape_control(text);
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut rest = &*text;
    while let Some(character) = rest.chars().next() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Renderers make links of bare addresses; these are not ours to recommend.
            ':' if rest.starts_with("://") => escaped.push_str("&#58;"),
            '.' if escaped.to_ascii_lowercase().ends_with("www") => escaped.push_str("\\."),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
        rest = &rest[character.len_utf8()..];
    }
    escaped
}

/// Data of several lines as prose in a table cell.
pub fn prose_lines(text: &str) -> String {
    text.trim_end().lines().map(prose).collect::<Vec<_>>().join("<br>")
}

/// Data as a code span, in which nothing has a meaning.
pub fn code(text: &str) -> String {
    let text = escape_control(text);
    if text.trim().is_empty() {
        return "–".to_owned();
    }
    // A span ends at a run of as many backticks as it began with.
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A space is dropped again by the renderer if there is one on both sides.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Data as a code span in a table cell, where a bar would end the cell even inside code.
pub fn code_cell(text: &str) -> String {
    // Renderers disagree about a backslash before an escaped bar, so such data is shown as prose.
    if text.contains("\\|") { prose(text) } else { code(text).replace('|', "\\|") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_from_outside_is_text() {
        assert_eq!(
            prose("<script>alert(1)</script> & [x](y) **b** `c` a|b #1 _d_"),
            r"&lt;script&gt;alert(1)&lt;/script&gt; &amp; \[x\](y) \*\*b\*\* \`c\` a\|b \#1 \_d\_"
        );
        assert_eq!(
            prose("see http://evil.example or www.evil.example"),
            r"see http&#58;//evil.example or www\.evil.example"
        );
        assert_eq!(prose("one\ntwo\u{1b}[0m"), r"one\\ntwo\\x1b\[0m");
    }

    #[test]
    fn code_spans_hold_backticks() {
        assert_eq!(code("a `b` c"), "``a `b` c``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code(""), "–");
        assert_eq!(code_cell("a || b"), r"`a \|\| b`");
        assert_eq!(code_cell(r"a\|b"), r"a\\\|b");
    }

    /// Undoes what a renderer would read as an escape, and tells the characters left that have meaning.
    fn meaningful(markdown: &str) -> Vec<char> {
        let mut found = Vec::new();
        // A number sign in a character reference is read with it.
        let markdown = markdown.replace("&#58;", ":");
        let mut characters = markdown.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => {
                    characters.next();
                }
                '<' | '>' | '`' | '*' | '_' | '[' | ']' | '#' | '|' => found.push(character),
                _ => {}
            }
        }
        found
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_character_with_meaning(text in "\\PC*|(://|#|a){0,4}|[\\\\`*_\\[\\]#|<>&\n\u{1b}]{0,20}") {
            prop_assert_eq!(meaningful(&prose(&text)), Vec::<char>::new());
            prop_assert!(!prose(&text).contains(char::is_control));
        }

        #[test]
        fn no_cell_ends_early(text in "[a\\\\`|\n ]{0,12}") {
            let cell = code_cell(&text);
            let mut previous_escapes = 0;
            for character in cell.chars() {
                prop_assert!(character != '|' || previous_escapes % 2 == 1, "{}", cell);
                previous_escapes = if character == '\\' { previous_escapes + 1 } else { 0 };
            }
        }
    }
}
