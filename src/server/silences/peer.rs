//! What is asked of an Alertmanager: its API, version 2.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::{RunId, Timestamp};
use crate::runtime::Host;
use crate::site::{Alertmanager, SecretError};

/// Whose silences these are.
const CREATED_BY: &str = "runbook";

/// One answer; it is asked again soon.
const TIME_LIMIT: Duration = Duration::from_secs(10);

pub(super) type Labels = BTreeMap<String, String>;

/// Why an Alertmanager was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("its token cannot be had")]
    Secret(#[from] SecretError),
    #[error("its address is none")]
    Address,
    #[error("cannot reach it: {0}")]
    Unreachable(#[source] reqwest::Error),
    #[error("it answered {status}: {said}")]
    Refused { status: StatusCode, said: String },
    #[error("its answer is not understood")]
    Answer,
}

/// A silence as the Alertmanager knows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    id: String,
    created_by: String,
    comment: String,
    starts_at: String,
    status: Status,
}

impl Known {
    fn is_over(&self) -> bool {
        self.status.state == "expired"
    }
}

#[derive(Debug, Deserialize)]
struct Status {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Alert {
    labels: Labels,
}

pub(super) struct Peer<'a> {
    pub host: &'a Host,
    pub settings: &'a Alertmanager,
}

impl Peer<'_> {
    /// Whether a silence for these labels would silence another alert, too: one with these labels and more.
    pub(super) async fn would_hide_others(&self, labels: &Labels) -> Result<bool, PeerError> {
        let filters: Vec<(&str, String)> =
            labels.iter().map(|(name, value)| ("filter", matcher(name, value))).collect();
        let alerts: Vec<Alert> = read(&self.call(Method::GET, "alerts", &filters, None).await?)?;
        let without_empty = |labels: &Labels| -> Labels {
            labels
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        let ours = without_empty(labels);
        Ok(alerts.iter().any(|alert| without_empty(&alert.labels) != ours))
    }

    /// Places the silence, or moves the end of the one called `id` unless that is over. Gives back its name.
    /// `from` is the beginning of a new one; an Alertmanager takes one that is past for its own present.
    pub(super) async fn place(
        &self,
        run: &RunId,
        labels: &Labels,
        id: Option<&str>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<String, PeerError> {
        let matchers: Vec<Value> = labels
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value, "isRegex": false, "isEqual": true}))
            .collect();
        let mut body = json!({
            "matchers": matchers, "startsAt": from.to_rfc3339(), "endsAt": until.to_rfc3339(),
            "createdBy": CREATED_BY, "comment": format!("{}works on this alert", mark(run)),
        });
        let known = match id {
            Some(id) => self.silence(id).await?,
            None => None,
        };
        if let Some(known) = known.filter(|known| !known.is_over()) {
            // With another beginning it would be ended, and a new one made that begins when the Alertmanager's clock
            // says so.
            body["id"] = known.id.into();
            body["startsAt"] = known.starts_at.into();
        }
        let answer: Value = read(&self.call(Method::POST, "silences", &[], Some(&body)).await?)?;
        answer["silenceID"].as_str().map(str::to_owned).ok_or(PeerError::Answer)
    }

    /// `None` when it knows none of this name: it may have lost what it knew.
    async fn silence(&self, id: &str) -> Result<Option<Known>, PeerError> {
        match self.call(Method::GET, &format!("silence/{id}"), &[], None).await {
            Ok(text) => read(&text).map(Some),
            Err(PeerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of the silences of a run that are not over.
    pub(super) async fn of_run(&self, run: &RunId) -> Result<Vec<String>, PeerError> {
        let known: Vec<Known> = read(&self.call(Method::GET, "silences", &[], None).await?)?;
        let mark = mark(run);
        let ours = known.into_iter().filter(|silence| {
            silence.created_by == CREATED_BY && silence.comment.starts_with(&mark) && !silence.is_over()
        });
        Ok(ours.map(|silence| silence.id).collect())
    }

    /// Ends a silence; one that is not there is ended.
    pub(super) async fn lift(&self, id: &str) -> Result<(), PeerError> {
        match self.call(Method::DELETE, &format!("silence/{id}"), &[], None).await {
            Ok(_) | Err(PeerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            // It ended by itself a moment ago.
            Err(PeerError::Refused { said, .. }) if said.contains("already expired") => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<String, PeerError> {
        let address = format!("{}/api/v2/{path}", self.settings.url.trim_end_matches('/'));
        let mut url = Url::parse(&address).map_err(|_| PeerError::Address)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let services = self.host.services();
        let mut request = services.http().request(method, url).timeout(TIME_LIMIT);
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(token.resolve(&services.site.secrets).await?.reveal());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let unreachable = |error: reqwest::Error| PeerError::Unreachable(error.without_url());
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(text);
        }
        // Enough for the reason that it gives.
        Err(PeerError::Refused { status, said: text.trim().chars().take(200).collect() })
    }
}

/// What the comment of a run's silence begins with. A run's name has no space, so none begins with another one's.
fn mark(run: &RunId) -> String {
    format!("runbook run {run} ")
}

/// A matcher as the query of alerts takes it.
fn matcher(name: &str, value: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"));
    let classic = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = if name.chars().all(classic) { name.to_owned() } else { quoted(name) };
    format!("{name}={}", quoted(value))
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, PeerError> {
    serde_json::from_str(text).map_err(|_| PeerError::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_inside_its_quotes() {
        assert_eq!(matcher("a", "x\"} or {b=\"y\\"), r#"a="x\"} or {b=\"y\\""#);
        assert_eq!(matcher("a.b", "x\ny"), r#""a.b"="x\ny""#);
    }
}
