//! The `file` kind against a real file system.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

async fn output(config: Value) -> Output {
    let outcome = run(config).await.unwrap();
    assert_eq!(outcome.failure, None, "looking never fails");
    outcome.output
}

fn write(path: &Path, content: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    write(&path, b"12345", 0o640);
    let found = output(json!({ "path": path, "mode": "0644" })).await;
    assert!(found.exists && !found.empty && found.readable);
    assert_eq!((found.size, found.kind, found.mode.as_deref()), (5, Some(FileKind::File), Some("0640")));
    assert_eq!((found.count, found.total_size, found.mode_mismatches), (1, 5, 1));
    assert_eq!(found.mismatches[0].mode, "0640");
    assert!(found.age.unwrap() < 60.0 && found.modified_at.unwrap() > 1.6e9);
    assert!(found.owner.is_some() && found.group.is_some());
}

#[tokio::test]
async fn nothing_is_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("file"), b"", 0o644);
    for path in ["absent", "no/such/folder", "file/below", "absent/"] {
        let found = output(json!({ "path": folder.path().join(path), "mode": "0644" })).await;
        assert!(!found.exists && !found.readable && !found.empty, "{path}");
        assert_eq!((found.size, found.kind, found.age, found.mode_mismatches), (0, None, None, 0));
    }
    let many = output(json!({ "path": folder.path().join("absent"), "pattern": "*" })).await;
    assert_eq!((many.exists, many.count), (false, 0));
}

#[tokio::test]
async fn empty_files_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    assert!(output(json!({ "path": folder.path() })).await.empty);
    let path = folder.path().join("empty");
    write(&path, b"", 0o644);
    let found = output(json!({ "path": path })).await;
    assert!(found.exists && found.empty && found.size == 0);
    let found = output(json!({ "path": folder.path() })).await;
    assert_eq!((found.empty, found.kind, found.count), (false, Some(FileKind::Folder), 0));
}

#[tokio::test]
async fn links_lead_to_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("v2.onnx"), b"123", 0o644);
    symlink("v2.onnx", folder.path().join("current")).unwrap();
    symlink("v1.onnx", folder.path().join("dangling")).unwrap();
    let good = output(json!({ "path": folder.path().join("current") })).await;
    assert_eq!((good.size, good.kind, good.link_target.as_deref()), (3, Some(FileKind::File), Some("v2.onnx")));
    let dangling = output(json!({ "path": folder.path().join("dangling") })).await;
    assert_eq!((dangling.exists, dangling.kind), (false, Some(FileKind::Link)));
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    symlink("loop", folder.path().join("loop")).unwrap();
    assert!(run(json!({ "path": folder.path().join("loop") })).await.is_err());
    assert!(run(json!({ "path": folder.path().join("x".repeat(300)) })).await.is_err());
    assert!(run(json!({ "path": "" })).await.unwrap_err().help.is_some());
    assert!(run(json!({ "path": "a\u{0}b" })).await.is_err());
}

#[tokio::test]
async fn readable_agrees_with_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    write(&path, b"x", 0o000);
    let found = output(json!({ "path": path })).await;
    // Root may read it in spite of its mode.
    assert_eq!(found.readable, std::fs::File::open(&path).is_ok());
    assert_eq!(found.unreadable_count, u64::from(!found.readable));
    assert_eq!(found.mode.as_deref(), Some("0000"));
}

#[test]
fn a_refused_look_says_what_to_do() {
    let refused = file_error("look at", Path::new("models/x"), &std::io::ErrorKind::PermissionDenied.into());
    assert_eq!(refused.message, "cannot look at models/x: permission denied");
    assert!(refused.help.unwrap().contains("read access"));
}

#[tokio::test]
async fn age_counts_from_the_last_change() {
    let folder = tempfile::tempdir().unwrap();
    for (name, seconds) in [("old", 1_000_000_000), ("future", 99_000_000_000_u64)] {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
    let old = output(json!({ "path": folder.path().join("old") })).await;
    assert_eq!(old.modified_at, Some(1e9));
    assert!(old.age.unwrap() > 1e7);
    assert_eq!(output(json!({ "path": folder.path().join("future") })).await.age, Some(0.0));
    let both = output(json!({ "path": folder.path(), "pattern": "*" })).await;
    assert_eq!((both.newest_age, both.oldest_age.unwrap() > 1e7), (Some(0.0), true));
}

#[tokio::test]
async fn many_files_below_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(&root.join("a/model.onnx"), b"1234", 0o644);
    write(&root.join("b/deep/model.onnx"), b"", 0o600);
    write(&root.join("b/notes.txt"), b"not counted", 0o777);
    symlink("../a/model.onnx", root.join("b/linked.onnx")).unwrap();
    symlink("..", root.join("b/deep/up")).unwrap();
    std::fs::set_permissions(root.join("b"), std::fs::Permissions::from_mode(0o700)).unwrap();
    for path in [root.to_owned(), root.join("a"), root.join("b/deep")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let found = output(json!({ "path": root, "pattern": "*.onnx", "mode": "644", "dir_mode": "755" })).await;
    let paths: Vec<_> =
        found.entries.iter().map(|entry| entry.path.strip_prefix(root.to_str().unwrap()).unwrap()).collect();
    assert_eq!(paths, ["/a/model.onnx", "/b/deep/model.onnx", "/b/linked.onnx"]);
    assert_eq!((found.count, found.total_size, found.empty_count), (3, 8, 1));
    assert_eq!(found.mode_mismatches, 2, "{:?}", found.mismatches);
    let top = output(json!({ "path": root, "pattern": "a/*.onnx" })).await;
    assert_eq!(top.count, 1);
}

#[tokio::test]
async fn owners_that_differ_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    write(&path, b"x", 0o644);
    let found = output(json!({ "path": path, "owner": "nobody-like-this" })).await;
    assert_eq!((found.owner_mismatches, found.mode_mismatches), (1, 0));
    let owner = found.owner.unwrap();
    assert_eq!(output(json!({ "path": path, "owner": owner })).await.owner_mismatches, 0);
}

#[tokio::test]
async fn lists_are_bounded_and_counts_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..120 {
        write(&folder.path().join(format!("{number:03}.bin")), b"xy", 0o600);
    }
    let found = output(json!({ "path": folder.path(), "pattern": "*.bin", "mode": "0644" })).await;
    assert_eq!((found.count, found.total_size, found.mode_mismatches), (120, 240, 120));
    assert_eq!((found.entries.len(), found.mismatches.len()), (50, 50));
}

#[tokio::test]
async fn wrong_settings_are_errors_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    write(&path, b"x", 0o644);
    for config in [
        json!({ "path": path, "mode": "rw-r--r--" }),
        json!({ "path": path, "pattern": "[a" }),
        json!({ "path": path, "pattern": "*" }),
    ] {
        assert!(run(config.clone()).await.unwrap_err().help.is_some(), "{config}");
    }
}
