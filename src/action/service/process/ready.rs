//! Waiting until a started service answers.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::identity::Running;
use super::{Config, Ready, launch, stopped};
use crate::action::service::Change;
use crate::base::units::show_duration;
use crate::kind::{Context, StepError};

const ASK_AGAIN: Duration = Duration::from_millis(200);
/// One question; a service that is starting may take a connection and leave it unanswered.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The change, or a failed one when the service is not ready in time or ends before.
pub(super) async fn check(
    config: &Config,
    context: &Context,
    running: &Running,
    change: Change,
) -> Result<Change, StepError> {
    let Some(ready) = &config.ready else { return Ok(change) };
    let within = Duration::from_secs_f64(ready.within);
    let mut last = "it has not answered".to_owned();
    let asked = timeout(within, until_ready(ready, context, &mut last));
    let in_time = tokio::select! {
        biased;
        () = running.handle.ended() => None,
        asked = asked => Some(asked.is_ok()),
    };
    Ok(match in_time {
        Some(true) => Change { message: format!("{} and is ready", change.message), ..change },
        Some(false) => {
            let why = format!("{}, but is not ready after {}: {last}", change.message, show_duration(within));
            Change::failed(change.state, change.changed, why)
        }
        None => {
            let why = launch::with_log("the service ended before it was ready", &last, config.log.as_deref(), 0);
            Change::failed(stopped(), change.changed, why)
        }
    })
}

async fn until_ready(ready: &Ready, context: &Context, last: &mut String) {
    loop {
        match context.services.http().get(&ready.http).timeout(ANSWER_LIMIT).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => *last = format!("{} answers {}", ready.http, answer.status()),
            Err(error) => *last = StepError::because(&ready.http, &error.without_url()).message,
        }
        sleep(ASK_AGAIN).await;
    }
}
