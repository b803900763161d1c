//! What a playbook says about an inference check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parity::ParityConfig;
use crate::http::{ClientSettings, Tls};
use crate::kind::{Services, StepError};
use crate::probe::json_path::JsonPathText;
use crate::site::{SecretReference, TextOrSecret};

/// A load test belongs to a tool made for it; more in flight would mostly measure this program.
const MOST_PARALLEL: usize = 64;
/// Enough for a p99 with a thousand requests beyond it.
const MOST_REQUESTS: usize = 100_000;

/// Which way of asking the server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ProtocolName {
    #[default]
    V2,
    Grpc,
    TensorFlow,
    TorchServe,
    OpenAi,
    Json,
}

/// Asks a model server a question whose right answer is known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the server, such as `http://127.0.0.1:8000`, when `model` is given; else the whole address
    /// that is asked, such as `http://127.0.0.1:8000/v2/models/ocr/infer`. With `openai` it is the address of the
    /// server, with or without `/v1`.
    #[schemars(extend("x-encode" = "url"))]
    pub(super) url: String,
    /// How the server is asked: `v2` (default: the Open Inference Protocol of KServe, Triton and MLServer over HTTP),
    /// `grpc` (the same protocol over gRPC; `url` is then `grpc://HOST:PORT`, or `grpcs://HOST:PORT` with TLS),
    /// `tensorflow` (TensorFlow Serving), `torchserve`, `openai` (chat and embeddings as OpenAI, vLLM or Ollama
    /// offer them), or `json` (any other, described by `body` and `outputs`).
    #[serde(default)]
    pub(super) protocol: ProtocolName,
    /// The name of the model. It becomes a part of the address (`/v2/models/NAME/infer`); with `openai` it stands in
    /// the request.
    pub(super) model: Option<String>,
    /// The version of the model. Default: the one that the server chooses.
    pub(super) version: Option<String>,
    /// The file with the golden cases, in the form that `onnx_golden` describes: known inputs with the outputs that
    /// are right.
    #[schemars(extend("x-encode" = "path"))]
    pub(super) cases: Option<PathBuf>,
    /// One known input, instead of a file: each name with its numbers, nested as the shape is
    /// (`{features: [[0.5, 1]]}`) or as `{shape: [1, 2], data: [0.5, 1]}`.
    pub(super) input: Option<BTreeMap<String, Value>>,
    /// The right answer to `input` (or to `text`), in the same form. Outputs that are not named are not looked at.
    #[serde(default)]
    pub(super) expect: BTreeMap<String, Value>,
    /// How far a number may be from the right one, whatever its size. Default: what the file says, else 0.00001.
    pub(super) absolute: Option<f64>,
    /// How far a number may be from the right one in addition, as a share of it (0.01 is 1 %). Default: what the file
    /// says, else 0.00001.
    pub(super) relative: Option<f64>,
    /// What the answer must look like, whatever its numbers: outputs with their element type and shape.
    #[serde(default)]
    pub(super) schema: Vec<ExpectedOutput>,
    /// What the whole answer must look like, as a JSON Schema: `{type: object, required: [predictions]}`. Not with
    /// `grpc`, whose answers are no JSON.
    pub(super) answer_schema: Option<Value>,
    /// `openai`: what the text of the answer to `prompt` must look like, as a JSON Schema; text that is not JSON does not
    /// fit it.
    pub(super) text_schema: Option<Value>,
    /// The element type of each input, such as `{ids: INT64}`. Default: what the server's description of the model
    /// says (only `v2` and `grpc` have one), else `FP32`.
    #[serde(default)]
    pub(super) datatypes: BTreeMap<String, String>,
    /// `openai`: the question put to `/v1/chat/completions`, with temperature 0 and 64 tokens at most.
    pub(super) prompt: Option<String>,
    /// `openai`: the text put to `/v1/embeddings`. The answer's name in `expect` is `embedding`.
    pub(super) text: Option<String>,
    /// `openai`: text that the answer to `prompt` must contain.
    pub(super) contains: Option<String>,
    /// `openai`: the whole answer to `prompt`, apart from white space around it.
    pub(super) equals: Option<String>,
    /// More for the request: with `openai` beside its other keys (`{max_tokens: 8}`; null takes a key away), with `v2`
    /// and `grpc` as its `parameters`.
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    /// `tensorflow`: the signature to call. Default: the one the model has as its default.
    pub(super) signature: Option<String>,
    /// `tensorflow`: send each input as one column (`inputs`), not row by row (`instances`). Needed when inputs do not
    /// have one entry for each row.
    #[serde(default)]
    pub(super) columnar: bool,
    /// `json` and `torchserve`: the body of the request. A text `$NAME` in it is replaced by the input of that name,
    /// nested as its shape is; `$NAME.data` by its numbers in one list, `$NAME.shape` by its shape.
    pub(super) body: Option<Value>,
    /// `json`: where each output stands in the answer, by a JSONPath: `{probabilities: '$.predictions'}`.
    #[serde(default)]
    pub(super) outputs: BTreeMap<String, JsonPathText>,
    /// How many requests to send, at most 100000. They take turns with the cases. Default: each case once. Percentiles
    /// need many: 200 for p95, 1000 for p99; then give the step a `timeout` that fits.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) requests: Option<usize>,
    /// How many requests are under way at the same time, at most 64. Default 1.
    #[serde(default = "default_parallel")]
    #[schemars(range(min = 1, max = 64))]
    pub(super) parallel: usize,
    /// The share of requests that may be refused or go unanswered before the step fails, such as 0.01. Default 0. A
    /// wrong answer always counts.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub(super) allowed_error_rate: f64,
    /// Whether to ask the server if it is ready, too. It tells nothing about the answers, which are judged in any case.
    #[serde(default)]
    pub(super) ready: bool,
    /// Where to ask whether it is ready: any 2xx answer means yes. Default: the routes of the protocol (`json` has
    /// none). Giving it means `ready: true`.
    #[schemars(extend("x-encode" = "url"))]
    pub(super) ready_url: Option<String>,
    /// The model file that should be served: is it the one that answers?
    pub(super) parity: Option<ParityConfig>,
    /// Headers of every request to this server: text, or a secret by reference such as `{X-Api-Key: {secret: triton}}`.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, TextOrSecret>,
    /// A token for `Authorization: Bearer`, by reference: `{env: NAME}` or `{file: path}`. It is sent to the server of
    /// `url` only, not to another one that `ready_url` or `served_hash` names.
    pub(super) bearer: Option<SecretReference>,
    /// How the peer's certificate is checked.
    pub(super) tls: Option<Tls>,
    /// How long to wait for a connection, in seconds. Default 5 s.
    #[serde(default = "default_connect_timeout")]
    #[schemars(extend("x-unit" = "duration"))]
    pub(super) connect_timeout: f64,
    /// How long one request may take before it counts as unanswered, in seconds. Default 30 s.
    #[serde(default = "default_request_timeout")]
    #[schemars(extend("x-unit" = "duration"))]
    pub(super) request_timeout: f64,
    /// The most bytes of one answer. A larger one cannot be judged and is an error. Default 16 MiB.
    #[serde(default = "default_body_limit")]
    #[schemars(extend("x-unit" = "bytes"))]
    pub(super) body_limit: u64,
}

