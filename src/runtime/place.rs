//! What the site file makes of a process, replaced as a whole when the file is read again. Whoever has taken a part
//! of it keeps that: a step that runs ends with the settings it began with.

use std::sync::{Arc, PoisonError, RwLock};

use super::Host;
use crate::base::Diagnostic;
use crate::kind::Services;
use crate::notify::Templates;
use crate::notify::template::TemplateError;
use crate::playbook::{self, Playbook};
use crate::site::Site;

#[derive(Clone)]
pub(super) struct Now {
    pub services: Arc<Services>,
    pub templates: Arc<Templates>,
}

pub(super) struct Place(RwLock<Now>);

impl Place {
    pub(super) fn new(services: Arc<Services>, templates: Templates) -> Self {
        Place::of(Now { services, templates: Arc::new(templates) })
    }

    pub(super) fn of(now: Now) -> Self {
        Place(RwLock::new(now))
    }

    pub(super) fn now(&self) -> Now {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Host {
    /// The site and what comes with it, as they are now.
    pub fn services(&self) -> Arc<Services> {
        self.place.now().services
    }

    /// The wording of messages, as it is now.
    pub fn templates(&self) -> Arc<Templates> {
        self.place.now().templates
    }

    /// The site as it is, for whoever reads the playbooks again and not the site file.
    pub fn same_site(&self) -> NextSite {
        let Now { services, templates } = self.place.now();
        NextSite { site: services.site.clone(), templates: templates.as_ref().clone() }
    }

    /// From now on the site is this one. The state folder has to be the same, for the journal is in it.
    pub fn settle(&self, next: NextSite) {
        let NextSite { site, templates } = next;
        self.library.search(site.playbooks.clone());
        let mut now = self.place.0.write().unwrap_or_else(PoisonError::into_inner);
        let services = Arc::new(now.services.settled(site));
        *now = Now { services, templates: Arc::new(templates) };
    }
}

/// A site file that was read again, with the files that it names.
pub struct NextSite {
    site: Site,
    templates: Templates,
}

/// Templates of messages that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct BadTemplates(Vec<TemplateError>);

impl NextSite {
    /// Nothing is in use yet, and nothing is if this fails.
    pub fn of(site: Site) -> Result<Self, BadTemplates> {
        let templates = Templates::of(&site).map_err(BadTemplates)?;
        Ok(NextSite { site, templates })
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Whom the playbook means to tell and this site does not have.
    pub fn check_people(&self, playbook: &Playbook) -> Vec<Diagnostic> {
        playbook::check_people(playbook, &self.site, &self.templates)
    }
}
