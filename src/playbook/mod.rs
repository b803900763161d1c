//! Nodes to a typed playbook. `parse` reports every mistake of form; mistakes that concern several
//! parts (names, types, cycles) are found by `plan`.

mod decode;
pub mod document;
mod escalation;
pub mod inputs;
pub mod library;
mod model;
mod notification;
mod publish;
pub mod registry;
pub mod site_file;
mod step;
mod step_decoder;
#[cfg(test)]
mod tests;
mod triggers;

use sha2::{Digest, Sha256};

use crate::base::{Diagnostic, Source};
use crate::yaml;
pub use library::Library;
pub use model::*;
pub use notification::check_people;
pub use site_file::{load_site, site_schema};
pub use step::*;

/// Reads a playbook from its text.
pub fn parse(source: &Source) -> Result<Playbook, Vec<Diagnostic>> {
    match examine(source) {
        (Some(playbook), problems) if problems.is_empty() => Ok(playbook),
        (_, problems) => Err(problems),
    }
}

/// Every mistake of form, and what can be made of the rest, so that names and types in it can be checked
/// too. A playbook with mistakes must not be run.
pub fn examine(source: &Source) -> (Option<Playbook>, Vec<Diagnostic>) {
    let (root, mut problems) = yaml::read(source);
    let digest = hex::encode(Sha256::digest(source.text.as_bytes()));
    let playbook = root.and_then(|root| decode::playbook(source, root, digest, &mut problems));
    (playbook, problems)
}