/// One output as it must look.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedOutput {
    /// The name of the output.
    pub(super) name: String,
    /// Its element type as the server tells it, such as `FP32` or `INT64`. Only `v2` and `grpc` tell one.
    pub(super) datatype: Option<String>,
    /// Its shape; -1 is a size that may vary, such as the batch.
    pub(super) shape: Option<Vec<i64>>,
}

fn default_parallel() -> usize {
    1
}

fn default_connect_timeout() -> f64 {
    Services::CONNECT_TIMEOUT.as_secs_f64()
}

fn default_request_timeout() -> f64 {
    30.0
}

fn default_body_limit() -> u64 {
    16 << 20
}

impl Config {
    /// An error for settings that contradict each other or mean nothing, before anything is sent. The ranges
    /// are checked again because a template may have filled them.
    pub(super) fn check(&self) -> Result<(), StepError> {
        self.check_foreign_keys()?;
        self.check_question()?;
        self.check_parity()?;
        self.check_ranges()
    }

    fn check_parity(&self) -> Result<(), StepError> {
        let Some(parity) = &self.parity else { return Ok(()) };
        if !parity.answers && parity.served_hash.is_none() {
            return Err(StepError::new("`parity` compares nothing").help(
                "leave `answers` away, or say where the server tells the SHA-256: `served_hash: {get: …, path: …}`",
            ));
        }
        let has_inputs = self.cases.is_some() || self.input.is_some();
        if parity.answers && !has_inputs {
            return Err(StepError::new("there is no input on which the file of `parity` could be run")
                .help("give `cases` or `input`, or compare hashes only: `parity: {answers: false, served_hash: …}`"));
        }
        Ok(())
    }

