//! `opsgenie`: an alert by the Alert API v2. All messages of an incident carry the same alias, so that the
//! service joins them to one alert, and a resolved run closes it.

use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::post::{self, Post};
use super::text::{one_line, shorten};
use super::{Channel, DeliveryError, Message, Occasion, Receipt};
use crate::base::Secret;
use crate::site::SecretReference;

/// Opsgenie refuses or cuts what is longer.
const MESSAGE_LIMIT: usize = 130;
const ALIAS_LIMIT: usize = 512;
const DESCRIPTION_LIMIT: usize = 15_000;
const DETAIL_LIMIT: usize = 500;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The key of an API integration that may create and update alerts, by reference.
    pub api_key: SecretReference,
    /// The teams that are paged, by name. Default: those of the integration.
    #[serde(default)]
    pub teams: Vec<String>,
    /// The address of the alert API: `https://api.eu.opsgenie.com/v2/alerts` for an account in the EU.
    #[serde(default = "default_url")]
    pub url: String,
}

fn default_url() -> String {
    "https://api.opsgenie.com/v2/alerts".into()
}

impl Channel for Sender {
    const NAME: &'static str = "opsgenie";
    const SUMMARY: &'static str = "Opens an Opsgenie alert, and closes it when the run has fixed the fault.";
    const EXAMPLE: &'static str = "{api_key: {file: /run/secrets/opsgenie-ml}, teams: [ml-platform]}";
    type Config = Config;
    const MERGES: bool = false;

    fn check(config: &Config) -> Result<(), String> {
        post::check_private(&config.url)
    }

    fn preview(config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(match message.on {
            Occasion::Resolved | Occasion::Acknowledged => post::pretty(&note(message)),
            _ => post::pretty(&alert(config, &shorten(&message.dedup_key, ALIAS_LIMIT), message)),
        })
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let key = post::fetch(&config.api_key).await?;
        let alias = shorten(&message.dedup_key, ALIAS_LIMIT);
        let done = match message.on {
            Occasion::Resolved => Some("close"),
            Occasion::Acknowledged => Some("acknowledge"),
            _ => None,
        };
        if let Some(done) = done {
            return call(&under(&config.url, &alias, done)?, &note(&message), &key, &http).await;
        }
        // Joined to the alert by its alias while that is open; a new alert when somebody has closed it.
        let receipt = call(&config.url, &alert(&config, &alias, &message), &key, &http).await?;
        if message.thread.is_some() {
            // Joining changes only a counter; what is new is read in the notes.
            call(&under(&config.url, &alias, "notes")?, &note(&message), &key, &http).await?;
        }
        Ok(receipt.threaded(alias))
    }
}

async fn call(url: &str, body: &Value, key: &Secret<String>, http: &Client) -> Result<Receipt, DeliveryError> {
    let post = Post::json(url, body.to_string())?.header("authorization", format!("GenieKey {}", key.reveal()));
    let said = post.hiding(key).send(http).await?;
    let answer: Value = serde_json::from_str(&said).unwrap_or_default();
    Ok(match answer["requestId"].as_str() {
        Some(id) => Receipt::new(format!("request {}", shorten(&one_line(id), 100))),
        None => post::accepted("opsgenie"),
    })
}

/// The address of what is done to the alert of this alias.
fn under(url: &str, alias: &str, what: &str) -> Result<String, DeliveryError> {
    let wrong = || DeliveryError::lasting("the address of the alert API is not valid");
    let mut url = Url::parse(url).map_err(|_| wrong())?;
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend([alias, what]);
    url.query_pairs_mut().append_pair("identifierType", "alias");
    Ok(url.into())
}

fn alert(config: &Config, alias: &str, message: &Message) -> Value {
    let teams: Vec<Value> = config.teams.iter().map(|name| json!({"type": "team", "name": name})).collect();
    let mut alert = json!({
        "message": shorten(&message.subject, MESSAGE_LIMIT),
        "alias": alias,
        "description": shorten(&message.text, DESCRIPTION_LIMIT),
        "details": details(message),
        "entity": message.playbook,
        "source": "runbook",
        "priority": priority(&message.severity),
        "tags": ["runbook", message.on.label()],
    });
    if !teams.is_empty() {
        alert["responders"] = teams.into();
    }
    alert
}

