//! `alertmanager`: the webhook of Prometheus Alertmanager, version 4 of its form
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>).
//!
//! It signs nothing and sends no time, so the token is all that shows where it comes from; copies are told by
//! fingerprint and beginning of each alert.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Delivery, Refusal, Request, Source, authenticity, form};
use crate::base::Secret;
use crate::site::SecretReference;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The token that Alertmanager sends: `http_config: {authorization: {credentials_file: …}}` in its
    /// configuration, or the password of `basic_auth`.
    pub token: SecretReference,
    /// The token before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
}

impl Source for Sender {
    const NAME: &'static str = "alertmanager";
    const SUMMARY: &'static str = "Alerts of Prometheus Alertmanager (webhook version 4).";
    const EXAMPLE: &'static str = "{token: {file: /run/secrets/alertmanager}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.token).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        authenticity::by_token(request, secrets)
    }

    fn read(_config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let body = form::json(request)?;
        if body["version"] != "4" {
            return Err(Refusal::Malformed(format!(
                "version {} of Alertmanager's webhook is not known",
                body["version"]
            )));
        }
        form::alert_group(&body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<Delivery, Refusal> {
        let config = serde_json::from_value(json!({"token": {"env": "T"}})).unwrap();
        Sender::read(&config, &Request { body: body.to_string().into_bytes(), ..Request::default() })
    }

    fn body() -> Value {
        json!({"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "alerts": [
            {"status": "firing", "fingerprint": "8ad2", "startsAt": "2026-11-22T15:47:12.206Z",
             "labels": {"alertname": "ModelLoadFailure", "provider": "ocr-text"}, "annotations": {"summary": "x"}}]})
    }

    #[test]
    fn an_alert_becomes_a_signal() {
        let delivery = read(&body()).unwrap();
        let signal = &delivery.signals[0];
        assert_eq!(
            (signal.identity.as_str(), signal.since.as_str(), signal.firing),
            ("8ad2", "2026-11-22T15:47:12.206Z", true)
        );
        assert_eq!(signal.labels["provider"], "ocr-text");
        assert_eq!((signal.body["annotations"]["summary"].clone(), delivery.incomplete), ("x".into(), None));
    }

    #[test]
    fn t48_a_group_with_alerts_left_out_is_incomplete() {
        let mut body = body();
        body["truncatedAlerts"] = 3.into();
        assert!(read(&body).unwrap().incomplete.unwrap().contains("left out 3 alerts"));
    }

    #[test]
    fn what_is_not_understood_is_refused_as_a_whole() {
        for (place, value) in [
            ("/version", json!("3")),
            ("/alerts/0/status", json!("paused")),
            ("/alerts/0/fingerprint", json!("")),
            ("/alerts", json!({})),
        ] {
            let mut body = body();
            *body.pointer_mut(place).unwrap() = value;
            assert!(matches!(read(&body), Err(Refusal::Malformed(_))), "{place}");
        }
    }
}
