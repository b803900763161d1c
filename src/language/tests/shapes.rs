//! Plan 34: whatever a value holds, what is asked keeps its shape, and the value arrives as it is or is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::Values;
use crate::base::{Route, environment};
use crate::language::{Encoding, LanguageError, Request, Slot, Template, Wanted};

/// Values for each of the five places in plain `cargo test`; `RUNBOOK_TEST_VALUES` asks for more.
const CASES: u32 = 1_000;

fn cases() -> ProptestConfig {
    let asked = environment::variable("RUNBOOK_TEST_VALUES").and_then(|count| count.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(CASES), failure_persistence: None, ..ProptestConfig::default() }
}

const FRAGMENTS: [&str; 40] = [
    "\"",
    "'",
    "`",
    "\\",
    "\n",
    "\r",
    "\t",
    "#",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    "=~",
    "!=",
    "/",
    "?",
    "&",
    "..",
    "%2e",
    "%",
    "@",
    ":",
    "//",
    " or ",
    " and on() ",
    "vector(1)",
    "-1",
    "1e3",
    "5m",
    "sum",
    "offset",
    "$",
    "*",
    "\u{0}",
    "\u{1b}",
    "\u{2028}",
    "\\u0022",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(&FRAGMENTS[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        2 => "[a-z0-9_]{1,4}",
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn fill(encoding: Encoding, text: &str, value: &str) -> Result<String, LanguageError> {
    let template = Template::parse(&encoding.prepare(text)).expect("a template");
    template.render(&Values(json!({ "v": value })), encoding)
}

/// What a reader of PromQL sees. Names, numbers and durations are alike: one operand.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Operand(String),
    Sign(char),
}

/// The tokens of a query, by the rules of the language reference of Prometheus; none if a string does not end.
fn tokens(query: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = query.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '#' => while rest.next_if(|letter| !matches!(letter, '\n' | '\r')).is_some() {},
            '`' => tokens.push(Token::Text(until(&mut rest, '`', false)?)),
            '"' | '\'' => tokens.push(Token::Text(until(&mut rest, letter, true)?)),
            letter if letter.is_whitespace() => {}
            letter if letter.is_alphanumeric() || "_:.".contains(letter) => {
                let mut word = letter.to_string();
                while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || "_:.".contains(*next)) {
                    word.push(next);
                }
                tokens.push(Token::Operand(word));
            }
            letter => tokens.push(Token::Sign(letter)),
        }
    }
    Some(tokens)
}

fn until(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char, escapes: bool) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            letter if letter == quote => return Some(text),
            '\n' if escapes => return None,
            '\\' if escapes => text.push(match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => char::from_u32(u32::from_str_radix(&rest.by_ref().take(4).collect::<String>(), 16).ok()?)?,
                letter if letter == quote || letter == '\\' => letter,
                _ => return None,
            }),
            letter => text.push(letter),
        }
    }
}

/// Both quotes hold everything but NUL, which is refused in every place.
fn arrives_in_promql(value: &str) {
    for quote in ['"', '\''] {
        let query = format!("sum(up{{job=~{quote}a{{{{v}}}}b{quote}}}) or vector(1)");
        let filled = fill(Encoding::Promql, &query, value);
        if value.contains('\0') {
            assert!(filled.is_err());
            continue;
        }
        let filled = filled.unwrap_or_else(|problem| panic!("{value:?}: {problem}"));
        let mut expected = tokens("sum(up{job=~''}) or vector(1)").expect("tokens");
        let place = expected.iter_mut().find(|token| matches!(token, Token::Text(_))).expect("a string");
        *place = Token::Text(format!("a{value}b"));
        assert_eq!(tokens(&filled), Some(expected), "{filled}");
    }
}

/// Elsewhere what would be more than one operand is refused.
fn keeps_the_shape_of_promql(value: &str) {
    for query in ["up{job=`{{v}}`} > 1", "up > {{v}} + 2", "rate(up[{{v}}])", "up # {{v}}\n+ 1", "{{v}}", "1 {{v}} 2"] {
        let Ok(filled) = fill(Encoding::Promql, query, value) else { continue };
        let shape = |text: &str| -> Vec<char> {
            let kind = |token: Token| match token {
                Token::Text(_) => '"',
                Token::Operand(word) if ["or", "and", "unless", "offset", "sum", "by"].contains(&word.as_str()) => '!',
                Token::Operand(_) => 'x',
                Token::Sign(sign) => sign,
            };
            tokens(text).unwrap_or_else(|| panic!("{text}")).into_iter().map(kind).collect()
        };
        // A negative number stands in parentheses.
        let plain: String = shape(&filled).into_iter().collect::<String>().replace("(-x)", "x");
        let expected: String = shape(&query.replace("{{v}}", "word")).into_iter().collect();
        assert_eq!(plain, expected, "{value:?} in {query}: {filled}");
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn t34_promql_keeps_its_shape(value in hostile()) {
        arrives_in_promql(&value);
        keeps_the_shape_of_promql(&value);
    }

    #[test]
    fn t34_addresses_keep_their_shape(value in hostile()) {
        let Ok(filled) = fill(Encoding::Url, "http://host:81/a/{{v}}/b?q={{v}}&r=1#f", &value) else {
            prop_assert!(value.contains('\0') || value == "." || value == "..");
            return Ok(());
        };
        let url = reqwest::Url::parse(&filled).unwrap();
        prop_assert_eq!((url.host_str(), url.port(), url.fragment()), (Some("host"), Some(81), Some("f")));
        prop_assert_eq!((url.username(), url.password()), ("", None));
        let pairs: Vec<_> = url.query_pairs().collect();
        prop_assert_eq!(pairs, [("q".into(), value.as_str().into()), ("r".into(), "1".into())]);
        prop_assert_eq!(url.path_segments().unwrap().count(), 3, "{}", filled);
    }

    #[test]
    fn t34_json_keeps_its_shape(value in hostile()) {
        let slot = Slot {
            route: Route::of(["a"]),
            template: Template::parse("x{{v}}").unwrap(),
            encoding: Encoding::Plain,
            wanted: Wanted::Any,
        };
        let request = Request { raw: json!({"a": "", "b": 1}), slots: vec![slot] };
        let Ok(filled) = request.render(&Values(json!({ "v": &value }))) else {
            prop_assert!(value.contains('\0'));
            return Ok(());
        };
        let sent: Value = serde_json::from_str(&filled.to_string()).unwrap();
        prop_assert_eq!(sent, json!({"a": format!("x{value}"), "b": 1}));
    }

    #[test]
    fn t34_json_paths_keep_their_shape(value in hostile()) {
        let Ok(filled) = fill(Encoding::JsonPath, "$.a.{{v}}.b", &value) else {
            prop_assert!(value.contains('\0'));
            return Ok(());
        };
        let path = serde_json_path::JsonPath::parse(&filled).unwrap();
        let document = json!({"a": { value.as_str(): {"b": 1}, "other": {"b": 2} }, "b": 3});
        prop_assert_eq!(path.query(&document).all(), [&json!(1)], "{}", filled);
    }

    #[test]
    fn t34_patterns_keep_their_shape(value in hostile()) {
        let Ok(filled) = fill(Encoding::Regex, "^(a){{v}}(b)$", &value) else {
            prop_assert!(value.contains('\0'));
            return Ok(());
        };
        let pattern = regex::Regex::new(&filled).unwrap();
        prop_assert_eq!(pattern.captures_len(), 3);
        let text = format!("a{value}b");
        prop_assert!(pattern.is_match(&text));
        let longer = format!("{text}x");
        prop_assert!(!pattern.is_match(&longer));
    }
}
