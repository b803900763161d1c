//! `restore_kept`: undoes a step that replaced a file, by putting back what that step kept.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keep::{Replaced, Restored, restore};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

pub struct Step;

/// Nothing to set: which file, and what was kept of it, is known from the step that is undone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The file.
    #[schemars(extend("x-encode" = "path"))]
    path: PathBuf,
    /// Whether anything was changed now; false when there was nothing to undo.
    changed: bool,
    /// `put_back` (the old file is there again), `removed` (there was none before) or `nothing`.
    result: String,
    /// SHA-256 of the file that is there now; null when there is none.
    sha256: Option<String>,
}

impl Kind for Step {
    const NAME: &'static str = "restore_kept";
    const SUMMARY: &'static str = "As an undo: puts back the file that the undone step replaced.";
    const EXAMPLE: &'static str = "restore_kept: {}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Idempotent
    }

    async fn run(_config: Config, context: Context) -> StepResult<Output> {
        let replaced: Replaced = serde_json::from_value(context.subject()?.output.clone()).map_err(|error| {
            StepError::because("the step that is undone does not say which file it replaced", &error)
                .help("`restore_kept` undoes `download` and `config_edit`; write another `undo` for this step")
        })?;
        let (replaced, restored) = tokio::task::spawn_blocking(move || restore(&replaced).map(|done| (replaced, done)))
            .await
            .map_err(|error| StepError::because("bug: the file could not be worked on", &error))??;
        Ok(Outcome::passed(output(replaced, restored)))
    }
}

fn output(replaced: Replaced, restored: Restored) -> Output {
    Output {
        result: match restored {
            Restored::PutBack => "put_back",
            Restored::Removed => "removed",
            Restored::Nothing => "nothing",
        }
        .into(),
        changed: restored != Restored::Nothing,
        sha256: if replaced.changed { replaced.sha256_before } else { Some(replaced.sha256) },
        path: replaced.path,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::action::keep::{NewContent, Replacement, replace_file};
    use crate::kind::{Subject, entry};

    async fn undo(output: Value) -> StepResult<Value> {
        let subject = Some(Subject { request: Value::Null, output });
        (entry::<Step>().run)(json!({}), Context { subject, ..Context::for_tests() }).await
    }

    fn replaced(path: &std::path::Path) -> Value {
        let replacement = Replacement::new(path, &Context::for_tests()).unwrap();
        serde_json::to_value(replace_file(&replacement, NewContent::Bytes(b"new".to_vec())).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn puts_the_old_file_back_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.conf");
        fs::write(&path, "old").unwrap();
        let mut output = replaced(&path);
        output["bytes"] = json!(3);
        let undone = undo(output.clone()).await.unwrap().output;
        assert_eq!((&undone["result"], &undone["changed"]), (&json!("put_back"), &json!(true)));
        assert_eq!(undone["sha256"], output["sha256_before"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(undo(output).await.unwrap().output["result"], "nothing");
    }

    #[tokio::test]
    async fn removes_a_file_that_was_not_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.conf");
        let undone = undo(replaced(&path)).await.unwrap().output;
        assert_eq!((&undone["result"], &undone["sha256"]), (&json!("removed"), &Value::Null));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_later_change_is_not_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.conf");
        fs::write(&path, "old").unwrap();
        let output = replaced(&path);
        fs::write(&path, "by hand").unwrap();
        let error = undo(output).await.unwrap_err();
        assert!(error.message.contains("was changed since"), "{error}");
        assert!(error.help.unwrap().contains("decide by hand"));
        assert_eq!(fs::read(&path).unwrap(), b"by hand");
    }

    #[tokio::test]
    async fn outputs_of_other_kinds_and_other_places_are_refused() {
        assert!(undo(json!({"path": "/x"})).await.unwrap_err().help.unwrap().contains("another `undo`"));
        let error = (entry::<Step>().run)(json!({}), Context::for_tests()).await.unwrap_err();
        assert!(error.message.contains("nothing to undo"));
    }
}
