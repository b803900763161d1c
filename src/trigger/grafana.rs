//! `grafana`: the webhook of Grafana Alerting
//! (<https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/>).
//! Its signature has no time unless the contact point names a header for it, so both are wanted together.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Delivery, Refusal, Request, Source, authenticity, form};
use crate::base::Secret;
use crate::site::SecretReference;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The token that Grafana sends as its authorization header credentials, or as the password of basic
    /// authentication.
    pub token: SecretReference,
    /// The token before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
    /// The secret of the HMAC signature, for Grafana 12 and later. With it, a request needs token, signature and time.
    #[serde(default)]
    pub secret: Option<SecretReference>,
    /// The header that the contact point names for the time that it signs.
    #[serde(default = "timestamp_header")]
    pub timestamp_header: String,
}

fn timestamp_header() -> String {
    "x-grafana-alerting-timestamp".into()
}

impl Source for Sender {
    const NAME: &'static str = "grafana";
    const SUMMARY: &'static str = "Alerts of Grafana Alerting.";
    const EXAMPLE: &'static str = "{token: {file: /run/secrets/grafana}, secret: {file: /run/secrets/grafana-hmac}}";
    type Config = Config;

    /// The secret of the signature, if there is one, then the tokens.
    fn secrets(config: &Config) -> Vec<SecretReference> {
        config.secret.iter().chain(std::iter::once(&config.token)).chain(&config.previous).cloned().collect()
    }

    fn admit(config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        let tokens = secrets.get(usize::from(config.secret.is_some())..).unwrap_or_default();
        authenticity::by_token(request, tokens)?;
        match config.secret {
            Some(_) => authenticity::is_recent(time(config, request)?, request.at),
            None => Ok(()),
        }
    }

    fn verify(config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        let Some(secret) = config.secret.as_ref().and_then(|_| secrets.first()) else { return Ok(()) };
        let signature = request.header("x-grafana-alerting-signature").and_then(|text| hex::decode(text).ok());
        let parts: [&[u8]; 3] = [time(config, request)?.as_bytes(), b":", &request.body];
        let signed = |signature: Vec<u8>| authenticity::is_signed([secret.reveal().as_bytes()], &parts, &signature);
        match signature.is_some_and(signed) {
            true => Ok(()),
            false => Err(Refusal::NotAuthentic("its signature is not of the secret of this hook".into())),
        }
    }

    fn read(_config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        form::alert_group(&form::json(request)?)
    }
}

fn time<'r>(config: &Config, request: &'r Request) -> Result<&'r str, Refusal> {
    let time = request.header(&config.timestamp_header.to_ascii_lowercase());
    time.ok_or_else(|| Refusal::NotAuthentic(format!("it has no header {}", config.timestamp_header)))
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use serde_json::json;

    use super::*;
    use crate::base::Timestamp;

    fn judge(signed: bool, change: impl FnOnce(&mut Request)) -> bool {
        let mut config = json!({"token": {"env": "T"}});
        let mut secrets = vec![Secret::new("the token".to_owned())];
        let mut request = Request { body: b"{}".to_vec(), at: Timestamp(1_000_000), ..Request::default() };
        request.headers.insert("authorization".into(), "Bearer the token".into());
        if signed {
            config["secret"] = json!({"env": "S"});
            secrets.insert(0, Secret::new("the secret".to_owned()));
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"the secret").unwrap();
            mac.update(b"1000:{}");
            request.headers.insert("x-grafana-alerting-signature".into(), hex::encode(mac.finalize().into_bytes()));
            request.headers.insert("x-grafana-alerting-timestamp".into(), "1000".into());
        }
        change(&mut request);
        let config = serde_json::from_value(config).unwrap();
        Sender::admit(&config, &request, &secrets).and_then(|()| Sender::verify(&config, &request, &secrets)).is_ok()
    }

    #[test]
    fn t40_token_signature_and_time_are_wanted_together() {
        assert!(judge(false, |_| {}) && judge(true, |_| {}));
        for header in ["authorization", "x-grafana-alerting-signature", "x-grafana-alerting-timestamp"] {
            assert!(!judge(true, |request| drop(request.headers.remove(header))), "without {header}");
        }
        assert!(!judge(true, |request| request.body = b"{ }".to_vec()));
        assert!(!judge(true, |request| request.at = Timestamp(1_301_001)), "old");
        let other =
            |request: &mut Request| drop(request.headers.insert("authorization".into(), "Bearer the secret".into()));
        assert!(!judge(true, other), "the secret is no token");
    }
}