fn note(message: &Message) -> Value {
    let text = format!("{}\n\n{}", message.subject, message.text);
    json!({"source": "runbook", "note": shorten(&text, DESCRIPTION_LIMIT)})
}

fn details(message: &Message) -> Map<String, Value> {
    let own = [("run", Some(&message.run)), ("command", Some(&message.command)), ("link", message.link.as_ref())];
    let facts = message.facts.iter().map(|(name, value)| (name.as_str(), Some(value)));
    let known = facts.chain(own).filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| (name.to_owned(), shorten(value, DETAIL_LIMIT).into())).collect()
}

/// What is not known must not be quieter than what is high.
fn priority(severity: &str) -> &'static str {
    match severity {
        "info" => "P5",
        "low" => "P4",
        "medium" => "P3",
        "critical" => "P1",
        _ => "P2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, ChannelEntry, Delivery, deliver};

    const TAKEN: &str = r#"{"result": "Request will be processed", "took": 0.1, "requestId": "43a29c5c"}"#;

    fn entry() -> &'static ChannelEntry {
        CHANNELS.iter().find(|entry| entry.name == "opsgenie").unwrap()
    }

    async fn deliver_to(double: &HttpDouble, message: Message) -> Delivery {
        let key = keep("g3n13k3y-hush\n");
        let config = json!({"api_key": key.config, "url": double.url, "teams": ["ml-platform"]});
        deliver(entry(), config, doubles::masked(message), doubles::http(), doubles::impatient(), 1).await
    }

    #[tokio::test]
    async fn an_unresolved_run_opens_an_alert_under_the_key_of_the_incident() {
        let double = HttpDouble::start(vec![Reply::status(202, TAKEN)]).await;
        let message = Message { subject: "s".repeat(500), severity: "critical".into(), ..doubles::message() };
        let receipt = deliver_to(&double, message.clone()).await.result.unwrap();
        assert_eq!(receipt, Receipt::new("request 43a29c5c").threaded(message.dedup_key.clone()));
        let request = double.request();
        assert_eq!(request.header("authorization"), "GenieKey g3n13k3y-hush");
        let alert = request.json();
        assert_eq!(alert["message"].as_str().unwrap().chars().count(), 130);
        assert_eq!((&alert["alias"], &alert["priority"]), (&json!(message.dedup_key), &json!("P1")));
        assert_eq!(alert["responders"], json!([{"type": "team", "name": "ml-platform"}]));
        assert_eq!(alert["details"]["command"], message.command.as_str());
    }

    #[tokio::test]
    async fn a_later_message_is_joined_and_noted_and_a_resolved_run_closes_the_alert() {
        let double = HttpDouble::start(vec![Reply::status(202, TAKEN); 3]).await;
        let later = Message { thread: Some("k".into()), ..doubles::message_on(Occasion::Escalated) };
        let resolved = doubles::message_on(Occasion::Resolved);
        for message in [later, resolved.clone()] {
            assert!(deliver_to(&double, message).await.result.is_ok());
        }
        let alias = resolved.dedup_key;
        let targets: Vec<String> = double.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(
            targets,
            [
                "/hook".to_owned(),
                format!("/hook/{alias}/notes?identifierType=alias"),
                format!("/hook/{alias}/close?identifierType=alias"),
            ]
        );
        assert_eq!(double.requests()[0].json()["alias"], alias.as_str());
    }

    #[tokio::test]
    async fn a_wrong_key_is_tried_once_and_not_shown() {
        let double = HttpDouble::start(vec![Reply::status(401, "no key g3n13k3y-hush")]).await;
        let delivery = deliver_to(&double, doubles::message()).await;
        let error = delivery.result.unwrap_err();
        assert_eq!((delivery.attempts, error.transient), (1, false));
        assert!(error.message.ends_with("no key [secret]"), "{error}");
    }

    #[test]
    fn a_key_stays_one_part_of_the_address() {
        let url = under("https://api.opsgenie.com/v2/alerts", "runbook:a/../b?c", "close").unwrap();
        assert_eq!(url, "https://api.opsgenie.com/v2/alerts/runbook:a%2F..%2Fb%3Fc/close?identifierType=alias");
    }

    #[test]
    fn the_key_is_never_sent_unencrypted() {
        let config = json!({"api_key": {"env": "KEY"}, "url": "http://api.example.com/v2/alerts"});
        assert!((entry().check)(&config).unwrap_err().message.contains("unencrypted"));
    }
}
