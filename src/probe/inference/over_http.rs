//! JSON in bodies of HTTP, for the protocols that speak it.

use prost::bytes::Bytes;
use reqwest::Url;
use serde_json::Value;

use super::lenient;
use super::protocol::{Answer, JsonProtocol, Protocol, ReadyRoute};
use super::route::Route;
use super::tensor::Datatypes;
use crate::kind::StepError;
use crate::model::golden::Case;
use crate::probe::text::clean;

/// Of an answer that is not JSON, in a message.
const EXCERPT_BYTES: usize = 300;

pub(super) struct OverHttp<P>(pub P);

impl<P: JsonProtocol> Protocol for OverHttp<P> {
    fn address(&self) -> &Url {
        self.0.address()
    }

    fn question(&self, case: &Case, datatypes: &Datatypes) -> Result<Route, StepError> {
        let body = self.0.request(case, datatypes)?.to_string();
        Ok(Route::post(self.0.address().clone(), body.into()))
    }

    fn answer(&self, message: &Bytes, wanted: &[&str]) -> Result<Answer, String> {
        let body = lenient::parse(message)
            .map_err(|error| format!("is not JSON ({error}): {}", clean(message, EXCERPT_BYTES)))?;
        let answer = self.0.answer(&body, wanted)?;
        Ok(Answer { body: Some(body), ..answer })
    }

    fn readiness(&self) -> Vec<ReadyRoute> {
        self.0.readiness()
    }

    fn unready(&self, message: &Bytes) -> Option<String> {
        // An empty body is the usual one of health routes.
        self.0.unready(&lenient::parse(message).unwrap_or(Value::Null))
    }

    fn description(&self) -> Option<Route> {
        self.0.description().map(Route::get)
    }

    fn datatypes(&self, description: &Bytes) -> Datatypes {
        self.0.datatypes(&lenient::parse(description).unwrap_or(Value::Null))
    }
}
