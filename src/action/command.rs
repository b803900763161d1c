//! Runs a program: a list of arguments, or a constant shell text.
//!
//! Inserted data is never code. An element of `argv` stays one argument whatever it holds; a shell
//! text admits no templates, and values reach it as environment variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::shim::{self, Shim};
use super::process::{
    self, Capture, Confinement, Enforcement, Environment, Finished, Launch, Limits, Orphan, Sandbox, Stopped,
};
use crate::base::units::show_duration;
use crate::base::{Secret, live as window};
use crate::kind::{Context, Effect, Kind, Left, Outcome, StepError, StepResult};
use crate::site::{SecretReference, TextOrSecret};

/// What an output field holds of a stream: more is a log file, not an answer.
const MAX_TEXT: usize = 64 * 1024;
const MAX_LINES: usize = 1000;
const MAX_MESSAGE: usize = 300;

pub struct Step;

/// Give exactly one of `argv` and `shell`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["argv"]}, {"required": ["shell"]}]))]
pub struct Config {
    /// The program and its arguments. Each element stays one argument, whatever is inserted into it.
    /// The first one, the program, must be constant text: data never chooses what runs. A value that
    /// begins an argument with `-` or `@` is refused, because the program may take it for an option; after an
    /// element `--` it is let through.
    #[serde(default)]
    #[schemars(length(min = 1), extend("prefixItems" = [{"type": "string", "x-constant": true}], "items" = {"type": "string", "x-encode": "argument"}))]
    argv: Option<Vec<String>>,
    /// A text for `/bin/sh -c`. It is constant: templates are refused. Pass values through `env` and
    /// write them as `"$NAME"`, with the quotation marks.
    #[serde(default)]
    #[schemars(extend("x-constant" = true))]
    shell: Option<String>,
    /// Environment variables: capital letters, digits and underscores. A value is text, a number, true or false, or
    /// a secret by reference, such as `{TOKEN: {secret: pager_key}}`. Beside them the program gets only
    /// PATH, HOME, LANG, LC_*, TZ, USER, LOGNAME and TMPDIR of the engine, and RB_RUN, RB_STEP, RB_ATTEMPT
    /// and RB_IDEMPOTENCY_KEY.
    #[serde(default)]
    env: BTreeMap<String, Scalar>,
    /// For standard input, which is empty without it: text, or a secret by reference, such as `{secret: pager_key}`.
    #[serde(default)]
    stdin: Option<TextOrSecret>,
    /// The folder the program starts in; by default that of the engine.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    cwd: Option<PathBuf>,
    /// Exit codes that mean success.
    #[serde(default = "default_success")]
    success: Vec<i32>,
    /// How standard output is read: `json` fills the output `json`, `lines` the output `lines`.
    #[serde(default)]
    parse: Parse,
    /// How long the program may take to clean up when it is stopped, before it is killed.
    #[serde(default = "default_grace")]
    #[schemars(extend("x-unit" = "duration"), range(min = 0.0, max = 600.0))]
    grace: f64,
    /// What the program may use at most.
    #[serde(default)]
    limits: Limits,
    /// The only files that the program may read and write, where the kernel can enforce that (Landlock).
    #[serde(default)]
    sandbox: Option<Sandbox>,
    /// Whether the program may gain privileges, as `sudo` and other programs with the set-user-ID bit do.
    #[serde(default)]
    new_privileges: bool,
    /// What becomes of the program when `runbook` itself dies: `finish` lets it come to its end, and
    /// `runbook resume` takes its result over; `kill` ends it within two seconds. The default is `finish` for a
    /// step that must not be repeated. A program that may be repeated is started directly: when this is not
    /// given, nobody ends it, and `runbook resume` starts it again.
    #[serde(default)]
    orphan: Option<Orphan>,
}

/// A value of an environment variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Flag(bool),
    Whole(i64),
    Number(f64),
    Secret(SecretReference),
}

