//! `{command: {argv: […]}}`: a program that prints the secret, such as the client of a vault.

use std::process::Stdio;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::SecretError;
use super::file::{MOST, text};
use crate::base::Secret;

/// A program that prints a secret, and nothing else, to its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretCommand {
    /// The program and its arguments. It gets the whole environment of this program, because clients of
    /// vaults find their session there. Nothing it writes is shown.
    #[schemars(length(min = 1), extend("items" = {"type": "string", "x-constant": true}))]
    argv: Vec<String>,
    /// How long it may take.
    #[serde(default)]
    timeout: Patience,
}

/// A time limit in seconds; 5 s unless it is given. A run waits this long for a vault that hangs.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Patience(#[schemars(extend("x-unit" = "duration"), range(min = 0.1, max = 300.0))] f64);

impl Default for Patience {
    fn default() -> Self {
        Patience(5.0)
    }
}

impl Patience {
    fn limit(self) -> Duration {
        Duration::try_from_secs_f64(self.0).unwrap_or(Duration::from_secs(5))
    }
}

impl PartialEq for Patience {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Patience {}

impl std::hash::Hash for Patience {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.0.to_bits().hash(hasher);
    }
}

impl SecretCommand {
    pub(super) fn new(argv: Vec<String>, limit: Duration) -> Self {
        SecretCommand { argv, timeout: Patience(limit.as_secs_f64()) }
    }

    /// The program without its arguments.
    pub(super) fn name(&self) -> &str {
        self.argv.first().map_or("(none)", String::as_str)
    }
}

pub(super) async fn fetch(command: &SecretCommand) -> Result<Secret<String>, SecretError> {
    let (program, limit) = (command.name().to_owned(), command.timeout.limit());
    match tokio::time::timeout(limit, ask(command)).await {
        Ok(answer) => answer,
        // The child is killed as its handle is dropped.
        Err(_) => Err(SecretError::Slow { program, limit }),
    }
}

async fn ask(command: &SecretCommand) -> Result<Secret<String>, SecretError> {
    let program = command.name().to_owned();
    let not_started = |source| SecretError::NotStarted { program: program.clone(), source };
    let mut child = Command::new(&program)
        .args(&command.argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Some clients print the secret beside their complaint.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_started)?;
    let bytes = match child.stdout.take() {
        Some(output) => read(output).await.map_err(not_started)?,
        None => Vec::new(),
    };
    let secret = text(bytes, || format!("the program {program}"))?;
    let status = child.wait().await.map_err(not_started)?;
    if status.success() {
        return Ok(secret);
    }
    Err(SecretError::Refused { program, ending: status.to_string() })
}

async fn read(output: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    output.take(MOST + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, limit: Duration) -> SecretCommand {
        SecretCommand::new(["/bin/sh", "-c", text].map(str::to_owned).to_vec(), limit)
    }

    #[tokio::test]
    async fn what_it_prints_is_the_secret() {
        let command = shell("echo no secret here >&2; echo from-the-vault", Duration::from_secs(5));
        assert_eq!(fetch(&command).await.unwrap().reveal(), "from-the-vault\n");
    }

    #[tokio::test]
    async fn failing_hanging_and_flooding_programs_are_errors_that_show_nothing() {
        for (text, limit, part) in [
            ("echo hush-hush; echo hush-hush >&2; exit 3", 5.0, "exit status: 3"),
            ("echo hush-hush; exec sleep 60", 0.2, "within 200 ms"),
            ("yes hush-hush", 5.0, "64 KiB"),
        ] {
            let error = fetch(&shell(text, Duration::from_secs_f64(limit))).await.unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
        let missing = SecretCommand::new(vec!["no-such-vault".into()], Duration::from_secs(5));
        assert!(matches!(fetch(&missing).await, Err(SecretError::NotStarted { .. })));
    }
}
