//! HTTP as the kinds use it: clients, requests that fail with a clear word, bodies read under a limit.
//!
//! A redirect is never followed unless the step asks, an answer is never read beyond its limit, and no
//! error shows an address with its query or its password, because tokens live there.

mod body;
mod client;
mod fault;
mod header;
#[cfg(test)]
pub mod test_server;

use reqwest::{RequestBuilder, Response, Url};

use crate::kind::{Context, StepError};
pub use body::{Body, read_body, read_text};
pub use client::{ClientSettings, Tls};
pub use fault::{broken_transfer, cannot_connect, refused, unexpected_status};
pub use header::{header_name, header_value};

/// An address that can be asked: `http` or `https`, with a host, without a password in it.
pub fn parse_url(text: &str) -> Result<Url, StepError> {
    let wrong = |why: String| StepError::new(why).help("write an address such as http://127.0.0.1:8000/health");
    // Only the part that cannot be a password or a token.
    let harmless = text.rsplit('@').next().and_then(|rest| rest.split('?').next()).unwrap_or_default();
    let url = Url::parse(text).map_err(|error| wrong(format!("'{harmless}' is not an address ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("'{}' is not an http or https address", shown(&url))));
    }
    if url.password().is_some() {
        return Err(StepError::new(format!("the address {} has a password in it", shown(&url)))
            .help("addresses are written to the journal; give the password by reference, under `basic` or `bearer`"));
    }
    Ok(url)
}

/// An address for people and journals: without user, password, query and fragment.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for addresses that cannot have a user, which then need no hiding.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// `host:port` of an address.
pub fn authority(url: &Url) -> String {
    match url.port_or_known_default() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    }
}

/// Pairs as the body of a form.
pub fn encode_form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut carrier = Url::parse("form:").expect("a constant address");
    carrier.query_pairs_mut().extend_pairs(pairs);
    carrier.query().unwrap_or_default().to_owned()
}

/// The media type that goes with [`encode_form`].
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a request and waits for the head of the answer, within the time limit of the attempt.
pub async fn send(request: RequestBuilder, context: &Context) -> Result<Response, StepError> {
    let (client, request) = request.timeout(context.time_limit).build_split();
    let request = request.map_err(|error| fault::invalid_request(&error.without_url()))?;
    let url = request.url().clone();
    let host = url.host_str().unwrap_or_default();
    context.services.check_host(host).await.map_err(|why| fault::refused(&why))?;
    client.execute(request).await.map_err(|error| fault::no_answer(&url, error, context))
}

/// Runs `work` until the attempt is cancelled.
pub async fn until_cancelled<T>(
    context: &Context,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    tokio::select! {
        result = work => result,
        () = context.cancelled() => Err(StepError::new("cancelled before it was finished")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_shown_without_secrets() {
        let error = parse_url("http://bob:hunter2@host/x").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(parse_url("ftp://host/").is_err());
        assert!(parse_url("health").unwrap_err().message.contains("'health'"));
        let error = parse_url("http://bob:hunter2@ho st/x?token=hunter2").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let url = parse_url("https://host/a?token=hunter2#x").unwrap();
        assert_eq!(shown(&url), "https://host/a");
        assert_eq!(authority(&url), "host:443");
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(
            encode_form([("query", "up{a=\"b c\"} + 1"), ("é", "&")]),
            "query=up%7Ba%3D%22b+c%22%7D+%2B+1&%C3%A9=%26"
        );
    }
}
