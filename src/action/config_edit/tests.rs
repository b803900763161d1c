//! Edits of files as people write them, and of random ones.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn key(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

fn set(format: Format, text: &str, at: &str, value: Value) -> Result<String, EditError> {
    edit(format, text, &key(at), &Wish::Set(value)).map(|edited| edited.text)
}

fn remove(format: Format, text: &str, at: &str) -> Result<String, EditError> {
    edit(format, text, &key(at), &Wish::Remove).map(|edited| edited.text)
}

const YAML: &str = "# head
server:            # where it listens
  host: '0.0.0.0'  # all
  port: 8000

providers:
  - name: local
    enabled: true
  - {name: cloud, enabled: false}
limits: {cpu: 2, memory: 4Gi}
motto: |
  first
  second
empty:
last: \"x\" # end
";

#[test]
fn yaml_values_are_replaced_in_place() {
    for (at, value, old, new) in [
        ("server.port", json!(9000), "port: 8000", "port: 9000"),
        ("server.host", json!("127.0.0.1"), "'0.0.0.0'  # all", "'127.0.0.1'  # all"),
        ("providers.0.enabled", json!(false), "enabled: true", "enabled: false"),
        ("providers.1.name", json!("yes"), "{name: cloud,", "{name: \"yes\","),
        ("limits.memory", json!("8Gi"), "4Gi}", "\"8Gi\"}"),
        ("limits", json!({"cpu": 1}), "{cpu: 2, memory: 4Gi}", "{cpu: 1}"),
        ("motto", json!("one"), "motto: |\n  first\n  second\n", "motto: one\n"),
        ("empty", json!([1, 2]), "empty:\n", "empty: [1, 2]\n"),
        ("last", json!("y"), "\"x\" # end", "\"y\" # end"),
        (
            "server",
            json!("off"),
            "server:            # where it listens\n  host: '0.0.0.0'  # all\n  port: 8000\n",
            "server: \"off\"            # where it listens\n",
        ),
    ] {
        assert_eq!(set(Format::Yaml, YAML, at, value).unwrap(), YAML.replacen(old, new, 1), "{at}");
    }
}

#[test]
fn missing_yaml_keys_are_added_where_they_belong() {
    for (at, value, old, new) in [
        ("server.tls", json!(true), "  port: 8000\n", "  port: 8000\n  tls: true\n"),
        ("server.tls.cert", json!("/a"), "  port: 8000\n", "  port: 8000\n  tls:\n    cert: /a\n"),
        ("providers.0.url", json!("x"), "    enabled: true\n", "    enabled: true\n    url: x\n"),
        ("providers.1.url", json!("x"), "enabled: false}", "enabled: false, url: x}"),
        ("limits.disk.size", json!(1), "memory: 4Gi}", "memory: 4Gi, disk: {size: 1}}"),
        ("empty.a.b", json!(1), "empty:\n", "empty:\n  a:\n    b: 1\n"),
        ("new", json!(null), "# end\n", "# end\nnew: null\n"),
    ] {
        assert_eq!(set(Format::Yaml, YAML, at, value).unwrap(), YAML.replacen(old, new, 1), "{at}");
    }
}

#[test]
fn yaml_keys_are_removed_with_their_lines() {
    for (at, old, new) in [
        ("server.host", "  host: '0.0.0.0'  # all\n", ""),
        ("providers.0.name", "- name: local\n    enabled", "- enabled"),
        ("providers.1.name", "{name: cloud, enabled", "{enabled"),
        ("limits.memory", "{cpu: 2, memory: 4Gi}", "{cpu: 2}"),
        ("motto", "motto: |\n  first\n  second\n", ""),
        ("empty", "empty:\n", ""),
        ("no.such.key", "", ""),
    ] {
        assert_eq!(remove(Format::Yaml, YAML, at).unwrap(), YAML.replacen(old, new, 1), "{at}");
    }
    assert_eq!(remove(Format::Yaml, "# c\na:\n  b: 1\n", "a.b").unwrap(), "# c\na: {}\n");
    assert_eq!(remove(Format::Yaml, "# c\na: 1\n", "a").unwrap(), "# c\n{}\n");
}

