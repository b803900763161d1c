//! Data inside HTML and XML: nothing from outside can become an element or an attribute.

use super::text::escape_control;

/// Data as text between tags, or inside a quoted attribute. One line, and only characters that XML 1.0 allows.
pub fn escape(text: &str) -> String {
    let text = escape_control(text);
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // The two characters that are neither control characters nor allowed.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_from_outside_is_text() {
        assert_eq!(
            escape("<script>alert('1')</script> & \"]]>\u{1b}\n"),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;]]&gt;\\x1b\\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_text(text in any::<String>()) {
            let document = format!("<a b=\"{0}\">{0}</a>", escape(&text));
            let parsed = roxmltree::Document::parse(&document).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let root = parsed.root_element();
            let expected = escape_control(&text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
            prop_assert_eq!(root.attribute("b"), Some(&*expected));
            prop_assert_eq!(root.text().unwrap_or_default(), &*expected);
            prop_assert!(!root.has_children() || root.children().all(|child| child.is_text()));
        }
    }
}
