//! What sources that send JSON share: the group of alerts that Alertmanager made common, fields whose places settings
//! name, and texts of bounded length.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Delivery, Refusal, Request, Signal};
use crate::base::Timestamp;

/// More labels than this, or longer ones, are not labels: they would be kept in the journal for ever.
const MOST_LABELS: usize = 128;
const LONGEST: usize = 4_096;

/// The body as JSON.
pub(super) fn json(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| Refusal::Malformed(format!("the body is not JSON: {error}")))
}

/// The members of a mapping that are texts, numbers or truth values, as labels.
pub(super) fn labels(value: Option<&Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    let labels: BTreeMap<String, String> =
        members.filter_map(|(name, value)| Some((name.clone(), plain(value)?))).collect();
    let too_long = labels.iter().any(|(name, value)| name.len() > LONGEST || value.len() > LONGEST);
    if labels.len() > MOST_LABELS || too_long {
        return Err(Refusal::Malformed(format!("more than {MOST_LABELS} labels, or one longer than {LONGEST} bytes")));
    }
    Ok(labels)
}

/// A simple value as text.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A text member, or that it is missing.
pub(super) fn text(value: &Value, name: &str) -> Result<String, Refusal> {
    let found = value.get(name).and_then(plain).filter(|text| !text.is_empty() && text.len() <= LONGEST);
    found.ok_or_else(|| Refusal::Malformed(format!("'{name}' is missing, or no text of at most {LONGEST} bytes")))
}

/// The alerts of a group, in the form of Alertmanager's webhook, which Grafana's shares.
pub(super) fn alert_group(group: &Value) -> Result<Delivery, Refusal> {
    let alerts = group["alerts"].as_array().ok_or_else(|| Refusal::Malformed("'alerts' is missing".into()))?;
    let signals = alerts.iter().map(|one| alert(one, group)).collect::<Result<_, _>>()?;
    let truncated = group["truncatedAlerts"].as_u64().unwrap_or(0);
    let left_out = || format!("the sender left out {truncated} alerts of the group, so what is affected is not known");
    Ok(Delivery { id: None, signals, incomplete: (truncated > 0).then(left_out) })
}

fn alert(alert: &Value, group: &Value) -> Result<Signal, Refusal> {
    let firing = match alert["status"].as_str() {
        Some("firing") => true,
        Some("resolved") => false,
        _ => return Err(Refusal::Malformed("the status of an alert is neither firing nor resolved".into())),
    };
    let mut body = alert.clone();
    body["group"] = group["groupKey"].clone();
    body["receiver"] = group["receiver"].clone();
    Ok(Signal {
        identity: text(alert, "fingerprint")?,
        since: text(alert, "startsAt")?,
        firing,
        labels: labels(alert.get("labels"))?,
        body,
    })
}

/// Where in a body the parts of an event are (JSON Pointer, RFC 6901).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Where the name of what is reported is, such as `/incident/id`.
    pub identity: String,
    /// Where the moment is since when it is so. Without it, each request is a new event.
    #[serde(default)]
    pub since: Option<String>,
    /// Where its status is. Without it, every request is about something that is going on.
    #[serde(default)]
    pub status: Option<String>,
    /// The values of the status that say that it is over. Default: resolved, ok, closed.
    #[serde(default = "over")]
    pub resolved: Vec<String>,
    /// Labels by a name of your own, each with its place in the body.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn over() -> Vec<String> {
    ["resolved", "ok", "closed"].map(str::to_owned).to_vec()
}

impl Fields {
    /// The event of a body that came at this moment.
    pub(super) fn signal(&self, body: Value, at: Timestamp) -> Result<Signal, Refusal> {
        let nothing = |place: &String| Refusal::Malformed(format!("there is nothing at {place}"));
        let found = |place: &String| body.pointer(place).and_then(plain);
        let identity = found(&self.identity).filter(|identity| !identity.is_empty() && identity.len() <= LONGEST);
        let identity = identity.ok_or_else(|| nothing(&self.identity))?;
        let status = self.status.as_ref().and_then(found);
        let parts = self.labels.iter().filter_map(|(name, place)| Some((name.clone(), found(place)?.into())));
        let labels = labels(Some(&Value::Object(parts.collect())))?;
        let firing = !status.is_some_and(|status| self.resolved.contains(&status));
        let since = match &self.since {
            Some(place) => found(place).filter(|since| since.len() <= LONGEST).ok_or_else(|| nothing(place))?,
            None if firing => at.to_string(),
            // Whenever it began.
            None => String::new(),
        };
        Ok(Signal { identity, since, firing, labels, body })
    }
}
