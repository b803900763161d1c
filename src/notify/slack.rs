//! `slack`: a message of blocks, by an incoming webhook or by `chat.postMessage` of a bot.

mod bot;

use reqwest::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::post::{self, Post};
use super::text::{one_line, shorten};
use super::{Channel, DeliveryError, Message, Receipt};
use crate::base::Secret;
use crate::site::SecretReference;

/// Slack refuses a message in which a header, a section, a field or the list of fields is longer.
const HEADER_LIMIT: usize = 150;
const SECTION_LIMIT: usize = 3000;
const FIELD_LIMIT: usize = 2000;
const FIELDS: usize = 10;

pub struct Sender;

/// Give either `webhook`, or `token` and `channel`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of an incoming webhook, by reference, because who knows it can post.
    #[serde(default)]
    pub webhook: Option<SecretReference>,
    /// The token of a bot with the scope `chat:write`, by reference.
    #[serde(default)]
    pub token: Option<SecretReference>,
    /// Where the bot posts: the identifier of a channel, such as `C024BE91L`, or its name, `#ml-alerts`.
    #[serde(default)]
    pub channel: Option<String>,
    /// The address of `chat.postMessage`, for a gateway in between; `chat.update` is called beside it.
    #[serde(default = "default_api")]
    pub api: String,
}

fn default_api() -> String {
    "https://slack.com/api/chat.postMessage".into()
}

impl Channel for Sender {
    const NAME: &'static str = "slack";
    const SUMMARY: &'static str =
        "Posts to a Slack channel, by an incoming webhook or as a bot, which keeps one thread for a run.";
    const EXAMPLE: &'static str = "{webhook: {env: SLACK_ML_ALERTS_URL}}";
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        match (&config.webhook, &config.token, &config.channel) {
            (Some(_), None, None) => Ok(()),
            (None, Some(_), Some(_)) => post::check_private(&config.api),
            (None, Some(_), None) => Err("a bot needs the 'channel' it posts to".into()),
            _ => Err("give either 'webhook', or 'token' and 'channel'".into()),
        }
    }

    fn preview(_config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(post::pretty(&payload(message)))
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let body = payload(&message);
        match (config.webhook, config.token) {
            (Some(webhook), _) => by_webhook(&post::fetch(&webhook).await?, body, &http).await,
            (None, Some(token)) => {
                let token = post::fetch(&token).await?;
                let bot = bot::Bot { api: &config.api, token: &token, http: &http };
                bot.tell(&config.channel.unwrap_or_default(), &message, &body).await
            }
            (None, None) => Err(DeliveryError::lasting("neither a webhook nor a token is set")),
        }
    }
}

async fn by_webhook(address: &Secret<String>, body: Value, http: &Client) -> Result<Receipt, DeliveryError> {
    post::check_private(address.reveal()).map_err(DeliveryError::lasting)?;
    let said = Post::json(address.reveal(), body.to_string())?.hiding(address).send(http).await?;
    Ok(Receipt::new(shorten(&one_line(said.trim()), 100)))
}

