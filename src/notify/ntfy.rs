//! `ntfy`: a push notification by an ntfy server, with the priority of the severity.

use reqwest::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::post::{self, Post};
use super::text::{one_line, shorten};
use super::{Channel, DeliveryError, Message, Occasion, Receipt};
use crate::base::redaction::MARK;
use crate::site::SecretReference;

/// A longer text, in bytes, becomes an attachment that a phone does not show.
const TEXT_BYTES: usize = 4096;
/// A notification shows no more of a title.
const TITLE_LIMIT: usize = 200;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server.
    #[serde(default = "default_url")]
    pub url: String,
    /// The topic, by reference: on a server without accounts, who knows it can read and publish.
    pub topic: SecretReference,
    /// An access token, by reference, for a server with accounts.
    #[serde(default)]
    pub token: Option<SecretReference>,
}

fn default_url() -> String {
    "https://ntfy.sh".into()
}

impl Channel for Sender {
    const NAME: &'static str = "ntfy";
    const SUMMARY: &'static str = "Pushes to phones and desktops by an ntfy server.";
    const EXAMPLE: &'static str = "{topic: {env: NTFY_TOPIC}, token: {file: /run/secrets/ntfy}}";
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        post::check_private(&config.url)
    }

    fn preview(_config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(post::pretty(&payload(MARK, message)))
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let topic = post::fetch(&config.topic).await?;
        let body = payload(topic.reveal().trim(), &message);
        let mut post = Post::json(&config.url, body.to_string())?.hiding(&topic);
        if let Some(token) = &config.token {
            let token = post::fetch(token).await?;
            post = post.header("authorization", format!("Bearer {}", token.reveal().trim())).hiding(&token);
        }
        let answer: Value = serde_json::from_str(&post.send(&http).await?).unwrap_or_default();
        Ok(match answer["id"].as_str() {
            Some(id) => Receipt::new(format!("message {}", shorten(&one_line(id), 100))),
            None => post::accepted("ntfy"),
        })
    }
}

fn payload(topic: &str, message: &Message) -> Value {
    let mut body = json!({
        "topic": topic,
        "title": shorten(&message.subject, TITLE_LIMIT),
        "message": text(message),
        "priority": priority(message),
        "tags": [tag(message), message.playbook],
    });
    if let Some(link) = &message.link {
        body["click"] = link.as_str().into();
    }
    // Servers since 2.16 let a message take the place of an earlier one with the same sequence; older ones
    // publish it beside that. What somebody has to act on never hides behind what was read before.
    if !message.on.calls_for_a_person() {
        body["sequence_id"] = sequence(&message.run).into();
    }
    body
}

/// The identifier of the run in the letters that ntfy takes: letters, digits, `-` and `_`, at most 64.
fn sequence(run: &str) -> String {
    let letters = run.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    letters.take(64).collect()
}

/// A text too long for a notification loses its middle, never the command at its end.
fn text(message: &Message) -> String {
    if message.text.len() <= TEXT_BYTES {
        return message.text.clone();
    }
    let end = format!("…\n{}", message.command);
    let mut cut = TEXT_BYTES.saturating_sub(end.len());
    while !message.text.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", &message.text[..cut])
}

/// One is silent, three is usual, five rings through. Good news never rings louder than usual; what is not known
/// must not be quieter than what is high.
fn priority(message: &Message) -> u8 {
    let priority = match message.severity.as_str() {
        "info" => 1,
        "low" => 2,
        "medium" => 3,
        "critical" => 5,
        _ => 4,
    };
    if message.on.calls_for_a_person() { priority } else { priority.min(3) }
}

/// A word that ntfy shows as a picture.
fn tag(message: &Message) -> &'static str {
    match (message.on, message.severity.as_str()) {
        (Occasion::Resolved, _) => "white_check_mark",
        (Occasion::Approval, _) => "raised_hand",
        (_, "critical") => "rotating_light",
        (_, "info" | "low") => "information_source",
        _ => "warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, ChannelEntry};

    fn entry() -> &'static ChannelEntry {
        CHANNELS.iter().find(|entry| entry.name == "ntfy").unwrap()
    }

    async fn send(double: &HttpDouble, message: Message) -> Result<Receipt, DeliveryError> {
        let (topic, token) = (keep("topic-hush\n"), keep("tk_hush_hush"));
        let config = json!({"url": double.url, "topic": topic.config, "token": token.config});
        (entry().send)(config, message, doubles::http()).await
    }

    #[tokio::test]
    async fn a_message_has_the_priority_and_the_tags_of_its_severity() {
        let double = HttpDouble::start(vec![Reply::status(200, r#"{"id": "sPs71M8A2T"}"#)]).await;
        let message = Message { severity: "critical".into(), ..doubles::message() };
        let receipt = send(&double, message.clone()).await.unwrap();
        assert_eq!(receipt, Receipt::new("message sPs71M8A2T"));
        let request = double.request();
        assert_eq!(request.header("authorization"), "Bearer tk_hush_hush");
        let body = request.json();
        assert_eq!((&body["topic"], &body["priority"]), (&json!("topic-hush"), &json!(5)));
        assert_eq!(body["tags"], json!(["rotating_light", "model-load-error"]));
        assert_eq!((&body["title"], &body["message"]), (&json!(message.subject), &json!(message.text)));
        assert_eq!(body["click"], message.link.unwrap());
    }

    #[test]
    fn what_is_fixed_takes_the_place_of_what_was_found_and_what_asks_for_a_person_does_not() {
        let sequence = |on| payload("t", &doubles::message_on(on))["sequence_id"].clone();
        assert_eq!(sequence(Occasion::Started), json!("1122-174012-k3f9"));
        assert_eq!(sequence(Occasion::Resolved), sequence(Occasion::Started));
        assert_eq!(sequence(Occasion::Approval), Value::Null);
    }

    #[test]
    fn good_news_is_not_loud_and_an_unknown_severity_not_quiet() {
        let of = |on, severity: &str| priority(&Message { severity: severity.into(), ..doubles::message_on(on) });
        assert_eq!(of(Occasion::Resolved, "critical"), 3);
        assert_eq!(["info", "low", "medium", "high", "?"].map(|word| of(Occasion::Approval, word)), [1, 2, 3, 4, 4]);
    }

    #[test]
    fn the_longest_text_keeps_its_command() {
        let mut message = doubles::message();
        message.text = format!("{}\n{}", "ü".repeat(9000), message.command);
        let text = text(&message);
        assert!(text.len() <= TEXT_BYTES && text.ends_with(&format!("…\n{}", message.command)), "{}", text.len());
    }

    #[tokio::test]
    async fn neither_the_topic_nor_the_token_gets_into_an_error() {
        let double = HttpDouble::start(vec![Reply::status(403, "no tk_hush_hush for topic-hush")]).await;
        let error = send(&double, doubles::message()).await.unwrap_err();
        assert!(!error.transient && error.message.ends_with("no [secret] for [secret]"), "{error}");
    }
}
