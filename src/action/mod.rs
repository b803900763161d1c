//! What a step does: one file a kind. Add a kind by adding its file and its name here.

pub mod keep;

crate::step_kinds! { download, restore_kept, playbook, report }
