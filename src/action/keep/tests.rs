//! Tests of replacing and putting back on a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;

const OLD: &[u8] = b"old content";
const NEW: &[u8] = b"new content";

fn context_of(run: &str, step: &str) -> Context {
    Context { run: RunId::from(run.to_owned()), step: StepKey::plain(step), ..Context::for_tests() }
}

fn replace_as(run: &str, step: &str, path: &Path, content: &[u8]) -> Replaced {
    let replacement = Replacement::new(path, &context_of(run, step)).unwrap();
    replace_file(&replacement, NewContent::Bytes(content.to_vec())).unwrap()
}

fn folder_with(content: Option<&[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("model.onnx");
    if let Some(content) = content {
        fs::write(&path, content).unwrap();
    }
    (folder, path)
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_old_file_is_kept_and_comes_back_with_its_inode_and_mode() {
    let (folder, path) = folder_with(Some(OLD));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();

    let replaced = replace_as("r1", "remediate.a", &path, NEW);
    assert_eq!(fs::read(&path).unwrap(), NEW);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert!(replaced.changed && replaced.existed_before);
    assert_eq!(fs::read(replaced.kept.as_ref().unwrap()).unwrap(), OLD);
    assert_eq!(names(&folder), [".model.onnx.kept-r1-remediate.a", "model.onnx"]);

    assert_eq!(restore(&replaced).unwrap(), Restored::PutBack);
    assert_eq!(fs::read(&path).unwrap(), OLD);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(names(&folder), ["model.onnx"]);
    assert_eq!(restore(&replaced).unwrap(), Restored::Nothing, "repeating an undo is harmless");
}

#[test]
fn a_new_file_gets_the_default_mode_and_is_removed_by_the_undo() {
    let (folder, path) = folder_with(None);
    let replaced = replace_as("r1", "remediate.a", &path, NEW);
    assert!(replaced.changed && !replaced.existed_before && replaced.kept.is_none());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(restore(&replaced).unwrap(), Restored::Removed);
    assert!(names(&folder).is_empty());
    assert_eq!(restore(&replaced).unwrap(), Restored::Nothing);
}

#[test]
fn the_same_content_changes_nothing_but_another_mode_does() {
    let (folder, path) = folder_with(Some(OLD));
    let inode = fs::metadata(&path).unwrap().ino();
    let replaced = replace_as("r1", "remediate.a", &path, OLD);
    assert!(!replaced.changed && replaced.kept.is_none());
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(names(&folder), ["model.onnx"]);

    let stricter = Replacement::new(&path, &context_of("r1", "remediate.a")).unwrap().mode(Some(0o600));
    let replaced = replace_file(&stricter, NewContent::Bytes(OLD.to_vec())).unwrap();
    assert!(replaced.changed);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(restore(&replaced).unwrap(), Restored::PutBack);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn an_undo_never_destroys_a_later_change() {
    for before in [Some(OLD), None] {
        let (_folder, path) = folder_with(before);
        let replaced = replace_as("r1", "remediate.a", &path, NEW);
        fs::write(&path, b"edited by hand").unwrap();
        assert!(matches!(restore(&replaced), Err(KeepError::ChangedSince { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"edited by hand");
    }
}

#[test]
fn an_undo_puts_the_old_file_back_where_the_new_one_vanished() {
    let (_folder, path) = folder_with(Some(OLD));
    let replaced = replace_as("r1", "remediate.a", &path, NEW);
    fs::remove_file(&path).unwrap();
    assert_eq!(restore(&replaced).unwrap(), Restored::PutBack);
    assert_eq!(fs::read(&path).unwrap(), OLD);
}

#[test]
fn a_kept_copy_that_is_gone_is_an_error() {
    let (_folder, path) = folder_with(Some(OLD));
    let replaced = replace_as("r1", "remediate.a", &path, NEW);
    fs::remove_file(replaced.kept.as_ref().unwrap()).unwrap();
    assert!(matches!(restore(&replaced), Err(KeepError::KeptGone { .. })));
    assert_eq!(fs::read(&path).unwrap(), NEW);
}

#[test]
fn an_attempt_repeated_after_a_crash_still_knows_what_to_undo() {
    let (_folder, path) = folder_with(Some(OLD));
    let first = replace_as("r1", "remediate.a", &path, NEW);
    let again = replace_as("r1", "remediate.a", &path, NEW);
    assert_eq!(first, again);
    assert_eq!(restore(&again).unwrap(), Restored::PutBack);
    assert_eq!(fs::read(&path).unwrap(), OLD);
}

#[test]
fn a_repeated_attempt_overwrites_no_copy_that_differs() {
    let (_folder, path) = folder_with(Some(OLD));
    let first = replace_as("r1", "remediate.a", &path, NEW);
    fs::write(&path, b"third").unwrap();
    let second = replace_as("r1", "remediate.a", &path, NEW);
    assert_eq!(fs::read(first.kept.unwrap()).unwrap(), OLD);
    assert_eq!(fs::read(second.kept.unwrap()).unwrap(), b"third");
}

#[test]
fn copies_of_this_run_survive_pruning_and_those_of_older_runs_do_not() {
    let (folder, path) = folder_with(Some(b"0"));
    replace_as("r1", "remediate.a", &path, b"1");
    let first = replace_as("r2", "remediate.a", &path, b"2");
    assert_eq!(names(&folder), [".model.onnx.kept-r2-remediate.a", "model.onnx"]);
    let second = replace_as("r2", "remediate.b", &path, b"3");
    assert_eq!(restore(&second).unwrap(), Restored::PutBack);
    assert_eq!(restore(&first).unwrap(), Restored::PutBack);
    assert_eq!(fs::read(&path).unwrap(), b"1");
}

#[test]
fn the_newest_copies_are_the_ones_that_stay() {
    let (_folder, path) = folder_with(Some(b"0"));
    for round in 1..=4 {
        let context = context_of(&format!("r{round}"), "remediate.a");
        let replacement = Replacement::new(&path, &context).unwrap().keep(2);
        replace_file(&replacement, NewContent::Bytes(round.to_string().into_bytes())).unwrap();
    }
    let kept = |run: &str| path.with_file_name(format!(".model.onnx.kept-{run}-remediate.a"));
    assert!(!kept("r1").exists() && !kept("r2").exists());
    assert_eq!(fs::read(kept("r3")).unwrap(), b"2");
    assert_eq!(fs::read(kept("r4")).unwrap(), b"3");
}

#[test]
fn keeping_nothing_makes_the_undo_say_so() {
    let (folder, path) = folder_with(Some(OLD));
    let replacement = Replacement::new(&path, &context_of("r1", "remediate.a")).unwrap().keep(0);
    let replaced = replace_file(&replacement, NewContent::Bytes(NEW.to_vec())).unwrap();
    assert_eq!(names(&folder), ["model.onnx"]);
    assert!(matches!(restore(&replaced), Err(KeepError::NothingKept { .. })));
}

#[test]
fn links_are_followed_and_links_to_nothing_refused() {
    let (folder, path) = folder_with(Some(OLD));
    let link = folder.path().join("current");
    symlink(&path, &link).unwrap();
    assert_eq!(replace_as("r1", "remediate.a", &link, NEW).path, path);
    assert!(link.is_symlink());
    assert_eq!(fs::read(&path).unwrap(), NEW);

    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    assert!(matches!(Replacement::new(&dangling, &context_of("r1", "a")), Err(KeepError::DanglingLink { .. })));
    assert!(matches!(Replacement::new(folder.path(), &context_of("r1", "a")), Err(KeepError::NotAFile { .. })));
}

#[test]
fn a_staged_file_that_is_dropped_leaves_nothing_and_a_leftover_is_replaced() {
    let (folder, path) = folder_with(None);
    let replacement = Replacement::new(&path, &context_of("r1/remediate.call.1", "remediate.a[2]")).unwrap();
    let staged = replacement.stage().unwrap();
    let place = staged.path().to_owned();
    assert_eq!(names(&folder), [".model.onnx.new-r1_remediate.call.1-remediate.a_2_"]);
    drop(staged);
    assert!(names(&folder).is_empty());
    fs::write(&place, b"rest of a killed attempt").unwrap();
    let staged = replacement.stage().unwrap();
    let replaced = replace_file(&replacement, NewContent::Staged(staged)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!(replaced.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn errors_name_the_path_the_cause_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/model.onnx");
    let error = crate::kind::StepError::from(Replacement::new(&missing, &context_of("r1", "a")).unwrap_err());
    assert!(error.message.contains("missing") && error.message.contains("No such file"), "{error:?}");
    assert!(error.help.unwrap().contains("exists"));
}
