//! The figures of `docs/performance.md`: `cargo bench`, or `cargo bench -- steps` for one group.
//!
//! The alternatives of a group are measured in turn in one process, so that whatever else the machine
//! does meets all of them, and what counts is their ratio.

mod measure;
mod models;
mod planning;
mod playbooks;
mod serve;
mod startup;
mod steps;

use std::error::Error;
use std::io::Write;
use std::path::Path;

type Outcome = Result<(), Box<dyn Error>>;

/// Measures one group of figures and writes them.
type Measure = fn(&mut dyn Write, &Path) -> Outcome;

const GROUPS: [(&str, Measure); 5] = [
    ("steps", steps::measure),
    ("planning", planning::measure),
    ("startup", startup::measure),
    ("models", models::measure),
    ("serve", serve::measure),
];

fn main() -> Outcome {
    // Cargo adds options of its own, such as `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    // On the disk that holds the build, because a folder in memory would make a durable journal free.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut out = std::io::stdout().lock();
    for (name, measure) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure(&mut out, folder)?;
        }
    }
    Ok(())
}