impl Scalar {
    async fn text(&self, context: &Context) -> Result<Secret<String>, StepError> {
        Ok(Secret::new(match self {
            Scalar::Text(text) => text.clone(),
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Whole(number) => number.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Secret(reference) => return context.secret(reference).await,
        }))
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Parse {
    #[default]
    None,
    Lines,
    Json,
}

fn default_success() -> Vec<i32> {
    vec![0]
}

fn default_grace() -> f64 {
    process::DEFAULT_GRACE.as_secs_f64()
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The exit code; nothing when a signal ended the program.
    pub exit_code: Option<i32>,
    /// The number of the signal that ended the program, if one did.
    pub signal: Option<i32>,
    /// What the program wrote to standard output: at most 64 KiB, the beginning and the end.
    pub stdout: String,
    /// What the program wrote to standard error: at most 64 KiB, the beginning and the end.
    pub stderr: String,
    /// Bytes written to standard output, shown or not.
    pub stdout_bytes: u64,
    /// Bytes written to standard error, shown or not.
    pub stderr_bytes: u64,
    /// Whether `stdout` or `stderr` leaves something out.
    pub truncated: bool,
    /// Whether a process that the program left behind still held its output.
    pub leaked: bool,
    /// How long the program ran, in seconds.
    pub duration: f64,
    /// With a `sandbox`, how much of it the kernel enforced.
    pub sandbox: Option<Enforcement>,
    /// Whether `runbook` had died before the program ended, and took its result over later.
    pub adopted: bool,
    /// With `parse: lines`, the first 1000 lines of standard output.
    pub lines: Option<Vec<String>>,
    /// With `parse: json`, the value that standard output holds.
    pub json: Option<Value>,
}

impl Kind for Step {
    const NAME: &'static str = "command";
    const SUMMARY: &'static str = "Runs a program and judges its exit code.";
    const EXAMPLE: &'static str = "command: {argv: [nvidia-smi, --query-gpu=memory.used, --format=csv], parse: lines}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Once
    }

    fn grace(config: &Value) -> Duration {
        let given = config["grace"].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        given.unwrap_or(process::DEFAULT_GRACE)
    }

    fn leaves_receipt(config: &Value, repeatable: bool) -> bool {
        !repeatable || ["limits", "sandbox", "orphan"].iter().any(|key| !config[key].is_null())
    }

    fn left(receipt: &Path) -> Left {
        shim::left(receipt)
    }

    async fn adopt(config: Config, context: Context) -> StepResult<Output> {
        let receipt = context.receipt.as_ref().ok_or_else(|| StepError::new("bug: there is no receipt to read"))?;
        judge(shim::adopt(receipt, &context.cancel).await?, config.parse, &config.success)
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let parse = config.parse;
        let success = config.success.clone();
        let orphan = config.orphan.unwrap_or(Orphan::Finish);
        let is_limited = !config.limits.is_empty() || config.sandbox.is_some();
        let launch = launch(config, &context).await?;
        let finished = match shim(&context, orphan) {
            Some(shim) => shim.run(launch, &context.cancel).await,
            None if is_limited => return Err(StepError::new("limits and a sandbox need the `runbook` program itself")),
            None => process::run(launch, &context.cancel).await.map_err(StepError::from),
        };
        // From now on its output is in the journal.
        live(&context).map(std::fs::remove_file);
        judge(finished?, parse, &success)
    }
}

/// The file in which its output is seen as it comes, where somebody can look.
fn live(context: &Context) -> Option<PathBuf> {
    let site = &context.services.site;
    site.live_output.then(|| window::place(&site.state, &context.run, &context.step))
}

/// The process that watches over the program, for an attempt that leaves a receipt.
fn shim(context: &Context, orphan: Orphan) -> Option<Shim> {
    let site = &context.services.site;
    Some(Shim {
        program: site.program.clone()?,
        receipt: context.receipt.clone()?,
        orphan,
        time_limit: context.time_limit,
        cgroups: site.cgroups,
    })
}

fn judge(finished: Finished, parse: Parse, success: &[i32]) -> StepResult<Output> {
    if let Some(why) = finished.stopped {
        return Err(stopped(&finished, why));
    }
    let failure = failure(&finished, success);
    let mut output = describe(&finished);
    // What a failed program prints need not have the form that a successful one has.
    if failure.is_none() {
        read(parse, &finished.stdout, &mut output)?;
    }
    Ok(Outcome::judged(output, failure))
}

async fn launch(config: Config, context: &Context) -> Result<Launch, StepError> {
    let argv = match (config.argv, config.shell) {
        (Some(argv), None) => argv,
        (None, Some(text)) => vec!["/bin/sh".into(), "-c".into(), text],
        _ => {
            return Err(StepError::new("a command needs exactly one of 'argv' and 'shell'")
                .help("write argv: [program, argument, …]; use shell only for pipes and the like"));
        }
    };
    let grace = Duration::try_from_secs_f64(config.grace).map_err(|error| StepError::because("'grace'", &error))?;
    let environment = environment(&config.env, context).await?;
    let stdin = match &config.stdin {
        Some(given) => Some(context.text_or_secret(given).await?.reveal().clone()),
        None => None,
    };
    let Config { limits, sandbox, new_privileges, .. } = config;
    if new_privileges && sandbox.is_some() {
        return Err(StepError::new("a program in a sandbox cannot gain privileges")
            .help("remove `new_privileges` or `sandbox`"));
    }
    let confinement = Confinement { limits, sandbox, new_privileges };
    let launch = Launch::new(argv, environment, config.cwd)?;
    Ok(launch.stdin(stdin).grace(grace).confined(confinement).shown_in(live(context)))
}

async fn environment(given: &BTreeMap<String, Scalar>, context: &Context) -> Result<Environment, StepError> {
    let mut environment = Environment::inherited();
    for (name, value) in given {
        process::check_name(name).map_err(|why| {
            StepError::new(format!("cannot set an environment variable: {why}"))
                .help("pass data as RB_…; write a constant as argv: [env, NAME=value, program]")
        })?;
        let value = value.text(context).await?;
        if value.reveal().contains('\0') {
            return Err(StepError::new(format!("the value of {name} holds a NUL byte, which no variable can")));
        }
        environment.set(name, value.reveal().clone());
    }
    environment.set("RB_RUN", context.run.to_string());
    environment.set("RB_STEP", context.step.to_string());
    environment.set("RB_ATTEMPT", context.attempt.to_string());
    environment.set("RB_IDEMPOTENCY_KEY", context.idempotency_key.clone());
    Ok(environment)
}

fn describe(finished: &Finished) -> Output {
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    Output {
        exit_code: finished.code,
        signal: finished.signal,
        stdout: stdout.text(MAX_TEXT),
        stderr: stderr.text(MAX_TEXT),
        stdout_bytes: stdout.total(),
        stderr_bytes: stderr.total(),
        truncated: stdout.total().max(stderr.total()) > MAX_TEXT as u64,
        leaked: finished.leaked,
        duration: finished.took.as_secs_f64(),
        sandbox: finished.sandbox,
        adopted: finished.adopted,
        lines: None,
        json: None,
    }
}

fn failure(finished: &Finished, success: &[i32]) -> Option<String> {
    let ending = match (finished.code, finished.signal) {
        (Some(code), _) if success.contains(&code) => return None,
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended for an unknown reason".to_owned(),
    };
    match last_words(finished) {
        Some(line) => Some(format!("{ending}: {line}")),
        None => Some(ending),
    }
}

fn last_words(finished: &Finished) -> Option<String> {
    finished.stderr.last_line(MAX_MESSAGE).or_else(|| finished.stdout.last_line(MAX_MESSAGE))
}

fn stopped(finished: &Finished, why: Stopped) -> StepError {
    let why = match why {
        Stopped::Cancelled => format!("cancelled after {}", show_duration(finished.took)),
        Stopped::OutOfTime(limit) => format!("runbook had died, and it was not done within {}", show_duration(limit)),
        Stopped::Orphaned => format!("it was ended because runbook died, after {}", show_duration(finished.took)),
        Stopped::Processes(most) => format!("stopped: it had more than {most} processes at the same time"),
    };
    match last_words(finished) {
        Some(line) => StepError::new(format!("{why}; its last output: {line}")),
        None => StepError::new(format!("{why}; it had written nothing")),
    }
}

/// An answer in another form than announced is no measurement, so it is an error.
fn read(parse: Parse, stdout: &Capture, output: &mut Output) -> Result<(), StepError> {
    match parse {
        Parse::None => {}
        Parse::Lines => {
            let text = String::from_utf8_lossy(&stdout.bytes()).into_owned();
            output.lines = Some(text.lines().take(MAX_LINES).map(str::to_owned).collect());
        }
        Parse::Json if stdout.is_cut() => {
            let message = format!("standard output has {} bytes, too many to be read as JSON", stdout.total());
            return Err(StepError::new(message).help("let the program print less, for example through a filter"));
        }
        Parse::Json => output.json = Some(json(stdout)?),
    }
    Ok(())
}

fn json(stdout: &Capture) -> Result<Value, StepError> {
    serde_json::from_slice(&stdout.bytes()).map_err(|error| {
        let start: String = stdout.text(MAX_TEXT).chars().take(80).collect();
        StepError::because("standard output is not JSON", &error)
            .help(format!("the program printed {start:?}; remove `parse: json` or ask the program for JSON"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn run_in(config: Value, context: Context) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), context).await
    }

    async fn run(config: Value) -> StepResult<Output> {
        run_in(config, Context::for_tests()).await
    }

    #[tokio::test]
    async fn a_successful_program_passes_with_its_output() {
        let outcome = run(json!({"argv": ["echo", "a  b", "$HOME"]})).await.unwrap();
        assert_eq!(outcome.failure, None);
        assert_eq!((outcome.output.exit_code, outcome.output.stdout.as_str()), (Some(0), "a  b $HOME\n"));
        assert!(!outcome.output.truncated && !outcome.output.leaked);
    }

    #[tokio::test]
    async fn an_unexpected_exit_code_fails_with_the_last_words() {
        let outcome = run(json!({"shell": "echo first >&2; echo 'disk is full' >&2; exit 7"})).await.unwrap();
        assert_eq!(outcome.failure.as_deref(), Some("exit code 7: disk is full"));
        let outcome = run(json!({"shell": "exit 7", "success": [0, 7]})).await.unwrap();
        assert_eq!((outcome.failure, outcome.output.exit_code), (None, Some(7)));
        let outcome = run(json!({"shell": "kill -TERM $$"})).await.unwrap();
        assert_eq!((outcome.failure.as_deref(), outcome.output.signal), (Some("ended by signal 15"), Some(15)));
    }

    #[tokio::test]
    async fn a_program_that_cannot_start_is_an_error_with_help() {
        for (config, part) in [
            (json!({"argv": ["no-such-program-here"]}), "was not found"),
            (json!({"argv": ["/etc/passwd"]}), "not an executable"),
            (json!({"argv": []}), "no program"),
            (json!({"argv": ["true"], "shell": "true"}), "exactly one"),
            (json!({}), "exactly one"),
            (json!({"argv": ["true"], "cwd": "/no/such/folder"}), "does not exist"),
            (json!({"argv": ["echo", "a\u{0}b"]}), "NUL"),
            (json!({"argv": ["true"], "env": {"LD_PRELOAD": "/tmp/x.so"}}), "LD_PRELOAD"),
        ] {
            let error = run(config).await.unwrap_err();
            assert!(error.message.contains(part), "{error}");
            assert!(error.help.is_some(), "{error}");
        }
    }

    #[tokio::test]
    async fn the_environment_is_what_was_given_and_little_else() {
        let config = json!({"argv": ["env"], "parse": "lines", "env": {"RB_HOST": "$(id)", "COUNT": 3, "FLAG": true}});
        let lines = run(config).await.unwrap().output.lines.unwrap();
        for expected in
            ["RB_HOST=$(id)", "COUNT=3", "FLAG=true", "RB_RUN=test", "RB_STEP=diagnose.test", "RB_ATTEMPT=1"]
        {
            assert!(lines.iter().any(|line| line == expected), "{expected} in {lines:?}");
        }
        // Cargo sets dozens of variables for this test; none may reach the program.
        assert!(!lines.iter().any(|line| line.starts_with("CARGO")), "{lines:?}");
    }

    #[tokio::test]
    async fn values_in_a_shell_stay_values() {
        let folder = tempfile::tempdir().unwrap();
        let payload = "\"; touch pwned; $(touch pwned) `touch pwned` ' -n";
        let config = json!({"shell": "printf '%s' \"$RB_LABEL\"", "env": {"RB_LABEL": payload}, "cwd": folder.path()});
        assert_eq!(run(config).await.unwrap().output.stdout, payload);
        assert!(!folder.path().join("pwned").exists());
    }

    #[tokio::test]
    async fn output_is_read_as_announced() {
        let outcome = run(json!({"argv": ["echo", r#"{"a": [1, 2]}"#], "parse": "json"})).await.unwrap();
        assert_eq!(outcome.output.json, Some(json!({"a": [1, 2]})));
        let error = run(json!({"argv": ["echo", "Error: no cluster"], "parse": "json"})).await.unwrap_err();
        assert!(error.help.unwrap().contains("no cluster"));
        let outcome = run(json!({"shell": "echo oops; exit 1", "parse": "json"})).await.unwrap();
        assert_eq!(outcome.failure.as_deref(), Some("exit code 1: oops"));
        let outcome = run(json!({"shell": "seq 2000", "parse": "lines"})).await.unwrap();
        assert_eq!(outcome.output.lines.unwrap().len(), MAX_LINES);
        let error = run(json!({"shell": "head -c 2000000 /dev/zero", "parse": "json"})).await.unwrap_err();
        assert!(error.message.contains("2000000 bytes"), "{error}");
    }

    #[tokio::test]
    async fn large_output_is_cut_in_the_middle() {
        let outcome = run(json!({"shell": "echo start; head -c 1000000 /dev/zero; echo end"})).await.unwrap();
        let output = outcome.output;
        assert!(output.truncated && output.stdout.len() < MAX_TEXT + 100);
        assert!(output.stdout.starts_with("start\n") && output.stdout.ends_with("end\n"));
        assert_eq!(output.stdout_bytes, 1_000_010);
    }

    #[tokio::test]
    async fn standard_input_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("here"), "").unwrap();
        let config = json!({"shell": "ls; cat", "stdin": "given\n", "cwd": folder.path()});
        assert_eq!(run(config).await.unwrap().output.stdout, "here\ngiven\n");
    }

    #[tokio::test]
    async fn a_cancelled_program_is_an_error() {
        let context = Context::for_tests();
        let cancel = context.cancel.clone();
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let config = json!({"shell": "echo working; echo up > \"$FIFO\"; exec sleep 30", "env": {"FIFO": pipe}});
        // The program and this task meet at the pipe, so the cancellation comes when it runs.
        let reader = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe).unwrap());
        let (result, ()) = tokio::join!(run_in(config, context), async {
            reader.await.unwrap();
            cancel.cancel();
        });
        let error = result.unwrap_err();
        assert!(error.message.starts_with("cancelled after"), "{error}");
        assert!(error.message.ends_with("working"), "{error}");
    }

    #[tokio::test]
    async fn a_number_of_the_grace_that_is_none_is_an_error() {
        assert!(run(json!({"argv": ["true"], "grace": -1.0})).await.is_err());
    }
}
