//! Bodies, read piece by piece so that a peer cannot fill the memory.

use reqwest::Response;

use super::{broken_transfer, shown};
use crate::base::redaction;
use crate::base::units::show_bytes;
use crate::kind::{Context, StepError};

/// What was read of a body.
#[derive(Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// Whether there was more than the limit; the rest was not read.
    pub truncated: bool,
}

/// Reads a body up to `limit` bytes and leaves the rest. Secrets that the peer repeats are masked.
pub async fn read_body(response: Response, limit: u64, context: &Context) -> Result<Body, StepError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let redactor = redaction::known();
    // A secret that the limit cuts in two would not be found, so enough is read to see it whole.
    let seen = read_bytes(response, limit.saturating_add(redactor.longest()), context).await?;
    let truncated = seen.truncated || seen.bytes.len() > limit;
    let mut bytes = redactor.bytes(&seen.bytes).into_owned();
    bytes.truncate(limit);
    Ok(Body { bytes, truncated })
}

async fn read_bytes(mut response: Response, limit: usize, context: &Context) -> Result<Body, StepError> {
    let url = response.url().clone();
    let mut body = Body::default();
    loop {
        let received = body.bytes.len() as u64;
        let chunk = response.chunk().await.map_err(|error| broken_transfer(&url, received, error, context))?;
        let Some(chunk) = chunk else { return Ok(body) };
        let room = limit - body.bytes.len();
        body.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            body.truncated = true;
            return Ok(body);
        }
    }
}

/// Reads a whole body as text; more than `limit` bytes are an error, because a part of it would mislead.
pub async fn read_text(response: Response, limit: u64, context: &Context) -> Result<String, StepError> {
    let place = shown(response.url());
    let body = read_body(response, limit, context).await?;
    if body.truncated {
        return Err(StepError::new(format!("the answer of {place} is larger than {}", show_bytes(limit))));
    }
    String::from_utf8(body.bytes).map_err(|_| StepError::new(format!("the answer of {place} is not UTF-8 text")))
}
