//! Where reporters write. A reader who has gone away ends the writing, never the run.

use std::io::{ErrorKind, Write};

pub(super) struct Sink {
    writer: Box<dyn Write + Send>,
    closed: bool,
}

impl Sink {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Self {
        Sink { writer, closed: false }
    }

    /// Writes a line and flushes it, so that a reader of a pipe is never behind.
    pub(super) fn line(&mut self, text: &str) {
        if self.closed {
            return;
        }
        let line = format!("{text}\n");
        if let Err(error) = self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.flush()) {
            // A full disk may have room again; a closed pipe stays closed.
            self.closed = error.kind() == ErrorKind::BrokenPipe;
            tracing::warn!(%error, "cannot write the report of the run; the run goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Failing(Arc<AtomicUsize>, ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(self.1.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn tries(kind: ErrorKind) -> usize {
        let count = Arc::new(AtomicUsize::new(0));
        let mut sink = Sink::new(Box::new(Failing(count.clone(), kind)));
        sink.line("one");
        sink.line("two");
        count.load(Ordering::Relaxed)
    }

    #[test]
    fn a_closed_pipe_is_left_alone_and_a_full_disk_is_tried_again() {
        assert_eq!(tries(ErrorKind::BrokenPipe), 1);
        assert_eq!(tries(ErrorKind::StorageFull), 2);
    }
}
