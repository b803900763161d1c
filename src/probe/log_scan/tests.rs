//! The `log_scan` kind against real files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

async fn output(config: Value) -> Output {
    let outcome = run(config).await.unwrap();
    assert_eq!(outcome.failure, None, "counting never fails");
    outcome.output
}

/// A log in a folder of its own.
fn log(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// A line written `seconds` ago.
fn line(seconds: u64, text: &str) -> String {
    let now = Context::for_tests().services.clock.now();
    format!("{} {text}\n", Timestamp(now.0 - seconds as i64 * 1000))
}

/// Sets the time a file was last written, `seconds` ago.
fn written(path: &Path, seconds: u64) {
    let now = Context::for_tests().services.clock.now();
    let moment = UNIX_EPOCH + Duration::from_millis(now.0 as u64) - Duration::from_secs(seconds);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(moment).unwrap();
}

#[tokio::test]
async fn matches_are_counted_and_no_match_is_an_answer() {
    let (_folder, path) = log("one ERROR\ntwo\r\nthree error\nERROR muted\n");
    let found = output(json!({"file": path, "pattern": "ERROR"})).await;
    assert_eq!((found.count, found.scanned_lines, found.scanned_bytes), (2, 4, 39));
    assert_eq!(found.last_line, "ERROR muted");
    assert!(found.complete && found.first_at.is_none());
    assert_eq!(output(json!({"file": path, "pattern": "error", "ignore_case": true})).await.count, 3);
    assert_eq!(output(json!({"file": path, "pattern": "ERROR", "exclude": "muted"})).await.count, 1);
    assert_eq!(output(json!({"file": path, "pattern": "two$"})).await.count, 1, "the line's end is not part of it");
    let none = output(json!({"file": path, "pattern": "FATAL"})).await;
    assert_eq!((none.count, none.last_line.as_str(), none.samples.len()), (0, "", 0));
}

#[tokio::test]
async fn a_window_counts_only_what_is_in_it() {
    let text =
        line(3600, "ERROR old") + "  ERROR of the old one\n" + &line(300, "ERROR new") + "  ERROR of the new one\n";
    let (_folder, path) = log(text);
    let found = output(json!({"file": path, "pattern": "ERROR", "window": 600})).await;
    assert_eq!(found.count, 2);
    assert_eq!(found.first_at, found.last_at);
    assert_eq!(output(json!({"file": path, "pattern": "ERROR"})).await.count, 4);
    let since = found.first_at.unwrap() - 1.0;
    assert_eq!(output(json!({"file": path, "pattern": "ERROR", "since": since})).await.count, 2);
    assert_eq!(output(json!({"file": path, "pattern": "ERROR", "since": since, "window": 86400})).await.count, 2);
    // As `run.started_at` gives it.
    let text = Timestamp((since * 1000.0) as i64).to_rfc3339();
    assert_eq!(output(json!({"file": path, "pattern": "ERROR", "since": text})).await.count, 2);
}

#[tokio::test]
async fn a_window_needs_time_stamps() {
    let (_folder, path) = log("ERROR without a time\n");
    let error = run(json!({"file": path, "pattern": "ERROR", "window": 600})).await.unwrap_err();
    assert!(error.message.contains("time stamp") && error.help.unwrap().contains("tail"));
    // A log that nobody wrote to in the window needs no stamps to be silent.
    written(&path, 3600);
    assert_eq!(output(json!({"file": path, "pattern": "ERROR", "window": 600})).await.count, 0);
    let (_folder, empty) = log("");
    assert_eq!(output(json!({"file": empty, "pattern": "ERROR", "window": 600})).await.count, 0);
}

#[tokio::test]
async fn rotated_files_are_followed_as_far_as_needed() {
    let (folder, path) = log(line(60, "ERROR d"));
    for (name, age) in [("app.log.1", 200), ("app.log.2", 400), ("app.log.3", 4000), ("app.log.4.gz", 300)] {
        std::fs::write(folder.path().join(name), line(age, "ERROR x")).unwrap();
        written(&folder.path().join(name), age);
    }
    let found = output(json!({"file": path, "pattern": "ERROR", "window": 600})).await;
    let names: Vec<_> = found.files.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!((found.count, names), (3, vec!["app.log.2", "app.log.1", "app.log"]));
    assert!(!found.complete && found.skipped_files[0].ends_with("app.log.4.gz"));
    assert_eq!(output(json!({"file": path, "pattern": "ERROR", "window": 600, "rotated": false})).await.count, 1);
    let pattern = folder.path().join("app.log*");
    assert_eq!(output(json!({"file": pattern, "pattern": "ERROR", "window": 600})).await.count, 3, "each file once");
    assert_eq!(output(json!({"file": path, "pattern": "ERROR"})).await.count, 1, "no window, no way back");
}

#[tokio::test]
async fn a_missing_log_is_an_error_unless_allowed() {
    let (folder, path) = log("x\n");
    for absent in ["absent.log", "absent*.log", "no/folder.log"] {
        let config = json!({"files": [path, folder.path().join(absent)], "pattern": "x"});
        assert!(run(config).await.unwrap_err().help.unwrap().contains("missing_ok"), "{absent}");
    }
    let allowed = json!({"file": folder.path().join("absent.log"), "pattern": "x", "missing_ok": true});
    assert_eq!(output(allowed).await.count, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error() {
    let (folder, _path) = log("x\n");
    assert!(
        run(json!({"file": folder.path(), "pattern": "x"})).await.unwrap_err().message.contains("not a regular file")
    );
    std::os::unix::fs::symlink("loop.log", folder.path().join("loop.log")).unwrap();
    assert!(run(json!({"file": folder.path().join("loop.log"), "pattern": "x", "missing_ok": true})).await.is_err());
}

#[tokio::test]
async fn the_last_lines_only() {
    let text: String = (0..1000).fold(String::new(), |mut text, number| {
        writeln!(text, "ERROR {number}").unwrap();
        text
    });
    let (_folder, path) = log(text);
    let found = output(json!({"file": path, "pattern": "ERROR", "tail": 50})).await;
    assert_eq!((found.count, found.scanned_lines, found.samples.len()), (50, 50, 20));
    assert_eq!((found.samples[0].text.as_str(), found.samples[19].text.as_str()), ("ERROR 980", "ERROR 999"));
}

#[tokio::test]
async fn numbers_and_groups() {
    let text = "Classification took 10ms provider=paddle\nClassification took 30.5ms provider=deepseek\n\
                Classification took 50ms provider=paddle\n";
    let (_folder, path) = log(text);
    let pattern = r"took (?P<ms>[\d.]+)ms provider=(?P<provider>\w+)";
    let found = output(json!({"file": path, "pattern": pattern, "number": "ms"})).await;
    let number = found.number.unwrap();
    assert_eq!((number.count, number.min, number.max, number.p50), (3, Some(10.0), Some(50.0), Some(30.5)));
    assert_eq!(number.last, Some(50.0));
    assert_eq!(found.groups.keys().collect::<Vec<_>>(), ["provider"]);
    assert_eq!(found.groups["provider"][0], ValueCount { value: "paddle".into(), count: 2 });
    let wrong = run(json!({"file": path, "pattern": pattern, "number": "msec"})).await.unwrap_err();
    assert_eq!(wrong.help.as_deref(), Some("did you mean 'ms'?"));
}

#[tokio::test]
async fn odd_bytes_are_matched_and_shown_safely() {
    let mut text = b"caf\xe9 \x1b[31mERROR\x1b[0m \xff\xfe\n".to_vec();
    text.extend(b"\x00\x00\x00\n");
    let (_folder, path) = log(text);
    let found = output(json!({"file": path, "pattern": "ERROR"})).await;
    assert_eq!(found.count, 1);
    assert_eq!(found.samples[0].text, "caf\u{fffd} \\u{1b}[31mERROR\\u{1b}[0m \u{fffd}\u{fffd}");
}

#[tokio::test]
async fn a_huge_line_is_cut_and_the_rest_is_found() {
    let mut text = b"ERROR at the start ".to_vec();
    text.resize(100 << 20, b'x');
    text.extend(b" ERROR too late\nERROR after it\n");
    let (_folder, path) = log(text);
    let found = output(json!({"file": path, "pattern": "ERROR", "before": 1})).await;
    assert_eq!((found.count, found.cut_lines, found.scanned_lines), (2, 1, 2));
    assert!(found.samples[0].text.len() < 3000 && found.samples[1].before[0].len() < 600);
    assert_eq!(output(json!({"file": path, "pattern": "after it$", "tail": 1})).await.count, 1);
}

#[tokio::test]
async fn a_large_file_is_searched_from_its_window() {
    let mut text = String::new();
    for second in (0..150_000).rev() {
        text += &line(second, "ERROR some words that make the file large enough to search in it");
    }
    assert!(text.len() as u64 > seek::SEARCHED_FROM);
    let (_folder, path) = log(text);
    let found = output(json!({"file": path, "pattern": "ERROR", "window": 1000})).await;
    // The log is a moment older than the scan.
    assert!((900..=1001).contains(&found.count), "{}", found.count);
    assert!(found.scanned_bytes < 1 << 20, "{}", found.scanned_bytes);
}

#[tokio::test]
async fn several_logs_by_pattern() {
    let folder = tempfile::tempdir().unwrap();
    for (name, age) in [("b.log", 30), ("a.log", 10), ("c.txt", 5)] {
        std::fs::write(folder.path().join(name), line(age, &format!("ERROR {name}"))).unwrap();
    }
    let found = output(json!({"files": [folder.path().join("*.log")], "pattern": "ERROR", "window": 600})).await;
    assert_eq!((found.count, found.files.len()), (2, 2));
    assert!(found.last_line.ends_with("a.log"), "the newest by its stamp: {}", found.last_line);
    assert!(found.samples[0].file.ends_with("b.log") && found.samples[0].at.is_some());
}

#[tokio::test]
async fn settings_that_cannot_work_are_errors_with_help() {
    let (_folder, path) = log("x\n");
    for config in [
        json!({"pattern": "x"}),
        json!({"pattern": "x", "file": path, "journal": {}}),
        json!({"pattern": "(", "file": path}),
        json!({"pattern": "", "file": path}),
        json!({"pattern": r"(\w{1,999}){1,999}", "file": path}),
        json!({"pattern": "x", "exclude": "[", "file": path}),
        json!({"pattern": "x", "file": path, "window": 0}),
        json!({"pattern": "x", "file": path, "before": 11}),
        json!({"pattern": "x", "file": path, "number": "ms"}),
        json!({"pattern": "x", "journal": {"unit": "app"}}),
    ] {
        assert!(run(config.clone()).await.unwrap_err().help.is_some(), "{config}");
    }
}

#[tokio::test]
async fn a_cancelled_scan_ends() {
    let (_folder, path) = log("x\n".repeat(10));
    let context = Context::for_tests();
    context.cancel.cancel();
    let config = serde_json::from_value(json!({"file": path, "pattern": "x"})).unwrap();
    assert!(Step::run(config, context).await.is_err());
}
