//! `json`-speaking senders without a form of their own: a token, and where in the body the parts are.

use schemars::JsonSchema;
use serde::Deserialize;

use super::form::Fields;
use super::{Delivery, Refusal, Request, Source, authenticity, form};
use crate::base::Secret;
use crate::site::SecretReference;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bearer token that the sender sends, or its password in basic authentication.
    pub token: SecretReference,
    /// The token before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
    /// Where in the body the parts are.
    pub fields: Fields,
}

impl Source for Sender {
    const NAME: &'static str = "generic";
    const SUMMARY: &'static str = "Any sender of JSON; settings say where in the body the parts are.";
    const EXAMPLE: &'static str = "{token: {file: /run/secrets/ci}, fields: {identity: /job/id, \
        status: /job/state, resolved: [success], labels: {branch: /job/ref}}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.token).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        authenticity::by_token(request, secrets)
    }

    fn read(config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let signal = config.fields.signal(form::json(request)?, request.at)?;
        Ok(Delivery { id: None, signals: vec![signal], incomplete: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<Delivery, Refusal> {
        let config = serde_json::from_value(json!({"token": {"env": "T"}, "fields": {"identity": "/job/id",
            "status": "/job/state", "resolved": ["success"], "labels": {"branch": "/job/ref"}}}));
        Sender::read(&config.unwrap(), &Request { body: body.to_string().into_bytes(), ..Request::default() })
    }

    #[test]
    fn parts_are_found_where_the_settings_say() {
        let delivery = read(&json!({"job": {"id": 7, "state": "failed", "ref": "main"}})).unwrap();
        let signal = &delivery.signals[0];
        assert_eq!((signal.identity.as_str(), signal.firing, signal.labels["branch"].as_str()), ("7", true, "main"));
    }

    #[test]
    fn an_end_is_known_by_its_status_and_ends_it_whenever_it_began() {
        let delivery = read(&json!({"job": {"id": 7, "state": "success"}})).unwrap();
        assert_eq!((delivery.signals[0].firing, delivery.signals[0].since.as_str()), (false, ""));
    }

    #[test]
    fn without_an_identity_it_is_refused() {
        assert!(matches!(read(&json!({"job": {"state": "failed"}})), Err(Refusal::Malformed(_))));
    }
}
