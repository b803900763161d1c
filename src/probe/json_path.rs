//! JSONPaths as configurations hold them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json_path::JsonPath;

use crate::kind::StepError;

/// A JSONPath such as `$.providers[0].status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("x-encode" = "jsonpath"))]
pub(super) struct JsonPathText(pub(super) String);

impl JsonPathText {
    /// Reads the path; `name` is where it stands, for the error.
    pub(super) fn parse(&self, name: &str) -> Result<JsonPath, StepError> {
        let text = &self.0;
        JsonPath::parse(text).map_err(|error| {
            StepError::new(format!(
                "the path of `{name}`, '{text}', is not a JSONPath: {} at character {}",
                error.message(),
                error.position()
            ))
            .help("write for example $.providers[0].status or $['key with spaces']")
        })
    }
}
