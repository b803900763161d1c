//! What a step does: one file a kind. Add a kind by adding its file and its name here.

pub mod keep;
pub mod process;

crate::step_kinds! { command, service, config_edit, download, restore_kept, playbook, report }
