//! What keeps the memory of this program, with the secrets in it, from the disk and from the terminal.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::output;

/// Call it first, before any secret is read.
pub fn start() {
    forbid_core_files();
    std::panic::set_hook(Box::new(|panic| output::error(&format!("bug: {panic}"))));
}

fn forbid_core_files() {
    // Not a limit on core files: steps and services would inherit that, and a service that crashes must still
    // leave its core. This is lost when another program is executed (PR_SET_DUMPABLE(2const)), and it holds for
    // kernels that pipe cores to a collector as well, which look at no limit.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a crash of this program may write its memory, with secrets in it, to the disk");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_leaves_no_core() {
        forbid_core_files();
        let behavior = rustix::process::dumpable_behavior().unwrap();
        // The other tests of this process look at themselves through /proc.
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
