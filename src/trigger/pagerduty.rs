//! `pagerduty`: webhooks of PagerDuty, version 3 (<https://developer.pagerduty.com/docs/verifying-webhook-signatures>).
//! PagerDuty signs the body and no time; each event has a name of its own, by which a replay is known.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Acknowledgement, Delivery, Refusal, Request, Signal, Source, authenticity, form};
use crate::base::Secret;
use crate::site::SecretReference;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The secret of the webhook subscription.
    pub secret: SecretReference,
    /// The secret before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
}

impl Source for Sender {
    const NAME: &'static str = "pagerduty";
    const SUMMARY: &'static str = "Incidents of PagerDuty (webhook version 3); labels are event, title, service, service_id, urgency and priority.";
    const EXAMPLE: &'static str = "{secret: {file: /run/secrets/pagerduty-webhook}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.secret).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, _secrets: &[Secret<String>]) -> Result<(), Refusal> {
        match signatures(request).next() {
            Some(_) => Ok(()),
            None => Err(Refusal::NotAuthentic("it has no signature in x-pagerduty-signature".into())),
        }
    }

    fn verify(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        let keys = || secrets.iter().map(|secret| secret.reveal().as_bytes());
        let signed = |signature: Vec<u8>| authenticity::is_signed(keys(), &[&request.body], &signature);
        match signatures(request).fold(false, |found, signature| signed(signature) | found) {
            true => Ok(()),
            false => Err(Refusal::NotAuthentic("none of its signatures is of a secret of this hook".into())),
        }
    }

    fn read(_config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let body = form::json(request)?;
        let event = body.get("event").ok_or_else(|| Refusal::Malformed("'event' is missing".into()))?;
        let kind = form::text(event, "event_type")?;
        let firing = match kind.as_str() {
            "incident.triggered" | "incident.reopened" => true,
            "incident.resolved" => false,
            // News of an incident that neither begins nor ends it.
            _ => return Ok(Delivery::default()),
        };
        let incident = &event["data"];
        let identity = form::text(incident, "id")?;
        // One that is opened again is news, and its end concerns it whenever it began.
        let since = if firing { form::text(event, "id")? } else { String::new() };
        let labels = form::labels(Some(&json!({
            "event": kind,
            "title": incident["title"],
            "service": incident["service"]["summary"],
            "service_id": incident["service"]["id"],
            "urgency": incident["urgency"],
            "priority": incident["priority"]["summary"],
        })))?;
        let id = Some(form::text(event, "id")?);
        let signal = Signal { identity, since, firing, labels, body: Value::clone(incident) };
        Ok(Delivery { id, signals: vec![signal], incomplete: None })
    }

    fn acknowledged(_config: &Config, request: &Request) -> Option<Acknowledgement> {
        let body = form::json(request).ok()?;
        let event = body.get("event").filter(|event| event["event_type"] == "incident.acknowledged")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
        // The key of the incident is that of the event which opened it.
        let incident = text(&event["data"]["incident_key"])?;
        let by = text(&event["agent"]["summary"]).unwrap_or_else(|| "somebody at PagerDuty".into());
        Some(Acknowledgement { incident, by })
    }
}

/// The header has one signature for each secret in use.
fn signatures(request: &Request) -> impl Iterator<Item = Vec<u8>> + '_ {
    let all = request.header("x-pagerduty-signature").unwrap_or_default().split(',');
    all.filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok())
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;

    fn config() -> Config {
        serde_json::from_value(json!({"secret": {"env": "S"}})).unwrap()
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        format!("v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn judge(signature: &str, secrets: &[&str]) -> bool {
        let headers = [("x-pagerduty-signature".to_owned(), signature.to_owned())].into();
        let request = Request { headers, body: b"body".to_vec(), ..Request::default() };
        let secrets: Vec<Secret<String>> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        Sender::admit(&config(), &request, &secrets)
            .and_then(|()| Sender::verify(&config(), &request, &secrets))
            .is_ok()
    }

    #[test]
    fn t40_one_of_several_signatures_suffices_and_no_other() {
        let both = format!("{},{}", sign("new secret", b"body"), sign("old secret", b"body"));
        assert!(judge(&both, &["old secret"]) && judge(&both, &["new secret"]));
        assert!(!judge(&both, &["another secret"]));
        assert!(!judge(&sign("new secret", b"Body"), &["new secret"]));
        for wrong in ["", "v1=", "v1=zz", "v0=00", "00"] {
            assert!(!judge(wrong, &["new secret"]), "{wrong}");
        }
    }

    fn read(kind: &str) -> Delivery {
        let body = json!({"event": {"id": "01E", "event_type": kind, "data": {"id": "PGR0VU2", "title": "down",
            "service": {"id": "PF9", "summary": "checkout"}, "urgency": "high", "priority": null}}});
        Sender::read(&config(), &Request { body: body.to_string().into_bytes(), ..Request::default() }).unwrap()
    }

    #[test]
    fn incidents_begin_and_end() {
        let begun = read("incident.triggered");
        assert_eq!((begun.signals[0].identity.as_str(), begun.signals[0].firing), ("PGR0VU2", true));
        assert_eq!((begun.signals[0].labels["service"].as_str(), begun.id.as_deref()), ("checkout", Some("01E")));
        assert_eq!(
            (read("incident.resolved").signals[0].firing, read("incident.resolved").signals[0].since.as_str()),
            (false, "")
        );
        assert_eq!(read("incident.acknowledged").signals, []);
    }

    #[test]
    fn an_acknowledgement_names_the_incident_by_our_key_and_whoever_took_it() {
        let read = |event: Value| {
            let body = json!({"event": event}).to_string().into_bytes();
            Sender::acknowledged(&config(), &Request { body, ..Request::default() })
        };
        let event = |kind: &str, key: Value| json!({"id": "01F", "event_type": kind, "agent": {"summary": "Ada"}, "data": {"id": "P1", "incident_key": key}});
        let found = read(event("incident.acknowledged", json!("runbook:p:0a"))).unwrap();
        assert_eq!((found.incident.as_str(), found.by.as_str()), ("runbook:p:0a", "Ada"));
        assert_eq!(read(event("incident.triggered", json!("runbook:p:0a"))), None);
        for none in [json!(null), json!(""), json!(7)] {
            assert_eq!(read(event("incident.acknowledged", none)), None);
        }
    }
}
