//! `webhook`: the message as JSON to any address, signed as the Standard Webhooks specification says,
//! so that the receiver can tell it is ours, fresh, and not a repetition.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use super::post::{self, Post};
use super::{Channel, DeliveryError, Message, Receipt};
use crate::base::Clock;
use crate::site::SecretReference;

/// The lengths of a key that the specification allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that gets a POST with the message as JSON.
    pub url: String,
    /// The signing secret, by reference: `whsec_` and then 24 to 64 random bytes in base64, which
    /// `echo "whsec_$(head -c 32 /dev/urandom | base64)"` makes.
    pub secret: SecretReference,
}

impl Channel for Sender {
    const NAME: &'static str = "webhook";
    const SUMMARY: &'static str = "Sends the message as signed JSON (Standard Webhooks) to any address.";
    const EXAMPLE: &'static str = "{url: 'https://hooks.example.com/runbook', secret: {env: RUNBOOK_WEBHOOK_SECRET}}";
    type Config = Config;
    const MERGES: bool = false;

    fn check(config: &Config) -> Result<(), String> {
        post::check_address(&config.url)
    }

    fn preview(_config: &Config, message: &Message) -> Result<String, DeliveryError> {
        serde_json::to_value(message).map(|message| post::pretty(&message)).map_err(|error| unwritable(&error))
    }

    async fn send(config: Config, message: Message, http: Client) -> Result<Receipt, DeliveryError> {
        let secret = post::fetch(&config.secret).await?;
        let key = key(secret.reveal())?;
        let body = serde_json::to_string(&message).map_err(|error| unwritable(&error))?;
        // The time of this attempt, not of the message: receivers refuse what is older than minutes.
        let at = (Clock::start().now().0 / 1000).to_string();
        let signature = sign(&key, &message.id, &at, &body);
        let post = Post::json(&config.url, body)?
            .header("webhook-id", message.id.clone())
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature);
        post.hiding(&secret).send(&http).await?;
        Ok(Receipt::new(format!("accepted as {}", message.id)))
    }
}

fn unwritable(error: &serde_json::Error) -> DeliveryError {
    DeliveryError::lasting(format!("bug: the message cannot be written as JSON: {error}"))
}

fn key(secret: &str) -> Result<Vec<u8>, DeliveryError> {
    let encoded = secret
        .trim()
        .strip_prefix("whsec_")
        .ok_or_else(|| DeliveryError::lasting("the webhook secret must begin with whsec_"))?;
    let key = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| DeliveryError::lasting("the webhook secret must be base64 after whsec_"))?;
    if KEY_BYTES.contains(&key.len()) {
        return Ok(key);
    }
    let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
    Err(DeliveryError::lasting(format!("the webhook secret has {} bytes, it needs {least} to {most}", key.len())))
}

fn sign(key: &[u8], id: &str, at: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sha2::Digest;

    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, ChannelEntry, deliver};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn entry() -> &'static ChannelEntry {
        CHANNELS.iter().find(|entry| entry.name == "webhook").unwrap()
    }

    /// HMAC from its definition, so that the check shares no code with what it checks.
    fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
        let pad = |with: u8| -> Vec<u8> {
            let mut block = [0_u8; 64];
            block[..key.len()].copy_from_slice(key);
            block.iter().map(|byte| byte ^ with).collect()
        };
        let inner = Sha256::digest([pad(0x36), data.to_vec()].concat());
        Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
    }

    #[test]
    fn the_example_of_the_specification() {
        let key = key(SECRET).unwrap();
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn the_receiver_can_verify_what_it_gets() {
        let double = HttpDouble::start(vec![Reply::status(503, ""), Reply::status(204, "")]).await;
        let secret = keep(SECRET);
        let config = json!({"url": double.url, "secret": secret.config});
        let message = doubles::message();
        let delivery =
            deliver(entry(), config, doubles::masked(message.clone()), doubles::http(), doubles::impatient(), 1).await;
        assert_eq!((delivery.attempts, delivery.result), (2, Ok(Receipt::new(format!("accepted as {}", message.id)))));
        let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
        for request in double.requests() {
            assert_eq!(request.header("webhook-id"), message.id);
            let at = request.header("webhook-timestamp");
            let now = Clock::start().now().0 / 1000;
            assert!((now - at.parse::<i64>().unwrap()).abs() < 60, "{at}");
            let signed = [message.id.as_bytes(), b".", at.as_bytes(), b".", &request.body].concat();
            let expected = format!("v1,{}", BASE64_STANDARD.encode(hmac_sha256(&key, &signed)));
            assert_eq!(request.header("webhook-signature"), expected);
            assert_eq!(serde_json::from_slice::<Message>(&request.body).unwrap(), message);
        }
    }

    #[test]
    fn weak_secrets_are_refused_without_showing_them() {
        for wrong in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64!", "whsec_c2hvcnQ="] {
            let error = key(wrong).unwrap_err();
            assert!(
                !error.transient && !error.message.contains("c2hvcnQ") && !error.message.contains("MfKQ"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_early() {
        for wrong in ["hooks.example.com", "file:///etc/passwd"] {
            let config: Value = json!({"url": wrong, "secret": {"env": "S"}});
            assert!((entry().check)(&config).is_err(), "{wrong}");
        }
    }
}
