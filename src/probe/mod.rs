//! What a step observes: one file a kind. Add a kind by adding its file and its name here.

pub static KINDS: &[crate::kind::KindEntry] = &[];
