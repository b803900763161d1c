//! `pagerduty`: an event for the Events API v2. A resolved run resolves the incident its earlier
//! messages opened, since all of them carry the same key.

use reqwest::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::post::{self, Post};
use super::text::{one_line, shorten};
use super::{Channel, DeliveryError, Message, Occasion, Receipt};
use crate::base::redaction::MARK;
use crate::site::SecretReference;

/// PagerDuty refuses a longer summary or key.
const SUMMARY_LIMIT: usize = 1024;
const KEY_LIMIT: usize = 255;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The integration key of a service with an Events API v2 integration, by reference.
    pub routing_key: SecretReference,
    /// What the incident shows as its source.
    #[serde(default = "default_source")]
    pub source: String,
    /// The address of the events API: `https://events.eu.pagerduty.com/v2/enqueue` for an account in the EU.
    #[serde(default = "default_url")]
    pub url: String,
}

fn default_source() -> String {
    "runbook".into()
}

fn default_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".into()
}

impl Channel for Sender {
    const NAME: &'static str = "pagerduty";
    const SUMMARY: &'static str = "Opens a PagerDuty incident, and resolves it when the run has fixed the fault.";
    const EXAMPLE: &'static str = "{routing_key: {file: /run/secrets/pagerduty-ml}}";
    type Config = Config;
    const MERGES: bool = false;

    fn check(config: &Config) -> Result<(), String> {
        if config.source.trim().is_empty() {
            return Err("'source' must not be empty".into());
        }
        post::check_private(&config.url)
    }

    fn preview(config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(post::pretty(&event(MARK, &config.source, message)))
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let key = post::fetch(&config.routing_key).await?;
        let event = event(key.reveal(), &config.source, &message);
        let said = Post::json(&config.url, event.to_string())?.hiding(&key).send(&http).await?;
        let answer: Value = serde_json::from_str(&said).unwrap_or_default();
        Ok(match answer["dedup_key"].as_str() {
            Some(key) => Receipt::new(format!("dedup_key {}", shorten(&one_line(key), KEY_LIMIT))),
            None => post::accepted("pagerduty"),
        })
    }
}

fn event(routing_key: &str, source: &str, message: &Message) -> Value {
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action(message.on),
        "dedup_key": shorten(&message.dedup_key, KEY_LIMIT),
    });
    if action(message.on) == "trigger" {
        event["client"] = json!("runbook");
        event["payload"] = payload(source, message);
    }
    event
}

fn action(on: Occasion) -> &'static str {
    match on {
        Occasion::Resolved => "resolve",
        Occasion::Acknowledged => "acknowledge",
        _ => "trigger",
    }
}

fn payload(source: &str, message: &Message) -> Value {
    json!({
        "summary": shorten(&message.subject, SUMMARY_LIMIT),
        "source": source,
        "severity": severity(&message.severity),
        "timestamp": message.at.to_rfc3339(),
        "component": message.playbook,
        "class": message.title,
        "custom_details": details(message),
    })
}

fn details(message: &Message) -> Map<String, Value> {
    let mut details: Map<String, Value> =
        message.facts.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    for (name, value) in [("run", &message.run), ("command", &message.command), ("text", &message.text)] {
        details.insert(name.into(), Value::String(value.clone()));
    }
    details
}

/// Five words of ours onto four of theirs. What is not known must not be quieter than an error.
fn severity(ours: &str) -> &'static str {
    match ours {
        "info" | "low" => "info",
        "medium" => "warning",
        "critical" => "critical",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, ChannelEntry, Delivery, deliver};

    const TAKEN: &str = r#"{"status": "success", "message": "Event processed", "dedup_key": "k1"}"#;

    fn entry() -> &'static ChannelEntry {
        CHANNELS.iter().find(|entry| entry.name == "pagerduty").unwrap()
    }

    async fn deliver_to(double: &HttpDouble, message: Message) -> Delivery {
        let key = keep("r0u71n6k3y\n");
        let config = json!({"routing_key": key.config, "url": double.url});
        deliver(entry(), config, doubles::masked(message), doubles::http(), doubles::impatient(), 1).await
    }

    #[tokio::test]
    async fn an_unresolved_run_triggers_with_every_required_field() {
        let double = HttpDouble::start(vec![Reply::status(202, TAKEN)]).await;
        let message = Message { subject: "s".repeat(2000), severity: "critical".into(), ..doubles::message() };
        let delivery = deliver_to(&double, message.clone()).await;
        assert_eq!(delivery.result, Ok(Receipt::new("dedup_key k1")));
        let event = double.request().json();
        assert_eq!((&event["routing_key"], &event["event_action"]), (&json!("r0u71n6k3y"), &json!("trigger")));
        assert_eq!(event["dedup_key"], message.dedup_key.as_str());
        let payload = &event["payload"];
        assert_eq!(payload["summary"].as_str().unwrap().chars().count(), 1024);
        assert_eq!((&payload["severity"], &payload["source"]), (&json!("critical"), &json!("runbook")));
        assert!(payload["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(payload["custom_details"]["command"], message.command.as_str());
    }

    #[tokio::test]
    async fn a_resolved_run_resolves_the_same_incident() {
        let double = HttpDouble::start(vec![Reply::status(202, TAKEN), Reply::status(202, TAKEN)]).await;
        for on in [Occasion::Escalated, Occasion::Resolved] {
            assert!(deliver_to(&double, doubles::message_on(on)).await.result.is_ok());
        }
        let events: Vec<Value> = double.requests().iter().map(|request| request.json()).collect();
        assert_eq!((&events[0]["event_action"], &events[1]["event_action"]), (&json!("trigger"), &json!("resolve")));
        assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    }

    #[tokio::test]
    async fn a_failing_service_is_tried_to_the_end_and_a_wrong_key_once() {
        let double = HttpDouble::start(vec![Reply::status(500, "oops"); 4]).await;
        let delivery = deliver_to(&double, doubles::message()).await;
        assert_eq!((delivery.attempts, double.requests().len()), (4, 4));
        assert!(delivery.result.unwrap_err().transient);

        let double = HttpDouble::start(vec![Reply::status(401, "bad key r0u71n6k3y")]).await;
        let delivery = deliver_to(&double, doubles::message()).await;
        let error = delivery.result.unwrap_err();
        assert_eq!((delivery.attempts, error.transient), (1, false));
        assert!(error.message.ends_with("bad key [secret]"), "{error}");
    }

    #[test]
    fn an_unknown_severity_is_not_quiet() {
        assert_eq!(
            ["info", "low", "medium", "high", "critical", "?"].map(severity),
            ["info", "info", "warning", "error", "critical", "error"]
        );
    }

    #[test]
    fn the_key_is_never_sent_unencrypted() {
        let config = json!({"routing_key": {"env": "KEY"}, "url": "http://events.example.com/v2/enqueue"});
        assert!((entry().check)(&config).unwrap_err().message.contains("unencrypted"));
    }
}
