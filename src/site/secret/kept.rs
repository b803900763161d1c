//! Secrets that were fetched: each one once until the site file is read again, and masked from that moment on.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::{SecretError, SecretReference};
use crate::base::{Secret, redaction};

type Cell = Arc<OnceCell<Secret<String>>>;

static KEPT: LazyLock<Mutex<HashMap<SecretReference, Cell>>> = LazyLock::new(Mutex::default);

/// The secret, fetched if nobody has; what could not be fetched is tried again the next time.
pub(super) async fn once(reference: &SecretReference) -> Result<Secret<String>, SecretError> {
    let cell = KEPT.lock().unwrap_or_else(PoisonError::into_inner).entry(reference.clone()).or_default().clone();
    cell.get_or_try_init(|| fetch_and_learn(reference)).await.cloned()
}

/// From now on each is fetched again when it is needed. Those of before stay masked.
pub(super) fn forget() {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Fetches it now, and keeps nothing but what masks it.
pub(super) async fn fetch_and_learn(reference: &SecretReference) -> Result<Secret<String>, SecretError> {
    let secret = reference.fetch().await?;
    redaction::learn(secret.reveal())
        .map_err(|source| SecretError::TooShort { place: reference.to_string(), source })?;
    Ok(secret)
}