#[test]
fn unusual_yaml_is_edited_or_left_alone() {
    for (text, at, new) in [
        ("", "a.b", "a:\n  b: 1\n"),
        ("# only a comment\n", "a", "# only a comment\na: 1\n"),
        ("a: 2", "b", "a: 2\nb: 1"),
        ("a: 2\r\nb: 3\r\n", "c", "a: 2\r\nb: 3\r\nc: 1\r\n"),
        ("a:\n    b: 2\n", "c.d", "a:\n    b: 2\nc:\n    d: 1\n"),
        ("{}\n", "a", "{a: 1}\n"),
        ("a: {b: [1, 2,], }\n", "a.c", "a: {b: [1, 2,], c: 1 }\n"),
        ("a: {\n  b: 2, # it's\n  c: it's\n}\n", "a.d", "a: {\n  b: 2, # it's\n  c: it's,\n  d: 1\n}\n"),
        ("'a b': {}\n", "a b", "'a b': 1\n"),
        ("a: ~\n", "a.b", "a: {b: 1}\n"),
        ("a:\n- x\n- y\nb: 2\n", "a", "a: 1\nb: 2\n"),
        ("é: 'é' # é\nb: 2\n", "é", "é: 1 # é\nb: 2\n"),
    ] {
        assert_eq!(set(Format::Yaml, text, at, json!(1)).unwrap(), new, "{text:?}");
    }
    for text in ["a: &x 2\n", "? a\n: 2\n", "a: &x {b: 2}\n"] {
        let error = set(Format::Yaml, text, "a", json!("text")).err();
        assert!(matches!(error, None | Some(EditError::WouldDamage { .. })), "{text:?}: {error:?}");
    }
    for text in ["a: *x\n", "a: 1\na: 2\n", "a: [\n", "a: 1\n---\nb: 2\n"] {
        assert!(matches!(set(Format::Yaml, text, "a", json!(1)), Err(EditError::Syntax(_))), "{text:?}");
    }
}

#[test]
fn keys_that_cannot_be_are_named() {
    let error = set(Format::Yaml, YAML, "server.port.x", json!(1)).unwrap_err();
    assert_eq!(error.to_string(), "'server.port' is a number, so it has no key 'x'");
    let error = set(Format::Yaml, YAML, "providers.7.name", json!(1)).unwrap_err();
    assert_eq!(error.to_string(), "'providers' is a list of 2, so it has no '7'");
    let error = remove(Format::Yaml, YAML, "providers.0").unwrap_err();
    assert_eq!(error, EditError::ListItem { key: "providers.0".into() });
}

