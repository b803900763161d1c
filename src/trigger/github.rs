//! `github`: webhooks of GitHub
//! (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>). GitHub signs the body and
//! no time; each delivery has a name of its own, by which a replay is known.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Delivery, Refusal, Request, Signal, Source, authenticity, form};
use crate::base::Secret;
use crate::site::SecretReference;

pub struct Sender;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The secret of the webhook.
    pub secret: SecretReference,
    /// The secret before it, which is taken as well while it is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
}

impl Source for Sender {
    const NAME: &'static str = "github";
    const SUMMARY: &'static str =
        "Webhooks of GitHub; labels are event, action, repository, ref, conclusion and workflow.";
    const EXAMPLE: &'static str = "{secret: {file: /run/secrets/github}}";
    type Config = Config;

    fn secrets(config: &Config) -> Vec<SecretReference> {
        std::iter::once(&config.secret).chain(&config.previous).cloned().collect()
    }

    fn admit(_config: &Config, request: &Request, _secrets: &[Secret<String>]) -> Result<(), Refusal> {
        signature(request).and_then(|_| name(request)).map(drop)
    }

    fn verify(_config: &Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal> {
        let keys = secrets.iter().map(|secret| secret.reveal().as_bytes());
        match authenticity::is_signed(keys, &[&request.body], &signature(request)?) {
            true => Ok(()),
            false => Err(Refusal::NotAuthentic("its signature is not of a secret of this hook".into())),
        }
    }

    fn read(_config: &Config, request: &Request) -> Result<Delivery, Refusal> {
        let body = form::json(request)?;
        let name = name(request)?.to_owned();
        let at = |place: &str| body.pointer(place).cloned().unwrap_or(Value::Null);
        let labels = json!({
            "event": request.header("x-github-event"),
            "action": at("/action"),
            "repository": at("/repository/full_name"),
            "ref": at("/ref"),
            "conclusion": at("/workflow_run/conclusion"),
            "workflow": at("/workflow_run/name"),
        });
        let labels = form::labels(Some(&labels))?;
        // Something that has happened and does not last: each delivery is one of its own, and none says it is over.
        let signal = Signal { identity: name.clone(), since: name.clone(), firing: true, labels, body };
        Ok(Delivery { id: Some(name), signals: vec![signal], incomplete: None })
    }
}

fn signature(request: &Request) -> Result<Vec<u8>, Refusal> {
    let text = request.header("x-hub-signature-256").and_then(|text| text.strip_prefix("sha256="));
    text.and_then(|text| hex::decode(text).ok())
        .ok_or_else(|| Refusal::NotAuthentic("it has no header x-hub-signature-256".into()))
}

fn name(request: &Request) -> Result<&str, Refusal> {
    let name = request.header("x-github-delivery").filter(|name| !name.is_empty() && name.len() <= 100);
    name.ok_or_else(|| Refusal::NotAuthentic("it has no header x-github-delivery".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn request() -> Request {
        let mut request = Request { body: b"Hello, World!".to_vec(), ..Request::default() };
        for (name, value) in
            [("x-hub-signature-256", SIGNATURE), ("x-github-delivery", "72d3162e"), ("x-github-event", "push")]
        {
            request.headers.insert(name.into(), value.into());
        }
        request
    }

    fn judge(request: &Request, secret: &str) -> bool {
        let config: Config = serde_json::from_value(json!({"secret": {"env": "S"}})).unwrap();
        let secrets = [Secret::new(secret.to_owned())];
        Sender::admit(&config, request, &secrets).and_then(|()| Sender::verify(&config, request, &secrets)).is_ok()
    }

    #[test]
    fn t40_the_example_of_the_documentation_and_nothing_near_it() {
        const SECRET: &str = "It's a Secret to Everybody";
        assert!(judge(&request(), SECRET));
        assert!(!judge(&request(), "It's a secret to everybody"));
        assert!(!judge(&Request { body: b"Hello, World".to_vec(), ..request() }, SECRET));
        for header in ["x-hub-signature-256", "x-github-delivery"] {
            let mut without = request();
            without.headers.remove(header);
            assert!(!judge(&without, SECRET), "without {header}");
        }
    }

    #[test]
    fn what_happened_is_in_the_labels() {
        let body = json!({"action": "completed", "repository": {"full_name": "a/b"}, "workflow_run": {"conclusion": "failure", "name": "ci"}});
        let config = serde_json::from_value(json!({"secret": {"env": "S"}})).unwrap();
        let delivery = Sender::read(&config, &Request { body: body.to_string().into_bytes(), ..request() }).unwrap();
        let labels = &delivery.signals[0].labels;
        assert_eq!(
            (labels["event"].as_str(), labels["conclusion"].as_str(), labels["repository"].as_str()),
            ("push", "failure", "a/b")
        );
        assert!(!labels.contains_key("ref"));
        assert_eq!(delivery.id.as_deref(), Some("72d3162e"));
    }
}
