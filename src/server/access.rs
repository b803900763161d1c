//! Who may do what. A route says what it asks for; what it does not say, nobody may.

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use crate::base::Secret;
use crate::site::{Role, Site};
use crate::trigger::authenticity;

use super::ServeError;

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: what watches the server needs no token, and whoever signs in has none yet.
    Anybody,
    /// What the source of the hook asks for: its token or signature.
    Hook,
    /// An address that was sent to somebody: signed for one escalation and one channel, and not expired.
    Link,
    /// A token with this role, or one above it.
    Role(Role),
    /// A session of a browser that was opened with such a token. A token itself is not taken here, and a session
    /// nowhere else, so no page of a stranger can make a browser use the API.
    Page(Role),
    /// The same; whoever calls from this machine needs none when the site file says so.
    RoleOrLoopback(Role),
}

/// Somebody known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name of the token in the site file, or of the hook.
    pub name: String,
    pub role: Option<Role>,
    playbooks: Option<Vec<String>>,
}

impl Who {
    /// Somebody without any right.
    pub(super) fn nobody(name: &str) -> Self {
        Who { name: name.to_owned(), role: None, playbooks: Some(Vec::new()) }
    }

    /// Whether the token has this role, or one above it.
    pub fn may(&self, needed: Role) -> bool {
        self.role.is_some_and(|role| role >= needed)
    }

    /// Somebody on this machine, who may see everything and do nothing.
    pub(super) fn of_this_machine() -> Self {
        Who { name: "loopback".to_owned(), role: None, playbooks: None }
    }

    /// Whether the token is for this playbook.
    pub fn may_touch(&self, playbook: &str) -> bool {
        self.playbooks.as_ref().is_none_or(|playbooks| playbooks.iter().any(|allowed| allowed == playbook))
    }

    /// Whether the token is for every playbook.
    pub fn may_touch_all(&self) -> bool {
        self.playbooks.is_none()
    }
}

/// The tokens of the site file, fetched.
pub(super) struct Tokens(Vec<Known>);

struct Known {
    who: Who,
    secrets: Vec<Secret<String>>,
}

impl Tokens {
    pub(super) async fn fetch(site: &Site) -> Result<Self, ServeError> {
        let mut tokens = Vec::new();
        for (name, token) in &site.serve.tokens {
            let mut secrets = vec![token.token.resolve(&site.secrets).await?];
            if let Some(previous) = &token.previous {
                secrets.push(previous.resolve(&site.secrets).await?);
            }
            let who = Who { name: name.clone(), role: Some(token.role), playbooks: token.playbooks.clone() };
            tokens.push(Known { who, secrets });
        }
        Ok(Tokens(tokens))
    }

    /// Whose token the request carries.
    pub(super) fn who(&self, headers: &HeaderMap) -> Option<Who> {
        let header = headers.get("authorization")?.to_str().ok()?;
        self.whose(&authenticity::token(header)?)
    }

    /// Whose token this is. Every token is compared, so that the time does not tell which one fits.
    pub(super) fn whose(&self, offered: &str) -> Option<Who> {
        let fits = |known: &Known| {
            known.secrets.iter().fold(false, |fits, secret| authenticity::same(offered, secret.reveal()) | fits)
        };
        self.0.iter().fold(None, |found, known| if fits(known) { Some(known.who.clone()) } else { found })
    }

    /// Who has the token of this name.
    pub(super) fn named(&self, name: &str) -> Option<Who> {
        self.0.iter().find(|known| known.who.name == name).map(|known| known.who.clone())
    }
}

/// Headers as a source sees them.
pub(super) fn plain(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut plain = BTreeMap::new();
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            plain.entry(name.as_str().to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    plain
}
