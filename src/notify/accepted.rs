//! What Slack, PagerDuty and Teams take, by their documentation: required fields, allowed words and lengths. Every
//! message that we can make is held against it, and what their servers would refuse is refused here.
//!
//! Sources: the Block Kit reference of Slack, the Events API v2 of PagerDuty, the Adaptive Cards schema 1.2 and the
//! limits of incoming messages of Microsoft Teams.

use serde_json::{Value, json};

use super::doubles;
use super::{CHANNELS, Facts, Message, Occasion, Templates};

type Verdict = Result<(), String>;
type Judge = fn(&Value) -> Verdict;

fn ensure(holds: bool, what: &str, value: &Value) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{what}: {value}")) }
}

/// A text of 1 to `most` characters.
fn text(value: &Value, most: usize) -> Verdict {
    let length = value.as_str().map_or(0, |text| text.chars().count());
    ensure((1..=most).contains(&length), &format!("not a text of 1 to {most} characters"), value)
}

/// No fields but these, and all that are marked with `!`.
fn fields(value: &Value, known: &[&str]) -> Verdict {
    let object = value.as_object().ok_or_else(|| format!("no object: {value}"))?;
    for name in object.keys() {
        ensure(known.iter().any(|one| one.trim_end_matches('!') == name), &format!("unknown field {name}"), value)?;
    }
    let missing = known.iter().filter_map(|name| name.strip_suffix('!')).find(|name| !object.contains_key(*name));
    missing.map_or(Ok(()), |name| Err(format!("without {name}: {value}")))
}

fn one_of(value: &Value, words: &[&str]) -> Verdict {
    let word = value.as_str().unwrap_or_default();
    ensure(words.iter().any(|one| one.eq_ignore_ascii_case(word)), &format!("none of {words:?}"), value)
}

fn items(value: &Value, least: usize, most: usize) -> Result<&Vec<Value>, String> {
    let items = value.as_array().ok_or_else(|| format!("no list: {value}"))?;
    ensure((least..=most).contains(&items.len()), &format!("not {least} to {most} items"), value)?;
    Ok(items)
}

fn slack(body: &Value) -> Verdict {
    fields(
        body,
        &["text!", "blocks!", "unfurl_links", "unfurl_media", "channel", "thread_ts", "reply_broadcast", "ts"],
    )?;
    text(&body["text"], 40_000)?;
    items(&body["blocks"], 1, 50)?.iter().try_for_each(slack_block)
}

fn slack_block(block: &Value) -> Verdict {
    match block["type"].as_str() {
        Some("header") => {
            fields(block, &["type!", "text!"])?;
            fields(&block["text"], &["type!", "text!", "emoji"])?;
            one_of(&block["text"]["type"], &["plain_text"])?;
            text(&block["text"]["text"], 150)
        }
        Some("section") => {
            fields(block, &["type!", "text", "fields"])?;
            ensure(block.get("text").is_some() || block.get("fields").is_some(), "neither text nor fields", block)?;
            block.get("text").map_or(Ok(()), |text| slack_text(text, 3000))?;
            let fields = block.get("fields").map(|fields| items(fields, 1, 10)).transpose()?;
            fields.into_iter().flatten().try_for_each(|field| slack_text(field, 2000))
        }
        Some("context") => {
            fields(block, &["type!", "elements!"])?;
            items(&block["elements"], 1, 10)?.iter().try_for_each(|element| slack_text(element, 3000))
        }
        _ => Err(format!("unknown block: {block}")),
    }
}

fn slack_text(object: &Value, most: usize) -> Verdict {
    fields(object, &["type!", "text!", "verbatim"])?;
    one_of(&object["type"], &["mrkdwn"])?;
    ensure(object["verbatim"] == true, "data would be read as links", object)?;
    text(&object["text"], most)
}

fn pagerduty(event: &Value) -> Verdict {
    let known = ["routing_key!", "event_action!", "dedup_key", "payload", "client", "client_url", "links", "images"];
    fields(event, &known)?;
    text(&event["routing_key"], 100)?;
    one_of(&event["event_action"], &["trigger", "acknowledge", "resolve"])?;
    text(&event["dedup_key"], 255)?;
    // The whole event, by the documentation 512 KB.
    ensure(event.to_string().len() <= 512 * 1024, "too large", &json!(event.to_string().len()))?;
    if event["event_action"] != "trigger" {
        return Ok(());
    }
    let payload = &event["payload"];
    let known = ["summary!", "source!", "severity!", "timestamp", "component", "group", "class", "custom_details"];
    fields(payload, &known)?;
    text(&payload["summary"], 1024)?;
    text(&payload["source"], 1024)?;
    one_of(&payload["severity"], &["critical", "error", "warning", "info"])?;
    let at = payload["timestamp"].as_str().unwrap_or_default();
    ensure(at.parse::<jiff::Timestamp>().is_ok(), "no ISO 8601 time", payload)?;
    ensure(payload["custom_details"].is_object(), "no details", payload)
}

fn teams(body: &Value) -> Verdict {
    fields(body, &["type!", "attachments!"])?;
    one_of(&body["type"], &["message"])?;
    ensure(body.to_string().len() <= 28 * 1024, "larger than 28 KB", &json!(body.to_string().len()))?;
    let attachment = &items(&body["attachments"], 1, 1)?[0];
    fields(attachment, &["contentType!", "contentUrl!", "content!"])?;
    one_of(&attachment["contentType"], &["application/vnd.microsoft.card.adaptive"])?;
    ensure(attachment["contentUrl"].is_null(), "an address beside the card", attachment)?;
    let card = &attachment["content"];
    fields(card, &["$schema", "type!", "version!", "body!", "fallbackText", "actions", "msteams"])?;
    one_of(&card["type"], &["AdaptiveCard"])?;
    one_of(&card["version"], &["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"])?;
    one_of(&card["msteams"]["width"], &["Full"])?;
    items(&card["body"], 1, 200)?.iter().try_for_each(teams_block)?;
    let actions = card.get("actions").map(|actions| items(actions, 1, 6)).transpose()?;
    actions.into_iter().flatten().try_for_each(|action| {
        fields(action, &["type!", "title!", "url!"])?;
        one_of(&action["type"], &["Action.OpenUrl"])?;
        let address = action["url"].as_str().unwrap_or_default();
        ensure(reqwest::Url::parse(address).is_ok(), "no address", action)
    })
}

