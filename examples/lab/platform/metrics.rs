//! Counters and latencies of the platform, and their text exposition.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::classifier::Numbers;

/// Upper bounds in seconds; around the objective of 250 ms they are closer together.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

#[derive(Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

/// What is counted; the keys are the provider's name and the second label.
#[derive(Default)]
struct Counts {
    errors: BTreeMap<(String, String), u64>,
    requests: BTreeMap<(String, String), u64>,
    failed_initialisations: BTreeMap<String, u64>,
    durations: BTreeMap<String, Histogram>,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

/// What is measured when the metrics are asked for.
pub struct Gauges {
    pub provider: &'static str,
    pub health_score: f64,
    pub files_present: bool,
    pub bytes_on_disk: u64,
    pub bytes_loaded: u64,
}

impl Metrics {
    /// Starts every series of a provider at zero: a rate over a series that begins with 1 misses the first event.
    pub fn announce(&self, provider: &str, codes: &[&str], statuses: &[&str]) {
        let mut counts = self.counts();
        for code in codes {
            counts.errors.entry((provider.into(), (*code).into())).or_default();
        }
        for status in statuses {
            counts.requests.entry((provider.into(), (*status).into())).or_default();
        }
        counts.failed_initialisations.entry(provider.into()).or_default();
        counts.durations.entry(provider.into()).or_default();
    }

    pub fn error(&self, provider: &str, code: &str) {
        *self.counts().errors.entry((provider.into(), code.into())).or_default() += 1;
    }

    pub fn request(&self, provider: &str, status: &str) {
        *self.counts().requests.entry((provider.into(), status.into())).or_default() += 1;
    }

    /// Only of requests that reached the model: refusals take no time and would make the service look fast.
    pub fn duration(&self, provider: &str, took: Duration) {
        self.counts().durations.entry(provider.into()).or_default().record(took.as_secs_f64());
    }

    pub fn failed_initialisation(&self, provider: &str) {
        *self.counts().failed_initialisations.entry(provider.into()).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A number that was being added to is still a number.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of `/metrics`; `prefix` is what the names of this platform begin with.
    pub fn render(&self, prefix: &str, gauges: &[Gauges], columns: Option<&Numbers>, resident_bytes: u64) -> String {
        let counts = self.counts();
        let mut page = Page { prefix, text: String::new() };
        page.counts("errors_total", "Errors by code.", "code", &counts.errors);
        page.counts("requests_total", "Requests by status.", "status", &counts.requests);
        page.failed_initialisations(&counts.failed_initialisations);
        page.durations(&counts.durations);
        page.gauges(gauges);
        if let Some(numbers) = columns {
            page.columns(numbers, resident_bytes);
        }
        page.text += "# HELP process_resident_memory_bytes Memory of this process.\n";
        page.text +=
            &format!("# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {resident_bytes}\n");
        page.text
    }
}

impl Histogram {
    fn record(&mut self, seconds: f64) {
        for (count, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
        self.sum += seconds;
        self.count += 1;
    }
}

/// The exposition format, as it is being written.
struct Page<'a> {
    prefix: &'a str,
    text: String,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let prefix = self.prefix;
        self.text += &format!("# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail. Labels are names of this program: nothing in them needs an escape.
        let _ = writeln!(self.text, "{}_{name}{{{labels}}} {value}", self.prefix);
    }

    fn counts(&mut self, name: &str, help: &str, label: &str, counts: &BTreeMap<(String, String), u64>) {
        self.head(name, "counter", help);
        for ((provider, value), count) in counts {
            self.line(name, &format!("provider=\"{provider}\",{label}=\"{value}\""), count);
        }
    }

    fn failed_initialisations(&mut self, counts: &BTreeMap<String, u64>) {
        let name = "provider_initialization_failed_total";
        self.head(name, "counter", "Failed attempts to load the model of a provider.");
        for (provider, count) in counts {
            self.line(name, &format!("provider=\"{provider}\""), count);
        }
    }

    fn durations(&mut self, durations: &BTreeMap<String, Histogram>) {
        self.head("request_duration_seconds", "histogram", "Time from request to answer.");
        for (provider, histogram) in durations {
            let provider = format!("provider=\"{provider}\"");
            for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
                self.line("request_duration_seconds_bucket", &format!("{provider},le=\"{bound}\""), count);
            }
            self.line("request_duration_seconds_bucket", &format!("{provider},le=\"+Inf\""), histogram.count);
            self.line("request_duration_seconds_sum", &provider, histogram.sum);
            self.line("request_duration_seconds_count", &provider, histogram.count);
        }
    }

    /// The numbers of column classification, whose names have no prefix. While there is nothing to tell,
    /// there is no series: a 0 would be a measurement.
    fn columns(&mut self, numbers: &Numbers, resident_bytes: u64) {
        let told = numbers.told.as_ref();
        let gauges = [
            ("avg_classification_time_ms", "Mean time of the last columns.", told.map(|told| told.mean_milliseconds)),
            ("classification_accuracy", "Share of right types.", told.and_then(|told| told.accuracy)),
            ("error_rate_percent", "Columns that the model did not classify.", told.map(|told| told.error_percent)),
            ("memory_usage_mb", "Memory of this process.", Some(resident_bytes as f64 / 1e6)),
            ("feature_cache_mb", "Memory of the feature cache.", Some(numbers.cached_bytes as f64 / 1e6)),
            ("feature_cache_columns", "Columns in the feature cache.", Some(numbers.cached_columns as f64)),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                self.text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
            }
        }
        let total = numbers.total;
        self.text += "# HELP classifications_total Columns classified.\n# TYPE classifications_total counter\n";
        self.text += &format!("classifications_total {total}\n");
    }

    fn gauges(&mut self, gauges: &[Gauges]) {
        self.head("provider_health_score", "gauge", "1 is healthy, 0 is not working.");
        for gauge in gauges {
            self.line("provider_health_score", &format!("provider=\"{}\"", gauge.provider), gauge.health_score);
        }
        self.head("model_files_present", "gauge", "1 if the model file of the provider exists.");
        for gauge in gauges {
            let present = u8::from(gauge.files_present);
            self.line("model_files_present", &format!("provider=\"{}\"", gauge.provider), present);
        }
        self.head("model_size_bytes", "gauge", "Bytes of the model file and of the model in memory.");
        for gauge in gauges {
            for (state, bytes) in [("disk", gauge.bytes_on_disk), ("loaded", gauge.bytes_loaded)] {
                let labels = format!("provider=\"{}\",state=\"{state}\"", gauge.provider);
                self.line("model_size_bytes", &labels, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_every_bucket_above_it() {
        let metrics = Metrics::default();
        metrics.announce("a", &["X"], &["ok"]);
        metrics.request("a", "ok");
        metrics.duration("a", Duration::from_millis(400));
        let text = metrics.render("ocr", &[], None, 7);
        for line in [
            "ocr_errors_total{provider=\"a\",code=\"X\"} 0",
            "ocr_requests_total{provider=\"a\",status=\"ok\"} 1",
            "ocr_request_duration_seconds_bucket{provider=\"a\",le=\"0.25\"} 0",
            "ocr_request_duration_seconds_bucket{provider=\"a\",le=\"0.5\"} 1",
            "ocr_request_duration_seconds_bucket{provider=\"a\",le=\"+Inf\"} 1",
            "ocr_request_duration_seconds_sum{provider=\"a\"} 0.4",
            "process_resident_memory_bytes 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
