//! `teams`: an Adaptive Card for Microsoft Teams, by the webhook of a workflow.

use reqwest::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::post::{self, Post};
use super::text::shorten;
use super::{Channel, DeliveryError, Message, Occasion, Receipt};
use crate::site::SecretReference;

/// Teams refuses a card of more than 28 KB. Four bytes a character, a JSON frame around each of the lines and
/// the facts beside them stay below it.
const LINE_LIMIT: usize = 400;
const LINES: usize = 30;
const TEXT_LIMIT: usize = 3500;
const FACT_LIMIT: usize = 150;
const FACTS: usize = 10;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that the workflow "Post to a channel when a webhook request is received" shows, by reference,
    /// because who knows it can post.
    pub webhook: SecretReference,
}

impl Channel for Sender {
    const NAME: &'static str = "teams";
    const SUMMARY: &'static str = "Posts an Adaptive Card to Microsoft Teams by the webhook of a workflow.";
    const EXAMPLE: &'static str = "{webhook: {env: TEAMS_ML_ALERTS_URL}}";
    type Config = Config;

    fn preview(_config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(post::pretty(&payload(message)))
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let address = post::fetch(&config.webhook).await?;
        post::check_private(address.reveal()).map_err(DeliveryError::lasting)?;
        Post::json(address.reveal(), payload(&message).to_string())?.hiding(&address).send(&http).await?;
        Ok(post::accepted("teams"))
    }
}

fn payload(message: &Message) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card(message),
        }],
    })
}

fn card(message: &Message) -> Value {
    let title = json!({"size": "Large", "weight": "Bolder", "color": colour(message)});
    let mut body = vec![line(&message.subject, &title)];
    let text = shorten(&message.text, TEXT_LIMIT);
    let lines = text.lines().filter(|text| !text.trim().is_empty() && *text != message.command).take(LINES);
    body.extend(lines.map(|text| line(text, &json!({}))));
    body.extend(message.facts.iter().take(FACTS).map(|(name, value)| fact(name, value)));
    body.push(line(&message.command, &json!({"fontType": "Monospace"})));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        // The first version with `RichTextBlock`, which the clients on phones know.
        "version": "1.2",
        "fallbackText": shorten(&message.subject, LINE_LIMIT),
        "body": body,
        "msteams": {"width": "Full"},
    });
    if let Some(link) = &message.link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Show the run", "url": link}]);
    }
    card
}

/// A `TextBlock` would read data as Markdown, in which an alert could hide a link; a `TextRun` shows it as it is.
fn line(text: &str, look: &Value) -> Value {
    let mut run = json!({"type": "TextRun", "text": shorten(text, LINE_LIMIT)});
    for (name, value) in look.as_object().into_iter().flatten() {
        run[name] = value.clone();
    }
    json!({"type": "RichTextBlock", "inlines": [run]})
}

fn fact(name: &str, value: &str) -> Value {
    let name = json!({"type": "TextRun", "text": format!("{}: ", shorten(name, FACT_LIMIT)), "weight": "Bolder"});
    let value = json!({"type": "TextRun", "text": shorten(value, FACT_LIMIT)});
    json!({"type": "RichTextBlock", "spacing": "None", "inlines": [name, value]})
}

fn colour(message: &Message) -> &'static str {
    match (message.on, message.severity.as_str()) {
        (Occasion::Resolved, _) => "Good",
        (_, "info" | "low") => "Accent",
        (_, "medium") => "Warning",
        _ => "Attention",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, ChannelEntry, deliver};

    fn entry() -> &'static ChannelEntry {
        CHANNELS.iter().find(|entry| entry.name == "teams").unwrap()
    }

    /// The texts of a card, which must all stand in places where Markdown is not read.
    fn texts(card: &Value) -> Vec<String> {
        let blocks = card["body"].as_array().unwrap();
        assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"), "{card}");
        let runs = blocks.iter().flat_map(|block| block["inlines"].as_array().unwrap());
        runs.map(|run| run["text"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_workflow_gets_one_card() {
        let double = HttpDouble::start(vec![Reply::status(202, "")]).await;
        let secret = keep(&double.url);
        let message = doubles::message();
        let receipt = (entry().send)(json!({"webhook": secret.config}), message.clone(), doubles::http()).await;
        assert_eq!(receipt, Ok(post::accepted("teams")));
        let body = double.request().json();
        assert_eq!(body["type"], "message");
        assert_eq!(body["attachments"].as_array().unwrap().len(), 1);
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.2")));
        let texts = texts(card);
        assert_eq!((texts.first(), texts.last()), (Some(&message.subject), Some(&message.command)));
        assert_eq!(card["actions"][0]["url"], message.link.unwrap());
    }

    #[test]
    fn data_is_not_read_as_markdown_and_the_card_stays_small() {
        let mut message = doubles::message();
        message.text = "[click](https://evil.example)\n".repeat(400) + &"\u{1f525}".repeat(9000);
        message.facts = vec![("\u{1f525}".repeat(300), "\u{1f525}".repeat(900)); 40];
        let payload = payload(&message);
        assert!(payload.to_string().len() < 28_000, "{}", payload.to_string().len());
        assert!(texts(&payload["attachments"][0]["content"]).contains(&"[click](https://evil.example)".to_owned()));
    }

    #[tokio::test]
    async fn a_workflow_that_was_deleted_is_final_and_its_address_is_not_shown() {
        let double = HttpDouble::start(vec![Reply::status(404, "no workflow at /hook?sig=hush")]).await;
        let secret = keep(&format!("{}?sig=hush", double.url));
        let message = doubles::masked(doubles::message());
        let config = json!({"webhook": secret.config});
        let delivery = deliver(entry(), config, message, doubles::http(), doubles::impatient(), 1).await;
        let error = delivery.result.unwrap_err();
        assert_eq!((delivery.attempts, error.transient), (1, false));
        assert!(!error.message.contains(&format!("{}?sig", double.url)), "{error}");
    }
}
