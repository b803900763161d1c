//! What keeps the memory of this program, with the secrets in it, from the disk and from the terminal.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::output;

/// Call it first, before any secret is read.
pub fn start() {
    // Not a limit on core files: steps and services would inherit that, and a service that crashes must still
    // leave its core. This is lost when another program is executed (PR_SET_DUMPABLE(2const)), and it holds for
    // kernels that pipe cores to a collector as well, which look at no limit.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a crash of this program may write its memory, with secrets in it, to the disk");
    }
    std::panic::set_hook(Box::new(|panic| output::error(&format!("bug: {panic}"))));
}
