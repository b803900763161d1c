//! `discord`: an embed by the webhook of a channel. The first message of a run is edited to say how the run
//! stands; what somebody has to act on is posted as well, since an edit notifies nobody.

use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::post::{self, Post};
use super::text::{one_line, shorten};
use super::{Channel, DeliveryError, Message, Occasion, Receipt};
use crate::base::Secret;
use crate::site::SecretReference;

/// Discord refuses an embed in which one of these is longer, or of more than 6000 characters in all.
const TITLE_LIMIT: usize = 256;
const TEXT_LIMIT: usize = 2500;
const NAME_LIMIT: usize = 60;
const VALUE_LIMIT: usize = 200;
const FIELDS: usize = 10;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the channel's webhook, by reference, because who knows it can post.
    pub webhook: SecretReference,
}

impl Channel for Sender {
    const NAME: &'static str = "discord";
    const SUMMARY: &'static str =
        "Posts to a Discord channel by its webhook, and edits the message as the run goes on.";
    const EXAMPLE: &'static str = "{webhook: {env: DISCORD_ML_ALERTS_URL}}";
    type Config = Config;

    fn preview(_config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(post::pretty(&payload(message)))
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let address = post::fetch(&config.webhook).await?;
        post::check_private(address.reveal()).map_err(DeliveryError::lasting)?;
        let Some(thread) = &message.thread else { return write(&address, None, &message, &http).await };
        match write(&address, Some(thread), &message, &http).await {
            Ok(edited) if !message.has_to_be_noticed() => Ok(edited),
            Ok(_) => Ok(write(&address, None, &message, &http).await?.threaded(thread)),
            // Somebody deleted the message, or the webhook is another one now.
            Err(error) if !error.transient => write(&address, None, &message, &http).await,
            Err(error) => Err(error),
        }
    }
}

/// Posts the message, or edits the one with this identifier.
async fn write(
    address: &Secret<String>,
    edited: Option<&str>,
    message: &Message,
    http: &Client,
) -> Result<Receipt, DeliveryError> {
    let post = Post::json(&target(address.reveal(), edited)?, payload(message).to_string())?.hiding(address);
    let post = if edited.is_some() { post.editing() } else { post };
    let said = post.send(http).await?;
    let answer: Value = serde_json::from_str(&said).unwrap_or_default();
    Ok(match answer["id"].as_str() {
        Some(id) => {
            let id = shorten(&one_line(id), NAME_LIMIT);
            Receipt::new(format!("{} {id}", if edited.is_some() { "edited" } else { "message" })).threaded(id)
        }
        None => post::accepted("discord"),
    })
}

/// `wait` makes Discord answer with the message, whose identifier is what an edit needs.
fn target(address: &str, edited: Option<&str>) -> Result<String, DeliveryError> {
    let wrong = || DeliveryError::lasting("the address of the channel is not valid");
    let mut url = Url::parse(address.trim()).map_err(|_| wrong())?;
    if let Some(id) = edited {
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["messages", id]);
    }
    url.query_pairs_mut().append_pair("wait", "true");
    Ok(url.into())
}

fn payload(message: &Message) -> Value {
    let fields: Vec<Value> = message
        .facts
        .iter()
        .take(FIELDS)
        .map(|(name, value)| json!({"name": escape(name, NAME_LIMIT), "value": escape(value, VALUE_LIMIT), "inline": true}))
        .collect();
    let mut embed = json!({
        "title": escape(&message.subject, TITLE_LIMIT),
        "description": text_with_command(message),
        "color": colour(message),
        "timestamp": message.at.to_rfc3339(),
        "fields": fields,
        "footer": {"text": shorten(&format!("{} · run {}", message.playbook, message.run), TITLE_LIMIT)},
    });
    if let Some(link) = &message.link {
        embed["url"] = link.as_str().into();
    }
    // Whoever an alert names is not called by it.
    json!({"embeds": [embed], "allowed_mentions": {"parse": []}})
}

/// A text too long for an embed loses its middle, never the command at its end.
fn text_with_command(message: &Message) -> String {
    let whole = escape(&message.text, usize::MAX);
    if whole.chars().count() <= TEXT_LIMIT {
        return whole;
    }
    let end = format!("\n{}", escape(&message.command, TITLE_LIMIT));
    escape(&message.text, TEXT_LIMIT - end.chars().count()) + &end
}