fn teams_block(block: &Value) -> Verdict {
    fields(block, &["type!", "inlines!", "spacing"])?;
    one_of(&block["type"], &["RichTextBlock"])?;
    if let Some(spacing) = block.get("spacing") {
        one_of(spacing, &["default", "none", "small", "medium", "large", "extraLarge", "padding"])?;
    }
    items(&block["inlines"], 1, 100)?.iter().try_for_each(|run| {
        fields(run, &["type!", "text!", "size", "weight", "color", "fontType"])?;
        one_of(&run["type"], &["TextRun"])?;
        ensure(run["text"].is_string(), "no text", run)?;
        let words: [(&str, &[&str]); 4] = [
            ("size", &["default", "small", "medium", "large", "extraLarge"]),
            ("weight", &["default", "lighter", "bolder"]),
            ("color", &["default", "dark", "light", "accent", "good", "warning", "attention"]),
            ("fontType", &["default", "monospace"]),
        ];
        words.iter().try_for_each(|(name, words)| run.get(*name).map_or(Ok(()), |word| one_of(word, words)))
    })
}

/// What is sent to a channel for a message.
async fn sent(channel: &str, message: Message) -> Value {
    let double = doubles::HttpDouble::start(vec![doubles::Reply::status(202, "{}")]).await;
    let secret = doubles::keep(if channel == "pagerduty" { "r0u71n6k3y" } else { &double.url });
    let config = match channel {
        "pagerduty" => json!({"routing_key": secret.config, "url": double.url}),
        _ => json!({"webhook": secret.config}),
    };
    let entry = CHANNELS.iter().find(|entry| entry.name == channel).unwrap();
    (entry.send)(config, message, doubles::http()).await.unwrap();
    double.request().json()
}

/// Messages from the smallest to the largest, and with what servers stumble over.
fn messages() -> Vec<Message> {
    let mut all = Vec::new();
    for on in Occasion::ALL {
        let link = Some("https://runbook.example.com/runs/1".to_owned());
        let full = Facts { link, ..Facts::sample(on) };
        let little = Facts::new("r".into(), "p".into(), "T".into(), on, full.started_at, full.now);
        let mut flood = Facts { title: "\u{1f525}&<*".repeat(2_000), ..full.clone() };
        flood.actions_done = vec!["<!channel> \u{1f525}\" ".repeat(3_000); 90];
        flood.inputs = json!({"a": "x".repeat(9_000), "b": "\u{202e}\u{0}", "c": "&".repeat(600)});
        flood.severity = "?".into();
        all.extend([full, little, flood].iter().map(|facts| Templates::shipped().message("default", facts)));
    }
    let group = super::gather::gather(1, &all.clone(), &[("r".into(), "before".into())], None);
    all.extend(group);
    all
}

#[tokio::test]
async fn every_message_is_one_that_slack_pagerduty_and_teams_take() {
    let judges: [(&str, Judge); 3] = [("slack", slack), ("pagerduty", pagerduty), ("teams", teams)];
    for message in messages() {
        for (channel, judge) in judges {
            let body = sent(channel, message.clone()).await;
            assert_eq!(judge(&body), Ok(()), "{channel}, {}", message.on);
        }
    }
}

/// A judge that takes everything proves nothing: each kind of mistake is made once.
#[tokio::test]
async fn what_their_servers_would_refuse_is_refused() {
    let body = async |channel: &str| sent(channel, doubles::message()).await;
    let broken = |good: &Value, pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not in {good}")) = value;
        bad
    };
    let event = body("pagerduty").await;
    for (pointer, value) in [
        ("/event_action", json!("open")),
        ("/payload/severity", json!("high")),
        ("/payload/summary", json!("")),
        ("/payload/summary", json!("x".repeat(1_025))),
        ("/payload/timestamp", json!("yesterday")),
        ("/dedup_key", json!("x".repeat(256))),
        ("/payload", json!({"summary": "s", "source": "x"})),
    ] {
        assert!(pagerduty(&broken(&event, pointer, value)).is_err(), "{pointer}");
    }
    let blocks = body("slack").await;
    for (pointer, value) in [
        ("/blocks/0/text/text", json!("x".repeat(151))),
        ("/blocks/1/text/text", json!("x".repeat(3_001))),
        ("/blocks/2/fields", json!([])),
        ("/blocks/1/type", json!("video")),
        ("/blocks/1/text/verbatim", json!(false)),
        ("/text", json!("")),
    ] {
        assert!(slack(&broken(&blocks, pointer, value)).is_err(), "{pointer}");
    }
    let card = body("teams").await;
    for (pointer, value) in [
        ("/attachments/0/contentType", json!("text/html")),
        ("/attachments/0/content/body/0/inlines/0/color", json!("red")),
        ("/attachments/0/content/body/0/type", json!("TextBlock")),
        ("/attachments/0/content/actions/0/url", json!("here")),
        ("/attachments/0/content/fallbackText", json!("x".repeat(30_000))),
        ("/attachments/0/content/version", json!(2)),
    ] {
        assert!(teams(&broken(&card, pointer, value)).is_err(), "{pointer}");
    }
}
