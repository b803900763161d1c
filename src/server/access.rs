//! Who may do what. A route says what it asks for; what it does not say, nobody may.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use tokio_util::sync::CancellationToken;

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
#[derive(Debug, Clone)]
pub struct Who {
    /// The name of the token in the site file, or of the hook.
    pub name: String,
    pub role: Option<Role>,
    playbooks: Option<Vec<String>>,
    /// Cancelled when the site file does not give this right any more: what was opened with it ends.
    pub withdrawn: CancellationToken,
}

impl Who {
    /// Somebody without any right.
    pub(super) fn nobody(name: &str) -> Self {
        Who { name: name.to_owned(), role: None, playbooks: Some(Vec::new()), withdrawn: CancellationToken::new() }
    }

    /// Whether the token has this role, or one above it.
    pub fn may(&self, needed: Role) -> bool {
        self.role.is_some_and(|role| role >= needed)
    }

    /// Somebody on this machine, who may see everything and do nothing.
    pub(super) fn of_this_machine() -> Self {
        Who { name: "loopback".to_owned(), role: None, playbooks: None, withdrawn: CancellationToken::new() }
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

/// The tokens of the site file, fetched; one that is being changed is here twice.
pub(super) struct Tokens(Vec<Known>);

struct Known {
    who: Who,
    secret: Secret<String>,
}

impl Known {
    fn gives_the_same_as(&self, other: &Known) -> bool {
        let right = |known: &Known| (known.who.name.clone(), known.who.role, known.who.playbooks.clone());
        right(self) == right(other) && authenticity::same(self.secret.reveal(), other.secret.reveal())
    }
}

impl Tokens {
    pub(super) async fn fetch(site: &Site) -> Result<Self, ServeError> {
        let mut tokens = Vec::new();
        for (name, token) in &site.serve.tokens {
            for reference in std::iter::once(&token.token).chain(&token.previous) {
                let secret = reference.resolve_anew(&site.secrets).await?;
                let (role, playbooks) = (Some(token.role), token.playbooks.clone());
                let who = Who { name: name.clone(), role, playbooks, withdrawn: CancellationToken::new() };
                tokens.push(Known { who, secret });
            }
        }
        Ok(Tokens(tokens))
    }

    /// Comes after others: what was opened with a token that stays as it was goes on, and everything else ends.
    pub(super) fn succeed(&mut self, before: &Tokens) {
        for old in &before.0 {
            match self.0.iter_mut().find(|new| new.gives_the_same_as(old)) {
                Some(new) => new.who.withdrawn = old.who.withdrawn.clone(),
                None => old.who.withdrawn.cancel(),
            }
        }
    }

    /// Whose token the request carries.
    pub(super) fn who(&self, headers: &HeaderMap) -> Option<Who> {
        let header = headers.get("authorization")?.to_str().ok()?;
        self.whose(&authenticity::token(header)?)
    }

    /// Whose token this is. Every token is compared, so that the time does not tell which one fits.
    pub(super) fn whose(&self, offered: &str) -> Option<Who> {
        let fits = |known: &&Known| authenticity::same(offered, known.secret.reveal());
        self.0.iter().filter(fits).fold(None, |_, known| Some(known.who.clone()))
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