#[test]
fn json_keeps_its_order_and_its_layout() {
    let pretty = "{\n\t\"b\": 1,\n\t\"a\": {\"x\": [1, 2]}\n}\n";
    assert_eq!(set(Format::Json, pretty, "b", json!("two")).unwrap(), pretty.replace("1,\n", "\"two\",\n"));
    assert_eq!(set(Format::Json, pretty, "a.x.1", json!(3)).unwrap(), pretty.replace("2]", "3]"));
    assert_eq!(set(Format::Json, pretty, "c", json!(null)).unwrap(), pretty.replace("]}\n", "]},\n\t\"c\": null\n"));
    assert_eq!(set(Format::Json, pretty, "a.y.z", json!(1)).unwrap(), pretty.replace("]}", "], \"y\": {\"z\": 1}}"));
    assert_eq!(remove(Format::Json, pretty, "a").unwrap(), "{\n\t\"b\": 1\n}\n");
    assert_eq!(set(Format::Json, r#"{"a":1}"#, "b", json!({"c": 2})).unwrap(), r#"{"a":1,"b":{"c":2}}"#);
    assert_eq!(remove(Format::Json, r#"{"a":1}"#, "a").unwrap(), "{}");
    assert_eq!(set(Format::Json, "", "a", json!(1)).unwrap(), "{\"a\": 1}\n");
    assert_eq!(set(Format::Json, "{\"a\": \"x\\\"}\"}", "a", json!("é\n")).unwrap(), "{\"a\": \"é\\n\"}");
    assert!(matches!(set(Format::Json, "{\"a\": 1,}", "a", json!(2)), Err(EditError::Syntax(_))));
}

#[test]
fn toml_keeps_comments_and_tables() {
    let text = "# head\n[server]\nport = 8000 # main\nsince = 2024-01-01\n\n[[hosts]]\nname = 'a'\n";
    assert_eq!(set(Format::Toml, text, "server.port", json!(9000)).unwrap(), text.replace("8000", "9000"));
    assert_eq!(set(Format::Toml, text, "hosts.0.name", json!("b")).unwrap(), text.replace("'a'", "\"b\""));
    assert_eq!(set(Format::Toml, text, "server.since", json!("2025-01-01")).unwrap(), text.replace("2024", "2025"));
    let added = set(Format::Toml, text, "server.tls.cert", json!("/c")).unwrap();
    assert!(added.contains("[server.tls]\ncert = \"/c\"\n"), "{added}");
    assert_eq!(remove(Format::Toml, text, "server.since").unwrap(), text.replace("since = 2024-01-01\n", ""));
    assert!(matches!(set(Format::Toml, text, "server.port", json!(null)), Err(EditError::Value { .. })));
    assert!(matches!(set(Format::Toml, "a = \n", "a", json!(1)), Err(EditError::Syntax(_))));
}

#[test]
fn env_lines_are_edited_one_by_one() {
    let text = "# head\nA=1\nexport B = \"two words\" # why\nC='x'\n";
    assert_eq!(set(Format::Env, text, "A", json!("p#1")).unwrap(), text.replace("A=1", "A='p#1'"));
    assert_eq!(set(Format::Env, text, "B", json!(2)).unwrap(), text.replace("\"two words\"", "2"));
    assert_eq!(set(Format::Env, text, "D", json!("it's $x")).unwrap(), format!("{text}D=\"it's \\$x\"\n"));
    assert_eq!(remove(Format::Env, text, "C").unwrap(), text.replace("C='x'\n", ""));
    assert_eq!(set(Format::Env, "A=1", "B", json!(true)).unwrap(), "A=1\nB=true\n");
    let error = set(Format::Env, "A=1\nB=2\nA=3\n", "A", json!(1)).unwrap_err();
    assert_eq!(error, EditError::Twice { key: "A".into(), first: 1, second: 3 });
    assert!(matches!(set(Format::Env, "A=1\n", "A", json!("a\nb")), Err(EditError::Value { .. })));
    assert!(matches!(set(Format::Env, "A=1\n", "B C", json!("x")), Err(EditError::Name(_))));
    assert!(matches!(set(Format::Env, "what is this\n", "A", json!("x")), Err(EditError::Syntax(_))));
}

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

#[tokio::test]
async fn the_file_is_replaced_once_and_its_old_content_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.yaml");
    std::fs::write(&file, "a: 1 # one\nb: 2\n").unwrap();
    let config = json!({"file": file, "key": "b", "set": 3});
    let first = run(config.clone()).await.unwrap().output;
    assert!(first.changed && first.existed_before);
    assert_eq!((first.before, first.after), (json!(2), json!(3)));
    assert_eq!(first.diff, "@@ -1,2 +1,2 @@\n a: 1 # one\n-b: 2\n+b: 3\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a: 1 # one\nb: 3\n");
    assert_eq!(std::fs::read_to_string(first.kept.unwrap()).unwrap(), "a: 1 # one\nb: 2\n");

    let other = json!({"file": file, "key": "a", "set": 1});
    std::fs::remove_file(run(config).await.unwrap().output.kept.unwrap()).unwrap();
    let again = run(other).await.unwrap().output;
    assert!(!again.changed && again.kept.is_none() && again.diff.is_empty());
}

#[tokio::test]
async fn a_missing_file_is_made_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.toml");
    let error = run(json!({"file": file, "key": "a.b", "set": 1})).await.unwrap_err();
    assert!(error.message.contains("does not exist") && error.help.unwrap().contains("create: true"));
    let config = json!({"file": file, "key": "a.b", "set": 1, "create": true, "mode": "0600"});
    let made = run(config).await.unwrap().output;
    assert!(made.changed && !made.existed_before && made.kept.is_none());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[a]\nb = 1\n");
}

#[tokio::test]
async fn mistakes_are_errors_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.conf");
    std::fs::write(&file, "a: 1\n").unwrap();
    for (config, part) in [
        (json!({"file": file, "key": "a"}), "exactly one"),
        (json!({"file": file, "key": "a", "set": 1, "remove": true}), "exactly one"),
        (json!({"file": file, "key": "a", "set": 1}), "does not say"),
        (json!({"file": file, "key": "a.b", "set": 1, "format": "yaml"}), "'a' is a number"),
        (json!({"file": file, "key": "a", "set": 1, "format": "yaml", "mode": "rw"}), "not a file mode"),
        (json!({"file": folder.path(), "key": "a", "set": 1, "format": "yaml"}), "file"),
    ] {
        let error = run(config).await.unwrap_err();
        assert!(error.message.contains(part) && error.help.is_some(), "{error:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a: 1\n");
}

/// A document and its value: block or flow, comments, blank lines, every scalar form.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        text().prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), mapping(inner),]
    });
    mapping(inner)
}

fn mapping(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((text(), values), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        Just("yes".to_owned()),
        Just("it's".to_owned()),
        Just("a: b # c".to_owned()),
        Just("12".to_owned()),
        Just(String::new()),
        Just("é\"\\ }],".to_owned()),
    ]
}

