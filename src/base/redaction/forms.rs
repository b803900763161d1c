//! The forms in which a secret turns up: programs quote, escape and encode what they print.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::SHORTEST;

/// Every form of the secret as a whole, and of each of its lines that is long enough to be telling.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let lines = secret.lines().map(str::trim).filter(|line| telling(line));
    let parts: BTreeSet<&str> = lines.chain([secret]).filter(|part| !part.is_empty()).collect();
    let forms: BTreeSet<String> = parts.into_iter().flat_map(of_part).collect();
    forms.into_iter().map(String::into_bytes).collect()
}

/// A line such as `}` or `-----` stands everywhere.
fn telling(line: &str) -> bool {
    line.chars().count() >= SHORTEST && line.chars().any(char::is_alphanumeric)
}

fn of_part(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned(), hex::encode(text), hex::encode_upper(text)];
    forms.extend(base64(text.as_bytes()));
    forms.extend(json(text));
    forms.extend(percent(text));
    forms.extend(shell(text));
    forms
}

/// Where three bytes become four letters, the letters depend on where among other bytes the secret stands:
/// at each of the three alignments, the letters that depend on nothing but the secret. The whole encoded by
/// itself comes on top, so that not even the last letter is left.
fn base64(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [STANDARD, URL_SAFE] {
        let alone = engine.encode(bytes);
        forms.extend([alone.trim_end_matches('=').to_owned(), alone]);
        for before in 0..3 {
            let shifted = engine.encode([&[0; 2][..before], bytes].concat());
            let first = (before * 8_usize).div_ceil(6);
            let end = (before + bytes.len()) * 8 / 6;
            forms.push(shifted[first..end].to_owned());
        }
    }
    forms
}

/// As JSON writers escape a text: plainly, with `\/`, in ASCII only, and safe for HTML.
fn json(text: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(text).to_string();
    let plain = quoted[1..quoted.len() - 1].to_owned();
    let slashes = plain.replace('/', "\\/");
    let html = |text: &str| escape_units(text, |letter| matches!(letter, '<' | '>' | '&' | '\''));
    let ascii = |text: &str| escape_units(text, |letter| !letter.is_ascii());
    let safe = html(&plain);
    let several = [ascii(&plain), ascii(&slashes), ascii(&safe), plain, slashes, safe];
    several.iter().map(|form| with_upper_escapes(form)).chain(several.clone()).collect()
}

fn escape_units(text: &str, wanted: impl Fn(char) -> bool) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if wanted(letter) {
            escaped.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// `\u00e9` as `\u00E9`.
fn with_upper_escapes(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(4).unwrap_or((part, ""));
        result.extend(["\\u", &digits.to_ascii_uppercase(), rest]);
    }
    result
}

/// The letters that each way to escape for an address leaves as they are, beside letters and digits: RFC 3986,
/// JavaScript's `encodeURIComponent` and `encodeURI`, Python's `quote`, and the forms of HTML.
const LEFT: [&str; 5] = ["-._~", "-_.!~*'()", "-_.!~*'();/?:@&=+$,#", "-._~/", "*-._"];

fn percent(text: &str) -> Vec<String> {
    let all = LEFT.iter().flat_map(|left| {
        let escaped = percent_except(text, left);
        [lower_escapes(&escaped), escaped]
    });
    // In a form a space is a plus sign; a plus sign itself is escaped there.
    all.flat_map(|form| [form.replace("%20", "+"), form]).collect()
}

fn percent_except(text: &str, left: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || left.as_bytes().contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// `%2F` as `%2f`. A percent sign of the secret itself has become `%25`, so each one here begins an escape.
fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        result.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    result
}

/// As shells and those who write for them quote a text: between single quotes in two ways, between double
/// quotes, with backslashes, and in `$'…'`.
fn shell(text: &str) -> Vec<String> {
    let before = |special: &dyn Fn(char) -> bool| {
        let mut quoted = String::new();
        for letter in text.chars() {
            if special(letter) {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        quoted
    };
    let ansi = before(&|letter| matches!(letter, '\\' | '\'')).replace('\n', "\\n").replace('\t', "\\t");
    vec![
        text.replace('\'', r"'\''"),
        text.replace('\'', r#"'"'"'"#),
        before(&|letter| matches!(letter, '"' | '\\' | '$' | '`')),
        before(&|letter| matches!(letter, '"' | '\\' | '$' | '`' | '!')),
        before(&|letter| letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"-_./:@%+=,".contains(letter)),
        before(&|letter| letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"-_./:@%+=".contains(letter)),
        ansi.replace('\r', "\\r"),
    ]
}
