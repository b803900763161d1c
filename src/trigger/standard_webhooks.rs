//! `standard_webhooks`: senders that sign as Standard Webhooks says (<https://www.standardwebhooks.com>), symmetric
//! signatures, version 1 of its specification.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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
    /// The secret that both sides know, which begins with `whsec_`.
    pub secret: SecretReference,
    /// The secret before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
    /// Where in the body the parts are.
    pub fields: Fields,
}

impl Source for Sender {
    const NAME: &'static str = "standard_webhooks";
    const SUMMARY: &'static str =
        "Senders that sign by Standard Webhooks; settings say where in the body the parts are.";
    const EXAMPLE: &'static str =
        "{secret: {file: /run/secrets/hooks}, fields: {identity: /data/id, labels: {type: /type}}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.secret).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, _secrets: &[Secret<String>]) -> Result<(), Refusal> {
        signed(request).and_then(|(_, at, _)| authenticity::is_recent(at, request.at))
    }

    fn verify(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        let (id, at, signatures) = signed(request)?;
        let keys: Vec<Vec<u8>> = secrets.iter().filter_map(|secret| key(secret.reveal())).collect();
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", at.as_bytes(), b".", &request.body];
        let signed_by =
            |signature: Vec<u8>| authenticity::is_signed(keys.iter().map(Vec::as_slice), &parts, &signature);
        let offered = signatures.split(' ').filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix("v1,")?).ok());
        match offered.fold(false, |found, signature| signed_by(signature) | found) {
            true => Ok(()),
            false => Err(Refusal::NotAuthentic("none of its signatures is of a secret of this hook".into())),
        }
    }

    fn read(config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let signal = config.fields.signal(form::json(request)?, request.at)?;
        let id = request.header("webhook-id").map(str::to_owned);
        Ok(Delivery { id, signals: vec![signal], incomplete: None })
    }
}

/// Name, time and signatures, as the headers say.
fn signed(request: &Request) -> Result<(&str, &str, &str), Refusal> {
    let header = |name: &str| {
        let text = request.header(name).filter(|text| !text.is_empty());
        text.ok_or_else(|| Refusal::NotAuthentic(format!("it has no header {name}")))
    };
    Ok((header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?))
}

fn key(secret: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(secret.trim().strip_prefix("whsec_")?).ok().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Timestamp;

    /// The example of the specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const AT: i64 = 1_614_265_330_000;

    fn judge(change: impl FnOnce(&mut Request), secrets: &[&str]) -> bool {
        let config: Config =
            serde_json::from_value(json!({"secret": {"env": "S"}, "fields": {"identity": "/test"}})).unwrap();
        let mut request = Request { body: BODY.into(), at: Timestamp(AT), ..Request::default() };
        for (name, value) in
            [("id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("timestamp", "1614265330"), ("signature", SIGNATURE)]
        {
            request.headers.insert(format!("webhook-{name}"), value.into());
        }
        change(&mut request);
        let secrets: Vec<Secret<String>> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        Sender::admit(&config, &request, &secrets).and_then(|()| Sender::verify(&config, &request, &secrets)).is_ok()
    }

    #[test]
    fn t40_the_example_of_the_specification_and_nothing_near_it() {
        assert!(judge(|_| {}, &[SECRET]));
        assert!(judge(|_| {}, &["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", SECRET]), "during rotation");
        assert!(!judge(|_| {}, &["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]));
        assert!(!judge(|request| request.body = br#"{"test":2432232314}"#.to_vec(), &[SECRET]), "serialised again");
        assert!(!judge(|request| request.at = Timestamp(AT + 301_000), &[SECRET]), "old");
        assert!(!judge(|request| request.at = Timestamp(AT - 301_000), &[SECRET]), "from the future");
        for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            assert!(!judge(|request| drop(request.headers.remove(header)), &[SECRET]), "without {header}");
            assert!(
                !judge(|request| drop(request.headers.insert(header.into(), "1614265331".into())), &[SECRET]),
                "{header}"
            );
        }
    }

    #[test]
    fn t40_each_flipped_bit_of_the_body_is_seen() {
        for bit in 0..BODY.len() * 8 {
            assert!(!judge(|request| request.body[bit / 8] ^= 1 << (bit % 8), &[SECRET]), "bit {bit}");
        }
    }
}
