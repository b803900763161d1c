//! What a gRPC status means for a check, in words that say what to do next.

use tonic::{Code, Status};

use crate::probe::inference::exchange::Refusal;
use crate::probe::text::clean;

/// In a message, where a reader wants the first sentence of what the server says.
const EXCERPT_BYTES: usize = 300;

/// What became of a call that did not succeed.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// The server says no; it is alive and has understood what was asked.
    Refused,
    /// The call broke off on its way, or was given up.
    Lost,
    /// The server's own time for the call was up, or ours.
    TooSlow,
    /// The answer is larger than the step reads.
    TooLarge,
    /// The door is closed.
    Denied,
    /// What answers there does not speak gRPC.
    NotGrpc,
}

/// The words with which the client reports what no server said: a status of its own making carries no other mark.
/// A test of each breaks when the client changes them.
const TOO_LARGE: &str = "Error, decoded message length too large";
const NO_GRPC_STATUS: &str = "grpc-status header missing";
const BROKEN_OFF: [&str; 3] = ["Unexpected EOF decoding stream", "protocol error: ", "Missing response message"];

pub(super) fn meaning(status: &Status) -> Meaning {
    let says = |words: &str| status.message().starts_with(words);
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Meaning::Denied,
        // A gateway that answers 503 in plain HTTP is busy, whatever it speaks.
        Code::Unavailable if says(NO_GRPC_STATUS) => Meaning::Refused,
        _ if says(NO_GRPC_STATUS) => Meaning::NotGrpc,
        Code::OutOfRange if says(TOO_LARGE) => Meaning::TooLarge,
        Code::DeadlineExceeded => Meaning::TooSlow,
        _ if std::error::Error::source(status).is_some() => Meaning::Lost,
        _ if BROKEN_OFF.into_iter().any(says) => Meaning::Lost,
        _ => Meaning::Refused,
    }
}

/// A refusal with what the server says and what the reader can do.
pub(super) fn refusal(status: &Status) -> Refusal {
    let (name, number) = (name(status.code()), status.code() as u16);
    let said = clean(status.message().as_bytes(), EXCERPT_BYTES);
    let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
    Refusal {
        code: number,
        said: format!("gRPC status {name} ({number}){said}; {}", help(status.code())),
        no_such_route: status.code() == Code::Unimplemented,
    }
}

/// The name as the gRPC documentation writes it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What to do about a status that a model server answers with.
pub(super) fn help(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "compare names, element types and shapes of the inputs with the served model",
        Code::NotFound => "check `model` and `version`, and whether the server has loaded it",
        Code::Unauthenticated | Code::PermissionDenied => {
            "it wants credentials, or others; give them by reference, under `bearer`"
        }
        Code::ResourceExhausted => "it is overloaded, or the request is larger than it takes; send less at a time",
        Code::Unimplemented => "the service there is not the Open Inference Protocol; check the port",
        Code::Unavailable => "it is starting, stopping or overloaded; look into its log and try again",
        Code::FailedPrecondition => "the model may still be loading; look into the log of the server",
        _ => "look into the log of the server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_name_and_its_help() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            let refusal = refusal(&Status::new(code, "it says\n\u{1b}[31mso"));
            assert!(refusal.said.starts_with(&format!("gRPC status {} ({number})", name(code))), "{}", refusal.said);
            assert!(refusal.said.ends_with(help(code)) && !refusal.said.contains('\u{1b}'), "{}", refusal.said);
            assert_eq!(refusal.no_such_route, code == Code::Unimplemented);
        }
    }

    #[test]
    fn what_a_server_says_is_a_refusal() {
        for code in [Code::NotFound, Code::Unavailable, Code::Internal, Code::OutOfRange, Code::Unknown] {
            assert_eq!(meaning(&Status::new(code, "no")), Meaning::Refused);
        }
        assert_eq!(meaning(&Status::unauthenticated("")), Meaning::Denied);
        assert_eq!(meaning(&Status::deadline_exceeded("")), Meaning::TooSlow);
    }
}
