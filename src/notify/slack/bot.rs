//! A bot's messages: one thread for a run. Its first message is edited to say how the run stands, and what is
//! new is answered in the thread; the channel sees an answer too when somebody has to act on it.

use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::base::Secret;
use crate::notify::post::Post;
use crate::notify::text::{one_line, shorten};
use crate::notify::{DeliveryError, Message, Receipt};

/// What the web API answers when waiting helps; everything else is a wrong token, channel or message.
const TRANSIENT: [&str; 6] =
    ["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];

/// A bot that can speak.
pub(super) struct Bot<'a> {
    /// The address of `chat.postMessage`.
    pub api: &'a str,
    pub token: &'a Secret<String>,
    pub http: &'a Client,
}

impl Bot<'_> {
    /// Begins the thread of the run, or goes on with it. The edit comes first: should the answer fail, the next
    /// attempt edits to the same text again and posts nothing twice.
    pub async fn tell(&self, channel: &str, message: &Message, body: &Value) -> Result<Receipt, DeliveryError> {
        let Some((place, ts)) = message.thread.as_ref().and_then(|thread| thread.split_once(' ')) else {
            return self.begin(channel, body).await;
        };
        let edit = with(body, json!({"channel": place, "ts": ts}));
        match self.call("chat.update", &edit).await {
            Ok(_) => {}
            // Somebody deleted the message, or the settings name another place now.
            Err(error) if !error.transient => return self.begin(channel, body).await,
            Err(error) => return Err(error),
        }
        let shown = message.has_to_be_noticed();
        let answer = with(body, json!({"channel": place, "thread_ts": ts, "reply_broadcast": shown}));
        let said = self.call("chat.postMessage", &answer).await?;
        Ok(Receipt::new(format!("ts {}", word(&said["ts"]))).threaded(format!("{place} {ts}")))
    }

    async fn begin(&self, channel: &str, body: &Value) -> Result<Receipt, DeliveryError> {
        let said = self.call("chat.postMessage", &with(body, json!({"channel": channel}))).await?;
        let receipt = Receipt::new(format!("ts {}", word(&said["ts"])));
        // An edit takes the identifier of the channel, which the answer has even when the settings have a name.
        Ok(match (said["channel"].as_str(), said["ts"].as_str()) {
            (Some(_), Some(_)) => receipt.threaded(format!("{} {}", word(&said["channel"]), word(&said["ts"]))),
            _ => receipt,
        })
    }

    async fn call(&self, method: &str, body: &Value) -> Result<Value, DeliveryError> {
        let url = beside(self.api, method)?;
        let post = Post::json(&url, body.to_string())?;
        let post = post.header("authorization", format!("Bearer {}", self.token.reveal()));
        read_answer(&post.hiding(self.token).send(self.http).await?)
    }
}

/// The address of a method, beside that of `chat.postMessage`.
fn beside(api: &str, method: &str) -> Result<String, DeliveryError> {
    if method == "chat.postMessage" {
        return Ok(api.to_owned());
    }
    let wrong = || DeliveryError::lasting("the address in 'api' is not valid");
    let mut url = Url::parse(api).map_err(|_| wrong())?;
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().pop().push(method);
    Ok(url.into())
}

fn with(body: &Value, fields: Value) -> Value {
    let mut body = body.clone();
    for (name, value) in fields.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

fn word(value: &Value) -> String {
    shorten(&one_line(value.as_str().unwrap_or("unknown")), 50).replace(' ', "")
}

/// The web API says 200 even when it refuses; the truth is in the body.
fn read_answer(body: &str) -> Result<Value, DeliveryError> {
    let answer: Value = serde_json::from_str(body)
        .map_err(|_| DeliveryError::transient("slack answered with something that is not JSON"))?;
    if answer["ok"] == true {
        return Ok(answer);
    }
    let error = answer["error"].as_str().unwrap_or("no reason");
    let message = format!("slack refused the message: {}", shorten(&one_line(error), 100));
    Err(DeliveryError { transient: TRANSIENT.contains(&error), ..DeliveryError::lasting(message) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles::{self, HttpDouble, Reply, keep};
    use crate::notify::{CHANNELS, Occasion};

    const TAKEN: &str = r#"{"ok": true, "channel": "C024BE91L", "ts": "1503435956.000247"}"#;

    async fn send(double: &HttpDouble, message: Message) -> Result<Receipt, DeliveryError> {
        let token = keep("xoxb-hush");
        let config = json!({"token": token.config, "channel": "#ml-alerts", "api": double.url});
        (CHANNELS[0].send)(config, message, doubles::http()).await
    }

    fn later(on: Occasion) -> Message {
        Message { thread: Some("C024BE91L 1503435956.000247".into()), ..doubles::message_on(on) }
    }

    fn targets(double: &HttpDouble) -> Vec<String> {
        double.requests().into_iter().map(|request| request.target).collect()
    }

    #[tokio::test]
    async fn the_first_message_begins_the_thread() {
        let double = HttpDouble::start(vec![Reply::status(200, TAKEN)]).await;
        let receipt = send(&double, doubles::message_on(Occasion::Started)).await.unwrap();
        assert_eq!(receipt, Receipt::new("ts 1503435956.000247").threaded("C024BE91L 1503435956.000247"));
        let request = double.request();
        assert_eq!(request.header("authorization"), "Bearer xoxb-hush");
        assert_eq!(request.json()["channel"], "#ml-alerts");
        assert!(request.json()["thread_ts"].is_null());
    }

    #[tokio::test]
    async fn a_later_message_edits_the_first_one_and_answers_it() {
        for (on, shown) in [(Occasion::Approval, true), (Occasion::Resolved, false)] {
            let double = HttpDouble::start(vec![Reply::status(200, TAKEN), Reply::status(200, TAKEN)]).await;
            let receipt = send(&double, later(on)).await.unwrap();
            assert_eq!(receipt.thread.as_deref(), Some("C024BE91L 1503435956.000247"));
            assert_eq!(targets(&double), ["/chat.update", "/hook"]);
            let bodies: Vec<Value> = double.requests().iter().map(|request| request.json()).collect();
            assert_eq!((&bodies[0]["channel"], &bodies[0]["ts"]), (&json!("C024BE91L"), &json!("1503435956.000247")));
            assert_eq!(bodies[1]["thread_ts"], "1503435956.000247");
            assert_eq!(bodies[1]["reply_broadcast"], shown);
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_is_begun_anew() {
        let gone = r#"{"ok": false, "error": "message_not_found"}"#;
        let double = HttpDouble::start(vec![Reply::status(200, gone), Reply::status(200, TAKEN)]).await;
        assert!(send(&double, later(Occasion::Resolved)).await.is_ok());
        assert_eq!(targets(&double), ["/chat.update", "/hook"]);
        assert!(double.requests()[1].json()["thread_ts"].is_null());
    }

    #[tokio::test]
    async fn a_limited_edit_waits() {
        let double = HttpDouble::start(vec![Reply::status(200, r#"{"ok": false, "error": "ratelimited"}"#)]).await;
        assert!(send(&double, later(Occasion::Resolved)).await.unwrap_err().transient);
        assert_eq!(targets(&double).len(), 1);
    }

    #[test]
    fn a_refusal_hides_in_a_200() {
        let refused = |error: &str| read_answer(&json!({"ok": false, "error": error}).to_string()).unwrap_err();
        assert!(!refused("channel_not_found").transient);
        assert!(refused("ratelimited").transient);
        assert!(read_answer("<html>").unwrap_err().transient);
    }
}
