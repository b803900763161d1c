//! From configuration to request.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Url};

use super::Config;
use crate::base::redaction;
use crate::http::{FORM, encode_form, header_name, header_value, parse_url};
use crate::kind::{Context, StepError};

/// The one method that is given, and its address.
pub(super) fn target(config: &Config) -> Result<(Method, Url), StepError> {
    let choices = [
        (Method::GET, &config.get),
        (Method::HEAD, &config.head),
        (Method::OPTIONS, &config.options),
        (Method::POST, &config.post),
        (Method::PUT, &config.put),
        (Method::DELETE, &config.delete),
        (Method::PATCH, &config.patch),
    ];
    let mut given = choices.into_iter().filter_map(|(method, url)| url.as_ref().map(|url| (method, url)));
    match (given.next(), given.next()) {
        (Some((method, url)), None) => Ok((method, parse_url(url)?)),
        (first, _) => Err(StepError::new(if first.is_none() { "no method is given" } else { "two methods are given" })
            .help("give exactly one of `get`, `head`, `options`, `post`, `put`, `delete` and `patch`")),
    }
}

/// The request, ready to be sent.
pub(super) async fn build(
    config: &Config,
    method: Method,
    url: Url,
    context: &Context,
) -> Result<RequestBuilder, StepError> {
    let client = config.client_settings()?.client(&context.services)?;
    let mut request = with_body(config, client.request(method, url))?;
    for (name, value) in &config.headers {
        let value = context.text_or_secret(value).await?;
        request = request.header(header_name(name)?, header_value(name, value.reveal())?);
    }
    if config.idempotency_header {
        request = request.header("idempotency-key", header_value("Idempotency-Key", &context.idempotency_key)?);
    }
    authorize(config, request, context).await
}

fn with_body(config: &Config, request: RequestBuilder) -> Result<RequestBuilder, StepError> {
    match (&config.json, &config.form, &config.body) {
        (None, None, None) => Ok(request),
        (Some(json), None, None) => Ok(request.json(json)),
        (None, Some(form), None) => {
            let form = encode_form(form.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            Ok(request.header(CONTENT_TYPE, FORM).body(form))
        }
        (None, None, Some(text)) => Ok(request.body(text.clone())),
        _ => Err(StepError::new("two bodies are given").help("give at most one of `json`, `form` and `body`")),
    }
}

async fn authorize(config: &Config, request: RequestBuilder, context: &Context) -> Result<RequestBuilder, StepError> {
    match (&config.bearer, &config.basic) {
        (None, None) => Ok(request),
        (Some(bearer), None) => Ok(request.bearer_auth(context.secret(bearer).await?.reveal())),
        (None, Some(basic)) => {
            let password = context.secret(&basic.password).await?;
            // The two are sent as one text in base64, whose letters where they meet depend on both. It is longer
            // than the password, so it is never too short.
            let _ = redaction::learn(&format!("{}:{}", basic.user, password.reveal()));
            Ok(request.basic_auth(&basic.user, Some(password.reveal())))
        }
        (Some(_), Some(_)) => Err(StepError::new("two credentials are given").help("give one of `bearer` and `basic`")),
    }
}
