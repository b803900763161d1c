//! The chain of a journal, checked and exported.

use std::io::Write;
use std::ops::ControlFlow;

use super::{Journal, JournalError, Visitor};
use crate::audit::export::{ExportError, ExportWriter};
use crate::audit::{Entry, Head, Report, Verifier};

/// Checks every entry. `anchors` are heads that were kept where nobody who can write the journal
/// could change them; without one the end of the journal proves nothing.
pub fn verify(journal: &dyn Journal, anchors: &[Head]) -> Result<Report, JournalError> {
    let verifier = anchors.iter().fold(Verifier::new(), |verifier, anchor| verifier.passing(*anchor));
    let mut checking = Checking(verifier);
    journal.entries(&mut checking)?;
    Ok(checking.0.finish())
}

struct Checking(Verifier);

impl Visitor for Checking {
    fn begin(&mut self, head: Head) -> ControlFlow<()> {
        self.0.end_at(head);
        ControlFlow::Continue(())
    }

    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        self.0.feed(entry);
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
    fn begin(&mut self, head: Head) -> ControlFlow<()> {
        let result = self.writer.begin(head);
        self.note(result)
    }

    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        let result = self.writer.write(&entry);
        self.note(result)
    }
}
