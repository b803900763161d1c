//! `console`: the terminal or log of the program itself.
//!
//! A channel has no way to the terminal, since only the reporters of the runtime write there without
//! tearing a progress display. So the receipt is the text, and whoever asked for the delivery prints it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Channel, DeliveryError, Message, Receipt};

pub struct Sender;

/// There is nothing to set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Channel for Sender {
    const NAME: &'static str = "console";
    const SUMMARY: &'static str = "Shows the message where the program runs; needs no settings.";
    const EXAMPLE: &'static str = "{}";
    type Config = Config;

    fn preview(_config: &Config, message: &Message) -> Result<String, DeliveryError> {
        Ok(shown(message))
    }

    async fn send(_config: Config, message: Message, _http: reqwest::Client) -> Result<Receipt, DeliveryError> {
        Ok(Receipt::new(shown(&message)))
    }
}

fn shown(message: &Message) -> String {
    format!("{}\n\n{}", message.subject, message.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::doubles;

    #[tokio::test]
    async fn the_receipt_is_the_text_to_print() {
        let message = doubles::message();
        let Receipt { text, .. } = Sender::send(Config {}, message.clone(), doubles::http()).await.unwrap();
        assert!(text.starts_with(&message.subject), "{text}");
        assert!(text.ends_with(&message.command), "{text}");
    }
}
