//! The `checksum` kind against real files.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// A folder with two models and a manifest that holds for both.
fn models() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("a.onnx"), "model a").unwrap();
    std::fs::write(folder.path().join("sub/b.onnx"), "model b").unwrap();
    let manifest = folder.path().join("SHA256SUMS");
    let text = format!("{}  a.onnx\n{} *sub/b.onnx\n", sha256(b"model a"), sha256(b"model b"));
    std::fs::write(&manifest, text).unwrap();
    (folder, manifest)
}

#[tokio::test]
async fn everything_matches() {
    let (_folder, manifest) = models();
    let outcome = run(json!({ "manifest": manifest })).await.unwrap();
    assert_eq!(outcome.failure, None);
    assert_eq!((outcome.output.total, outcome.output.matched, outcome.output.weak), (2, 2, false));
    assert_eq!(outcome.output.expected["sub/b.onnx"], sha256(b"model b"));
}

#[tokio::test]
async fn a_changed_and_a_missing_file_fail() {
    let (folder, manifest) = models();
    std::fs::write(folder.path().join("a.onnx"), "model A").unwrap();
    std::fs::remove_file(folder.path().join("sub/b.onnx")).unwrap();
    let outcome = run(json!({ "manifest": manifest })).await.unwrap();
    assert_eq!(outcome.failure.as_deref(), Some("a.onnx has another digest; sub/b.onnx is missing"));
    let output = outcome.output;
    assert_eq!((output.matched, output.mismatched, output.missing), (0, 1, 1));
    assert_eq!(output.missing_files, ["sub/b.onnx"]);
    let mismatch = Mismatch { file: "a.onnx".into(), expected: sha256(b"model a"), actual: sha256(b"model A") };
    assert_eq!(output.mismatches, [mismatch]);
}

#[tokio::test]
async fn only_some_files() {
    let (folder, manifest) = models();
    std::fs::write(folder.path().join("a.onnx"), "changed").unwrap();
    let outcome = run(json!({ "manifest": manifest, "files": ["sub/b.onnx"] })).await.unwrap();
    assert_eq!((outcome.failure, outcome.output.total), (None, 1));
    let error = run(json!({ "manifest": manifest, "files": ["a.onx"] })).await.unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean 'a.onnx'?"));
}

#[tokio::test]
async fn a_manifest_that_proves_nothing_is_an_error() {
    let (folder, manifest) = models();
    for text in ["", "# nothing\n\r\n", &format!("{}  SHA256SUMS\n", sha256(b""))] {
        std::fs::write(&manifest, text).unwrap();
        assert!(run(json!({ "manifest": manifest })).await.unwrap_err().message.contains("names no file"), "{text:?}");
    }
    for text in ["expected_checksum  a.onnx", &format!("{}  ../a.onnx", sha256(b"")), "<html>not found</html>"] {
        std::fs::write(&manifest, text).unwrap();
        assert!(run(json!({ "manifest": manifest })).await.unwrap_err().help.is_some(), "{text:?}");
    }
    assert!(run(json!({ "manifest": folder.path() })).await.is_err());
    assert!(run(json!({ "manifest": folder.path().join("absent") })).await.unwrap_err().help.is_some());
}

#[tokio::test]
async fn a_folder_or_an_unreadable_file_was_not_checked() {
    let (folder, manifest) = models();
    std::fs::remove_file(folder.path().join("a.onnx")).unwrap();
    std::fs::create_dir(folder.path().join("a.onnx")).unwrap();
    assert!(run(json!({ "manifest": manifest })).await.unwrap_err().message.contains("not a regular file"));
    // The kernel refuses to read its start, whoever asks.
    let digest = sha256(b"");
    let error = run(json!({"file": "/proc/self/mem", "sha256": digest})).await.unwrap_err();
    assert!(error.message.starts_with("cannot read /proc/self/mem"), "{}", error.message);
}

#[tokio::test]
async fn one_file_with_its_digest() {
    let (folder, _) = models();
    let file = folder.path().join("a.onnx");
    let good = run(json!({ "file": file, "sha256": sha256(b"model a").to_uppercase() })).await.unwrap();
    assert_eq!((good.failure, good.output.matched), (None, 1));
    let wrong = run(json!({ "file": file, "sha256": sha256(b"model x") })).await.unwrap();
    assert!(wrong.failure.unwrap().ends_with("a.onnx has another digest"));
    let absent = run(json!({ "file": folder.path().join("absent"), "sha256": sha256(b"") })).await.unwrap();
    assert!(absent.failure.unwrap().ends_with("absent is missing"));
    let weak = run(json!({ "file": file, "md5": "9b8c3e5e2ac31f0c4d2e8a4f3e1cbd00" })).await.unwrap();
    assert!(weak.output.weak && weak.failure.is_some());
}

#[tokio::test]
async fn settings_that_do_not_fit_together() {
    let digest = sha256(b"");
    for config in [
        json!({}),
        json!({"manifest": "a", "file": "b"}),
        json!({"manifest": "a", "sha256": digest}),
        json!({"file": "a"}),
        json!({"file": "a", "sha256": digest, "md5": "x"}),
        json!({"file": "a", "sha256": "expected_checksum"}),
        json!({"file": "a", "sha256": digest, "files": ["a"]}),
    ] {
        assert!(run(config.clone()).await.unwrap_err().help.is_some(), "{config}");
    }
}

#[tokio::test]
async fn lists_are_bounded_and_counts_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("sums");
    let lines: Vec<String> = (0..1500).map(|number| format!("{}  file-{number:04}", sha256(b""))).collect();
    std::fs::write(&manifest, lines.join("\n")).unwrap();
    let outcome = run(json!({ "manifest": manifest })).await.unwrap();
    assert_eq!((outcome.output.total, outcome.output.missing), (1500, 1500));
    assert_eq!((outcome.output.missing_files.len(), outcome.output.expected.len()), (50, 1000));
    assert_eq!(outcome.failure.as_deref(), Some("file-0000 and 1499 more of 1500 files are missing"));
}