/// Writes the value in a way that depends on the bits of `taste`.
fn written(value: &Value, column: usize, taste: u64) -> String {
    let mut taste = taste;
    let mut lines = String::new();
    for (key, value) in value.as_object().unwrap() {
        taste = taste.rotate_left(7) ^ 0x9e37_79b9;
        let indent = " ".repeat(column);
        if taste & 1 == 1 {
            lines.push_str(&format!("{indent}# about the next\n\n"));
        }
        let comment = if taste & 2 == 2 { "  # said here" } else { "" };
        let key = render::yaml_key(key);
        match value {
            Value::Object(entries) if !entries.is_empty() && taste & 12 != 0 => {
                lines.push_str(&format!("{indent}{key}:{comment}\n{}", written(value, column + 2, taste)));
            }
            Value::Array(items) if !items.is_empty() && taste & 16 == 16 => {
                lines.push_str(&format!("{indent}{key}:{comment}\n"));
                for item in items {
                    lines.push_str(&format!("{indent}- {}{comment}\n", render::yaml(item, render::Quote::None)));
                }
            }
            Value::Null if taste & 32 == 32 => lines.push_str(&format!("{indent}{key}:{comment}\n")),
            Value::String(_) if taste & 64 == 64 => {
                lines.push_str(&format!("{indent}{key}: {}{comment}\n", render::yaml(value, render::Quote::Single)));
            }
            _ => lines.push_str(&format!("{indent}{key}: {}{comment}\n", render::yaml(value, render::Quote::None))),
        }
    }
    lines
}

/// A key that is there, or one beside or below it.
fn some_key(value: &Value, choice: u64) -> Vec<String> {
    let mut key = Vec::new();
    let (mut value, mut choice) = (value, choice);
    while let Some(entries) = value.as_object().filter(|entries| !entries.is_empty()) {
        let (name, next) = entries.iter().nth(choice as usize % entries.len()).unwrap();
        key.push(name.clone());
        value = next;
        choice /= 5;
        if choice.is_multiple_of(3) {
            break;
        }
    }
    if key.is_empty() || (choice % 2 == 1 && (value.is_object() || value.is_null())) {
        key.push("added".to_owned());
    }
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_yaml_changes_in_one_place(document in document(), wanted in text(), taste: u64, choice: u64, removes: bool) {
        let text = written(&document, 0, taste);
        prop_assert_eq!(parse_or_empty(&text), document.clone());
        let key = some_key(&document, choice);
        let wish = if removes { Wish::Remove } else { Wish::Set(Value::from(wanted)) };
        let edited = edit(Format::Yaml, &text, &key, &wish);
        let new = edited.map_err(|error| TestCaseError::fail(format!("{error} in {text:?} at {key:?} for {wish:?}")))?.text;
        prop_assert_eq!(parse_or_empty(&new), key::apply(document, &key, &wish).unwrap());
        prop_assert!(is_one_change(&text, &new), "{:?} became {:?}", text, new);
    }

    #[test]
    fn random_json_changes_in_one_place(document in document(), wanted in text(), choice: u64, pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let key = some_key(&document, choice);
        let wish = Wish::Set(Value::from(wanted));
        let edited = edit(Format::Json, &text, &key, &wish);
        let new = edited.map_err(|error| TestCaseError::fail(format!("{error} in {text} at {key:?}")))?.text;
        prop_assert_eq!(serde_json::from_str::<Value>(&new).unwrap(), key::apply(document, &key, &wish).unwrap());
        prop_assert!(is_one_change(&text, &new));
    }

    #[test]
    fn any_text_is_edited_or_refused_but_never_a_panic(text in "[a-c:{}\\[\\],'\"#|>&~ \n-]{0,40}", choice in "[a-c]") {
        for format in [Format::Yaml, Format::Json, Format::Toml, Format::Env] {
            let _ = edit(format, &text, std::slice::from_ref(&choice), &Wish::Set(json!("x")));
            let _ = edit(format, &text, std::slice::from_ref(&choice), &Wish::Remove);
        }
    }
}

fn parse_or_empty(text: &str) -> Value {
    tree::parse_yaml(text).unwrap()
}

/// Whether the texts agree but for one run of lines, in which no comment line of its own was lost.
fn is_one_change(old: &str, new: &str) -> bool {
    let diff: Vec<(&str, &str)> = old.lines().zip(new.lines()).take_while(|(left, right)| left == right).collect();
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.lines().skip(diff.len()).collect(), new.lines().skip(diff.len()).collect());
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(left, right)| left == right).count();
    let (gone, come) = (old.len() - tail, new.len() - tail);
    // A scalar is one line; what is longer was a collection that was replaced or removed.
    come <= 3 && (gone <= 1 || come <= 1)
}
