//! The redactor against a naive one, each form it knows, and every place where a stream may be cut.

use std::sync::Arc;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const PASSWORD: &str = "p@ss w0rd/'\"$é<>\\+%";

fn redactor(secrets: &[&str]) -> Redactor {
    Redactor::new(secrets.iter().copied())
}

/// Marks every byte of every occurrence, one after the other.
fn naive(secrets: &[&str], text: &str) -> String {
    let forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| forms::of(secret)).collect();
    let bytes = text.as_bytes();
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for at in 0..bytes.len() {
        let longest = forms.iter().filter(|form| bytes[at..].starts_with(form)).map(Vec::len).max();
        starts.extend(longest.map(|length| (at, at + length)));
    }
    let (mut result, mut done) = (Vec::new(), 0);
    for (start, end) in starts {
        if start >= done {
            result.extend_from_slice(&bytes[done..start]);
            result.extend_from_slice(MARK.as_bytes());
        }
        done = done.max(end);
    }
    result.extend_from_slice(&bytes[done..]);
    String::from_utf8(result).unwrap()
}

fn streamed(redactor: &Arc<Redactor>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = Stream::new(redactor.clone());
    let mut result: Vec<u8> = pieces.iter().flat_map(|piece| stream.push(piece)).collect();
    result.extend(stream.finish());
    result
}

#[test]
fn what_cannot_be_the_beginning_of_a_secret_comes_out_at_once() {
    let mut stream = Stream::new(redactor(&[PASSWORD, "hunter22hunter22"]).into());
    assert_eq!(stream.push(b"loading\n"), b"loading\n");
    assert_eq!(stream.push(b"hunter22"), b"");
    assert_eq!(stream.push(b"hun"), b"");
    assert_eq!(stream.push(b"t, then\n"), b"hunter22hunt, then\n");
    assert_eq!(stream.push(b"hunter22hunter22."), format!("{MARK}.").as_bytes());
}

#[test]
fn every_form_is_masked_to_its_last_letter() {
    let redactor = redactor(&[PASSWORD]);
    let standard = base64::engine::general_purpose::STANDARD;
    let written = [
        PASSWORD.to_owned(),
        standard.encode(PASSWORD),
        standard.encode(PASSWORD).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned(),
        hex::encode(PASSWORD),
        hex::encode_upper(PASSWORD),
        r#"p@ss w0rd/'\"$é<>\\+%"#.to_owned(),
        r#"p@ss w0rd\/'\"$é<>\\+%"#.to_owned(),
        r#"p@ss w0rd/'\"$\u00e9<>\\+%"#.to_owned(),
        r#"p@ss w0rd/'\"$\u00E9<>\\+%"#.to_owned(),
        "p%40ss%20w0rd%2F%27%22%24%C3%A9%3C%3E%5C%2B%25".to_owned(),
        "p%40ss%20w0rd%2f%27%22%24%c3%a9%3c%3e%5c%2b%25".to_owned(),
        "p%40ss+w0rd%2F%27%22%24%C3%A9%3C%3E%5C%2B%25".to_owned(),
        r#"p@ss w0rd/'\''"$é<>\+%"#.to_owned(),
        r#"p@ss w0rd/'"'"'"$é<>\+%"#.to_owned(),
        r#"p@ss w0rd/'\"\$é<>\\+%"#.to_owned(),
        r#"p@ss\ w0rd/\'\"\$é\<\>\\+%"#.to_owned(),
    ];
    for form in written {
        assert_eq!(redactor.text(&form), MARK, "{form}");
        assert_eq!(redactor.text(&format!("a {form} b")), format!("a {MARK} b"));
    }
}

#[test]
fn base64_is_masked_wherever_the_secret_stands_in_what_was_encoded() {
    let secret = "correct-horse";
    let redactor = redactor(&[secret]);
    for before in 0..6 {
        for after in 0..6 {
            let text = format!("{}{secret}{}", "x".repeat(before), "y".repeat(after));
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            let shown = redactor.text(&encoded);
            // What is left on each side are the letters that depend on a neighbour as well, and the neighbours'.
            assert!(shown.contains(MARK) && shown.len() <= MARK.len() + 20, "{before} {after}: {shown}");
        }
    }
}

