//! Where to begin in a large file, without reading all of it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::lines::Lines;
use super::stamp::Stamps;
use crate::base::Timestamp;
use crate::kind::StepError;
use crate::probe::blocking::Stop;

/// Reading a smaller file whole costs less than a search is worth, and needs no order of time.
pub(super) const SEARCHED_FROM: u64 = 8 << 20;

/// The search ends when this little is left, and gives up when this much holds no stamp.
const PIECE: u64 = 256 << 10;

/// Lines of several threads are out of order by seconds; a minute is generous.
const DISORDER: i64 = 60_000;

/// The size of the pieces in which a file is read from its end.
const BLOCK: u64 = 64 << 10;

/// The start of a line before which everything is older than `since`, in a file in order of time.
pub(super) fn start_of_window(
    file: &mut File,
    length: u64,
    since: Timestamp,
    stamps: &mut Stamps,
    stop: &Stop,
    describe: &dyn Fn(&io::Error) -> StepError,
) -> Result<u64, StepError> {
    let early = since.0.saturating_sub(DISORDER);
    let (mut older, mut newer) = (0, length);
    while newer - older > PIECE {
        stop.check()?;
        let middle = older + (newer - older) / 2;
        // Without a stamp in sight the file must be read from the last sure place.
        let Some((start, moment)) = stamp_after(file, middle, stamps, stop, describe)? else { break };
        if moment < early {
            older = start;
        } else {
            newer = middle;
        }
    }
    Ok(older)
}

/// The first stamped line that starts after `offset`.
fn stamp_after(
    file: &mut File,
    offset: u64,
    stamps: &mut Stamps,
    stop: &Stop,
    describe: &dyn Fn(&io::Error) -> StepError,
) -> Result<Option<(u64, i64)>, StepError> {
    file.seek(SeekFrom::Start(offset)).map_err(|error| describe(&error))?;
    let mut lines = Lines::new(BufReader::new(file.by_ref().take(PIECE)));
    let mut start = offset;
    // The first line is most likely the rest of one.
    let mut whole = false;
    while let Some(line) = lines.next(stop, describe)? {
        if whole && let Some(moment) = stamps.read(line.bytes) {
            return Ok(Some((start, moment)));
        }
        start += line.length;
        whole = true;
    }
    Ok(None)
}

/// The start of the last `count` lines.
pub(super) fn start_of_tail(
    file: &mut File,
    length: u64,
    count: u64,
    stop: &Stop,
    describe: &dyn Fn(&io::Error) -> StepError,
) -> Result<u64, StepError> {
    let mut block = vec![0; BLOCK as usize];
    // The end of the last line starts no further one.
    let mut end = length.saturating_sub(1);
    let mut seen = 0;
    while end > 0 {
        stop.check()?;
        let start = end.saturating_sub(BLOCK);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(part)).map_err(|error| describe(&error))?;
        for (position, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            seen += 1;
            if seen == count {
                return Ok(start + position as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::probe::log_scan::Timezone;

    fn tail(text: &[u8], count: u64) -> u64 {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        start_of_tail(&mut file, text.len() as u64, count, &Stop::never(), &|error| panic!("{error}")).unwrap()
    }

    #[test]
    fn the_last_lines() {
        assert_eq!(tail(b"a\nb\nc\n", 1), 4);
        assert_eq!(tail(b"a\nb\nc", 1), 4);
        assert_eq!(tail(b"a\nb\nc\n", 3), 0);
        assert_eq!(tail(b"a\nb\nc\n", 99), 0);
        assert_eq!(tail(b"a\n\n", 1), 2);
        assert_eq!(tail(b"", 5), 0);
        let long = [vec![b'x'; 300_000], b"\n".to_vec(), vec![b'y'; 300_000]].concat();
        assert_eq!(tail(&long, 1), 300_001);
        assert_eq!(tail(&long, 2), 0);
    }

    #[test]
    fn the_search_finds_the_window_and_reads_little() {
        let mut file = tempfile::tempfile().unwrap();
        let mut text = String::new();
        for second in 0..200_000 {
            text += &format!("{} a line with some words in it\n  and one without a stamp\n", 1_700_000_000 + second);
        }
        file.write_all(text.as_bytes()).unwrap();
        let mut stamps = Stamps::new(Timezone::Utc, Timestamp(0));
        let since = Timestamp(1_700_150_000_000);
        let length = text.len() as u64;
        let never = Stop::never();
        let start = start_of_window(&mut file, length, since, &mut stamps, &never, &|error| panic!("{error}")).unwrap();
        let found: i64 = text[start as usize..][..10].parse().unwrap();
        assert!((1_700_140_000..1_700_149_940).contains(&found), "{found}");
    }

    #[test]
    fn without_stamps_nothing_is_left_out() {
        let mut file = tempfile::tempfile().unwrap();
        let text = "no stamp here\n".repeat(100_000);
        file.write_all(text.as_bytes()).unwrap();
        let mut stamps = Stamps::new(Timezone::Utc, Timestamp(0));
        let length = text.len() as u64;
        let never = Stop::never();
        let start = start_of_window(&mut file, length, Timestamp(5), &mut stamps, &never, &|error| panic!("{error}"));
        assert_eq!(start, Ok(0));
    }
}
