//! What is let in: the tokens of people, the hooks of senders with their secrets, and how much of it. Replaced as a
//! whole when the site file is read again.

use std::collections::BTreeMap;

use super::ServeError;
use super::access::Tokens;
use super::pace::Pace;
use crate::base::Secret;
use crate::site::Site;
use crate::site::serve::MetricsFor;
use crate::trigger::{self, Hook};

pub(super) struct Door {
    pub tokens: Tokens,
    pub hooks: Vec<Hook>,
    /// The secrets of each hook, by its name.
    secrets: BTreeMap<String, Vec<Secret<String>>>,
    pub pace: Pace,
}

impl Door {
    /// Secrets are fetched now: whoever posts must not wait for a program that fetches them.
    pub(super) async fn of(site: &Site) -> Result<Self, ServeError> {
        let serve = &site.serve;
        if serve.metrics == MetricsFor::Loopback && serve.behind_proxy {
            return Err(ServeError::OpenMetrics);
        }
        let hooks = trigger::hooks(serve);
        let secrets = fetch(&hooks, site).await?;
        Ok(Door { tokens: Tokens::fetch(site).await?, hooks, secrets, pace: Pace::new(serve.rate) })
    }

    pub(super) fn hook(&self, name: &str) -> Option<&Hook> {
        self.hooks.iter().find(|hook| hook.name == name)
    }

    pub(super) fn secrets_of(&self, hook: &str) -> &[Secret<String>] {
        self.secrets.get(hook).map_or(&[], Vec::as_slice)
    }
}

async fn fetch(hooks: &[Hook], site: &Site) -> Result<BTreeMap<String, Vec<Secret<String>>>, ServeError> {
    let mut fetched = BTreeMap::new();
    for hook in hooks {
        let mut secrets = Vec::new();
        for reference in (hook.source.secrets)(&hook.settings).map_err(|error| ServeError::Hook(error.to_string()))? {
            secrets.push(reference.resolve_anew(&site.secrets).await?);
        }
        fetched.insert(hook.name.clone(), secrets);
    }
    Ok(fetched)
}
