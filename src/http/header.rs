//! Headers that people write in playbooks.

use reqwest::header::{HeaderName, HeaderValue};

use crate::kind::StepError;

pub fn header_name(name: &str) -> Result<HeaderName, StepError> {
    name.parse().map_err(|_| {
        StepError::new(format!("'{name}' is not the name of a header")).help("write for example `X-Request-Id`")
    })
}

/// The value itself stays out of the error: it may be a token.
pub fn header_value(name: &str, value: &str) -> Result<HeaderValue, StepError> {
    HeaderValue::from_str(value).map_err(|_| {
        StepError::new(format!("the value of the header '{name}' has a line break or a control character in it"))
            .help("a header is one line of text")
    })
}
