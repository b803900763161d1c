//! From a path to bytes that may be a model.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use prost::bytes::Bytes;

use crate::base::units::show_bytes;
use crate::model::{FaultKind, ModelFault};

/// Protobuf messages end at 2 GiB, so no ONNX file is larger; its weights then lie outside of it.
const MOST_BYTES: u64 = 2 << 30;

/// The whole content of a regular file.
pub fn read(path: &Path) -> Result<Bytes, ModelFault> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing(path),
        _ => ModelFault::new(FaultKind::Unreadable, format!("cannot read {}: {error}", path.display())),
    };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let size = std::fs::metadata(path).map_err(failed).and_then(|about| refuse_other_than_file(path, &about))?;
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut content)).map_err(failed)?;
    // Asked again of what was read, because a file that is being written grows.
    refuse_too_large(path, content.len() as u64)?;
    Ok(Bytes::from(content))
}

fn missing(path: &Path) -> ModelFault {
    // Model caches are made of links, and a cleaned store leaves them behind.
    let what = match std::fs::read_link(path) {
        Ok(target) => format!("{} is a link to {}, which does not exist", path.display(), target.display()),
        Err(_) => format!("there is no file at {}", path.display()),
    };
    ModelFault::new(FaultKind::Missing, what)
}

fn refuse_other_than_file(path: &Path, about: &std::fs::Metadata) -> Result<u64, ModelFault> {
    if about.is_dir() {
        return Err(ModelFault::new(FaultKind::NotAFile, format!("{} is a folder", path.display())));
    }
    if !about.is_file() {
        return Err(ModelFault::new(FaultKind::NotAFile, format!("{} is not a regular file", path.display())));
    }
    refuse_too_large(path, about.len())?;
    Ok(about.len())
}

fn refuse_too_large(path: &Path, size: u64) -> Result<(), ModelFault> {
    if size <= MOST_BYTES {
        return Ok(());
    }
    let detail = format!("{} is {} long; an ONNX file ends at 2 GiB", path.display(), show_bytes(size));
    Err(ModelFault::new(FaultKind::TooLarge, detail))
}

/// Names the two things that are found most often where a model should be.
pub fn refuse_other_content(bytes: &[u8]) -> Result<(), ModelFault> {
    if bytes.is_empty() {
        return Err(ModelFault::new(FaultKind::Empty, "the file is empty"));
    }
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        let detail = "the file is a Git LFS pointer, not the model it points to";
        return Err(ModelFault::new(FaultKind::LfsPointer, detail));
    }
    Ok(())
}
