//! The chain of a journal, checked and exported.

use std::io::Write;
use std::ops::ControlFlow;

use super::{Journal, JournalError, Stored, Visitor};
use crate::audit::export::{ExportError, ExportWriter};
use crate::audit::{Entry, Report, Trust, Verifier};

/// Checks every entry. `trust` are keys, heads and checkpoints that were kept where nobody who can
/// write the journal could change them; without one the end of the journal proves nothing.
pub fn verify(journal: &dyn Journal, trust: &Trust) -> Result<Report, JournalError> {
    Ok(check(journal, trust, &|_| true)?.verifier.finish())
}

/// The same for as long as `goes_on` says so; `None` once it does not. It is asked with the number of entries that there
/// are, before the first one, and with the number of those read, before each.
pub fn verify_while(
    journal: &dyn Journal,
    trust: &Trust,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<Option<Report>, JournalError> {
    let checked = check(journal, trust, goes_on)?;
    Ok((!checked.is_stopped).then(|| checked.verifier.finish()))
}

fn check<'a>(
    journal: &dyn Journal,
    trust: &'a Trust,
    goes_on: &'a dyn Fn(u64) -> bool,
) -> Result<Checking<'a>, JournalError> {
    let mut checking = Checking { trust, verifier: Verifier::new(), goes_on, read: 0, is_stopped: false };
    journal.entries(&mut checking)?;
    Ok(checking)
}

struct Checking<'a> {
    trust: &'a Trust,
    verifier: Verifier,
    goes_on: &'a dyn Fn(u64) -> bool,
    read: u64,
    is_stopped: bool,
}

impl Checking<'_> {
    fn stop_unless(&mut self, goes_on: bool) -> ControlFlow<()> {
        self.is_stopped |= !goes_on;
        if self.is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Visitor for Checking<'_> {
    fn begin(&mut self, stored: Stored) -> ControlFlow<()> {
        self.verifier = Verifier::new().trusting(self.trust, &stored.checkpoints);
        self.verifier.end_at(stored.head);
        if let Some(root) = stored.root {
            self.verifier.tree_ends_with(root);
        }
        self.stop_unless((self.goes_on)(stored.head.count))
    }

    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        if self.stop_unless((self.goes_on)(self.read)).is_break() {
            return ControlFlow::Break(());
        }
        self.read += 1;
        self.verifier.feed(entry);
        ControlFlow::Continue(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum JournalExportError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl JournalExportError {
    /// What the reader can do next.
    pub fn help(&self) -> &'static str {
        match self {
            JournalExportError::Journal(error) => error.help(),
            JournalExportError::Export(error) => error.help(),
        }
    }
}

/// Writes every entry to `sink`, damaged ones as they are, and gives the sink back flushed.
pub fn export<W: Write>(journal: &dyn Journal, sink: W) -> Result<W, JournalExportError> {
    let mut exporting = Exporting { writer: ExportWriter::new(sink), result: Ok(()) };
    journal.entries(&mut exporting)?;
    exporting.result?;
    Ok(exporting.writer.finish()?)
}

struct Exporting<W: Write> {
    writer: ExportWriter<W>,
    result: Result<(), ExportError>,
}

impl<W: Write> Exporting<W> {
    fn note(&mut self, result: Result<(), ExportError>) -> ControlFlow<()> {
        self.result = result;
        if self.result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

impl<W: Write> Visitor for Exporting<W> {
    fn begin(&mut self, stored: Stored) -> ControlFlow<()> {
        let result = self.writer.begin(stored.head);
        self.note(result)
    }

    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        let result = self.writer.write(&entry);
        self.note(result)
    }
}
