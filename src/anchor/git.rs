//! `git`: checkpoints as commits of a git repository, which is fetched from elsewhere or pushed there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::process::Command;

use super::{Anchor, AnchorError, Offer, blocking, file};
use crate::base::environment;

/// Longer than a push over a slow line takes, short enough that a hanging one is told soon.
const TIME_LIMIT: Duration = Duration::from_secs(30);

pub struct Keeper;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of a git repository with a working tree.
    pub repository: PathBuf,
    /// The file in it that checkpoints are added to.
    #[serde(default = "default_file")]
    pub file: PathBuf,
    /// The remote that the current branch is pushed to after each commit, such as `origin`. Without one,
    /// somebody must fetch: commits that stay on this machine prove nothing about it.
    pub push: Option<String>,
}

fn default_file() -> PathBuf {
    "checkpoints".into()
}

impl Anchor for Keeper {
    const NAME: &'static str = "git";
    const SUMMARY: &'static str = "Commits checkpoints to a git repository, and pushes them if asked to.";
    const EXAMPLE: &'static str = "{repository: /srv/audit-checkpoints, push: origin}";
    type Config = Config;

    async fn keep(config: Config, offer: Offer) -> Result<(), AnchorError> {
        let Config { repository, file, push } = config;
        if push.as_ref().is_some_and(|remote| remote.starts_with('-')) {
            return Err(AnchorError::failed("the name of a remote does not begin with a dash"));
        }
        let size = offer.checkpoint.size;
        let path = repository.join(&file);
        blocking(move || file::add(&path, &offer, &offer.note)).await?;
        let file = file.to_string_lossy().into_owned();
        // Asked of git, because an earlier try may have added the checkpoint and not committed it.
        if !git(&repository, &["status", "--porcelain", "--", &file]).await?.is_empty() {
            git(&repository, &["add", "--", &file]).await?;
            let message = format!("Keep the checkpoint over {size} entries");
            git(&repository, &["commit", "--quiet", "--message", &message, "--", &file]).await?;
        }
        match push {
            Some(remote) => git(&repository, &["push", "--quiet", &remote, "HEAD"]).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Runs git with nothing of this program's environment but where to find programs, settings and keys.
async fn git(repository: &Path, arguments: &[&str]) -> Result<String, AnchorError> {
    let doing = format!("git {} in {}", arguments[0], repository.display());
    let mut command = Command::new("git");
    command.arg("-C").arg(repository);
    command.args(["-c", "user.name=runbook", "-c", "user.email=runbook@localhost", "-c", "commit.gpgsign=false"]);
    command.args(arguments).env_clear().env("GIT_TERMINAL_PROMPT", "0");
    for name in ["PATH", "HOME", "SSH_AUTH_SOCK"] {
        command.envs(environment::variable(name).map(|value| (name, value)));
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(TIME_LIMIT, command.output()).await;
    let done =
        done.map_err(|_| AnchorError::failed(format!("{doing} takes longer than {} s", TIME_LIMIT.as_secs())))?;
    let output = done.map_err(|error| AnchorError::of_io(&format!("run {doing}"), &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(AnchorError::failed(format!("{doing} failed: {}", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::doubles::Log;
    use super::*;

    fn config(repository: &Path, push: Option<&str>) -> Config {
        Config { repository: repository.to_owned(), file: default_file(), push: push.map(str::to_owned) }
    }

    #[tokio::test]
    async fn each_checkpoint_is_a_commit_and_is_pushed() {
        let place = tempfile::tempdir().unwrap();
        let (here, there) = (place.path().join("here"), place.path().join("there"));
        std::fs::create_dir(&here).unwrap();
        let path = there.display().to_string();
        git(&here, &["init", "--quiet"]).await.unwrap();
        git(&here, &["init", "--quiet", "--bare", &path]).await.unwrap();
        git(&here, &["remote", "add", "origin", &path]).await.unwrap();
        for size in [2, 5, 5] {
            Keeper::keep(config(&here, Some("origin")), Log::of(9).offer(size)).await.unwrap();
        }
        let log = git(&there, &["log", "--format=%s"]).await.unwrap();
        assert_eq!(
            log.lines().collect::<Vec<_>>(),
            ["Keep the checkpoint over 5 entries", "Keep the checkpoint over 2 entries"]
        );
        let older = Keeper::keep(config(&here, None), Log::of(9).offer(3)).await.unwrap_err();
        assert!(older.contradicts, "{older}");
    }

    #[tokio::test]
    async fn what_git_says_is_told() {
        let place = tempfile::tempdir().unwrap();
        let none = Keeper::keep(config(place.path(), None), Log::of(3).offer(3)).await.unwrap_err();
        assert!(none.message.contains("not a git repository"), "{none}");
        let dashed = Keeper::keep(config(place.path(), Some("--force")), Log::of(3).offer(3)).await.unwrap_err();
        assert!(dashed.message.contains("dash"), "{dashed}");
    }
}
