//! Lines of any file in bounded memory.

use std::io::{self, BufRead, Read};

use crate::kind::StepError;
use crate::probe::blocking::Stop;

/// What is kept of a line. Real lines, stack traces in JSON included, are far shorter.
pub(super) const LINE_BYTES: usize = 64 << 10;

/// Reads line by line into one buffer.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
}

/// A line without its end.
pub(super) struct Line<'a> {
    pub bytes: &'a [u8],
    /// Bytes of the file it takes, its end included.
    pub length: u64,
    /// There was more of it.
    pub cut: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Lines { reader, buffer: Vec::new() }
    }

    /// The next line, or `None` at the end. `describe` turns a failed read into an error.
    pub(super) fn next(
        &mut self,
        stop: &Stop,
        describe: impl Fn(&io::Error) -> StepError,
    ) -> Result<Option<Line<'_>>, StepError> {
        self.buffer.clear();
        let limit = LINE_BYTES as u64;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer);
        let mut length = read.map_err(|error| describe(&error))? as u64;
        if length == 0 {
            return Ok(None);
        }
        let mut cut = false;
        if length == limit && self.buffer.last() != Some(&b'\n') {
            let rest = self.skip_rest(stop, describe)?;
            length += rest;
            // A rest of one byte is the line's end.
            cut = rest > 1;
        }
        Ok(Some(Line { bytes: without_end(&self.buffer), length, cut }))
    }

    fn skip_rest(&mut self, stop: &Stop, describe: impl Fn(&io::Error) -> StepError) -> Result<u64, StepError> {
        let mut skipped = 0;
        loop {
            stop.check()?;
            let piece = match self.reader.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(describe(&error)),
            };
            let end = piece.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(piece.len(), |end| end + 1);
            self.reader.consume(used);
            skipped += used as u64;
            if end.is_some() || used == 0 {
                return Ok(skipped);
            }
        }
    }
}

fn without_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(usize, u64, bool)> {
        let mut lines = Lines::new(BufReader::new(bytes));
        let mut found = Vec::new();
        while let Some(line) = lines.next(&Stop::never(), |error| panic!("{error}")).unwrap() {
            found.push((line.bytes.len(), line.length, line.cut));
        }
        found
    }

    #[test]
    fn ends_of_lines() {
        assert_eq!(lines(b"ab\ncd\r\n\nlast"), [(2, 3, false), (2, 4, false), (0, 1, false), (4, 4, false)]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn long_lines_are_cut_and_the_next_one_is_whole() {
        let mut text = vec![b'x'; LINE_BYTES * 3];
        text.extend(b"\nnext\n");
        assert_eq!(lines(&text), [(LINE_BYTES, LINE_BYTES as u64 * 3 + 1, true), (4, 5, false)]);
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole() {
        let mut text = vec![b'x'; LINE_BYTES];
        text.extend(b"\nnext");
        assert_eq!(lines(&text), [(LINE_BYTES, LINE_BYTES as u64 + 1, false), (4, 4, false)]);
        assert_eq!(lines(&vec![b'x'; LINE_BYTES]), [(LINE_BYTES, LINE_BYTES as u64, false)]);
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let endless = BufReader::with_capacity(LINE_BYTES, io::repeat(b'x').take(100 << 20));
        let mut lines = Lines::new(endless);
        let line = lines.next(&Stop::never(), |error| panic!("{error}")).unwrap().unwrap();
        assert_eq!((line.length, line.cut), (100 << 20, true));
        assert!(lines.buffer.capacity() <= 2 * LINE_BYTES);
    }
}
