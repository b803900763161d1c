//! Why a request brought no answer, in words that say what to look at.

use std::error::Error;
use std::io::ErrorKind;

use reqwest::{Response, StatusCode, Url};

use super::{authority, shown};
use crate::base::units::show_duration;
use crate::kind::{Context, StepError};
use crate::site::egress::Refused;

/// A header or a body that cannot be sent.
pub(super) fn invalid_request(error: &reqwest::Error) -> StepError {
    StepError::because("the request cannot be made", error)
        .help("header names are words with dashes; header values are one line of plain text")
}

/// The peer was not reached, or it did not answer.
pub(super) fn no_answer(url: &Url, error: reqwest::Error, context: &Context) -> StepError {
    let error = error.without_url();
    let peer = authority(url);
    if let Some(error) = cannot_connect(&peer, &error) {
        return error;
    }
    if error.is_redirect() {
        return StepError::because(format!("the redirects of {} cannot be followed", shown(url)), &error);
    }
    if error.is_dns() {
        return StepError::new(format!("cannot find the address of the host '{}'", url.host_str().unwrap_or_default()))
            .help("check the spelling of the host, then the name server of this machine");
    }
    if error.is_timeout() && error.is_connect() {
        return StepError::new(format!("no connection to {peer} within the connect timeout"))
            .help("the host may be down or a firewall may drop the packets; `connect_timeout` sets the limit");
    }
    if error.is_timeout() {
        return timed_out(&peer, context);
    }
    if error.is_connect() {
        return StepError::because(format!("cannot connect to {peer}"), &error)
            .help("is the service running? check the address and the port");
    }
    StepError::because(format!("no answer from {peer}"), &error)
        .help("the service closed the connection or does not speak HTTP there; look into its log")
}

/// The request would go where none may.
pub fn refused(why: &Refused) -> StepError {
    StepError::new(format!("the request was not sent: {why}")).help(why.help())
}

/// Why there is no connection, if the cause is one that has words of its own.
pub fn cannot_connect(peer: &str, error: &(dyn Error + 'static)) -> Option<StepError> {
    if let Some(why) = cause::<Refused>(error) {
        return Some(refused(why));
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        let message = format!("cannot make a TLS connection to {peer}: {tls}");
        return Some(
            StepError::new(message)
                .help("check the peer's certificate and its date; `tls: {ca_file: …}` trusts an authority of your own"),
        );
    }
    let refused = cause::<std::io::Error>(error).filter(|io| io.kind() == ErrorKind::ConnectionRefused)?;
    let error = StepError::because(format!("cannot connect to {peer}"), refused);
    Some(error.help("is the service running? check the address and the port"))
}

/// The answer began, but did not arrive whole.
pub fn broken_transfer(response_url: &Url, received: u64, error: reqwest::Error, context: &Context) -> StepError {
    let error = error.without_url();
    let peer = authority(response_url);
    if error.is_timeout() {
        return timed_out(&peer, context);
    }
    StepError::because(format!("the answer of {peer} broke off after {received} bytes"), &error)
        .help("the service or something in between closed the connection; look into its log and try again")
}

fn timed_out(peer: &str, context: &Context) -> StepError {
    StepError::new(format!("no complete answer from {peer} within {}", show_duration(context.time_limit)))
        .help("the service may hang or be overloaded; `timeout` of the step sets the limit")
}

/// An answer with a status that makes it useless for what was asked.
pub fn unexpected_status(what: &str, response: &Response) -> StepError {
    let status = response.status();
    StepError::new(format!("{what} at {} answered {status}", shown(response.url())))
        .code(status.as_u16())
        .help(status_help(status))
}

fn status_help(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "it wants credentials, or others; give them by reference, under `bearer`",
        404 | 410 => "check the path of the address",
        429 | 503 => "it is overloaded or starting; try again later",
        300..=399 => "it redirects; use the address it redirects to",
        500..=599 => "the service has a fault of its own; look into its log",
        _ => "look into the log of the service",
    }
}

/// The first cause of the type `T`, also where it is wrapped in an IO error.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        // An IO error does not list what it wraps among its causes, only the causes of that.
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => current.source(),
        };
    }
    None
}
