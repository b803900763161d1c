//! References, names and what becomes of a secret once it was fetched.

use serde_json::json;

use super::*;
use crate::base::redaction;

fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> SecretReference {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.path().join(name);
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    SecretReference::File(path)
}

fn named(name: &str, kept: SecretReference) -> Secrets {
    Secrets([(name.to_owned(), kept)].into())
}

#[tokio::test]
async fn a_fetched_secret_is_masked_and_its_line_break_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = named("pager_key", file(&folder, "key", "quiet-please-1\n"));
    assert!(!redaction::known().finds("quiet-please-1"));
    let secret = SecretReference::Secret("pager_key".into()).resolve(&secrets).await.unwrap();
    assert_eq!(secret.reveal(), "quiet-please-1");
    assert_eq!(redaction::text("a quiet-please-1 b"), "a [secret] b");
}

#[tokio::test]
async fn a_secret_is_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("echo x >> {0}/calls; echo fetched-only-once", folder.path().display());
    let command = SecretCommand::new(vec!["/bin/sh".into(), "-c".into(), text], std::time::Duration::from_secs(5));
    let secrets = named("key", SecretReference::Command(command));
    let reference = SecretReference::Secret("key".into());
    let both = futures_util::future::join(reference.resolve(&secrets), reference.resolve(&secrets)).await;
    assert!(both.0.is_ok() && both.1.is_ok() && reference.resolve(&secrets).await.is_ok());
    assert_eq!(std::fs::read_to_string(folder.path().join("calls")).unwrap(), "x\n");
}

#[tokio::test]
async fn short_and_empty_secrets_are_refused_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, part) in [("a", "hunter2", "TooShort"), ("b", "\n", "is empty")] {
        let error = file(&folder, name, content).resolve(&Secrets::default()).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(part) && !told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_an_error_with_the_nearest_one() {
    let secrets = named("pager_key", SecretReference::Env("X".into()));
    let error = SecretReference::Secret("pager_kee".into()).resolve(&secrets).await.unwrap_err();
    assert_eq!(error.to_string(), "the site file has no secret 'pager_kee'; did you mean 'pager_key'?");
}

#[test]
fn names_in_settings_are_replaced_by_what_they_stand_for() {
    let secrets = named("hook", SecretReference::Env("HOOK_KEY".into()));
    let mut settings = json!({"url": "http://x/", "secret": {"secret": "hook"}});
    secrets.insert_into(&mut settings).unwrap();
    assert_eq!(settings, json!({"url": "http://x/", "secret": {"env": "HOOK_KEY"}}));
    assert!(secrets.insert_into(&mut json!([{"secret": "other"}])).is_err());
}
