//! Questions and answers over HTTP.

use prost::bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use super::config::Config;
use super::exchange::{NoAnswer, Refusal};
use super::lenient;
use crate::base::Secret;
use crate::base::units::show_bytes;
use crate::http::{header_name, header_value, read_body, send, shown, unexpected_status};
use crate::kind::{Context, StepError};
use crate::probe::text::clean;

/// In a message, where a reader wants the first sentence of what the server says.
const EXCERPT_BYTES: usize = 300;

/// Asks with the credentials and limits of the step.
pub(super) struct HttpChannel {
    client: Client,
    headers: HeaderMap,
    bearer: Option<Secret<String>>,
    /// Credentials go here only.
    server: Url,
    body_limit: u64,
    /// Its time limit is that of one request.
    context: Context,
}

impl HttpChannel {
    pub(super) async fn new(config: &Config, server: &Url, context: &Context) -> Result<Self, StepError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let value = context.text_or_secret(value).await?;
            headers.insert(header_name(name)?, header_value(name, value.reveal())?);
        }
        let time_limit = config.request_time_limit()?.min(context.time_limit);
        Ok(HttpChannel {
            client: config.client_settings()?.client(&context.services)?,
            headers,
            bearer: context.optional_secret(config.bearer.as_ref()).await?,
            server: server.clone(),
            body_limit: config.body_limit,
            context: Context { time_limit, ..context.clone() },
        })
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Result<Bytes, Refusal>, NoAnswer> {
        self.exchange(self.client.get(url.clone()), url).await
    }

    pub(super) async fn post(&self, url: &Url, json: Bytes) -> Result<Result<Bytes, Refusal>, NoAnswer> {
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(json);
        self.exchange(request, url).await
    }

    async fn exchange(&self, request: RequestBuilder, url: &Url) -> Result<Result<Bytes, Refusal>, NoAnswer> {
        let response = send(self.with_credentials(request, url), &self.context).await.map_err(NoAnswer::Lost)?;
        let status = response.status();
        // Nothing was asked of the model: the door is closed, or this is the wrong door.
        if status.is_redirection() || matches!(status.as_u16(), 401 | 403 | 407) {
            return Err(NoAnswer::Hopeless(unexpected_status("the model server", &response)));
        }
        let body = read_body(response, self.body_limit, &self.context).await.map_err(NoAnswer::Lost)?;
        if body.truncated {
            return Err(NoAnswer::Hopeless(self.too_large(url)));
        }
        Ok(if status.is_success() { Ok(body.bytes.into()) } else { Err(refusal(status, &body.bytes)) })
    }

    fn with_credentials(&self, request: RequestBuilder, url: &Url) -> RequestBuilder {
        if url.origin() != self.server.origin() {
            return request;
        }
        let request = request.headers(self.headers.clone());
        match &self.bearer {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    fn too_large(&self, url: &Url) -> StepError {
        StepError::new(format!("the answer of {} is larger than {}", shown(url), show_bytes(self.body_limit)))
            .help("raise `body_limit` to judge it, or ask with fewer rows")
    }
}

/// The status with what the server says about it.
fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let said = lenient::parse(body).ok().and_then(|body| message_of(&body)).unwrap_or_default();
    let said = if said.is_empty() { body } else { said.as_bytes() };
    let said = match clean(said, EXCERPT_BYTES).trim() {
        "" => status.to_string(),
        said => format!("{status}: {said}"),
    };
    Refusal { code: status.as_u16(), said, no_such_route: status == StatusCode::NOT_FOUND }
}

/// The message where the protocols put it.
fn message_of(body: &Value) -> Option<String> {
    let places = ["/error/message", "/error", "/message", "/detail"];
    places.iter().find_map(|place| body.pointer(place)?.as_str()).map(str::to_owned)
}
