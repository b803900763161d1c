//! `opsgenie`: outgoing webhooks of Opsgenie
//! (<https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/>). Opsgenie signs nothing;
//! it sends a header that its settings name, so a token shows where a request comes from.
//!
//! An alert under one of our keys stands for an escalation. Somebody who acknowledges or closes it has taken over;
//! whether the fault is gone, the next run finds out. Such an alert starts no run: it is news of one.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Acknowledgement, Delivery, Refusal, Request, Signal, Source, authenticity, form};
use crate::base::Secret;
use crate::site::SecretReference;

/// What the keys of this program begin with, in earnest and in an exercise.
const OUR_KEYS: [&str; 2] = ["runbook:", "runbook-drill:"];

/// How Opsgenie calls itself when a policy of its own did something, such as closing what is old.
const NOBODY: &str = "System";

/// As long as the address of a mailbox, which is what Opsgenie calls people by (RFC 5321).
const LONGEST_NAME: usize = 254;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bearer token in the header `Authorization` of the integration, or the password of basic authentication.
    pub token: SecretReference,
    /// The token before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
}

impl Source for Sender {
    const NAME: &'static str = "opsgenie";
    const SUMMARY: &'static str =
        "Alerts of Opsgenie (outgoing webhook); labels are event, message, alias, entity, priority and source.";
    const EXAMPLE: &'static str = "{token: {file: /run/secrets/opsgenie-webhook}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.token).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        authenticity::by_token(request, secrets)
    }

    fn read(_config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let body = form::json(request)?;
        let (action, alert) = (form::text(&body, "action")?, &body["alert"]);
        let firing = match action.as_str() {
            "Create" => true,
            "Close" | "Delete" => false,
            // News of an alert that neither begins nor ends it.
            _ => return Ok(Delivery::default()),
        };
        if our_key(alert).is_some() {
            return Ok(Delivery::default());
        }
        let identity = form::text(alert, "alertId")?;
        // An alert opens once: its end concerns it whenever it began.
        let since = if firing { identity.clone() } else { String::new() };
        let labels = form::labels(Some(&json!({
            "event": action,
            "message": alert["message"],
            "alias": alert["alias"],
            "entity": alert["entity"],
            "priority": alert["priority"],
            "source": alert["source"],
        })))?;
        let signal = Signal { identity, since, firing, labels, body: alert.clone() };
        Ok(Delivery { id: None, signals: vec![signal], incomplete: None })
    }

    fn acknowledged(_config: &Config, request: &Request) -> Option<Acknowledgement> {
        let body = form::json(request).ok()?;
        let did = match body["action"].as_str()? {
            "Acknowledge" => "",
            "Close" => ", who closed the alert",
            _ => return None,
        };
        let incident = our_key(&body["alert"])?.to_owned();
        // What this program did there comes back, and is nobody's answer.
        if body["source"]["name"] == "runbook" {
            return None;
        }
        let name = body["alert"]["username"].as_str().map(str::trim).filter(|name| !name.is_empty());
        let name: String = name.unwrap_or("somebody at Opsgenie").chars().take(LONGEST_NAME).collect();
        (name != NOBODY).then(|| Acknowledgement { incident, by: format!("{name}{did}") })
    }
}

