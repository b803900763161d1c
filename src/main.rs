//! Calls the command line and exits with its code.

fn main() {
    // A question may still wait on a thread for somebody's answer; leaving must not wait for it.
    std::process::exit(runbook::cli::main() as i32);
}
