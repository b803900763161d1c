//! Log lines as programs write them, right or damaged, with any pattern, window and time zone: counting ends, and
//! what is counted was there.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use runbook::kind::{Context, Kind};
use runbook::probe::log_scan::Step;
use serde_json::json;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|input: (&str, u32, u8, &[u8])| {
    let (pattern, window, options, log) = input;
    let path = FOLDER.path().join("fuzzed.log");
    std::fs::write(&path, log).expect("the log is written");
    let mut config = json!({
        "file": path,
        "pattern": pattern,
        "ignore_case": options & 1 != 0,
        "before": options >> 5,
        "timezone": if options & 2 != 0 { "utc" } else { "local" },
    });
    if options & 4 != 0 {
        config["window"] = json!(f64::from(window));
    }
    if options & 8 != 0 {
        config["since"] = json!(pattern);
    }
    if options & 16 != 0 {
        config["tail"] = json!(window % 9 + 1);
    }
    let Ok(config) = serde_json::from_value(config) else { return };
    let Ok(outcome) = RUNTIME.block_on(Step::run(config, Context::for_tests())) else { return };
    let output = outcome.output;
    assert!(output.count <= output.scanned_lines, "more matches than lines");
    assert!(output.samples.len() as u64 <= output.count, "samples of what was not counted");
    assert!(output.scanned_bytes <= log.len() as u64, "more read than there is");
    assert!(!output.last_line.chars().any(|letter| letter.is_control() && letter != '\t'), "raw control characters");
});
