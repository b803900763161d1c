//! Every step kind, from the rooms that hold them.

use crate::action;
use crate::base::Picture;
use crate::base::suggestion;
use crate::kind::KindEntry;
use crate::probe;

/// All kinds: probes first, then actions, each in the order of its room.
pub fn kinds() -> impl Iterator<Item = &'static KindEntry> + Clone {
    probe::KINDS.iter().chain(action::KINDS)
}

pub fn find(name: &str) -> Option<&'static KindEntry> {
    kinds().find(|kind| kind.name == name)
}

/// The pictures that a kind declares of its output.
pub fn pictures(kind: &str) -> &'static [Picture] {
    find(kind).map_or(&[], |kind| kind.pictures)
}

pub fn suggest(name: &str) -> Option<String> {
    suggestion::did_you_mean(name, kinds().map(|kind| kind.name))
}
