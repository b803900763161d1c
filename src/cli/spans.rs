//! A span for each run and each attempt of a step, to a collector of OpenTelemetry: OTLP over HTTP, to where the usual
//! variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, OpenTelemetry specification, "OTLP exporter configuration").

use std::sync::OnceLock;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::base::environment;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What sends spans; nothing when no collector is named. Only names and numbers of runs and steps are sent: what is
/// said in a run may quote what programs print, and goes to the log alone, where secrets are masked.
pub fn layer<S: Subscriber + for<'s> LookupSpan<'s>>() -> Option<impl Layer<S>> {
    let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].map(environment::variable);
    named.into_iter().flatten().next()?;
    let provider = match provider() {
        Ok(provider) => PROVIDER.get_or_init(|| provider),
        Err(error) => {
            super::output::error(&format!("spans cannot be sent: {error}"));
            return None;
        }
    };
    let ours = filter_fn(|what| what.is_span() && what.target().starts_with("runbook::"));
    Some(tracing_opentelemetry::layer().with_tracer(provider.tracer("runbook")).with_location(false).with_filter(ours))
}

fn provider() -> Result<SdkTracerProvider, Box<dyn std::error::Error>> {
    // Fails when it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder().build()?;
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
    let named = environment::variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "runbook".to_owned());
    let resource = Resource::builder().with_service_name(named).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Sends what has not been sent yet.
pub fn finish() {
    if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
        tracing::warn!(%error, "the last spans could not be sent");
    }
}
