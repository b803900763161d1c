//! Reading the site file and the playbooks again while everything goes on. Afterwards all of it is in use, or nothing
//! of it and everything stays as it was; of a playbook that is not valid, the last good version is.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::door::Door;
use super::listen::Encryption;
use super::{Reloaded, ServeError, Shared};
use crate::base::Diagnostic;
use crate::playbook;
use crate::runtime::{BadTemplates, NextSite};
use crate::site::Site;

const TLS: &str = "serve.tls";

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    #[error("the site file is not valid")]
    Site(Vec<Diagnostic>),
    #[error(transparent)]
    Templates(#[from] BadTemplates),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl NotReloaded {
    /// What is wrong with which line, if it is lines.
    pub fn problems(&self) -> &[Diagnostic] {
        match self {
            NotReloaded::Site(problems) => problems,
            NotReloaded::Templates(_) | NotReloaded::Serve(_) => &[],
        }
    }

    /// What the reader can do next.
    pub fn help(&self) -> Option<String> {
        match self {
            NotReloaded::Serve(error) => error.help(),
            NotReloaded::Templates(_) => Some("correct the file in the folder that `templates` names".to_owned()),
            NotReloaded::Site(_) => Some("correct it; `runbook validate` says what is wrong where".to_owned()),
        }
    }
}

/// What reading again needs, and what it came to.
pub(super) struct Reloading {
    /// None where there is none: the defaults stay.
    site_file: Option<PathBuf>,
    turn: tokio::sync::Mutex<()>,
    refused: RwLock<Option<Arc<NotReloaded>>>,
}

impl Reloading {
    pub(super) fn of(site_file: Option<PathBuf>) -> Self {
        Reloading { site_file, turn: tokio::sync::Mutex::new(()), refused: RwLock::default() }
    }

    /// Why the last try changed nothing, if it did not.
    pub(super) fn refused(&self) -> Option<Arc<NotReloaded>> {
        self.refused.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, refused: Option<Arc<NotReloaded>>) {
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// The site as its file says now, with what the program itself has set.
    fn site(&self, now: &Site) -> Result<Site, NotReloaded> {
        let Some(file) = &self.site_file else { return Ok(now.clone()) };
        let site = playbook::load_site(file).map_err(NotReloaded::Site)?;
        Ok(Site { program: now.program.clone(), live_output: now.live_output, ..site })
    }
}

/// Reads the site file and the playbooks again, as often as it is asked to.
pub struct Reloader(pub(super) Arc<Shared>);

impl Reloader {
    pub async fn reload(&self) -> Result<Reloaded, Arc<NotReloaded>> {
        self.0.reload().await
    }
}

impl Shared {
    /// One reload after the other.
    pub(super) async fn reload(&self) -> Result<Reloaded, Arc<NotReloaded>> {
        let _turn = self.reloading.turn.lock().await;
        let result = self.read_again().await.map_err(Arc::new);
        self.reloading.note(result.as_ref().err().cloned());
        result
    }

    async fn read_again(&self) -> Result<Reloaded, NotReloaded> {
        let services = self.host.services();
        let mut site = self.reloading.site(&services.site)?;
        // Before anything is put back, so that a mistake is not met only at the restart.
        let encryption = Encryption::of(&site.serve)?;
        let restart = keep_until_a_restart(&mut site, &services.site);
        let site = NextSite::of(site)?;
        let door = Door::of(site.site()).await?;
        let mut read = self.shelf.read(&site)?;
        // Nothing can fail from here on.
        self.host.settle(site);
        self.read_trust_store();
        self.replace_door(door);
        if !restart.contains(&TLS) {
            self.encryption.renew(&encryption);
        }
        read.reloaded.restart = restart;
        let reloaded = self.shelf.take(read);
        self.host.services().site.meet_secrets_anew().await;
        Ok(reloaded)
    }

    fn replace_door(&self, mut next: Door) {
        let mut door = self.door.write().unwrap_or_else(PoisonError::into_inner);
        next.tokens.succeed(&door.tokens);
        *door = Arc::new(next);
    }
}

/// Puts back what cannot change while the server runs, because files, sockets and keys are open by it, and names it.
fn keep_until_a_restart(next: &mut Site, now: &Site) -> Vec<&'static str> {
    let mut kept = Vec::new();
    keep("state", &mut next.state, &now.state, &mut kept);
    keep("audit", &mut next.audit, &now.audit, &mut kept);
    let (next, now) = (&mut next.serve, &now.serve);
    keep("serve.address", &mut next.address, &now.address, &mut kept);
    keep("serve.behind_proxy", &mut next.behind_proxy, &now.behind_proxy, &mut kept);
    keep("serve.connections", &mut next.connections, &now.connections, &mut kept);
    keep("serve.streams", &mut next.streams, &now.streams, &mut kept);
    // Another certificate is fine; with TLS or without is another server.
    if next.tls.is_some() != now.tls.is_some() {
        keep(TLS, &mut next.tls, &now.tls, &mut kept);
    }
    kept
}

fn keep<T: PartialEq + Clone>(name: &'static str, next: &mut T, now: &T, kept: &mut Vec<&'static str>) {
    if next != now {
        next.clone_from(now);
        kept.push(name);
    }
}