    fn check_foreign_keys(&self) -> Result<(), StepError> {
        use ProtocolName::{Grpc, Json, OpenAi, TensorFlow, TorchServe, V2};
        let keys: [(&str, bool, &[ProtocolName]); 14] = [
            ("model", self.model.is_some(), &[V2, Grpc, TensorFlow, TorchServe, OpenAi]),
            ("version", self.version.is_some(), &[V2, Grpc, TensorFlow, TorchServe]),
            ("prompt", self.prompt.is_some(), &[OpenAi]),
            ("text", self.text.is_some(), &[OpenAi]),
            ("contains", self.contains.is_some(), &[OpenAi]),
            ("equals", self.equals.is_some(), &[OpenAi]),
            ("parameters", !self.parameters.is_empty(), &[V2, Grpc, OpenAi]),
            ("signature", self.signature.is_some(), &[TensorFlow]),
            ("columnar", self.columnar, &[TensorFlow]),
            ("body", self.body.is_some(), &[Json, TorchServe]),
            ("outputs", !self.outputs.is_empty(), &[Json]),
            ("schema: {datatype}", self.schema.iter().any(|output| output.datatype.is_some()), &[V2, Grpc]),
            ("answer_schema", self.answer_schema.is_some(), &[V2, TensorFlow, TorchServe, OpenAi, Json]),
            ("text_schema", self.text_schema.is_some(), &[OpenAi]),
        ];
        let foreign = keys.iter().find(|(_, given, protocols)| *given && !protocols.contains(&self.protocol));
        let Some((key, ..)) = foreign else { return Ok(()) };
        let protocol = self.protocol.name();
        Err(StepError::new(format!("`{key}` has no meaning with `protocol: {protocol}`"))
            .help("take it away, or choose the protocol it belongs to"))
    }

    fn check_question(&self) -> Result<(), StepError> {
        let constant_body = self.body.is_some() && self.cases.is_none() && self.input.is_none();
        let given =
            [self.cases.is_some(), self.input.is_some(), self.prompt.is_some(), self.text.is_some(), constant_body];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(StepError::new("it is not clear what to ask")
                .help("give exactly one of `cases`, `input`, `prompt` and `text` (or a `body` that needs no input)"));
        }
        if self.cases.is_some() && !self.expect.is_empty() {
            return Err(
                StepError::new("two right answers are given").help("`expect` goes with `input`, not with `cases`")
            );
        }
        let about_text = self.contains.is_some() || self.equals.is_some() || self.text_schema.is_some();
        if about_text && self.prompt.is_none() {
            return Err(StepError::new("there is no text to look into")
                .help("`contains`, `equals` and `text_schema` are about the answer to `prompt`"));
        }
        if self.cases.is_none() && !about_text && !self.expects_numbers_or_form() {
            return Err(StepError::new("nothing is expected of the answer").help(
                "give the right answer as `expect`, its form as `schema` or `answer_schema`, text as `contains` or \
                 `equals`, or the model file as `parity`",
            ));
        }
        Ok(())
    }

    fn expects_numbers_or_form(&self) -> bool {
        let by_file = self.parity.as_ref().is_some_and(|parity| parity.answers);
        !self.expect.is_empty() || !self.schema.is_empty() || self.answer_schema.is_some() || by_file
    }

    fn check_ranges(&self) -> Result<(), StepError> {
        if !(1..=MOST_PARALLEL).contains(&self.parallel) {
            return Err(StepError::new(format!("`parallel` cannot be {}", self.parallel)).help("give 1 to 64"));
        }
        if self.requests.is_some_and(|requests| !(1..=MOST_REQUESTS).contains(&requests)) {
            return Err(StepError::new("`requests` is out of range").help("give 1 to 100000"));
        }
        if !(0.0..=1.0).contains(&self.allowed_error_rate) {
            return Err(StepError::new("`allowed_error_rate` is not a share").help("give 0 to 1; 0.01 is 1 %"));
        }
        Ok(())
    }

    pub(super) fn client_settings(&self) -> Result<ClientSettings<'_>, StepError> {
        let connect_timeout = length_of_time("connect_timeout", self.connect_timeout)?;
        Ok(ClientSettings { connect_timeout, redirects: 0, tls: self.tls.as_ref() })
    }

    pub(super) fn request_time_limit(&self) -> Result<Duration, StepError> {
        length_of_time("request_timeout", self.request_timeout)
    }
}

fn length_of_time(key: &str, seconds: f64) -> Result<Duration, StepError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| StepError::because(format!("`{key}` is not a length of time"), &error))
}

impl ProtocolName {
    pub(super) fn name(self) -> &'static str {
        match self {
            ProtocolName::V2 => "v2",
            ProtocolName::Grpc => "grpc",
            ProtocolName::TensorFlow => "tensorflow",
            ProtocolName::TorchServe => "torchserve",
            ProtocolName::OpenAi => "openai",
            ProtocolName::Json => "json",
        }
    }
}
