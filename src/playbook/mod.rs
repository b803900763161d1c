//! Nodes to a typed playbook. `parse` reports every mistake of form; mistakes that concern several
//! parts (names, types, cycles) are found by `plan`.

mod decode;
pub mod document;
pub mod inputs;
pub mod library;
mod model;
mod publish;
pub mod registry;
pub mod site_file;
mod step;
mod step_decoder;

use sha2::{Digest, Sha256};

use crate::base::{Diagnostic, Source};
use crate::yaml;
pub use library::Library;
pub use model::*;
pub use site_file::{load_site, site_schema};
pub use step::*;

/// Reads a playbook from its text.
pub fn parse(source: &Source) -> Result<Playbook, Vec<Diagnostic>> {
    let root = yaml::parse(source)?;
    let digest = hex::encode(Sha256::digest(source.text.as_bytes()));
    decode::playbook(source, root, digest)
}