#[test]
fn each_line_of_a_secret_is_one() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\r\n}\nkqhkiG9w0BAQEF\n";
    let redactor = redactor(&[key]);
    assert_eq!(redactor.text(key), MARK);
    assert_eq!(redactor.text("> MIIEvQIBADANBg <\n}"), format!("> {MARK} <\n}}"));
    assert_eq!(redactor.text("a } alone"), "a } alone");
}

#[test]
fn names_numbers_and_nested_texts_of_a_value_are_masked() {
    let redactor = redactor(&["hunter22", "12345678"]);
    let mut value = json!({"hunter22": [{"a": "x hunter22"}, 12345678, 1.5], "x": null, "68756e7465723232": true});
    redactor.value(&mut value);
    assert_eq!(value, json!({"[secret]": [{"a": "x [secret]"}, "[secret]", 1.5], "x": null, "[secret] (2)": true}));
}

#[test]
fn secrets_that_overlap_leave_nothing_of_either() {
    let redactor = redactor(&["abcdefgh", "efghijkl", "bcdefghi"]);
    assert_eq!(redactor.text("-abcdefghijkl-"), "-[secret]-");
    assert_eq!(redactor.text("abcdefghabcdefgh"), "[secret][secret]");
}

#[test]
fn a_short_secret_is_refused_and_not_shown() {
    let error = learn("hunter2").unwrap_err();
    assert_eq!(error, TooShort);
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn what_is_learned_is_masked_in_everything_made_for_keeping() {
    let secret = "learned-for-this-test-only";
    let before = json!({"a": secret});
    learn(secret).unwrap();
    let redacted = Redacted::of(before).unwrap();
    assert_eq!(*redacted, json!({"a": MARK}));
    assert_eq!(text(secret), MARK);
    assert!(!format!("{:?}", known()).contains(secret));
}

#[test]
fn a_secret_that_is_a_word_of_the_format_is_an_error_and_not_a_leak() {
    let redactor = redactor(&["approved"]);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Approved,
    }
    assert_eq!(redactor.redact(Word::Approved), Err(Unredactable));
}

#[test]
fn a_stream_gives_out_what_is_settled_and_holds_little() {
    let redactor = Arc::new(redactor(&["hunter22"]));
    let mut stream = Stream::new(redactor.clone());
    let given: usize = (0..1000).map(|_| stream.push(b"hunter22hunter22").len()).sum();
    assert!(given > 15_000, "{given}");
    let overlapping = vec![b'a'; 100_000];
    let same = Arc::new(super::tests::redactor(&["aaaaaaaa"]));
    let pieces: Vec<&[u8]> = overlapping.chunks(7).collect();
    assert_eq!(streamed(&same, &pieces), MARK.as_bytes());
}

const ALPHABET: &str = "[ab]{8,11}";

/// A secret, for the numbers that one has, and what stands behind it.
type Part = (usize, String);

/// Texts with secrets in them: letters by chance hardly ever are one.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec((0..6_usize, "[ab ]{0,6}"), 0..12)
}

fn joined(parts: &[Part], secrets: &[&str]) -> String {
    let text = |(number, behind): &Part| format!("{}{behind}", secrets.get(*number).copied().unwrap_or_default());
    parts.iter().map(text).collect()
}

proptest! {
    #[test]
    fn it_does_what_a_naive_search_does(secrets in prop::collection::vec(ALPHABET, 1..4), parts in parts()) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let text = joined(&parts, &secrets);
        prop_assert_eq!(redactor(&secrets).text(&text).into_owned(), naive(&secrets, &text));
    }

    #[test]
    fn a_stream_equals_the_whole_however_it_is_cut(
        secrets in prop::collection::vec(ALPHABET, 1..4), parts in parts(), cuts in prop::collection::vec(0..120_usize, 0..12)
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let text = joined(&parts, &secrets);
        let redactor = Arc::new(redactor(&secrets));
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        prop_assert_eq!(streamed(&redactor, &pieces), redactor.bytes(text.as_bytes()).into_owned());
    }

    #[test]
    fn no_form_of_any_secret_is_left(secret in "\\PC{8,20}", before in "\\PC{0,5}", after in "\\PC{0,5}") {
        let redactor = redactor(&[&secret]);
        for form in forms::of(&secret) {
            let form = String::from_utf8(form).unwrap();
            let shown = redactor.text(&format!("{before}{form}{after}")).into_owned();
            prop_assert!(!shown.contains(&form) || MARK.contains(&form), "{} in {}", form, shown);
        }
    }
}
