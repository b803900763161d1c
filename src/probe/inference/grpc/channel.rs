//! Calls over one HTTP/2 connection: messages as bytes there and back.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use reqwest::Url;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::status::{self, Meaning};
use crate::base::units::{show_bytes, show_duration};
use crate::http::{authority, cannot_connect, refused};
use crate::kind::{Context, Resolver, Services, StepError};
use crate::probe::inference::config::Config;
use crate::probe::inference::exchange::{NoAnswer, Refusal};
use crate::site::TextOrSecret;

/// How much longer a server is told to try than anybody waits.
const GRACE: Duration = Duration::from_secs(1);

/// Calls with the credentials and limits of the step.
pub(in crate::probe::inference) struct GrpcChannel {
    channel: Channel,
    metadata: MetadataMap,
    peer: String,
    body_limit: u64,
    time_limit: Duration,
}

impl GrpcChannel {
    /// Connects when the first call is made.
    pub async fn new(config: &Config, server: &Url, context: &Context) -> Result<Self, StepError> {
        let settings = config.client_settings()?;
        let host = server.host_str().unwrap_or_default();
        context.services.check_host(host).await.map_err(|why| refused(&why))?;
        let mut endpoint = Endpoint::from_shared(server.origin().ascii_serialization())
            .and_then(|endpoint| endpoint.user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION"))))
            .map_err(|error| StepError::because("the address cannot be called", &error))?
            .connect_timeout(settings.connect_timeout);
        if server.scheme() == "https" {
            let authorities = settings.tls.map(|tls| tls.pem()).transpose()?;
            endpoint = endpoint.tls_config(trust(authorities)).map_err(|error| {
                StepError::because("cannot prepare TLS for the calls", &error)
                    .help("the system has no certificates of authorities; install `ca-certificates`, or give `tls: {ca_file: …}`")
            })?;
        }
        Ok(GrpcChannel {
            channel: endpoint.connect_with_connector_lazy(connector(&context.services)),
            metadata: metadata(config, context).await?,
            peer: authority(server),
            body_limit: config.body_limit,
            time_limit: config.request_time_limit()?.min(context.time_limit),
        })
    }

    /// One call. The message of the answer, or the server's refusal.
    pub async fn call(&self, url: &Url, message: Bytes) -> Result<Result<Bytes, Refusal>, NoAnswer> {
        let answer = tokio::time::timeout(self.time_limit, self.unary(url, message)).await;
        let Ok(answer) = answer else { return Err(NoAnswer::Lost(self.timed_out())) };
        let Err(status) = answer else { return Ok(answer.map_err(|status| status::refusal(&status))) };
        match status::meaning(&status) {
            Meaning::Refused => Ok(Err(status::refusal(&status))),
            Meaning::Lost => Err(NoAnswer::Lost(self.lost(&status))),
            Meaning::TooSlow => Err(NoAnswer::Lost(self.timed_out())),
            Meaning::TooLarge => Err(NoAnswer::Hopeless(self.too_large())),
            Meaning::Denied => Err(NoAnswer::Hopeless(self.denied(&status))),
            Meaning::NotGrpc => Err(NoAnswer::Hopeless(self.not_grpc(&status))),
        }
    }

    async fn unary(&self, url: &Url, message: Bytes) -> Result<Bytes, Status> {
        let path = PathAndQuery::try_from(url.path())
            .map_err(|error| Status::invalid_argument(format!("the path cannot be called: {error}")))?;
        let limit = usize::try_from(self.body_limit).unwrap_or(usize::MAX);
        let mut client = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(limit);
        let mut request = Request::from_parts(self.metadata.clone(), Default::default(), message);
        // Servers that heed it do not go on computing what nobody waits for. A little more than the limit, so that it
        // is the limit that ends a call and is told.
        request.set_timeout(self.time_limit.saturating_add(GRACE));
        client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(client.unary(request, path, Opaque).await?.into_inner())
    }

    fn lost(&self, status: &Status) -> StepError {
        let peer = &self.peer;
        if let Some(error) = std::error::Error::source(status).and_then(|error| cannot_connect(peer, error)) {
            return error;
        }
        let cause: &dyn std::error::Error = std::error::Error::source(status).unwrap_or(status);
        StepError::because(format!("the call to {peer} broke off"), cause).help(
            "the server closed the connection or does not speak gRPC there; gRPC has a port of its own, often 8001 \
             (Triton) or 8081 (MLServer)",
        )
    }

    fn timed_out(&self) -> StepError {
        let limit = show_duration(self.time_limit);
        StepError::new(format!("no complete answer from {} within {limit}", self.peer))
            .help("the service may hang or be overloaded; `request_timeout` sets the limit")
    }

    fn too_large(&self) -> StepError {
        StepError::new(format!("the answer of {} is larger than {}", self.peer, show_bytes(self.body_limit)))
            .help("raise `body_limit` to judge it, or ask with fewer rows")
    }

    fn denied(&self, status: &Status) -> StepError {
        let (name, number) = (status::name(status.code()), status.code() as u16);
        StepError::new(format!("the model server at {} answered with the gRPC status {name} ({number})", self.peer))
            .code(number)
            .help(status::help(status.code()))
    }

    fn not_grpc(&self, status: &Status) -> StepError {
        StepError::new(format!("what answers at {} does not speak gRPC ({})", self.peer, status.message()))
            .help("gRPC has a port of its own, often 8001 (Triton) or 8081 (MLServer)")
    }
}

/// Connects as HTTP requests do: only to what the site file lets through.
fn connector(services: &Services) -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(services.resolver());
    // TLS is laid over it, so it must take addresses with `https`, too.
    connector.enforce_http(false);
    // A call is one small message each way; waiting to fill a packet would only make it slower.
    connector.set_nodelay(true);
    connector
}

/// The authorities of the system, and those of the step beside them.
fn trust(authorities: Option<Vec<u8>>) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().with_native_roots();
    match authorities {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config,
    }
}

async fn metadata(config: &Config, context: &Context) -> Result<MetadataMap, StepError> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &config.headers {
        let wrong = || {
            StepError::new(format!("the header '{name}' cannot be sent in a gRPC call"))
                .help("names are words with dashes that do not end in `-bin`; values are one line of plain text")
        };
        let key: AsciiMetadataKey = name.to_ascii_lowercase().parse().map_err(|_| wrong())?;
        let given = context.text_or_secret(value).await?;
        let mut header: AsciiMetadataValue = given.reveal().parse().map_err(|_| wrong())?;
        header.set_sensitive(matches!(value, TextOrSecret::Secret(_)));
        metadata.insert(key, header);
    }
    if let Some(reference) = &config.bearer {
        let token = context.secret(reference).await?;
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.reveal()))
            .map_err(|_| StepError::new("the token of `bearer` has a control character in it"))?;
        value.set_sensitive(true);
        metadata.insert("authorization", value);
    }
    Ok(metadata)
}

/// Messages cross as they are: what made them knows how to read them, and does so when no clock is running.
#[derive(Clone, Copy)]
pub(in crate::probe::inference) struct Opaque;

impl Codec for Opaque {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Opaque;
    type Decoder = Opaque;

    fn encoder(&mut self) -> Opaque {
        Opaque
    }

    fn decoder(&mut self) -> Opaque {
        Opaque
    }
}

impl Encoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