/// The alias of an alert that this program has opened: the key of the incident.
fn our_key(alert: &Value) -> Option<&str> {
    alert["alias"].as_str().filter(|alias| OUR_KEYS.iter().any(|ours| alias.starts_with(ours)))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn config() -> Config {
        serde_json::from_value(json!({"token": {"env": "T"}})).unwrap()
    }

    fn judge(authorization: Option<&str>) -> bool {
        let headers = authorization.map(|value| ("authorization".to_owned(), value.to_owned()));
        let request = Request { headers: headers.into_iter().collect(), ..Request::default() };
        let secrets = ["new token", "old token"].map(|secret| Secret::new(secret.to_owned()));
        Sender::admit(&config(), &request, &secrets).is_ok()
    }

    #[test]
    fn t40_a_token_of_the_hook_lets_in_and_nothing_else() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("opsgenie:old token"));
        assert!(judge(Some("Bearer new token")) && judge(Some("Bearer old token")) && judge(Some(&basic)));
        for wrong in [None, Some(""), Some("Bearer "), Some("Bearer new"), Some("GenieKey new token")] {
            assert!(!judge(wrong), "{wrong:?}");
        }
    }

    fn request(action: &str, alias: &str) -> Value {
        json!({"source": {"name": "", "type": "web"}, "action": action, "integrationName": "runbook",
            "alert": {"alertId": "052652ac", "alias": alias, "message": "down", "username": "ada@example.com",
                "tags": ["a"], "entity": "checkout", "priority": "P1", "source": "grafana", "createdAt": 1_420_452_191_104_i64}})
    }

    fn sent(body: &Value) -> Request {
        Request { body: body.to_string().into_bytes(), ..Request::default() }
    }

    fn read(body: &Value) -> Delivery {
        Sender::read(&config(), &sent(body)).unwrap()
    }

    fn acknowledged(body: &Value) -> Option<Acknowledgement> {
        Sender::acknowledged(&config(), &sent(body))
    }

    #[test]
    fn alerts_of_others_begin_and_end() {
        let begun = read(&request("Create", "grafana-7"));
        assert_eq!((begun.signals[0].identity.as_str(), begun.signals[0].firing), ("052652ac", true));
        assert_eq!((begun.signals[0].labels["entity"].as_str(), begun.signals[0].labels.len()), ("checkout", 6));
        for over in ["Close", "Delete"] {
            let signal = read(&request(over, "grafana-7")).signals.remove(0);
            assert_eq!((signal.firing, signal.since.as_str()), (false, ""));
        }
        assert_eq!(read(&request("Acknowledge", "grafana-7")).signals, []);
        assert_eq!(acknowledged(&request("Close", "grafana-7")), None);
    }

    #[test]
    fn an_alert_that_this_program_has_opened_starts_nothing() {
        for ours in ["runbook:p:0a", "runbook-drill:p:0a"] {
            for action in ["Create", "Close", "Delete"] {
                assert_eq!(read(&request(action, ours)).signals, [], "{action} {ours}");
            }
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let mut nameless = request("Create", "grafana-7");
        nameless["alert"]["alertId"] = Value::Null;
        for wrong in [json!({}), json!([]), json!({"action": "Create"}), json!({"action": {}}), nameless] {
            let refused = Sender::read(&config(), &sent(&wrong));
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{wrong}");
            assert_eq!(acknowledged(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whoever_acknowledges_or_closes_our_alert_has_taken_over() {
        let by =
            |action: &str| acknowledged(&request(action, "runbook:p:0a")).map(|answer| (answer.incident, answer.by));
        let key = || "runbook:p:0a".to_owned();
        assert_eq!(by("Acknowledge"), Some((key(), "ada@example.com".into())));
        assert_eq!(by("Close"), Some((key(), "ada@example.com, who closed the alert".into())));
        for other in ["Create", "UnAcknowledge", "AddNote", "Delete", "acknowledge", ""] {
            assert_eq!(by(other), None, "{other}");
        }
        let mut long = request("Acknowledge", "runbook:p:0a");
        long["alert"]["username"] = "ö".repeat(10_000).into();
        assert_eq!(acknowledged(&long).unwrap().by.chars().count(), LONGEST_NAME);
    }

    #[test]
    fn what_no_person_did_is_no_answer() {
        for action in ["Acknowledge", "Close"] {
            let (mut policy, mut echo) = (request(action, "runbook:p:0a"), request(action, "runbook:p:0a"));
            policy["alert"]["username"] = "System".into();
            echo["source"] = json!({"name": "runbook", "type": "API"});
            assert_eq!((acknowledged(&policy), acknowledged(&echo)), (None, None), "{action}");
        }
    }
}
