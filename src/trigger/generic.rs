//! `json`-speaking senders without a form of their own: a token, and where in the body the parts are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Delivery, Refusal, Request, Signal, Source, authenticity, form};
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
    /// Where the name of what is reported is, such as `/incident/id` (JSON Pointer, RFC 6901).
    pub identity: String,
    /// Where the moment is since when it is so. Without it, each request is a new event.
    #[serde(default)]
    pub since: Option<String>,
    /// Where its status is. Without it, every request is about something that is going on.
    #[serde(default)]
    pub status: Option<String>,
    /// The values of the status that say that it is over.
    #[serde(default = "over")]
    pub resolved: Vec<String>,
    /// Labels by a name of your own, each with its place in the body.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn over() -> Vec<String> {
    ["resolved", "ok", "closed"].map(str::to_owned).to_vec()
}

impl Source for Sender {
    const NAME: &'static str = "generic";
    const SUMMARY: &'static str = "Any sender of JSON; settings say where in the body the parts are.";
    const EXAMPLE: &'static str = "{token: {file: /run/secrets/ci}, identity: /job/id, status: /job/state, \
        resolved: [success], labels: {branch: /job/ref}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.token).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        authenticity::by_token(request, secrets)
    }

    fn read(config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let body = form::json(request)?;
        let at = |place: &String| body.pointer(place).and_then(form::plain);
        let identity = at(&config.identity).filter(|identity| !identity.is_empty());
        let identity = identity.ok_or_else(|| Refusal::Malformed(format!("there is nothing at {}", config.identity)))?;
        let status = config.status.as_ref().and_then(at);
        let found = config.labels.iter().filter_map(|(name, place)| Some((name.clone(), at(place)?.into())));
        let labels = form::labels(Some(&Value::Object(found.collect())))?;
        let firing = !status.is_some_and(|status| config.resolved.contains(&status));
        let since = match &config.since {
            Some(place) => at(place).ok_or_else(|| Refusal::Malformed(format!("there is nothing at {place}")))?,
            None if firing => request.at.to_string(),
            // Whenever it began.
            None => String::new(),
        };
        Ok(Delivery { id: None, signals: vec![Signal { identity, since, firing, labels, body }], incomplete: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Delivery, Refusal> {
        let config = serde_json::from_value(json!({"token": {"env": "T"}, "identity": "/job/id", "status": "/job/state",
            "resolved": ["success"], "labels": {"branch": "/job/ref"}}));
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