/// The message as blocks, with a plain text for notifications and screen readers.
fn payload(message: &Message) -> Value {
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": shorten(&message.subject, HEADER_LIMIT), "emoji": false}}),
        json!({"type": "section", "text": markup(text_with_command(message))}),
    ];
    // Slack refuses an empty list of fields.
    if !message.facts.is_empty() {
        let fields: Vec<Value> =
            message.facts.iter().take(FIELDS).map(|(name, value)| markup(field(name, value))).collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let origin = format!("{} · run {} · started {}", message.playbook, message.run, message.started_at);
    let mut elements = vec![markup(escape(&origin, FIELD_LIMIT))];
    elements.extend(message.link.iter().map(|link| markup(format!("<{}|Show the run>", escape(link, FIELD_LIMIT)))));
    blocks.push(json!({"type": "context", "elements": elements}));
    json!({
        "text": escape(&message.subject, SECTION_LIMIT),
        "blocks": blocks,
        // Links in an alert are to be read, not to be fetched by Slack.
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// `verbatim` keeps Slack from turning addresses and names in the data into links and mentions.
fn markup(text: String) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

fn field(name: &str, value: &str) -> String {
    let name = escape(name, HEADER_LIMIT);
    // The two asterisks and the line break.
    let room = FIELD_LIMIT - name.chars().count() - 3;
    format!("*{name}*\n{}", escape(value, room))
}

/// A text too long for a section loses its middle, never the command at its end.
fn text_with_command(message: &Message) -> String {
    let whole = escape(&message.text, usize::MAX);
    if whole.chars().count() <= SECTION_LIMIT {
        return whole;
    }
    let end = format!("\n{}", escape(&message.command, HEADER_LIMIT));
    escape(&message.text, SECTION_LIMIT - end.chars().count()) + &end
}

/// The text with the three characters that mean something to Slack replaced, cut to `limit` characters
/// without cutting a replacement in two.
fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let (mut length, mut fitting) = (0, 0);
    for letter in text.chars() {
        let start = escaped.len();
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
        // A replacement is ASCII, so its bytes are its characters.
        length += if letter.is_ascii() { escaped.len() - start } else { 1 };
        if length < limit {
            fitting = escaped.len();
        } else if length > limit {
            escaped.truncate(fitting);
            escaped.push('…');
            break;
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, deliver};

    fn webhook(double: &HttpDouble) -> (doubles::KeptSecret, Value) {
        let secret = keep(&double.url);
        let config = json!({"webhook": secret.config.clone()});
        (secret, config)
    }

    /// What Slack documents for each block, checked as its server would.
    fn assert_accepted_by_slack(body: &Value) {
        assert!(!body["text"].as_str().unwrap().is_empty());
        for block in body["blocks"].as_array().unwrap() {
            match block["type"].as_str().unwrap() {
                "header" => {
                    assert_eq!(block["text"]["type"], "plain_text");
                    assert!((1..=150).contains(&block["text"]["text"].as_str().unwrap().chars().count()));
                }
                "section" => {
                    let fields = block["fields"].as_array();
                    assert!(block["text"].is_object() || fields.is_some_and(|fields| (1..=10).contains(&fields.len())));
                    fields.into_iter().flatten().for_each(|field| assert_text(field, 2000));
                    block.get("text").into_iter().for_each(|text| assert_text(text, 3000));
                }
                "context" => {
                    let ours = "<https://runbook.example.com/runs/1122-174012-k3f9|Show the run>";
                    let elements = block["elements"].as_array().unwrap().iter();
                    elements.filter(|text| text["text"] != ours).for_each(|text| assert_text(text, 3000));
                }
                other => panic!("unknown block {other}"),
            }
        }
    }

    fn assert_text(object: &Value, limit: usize) {
        assert_eq!(object["type"], "mrkdwn");
        let text = object["text"].as_str().unwrap();
        assert!((1..=limit).contains(&text.chars().count()), "{} characters", text.chars().count());
        assert!(!text.contains(['<', '>']), "{text}");
        for part in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;"].iter().any(|entity| part.starts_with(entity)), "{part}");
        }
    }

    #[tokio::test]
    async fn a_webhook_gets_blocks() {
        let double = HttpDouble::start(vec![Reply::status(200, "ok")]).await;
        let (_secret, config) = webhook(&double);
        let mut message = doubles::message();
        message.text = format!("<!channel> disk > 90% & <https://evil.example|click>\n{}", message.command);
        let receipt = (CHANNELS[0].send)(config, message.clone(), doubles::http()).await.unwrap();
        assert_eq!(receipt, Receipt::new("ok"));
        let body = double.request().json();
        assert_accepted_by_slack(&body);
        let types: Vec<_> =
            body["blocks"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["header", "section", "section", "context"]);
        let text = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(text.starts_with("&lt;!channel&gt; disk &gt; 90% &amp; &lt;https:"), "{text}");
        assert!(text.ends_with(&message.command), "{text}");
    }

    #[test]
    fn the_longest_message_stays_within_the_limits_and_keeps_its_command() {
        let mut message = doubles::message();
        message.subject = "&".repeat(400);
        message.text = format!("{}\n{}", "<&ü>".repeat(2000), message.command);
        message.facts = vec![("N<".repeat(90), "&".repeat(5000)); 14];
        let body = payload(&message);
        assert_accepted_by_slack(&body);
        assert!(body["blocks"][1]["text"]["text"].as_str().unwrap().ends_with(&format!("…\n{}", message.command)));
        assert_eq!(body["blocks"][2]["fields"].as_array().unwrap().len(), 10);
    }

    #[test]
    fn escaping_cuts_between_replacements() {
        assert_eq!(escape("a<b", 6), "a&lt;b");
        assert_eq!(escape("a<b", 5), "a…");
        assert_eq!(escape("a<bc", 6), "a&lt;…");
        assert_eq!(escape("üü", 2), "üü");
        assert_eq!(escape("", 5), "");
    }

    #[tokio::test]
    async fn a_limited_webhook_is_tried_again() {
        let double = HttpDouble::start(vec![Reply::status(429, "").retry_after("0"), Reply::status(200, "ok")]).await;
        let (_secret, config) = webhook(&double);
        let delivery = deliver(
            &CHANNELS[0],
            config,
            doubles::masked(doubles::message()),
            doubles::http(),
            doubles::impatient(),
            1,
        )
        .await;
        assert_eq!((delivery.attempts, delivery.result), (2, Ok(Receipt::new("ok"))));
        assert_eq!(double.requests()[0].body, double.requests()[1].body);
    }

    #[tokio::test]
    async fn a_deleted_webhook_is_final_and_its_address_is_not_shown() {
        let double = HttpDouble::start(vec![Reply::status(404, "no_service")]).await;
        let (_secret, config) = webhook(&double);
        let delivery = deliver(
            &CHANNELS[0],
            config,
            doubles::masked(doubles::message()),
            doubles::http(),
            doubles::impatient(),
            1,
        )
        .await;
        let error = delivery.result.unwrap_err();
        assert_eq!((delivery.attempts, error.transient), (1, false));
        assert!(error.message.ends_with("no_service") && !error.message.contains("/hook"), "{error}");
    }

    #[tokio::test]
    async fn a_webhook_that_is_not_encrypted_is_not_called() {
        let address = keep("http://hooks.example.com/services/hush");
        let sending = (CHANNELS[0].send)(json!({"webhook": address.config}), doubles::message(), doubles::http());
        let error = sending.await.unwrap_err();
        assert_eq!(error, DeliveryError::lasting("a secret would travel unencrypted; use an https address"));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
        let wrong = |config: Value| (CHANNELS[0].check)(&config).unwrap_err().message;
        let reference = json!({"env": "SLACK"});
        assert!(wrong(json!({})).ends_with("give either 'webhook', or 'token' and 'channel'"));
        assert!(wrong(json!({"token": reference})).ends_with("a bot needs the 'channel' it posts to"));
        let insecure = json!({"token": reference, "channel": "#a", "api": "http://gateway.example.com/"});
        assert!(wrong(insecure).contains("unencrypted"));
        let written_out = wrong(json!({"token": "xoxb-hush", "channel": "#a"}));
        assert!(!written_out.contains("xoxb-hush") && written_out.contains("by reference"), "{written_out}");
    }
}