/// The text with every character that means something in Discord's Markdown escaped, cut to `limit` characters
/// between two of its letters.
fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut length = 0;
    for letter in text.chars() {
        let special = "\\*_~`|<>#[]()@:-".contains(letter);
        length += if special { 2 } else { 1 };
        // One is kept for the ellipsis.
        if length >= limit {
            escaped.push('…');
            break;
        }
        if special {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Green, blue, amber and red, as `0xRRGGBB`.
fn colour(message: &Message) -> u32 {
    match (message.on, message.severity.as_str()) {
        (Occasion::Resolved, _) => 0x2e_a0_43,
        (_, "info" | "low") => 0x1f_6f_eb,
        (_, "medium") => 0xd2_99_22,
        _ => 0xda_36_33,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, ChannelEntry};

    const TAKEN: &str = r#"{"id": "1234"}"#;

    fn entry() -> &'static ChannelEntry {
        CHANNELS.iter().find(|entry| entry.name == "discord").unwrap()
    }

    async fn send(double: &HttpDouble, message: Message) -> Result<Receipt, DeliveryError> {
        let secret = keep(&double.url);
        (entry().send)(json!({"webhook": secret.config}), message, doubles::http()).await
    }

    fn later(on: Occasion) -> Message {
        Message { thread: Some("1234".into()), ..doubles::message_on(on) }
    }

    fn calls(double: &HttpDouble) -> Vec<String> {
        double.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }

    #[tokio::test]
    async fn the_first_message_is_posted_and_its_identifier_kept() {
        let double = HttpDouble::start(vec![Reply::status(200, TAKEN)]).await;
        let receipt = send(&double, doubles::message_on(Occasion::Started)).await.unwrap();
        assert_eq!(receipt, Receipt::new("message 1234").threaded("1234"));
        assert_eq!(calls(&double), ["POST /hook?wait=true"]);
        let body = double.request().json();
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        assert_eq!(body["embeds"][0]["url"], "https://runbook.example.com/runs/1122-174012-k3f9");
    }

    #[tokio::test]
    async fn a_later_message_edits_it() {
        let double = HttpDouble::start(vec![Reply::status(200, TAKEN)]).await;
        let receipt = send(&double, later(Occasion::Resolved)).await.unwrap();
        assert_eq!(receipt, Receipt::new("edited 1234").threaded("1234"));
        assert_eq!(calls(&double), ["PATCH /hook/messages/1234?wait=true"]);
    }

    #[tokio::test]
    async fn what_somebody_has_to_do_is_posted_too_and_the_first_message_stays_the_edited_one() {
        let double = HttpDouble::start(vec![Reply::status(200, TAKEN), Reply::status(200, r#"{"id": "5678"}"#)]).await;
        let receipt = send(&double, later(Occasion::Approval)).await.unwrap();
        assert_eq!(receipt, Receipt::new("message 5678").threaded("1234"));
        assert_eq!(calls(&double), ["PATCH /hook/messages/1234?wait=true", "POST /hook?wait=true"]);
    }

    #[tokio::test]
    async fn a_message_that_was_deleted_is_posted_anew() {
        let double = HttpDouble::start(vec![Reply::status(404, r#"{"code": 10008}"#), Reply::status(200, TAKEN)]).await;
        assert!(send(&double, later(Occasion::Resolved)).await.is_ok());
        assert_eq!(calls(&double), ["PATCH /hook/messages/1234?wait=true", "POST /hook?wait=true"]);
    }

    #[tokio::test]
    async fn a_busy_service_is_not_taken_for_a_deleted_message() {
        let double = HttpDouble::start(vec![Reply::status(429, "{}").retry_after("3")]).await;
        let error = send(&double, later(Occasion::Resolved)).await.unwrap_err();
        assert!(error.transient && error.retry_after.is_some() && !error.message.contains("/hook"), "{error}");
        assert_eq!(calls(&double).len(), 1);
    }

    #[test]
    fn the_longest_message_stays_within_the_limits_and_keeps_its_command() {
        let mut message = doubles::message();
        message.subject = "*".repeat(900);
        message.text = format!("{}\n{}", "@everyone [x](y) ".repeat(900), message.command);
        message.facts = vec![("_".repeat(900), "|".repeat(900)); 40];
        let embed = &payload(&message)["embeds"][0];
        let length = |value: &Value| value.as_str().unwrap().chars().count();
        let fields = embed["fields"].as_array().unwrap();
        assert!(fields.len() <= 25 && fields.iter().all(|field| length(&field["value"]) <= 1024));
        assert!(length(&embed["title"]) <= 256 && length(&embed["description"]) <= 4096);
        let all: usize = fields.iter().map(|field| length(&field["name"]) + length(&field["value"])).sum();
        let all = all + length(&embed["title"]) + length(&embed["description"]) + length(&embed["footer"]["text"]);
        assert!(all <= 6000, "{all}");
        let text = embed["description"].as_str().unwrap();
        assert!(text.starts_with("\\@everyone \\[x\\]\\(y\\)"), "{text}");
        assert!(text.replace('\\', "").ends_with(&message.command), "{text}");
    }
}
