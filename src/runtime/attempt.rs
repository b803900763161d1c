//! One attempt: the kind's work under a time limit and a kill switch.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::base::redaction::Unredactable;
use crate::base::units::show_duration;
use crate::base::{Redacted, StepKey};
use crate::engine::What;
use crate::engine::event::{AttemptResult, Role};
use crate::kind::{Context, KindEntry, Leaves, Outcome, StepError};

/// A step that was told to stop has its own grace and this long to say how it ended; after that it is
/// dropped, which ends whatever it still holds.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether an attempt begins here or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    New,
    /// An engine that has died started it.
    TakenOver,
}

/// Runs the attempt to its end. What it reports is without secrets from here on: the state in memory, which
/// conditions and templates are filled from, must be what the journal says.
pub(super) async fn run(kind: &'static KindEntry, way: Way, request: Value, context: Context) -> End {
    let End { result, leaves } = attempt(kind, way, request, context).await;
    End { result: Redacted::of(result).map_or_else(unredactable, Redacted::into_inner), leaves }
}

/// How an attempt ended.
pub(super) struct End {
    result: AttemptResult,
    leaves: Leaves,
}

impl End {
    /// As the engine is told of it.
    pub(super) fn told(self, key: StepKey, role: Role, attempt: u32) -> What {
        let End { result, leaves } = self;
        match leaves {
            Leaves::Nothing => What::Ended { key, role, attempt, result },
            Leaves::Doubt => What::Lost { key, role, attempt, result },
            Leaves::Wait => What::Suspended { key, role, attempt, result },
        }
    }
}

impl From<AttemptResult> for End {
    fn from(result: AttemptResult) -> Self {
        End { result, leaves: Leaves::Nothing }
    }
}

fn unredactable(error: Unredactable) -> AttemptResult {
    let help = Some("replace the secret by one that nobody could guess".into());
    AttemptResult::Error { message: format!("its result cannot be kept: {error}"), help, code: None }
}

async fn attempt(kind: &'static KindEntry, way: Way, request: Value, context: Context) -> End {
    let work = match way {
        Way::New => kind.run,
        Way::TakenOver => kind.adopt,
    };
    let limit = context.time_limit;
    let last_words = (kind.grace)(&request) + LAST_WORDS;
    let cancel = context.cancel.clone();
    // The attempt's own token tells the kind to stop, whoever wants it; `cancel` is the person's wish.
    let stop = CancellationToken::new();
    let work = AssertUnwindSafe(work(request, Context { cancel: stop.clone(), ..context })).catch_unwind();
    tokio::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return ended(kind.name, result),
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(limit) => {}
    }
    let cancelled = cancel.is_cancelled();
    stop.cancel();
    // What it says while stopping is not a measurement.
    let _ = tokio::time::timeout(last_words, work).await;
    if cancelled { AttemptResult::Cancelled.into() } else { timed_out(limit).into() }
}

fn timed_out(limit: Duration) -> AttemptResult {
    let message = format!("not done within {}", show_duration(limit));
    AttemptResult::Error { message, help: Some("raise `timeout:` if that is how long it takes".into()), code: None }
}

type Caught = Result<Result<Outcome<Value>, StepError>, Box<dyn std::any::Any + Send>>;

fn ended(kind: &str, result: Caught) -> End {
    match result {
        Ok(Ok(Outcome { output, failure })) => AttemptResult::Measured { output, failure }.into(),
        Ok(Err(StepError { message, help, code, leaves })) => {
            End { result: AttemptResult::Error { message, help, code }, leaves }
        }
        Err(_) => panicked(kind).into(),
    }
}

fn panicked(kind: &str) -> AttemptResult {
    AttemptResult::Error {
        message: format!("bug: the kind '{kind}' panicked"),
        help: Some("please report this with the program's output".into()),
        code: None,
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::kind::{Effect, Kind, StepResult, entry};

    /// Does what its configuration says.
    struct Puppet;

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase", deny_unknown_fields)]
    enum Config {
        Say(String),
        Panic,
        Hang,
    }

    #[derive(Serialize, JsonSchema)]
    struct Output {
        said: String,
    }

    impl Kind for Puppet {
        const NAME: &'static str = "puppet";
        const SUMMARY: &'static str = "Says something, panics, or never ends, whoever asks it to.";
        const EXAMPLE: &'static str = "puppet: {say: hello}";
        type Config = Config;
        type Output = Output;

        fn effect(_config: &Value) -> Effect {
            Effect::Read
        }

        async fn run(config: Config, _context: Context) -> StepResult<Output> {
            match config {
                Config::Say(said) => Ok(Outcome::passed(Output { said })),
                Config::Panic => std::panic::panic_any("a bug"),
                Config::Hang => std::future::pending().await,
            }
        }
    }

    static PUPPET: KindEntry = entry::<Puppet>();

    async fn told(config: Value) -> AttemptResult {
        run(&PUPPET, Way::New, config, Context::for_tests()).await.result
    }

    #[tokio::test]
    async fn t17_a_kind_that_panics_is_an_error_and_not_the_end() {
        let result = told(json!("panic")).await;
        let AttemptResult::Error { message, .. } = &result else { panic!("{result:?}") };
        assert_eq!(message, "bug: the kind 'puppet' panicked");
    }

    #[tokio::test(start_paused = true)]
    async fn every_attempt_ends_at_its_time_limit() {
        let begun = tokio::time::Instant::now();
        let result = told(json!("hang")).await;
        let AttemptResult::Error { message, .. } = &result else { panic!("{result:?}") };
        assert_eq!(message, "not done within 10.0 s");
        let grace = (PUPPET.grace)(&json!("hang"));
        assert!(begun.elapsed() < Context::for_tests().time_limit + grace + 2 * LAST_WORDS, "{:?}", begun.elapsed());
    }

    /// What templates and conditions read is what the journal says.
    #[tokio::test]
    async fn test_59_what_an_attempt_reports_is_without_secrets() {
        crate::base::redaction::learn("met-by-a-step-and-masked").unwrap();
        let result = told(json!({"say": "it is met-by-a-step-and-masked"})).await;
        let AttemptResult::Measured { output, .. } = &result else { panic!("{result:?}") };
        assert_eq!(output["said"], "it is [secret]");
    }
}
