//! What crosses between the program and its child: frames of a length and that many bytes of JSON.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::engine_choice::EngineChoice;
use super::workbench::Phase;

/// No request and no answer comes near; a length beyond it means that the stream is out of step.
const MOST_BYTES: u32 = 256 << 20;

/// What the child is asked, once in its life.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub engine: EngineChoice,
    /// Bytes that the child may allocate.
    pub memory: u64,
    /// Known to those who ask and answer only.
    pub work: Box<RawValue>,
}

/// What the child says; the last frame is an answer, or why there is none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    Phase(Phase),
    Answer(Box<RawValue>),
    /// The engine could not be opened.
    Refused(String),
}

/// Writes one frame in one call, so that a reader never sees half of a short one.
pub fn write(writer: &mut impl Write, content: &impl Serialize) -> io::Result<()> {
    let frame = encode(content)?;
    writer.write_all(&frame)?;
    writer.flush()
}

/// A frame's bytes.
pub fn encode(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, content)?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| too_long())?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Reads one frame.
pub fn read<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let mut content = vec![0; checked(u32::from_le_bytes(length))?];
    reader.read_exact(&mut content)?;
    Ok(serde_json::from_slice(&content)?)
}

/// Reads one frame; `None` at the end of the stream.
pub async fn read_next<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let length = match reader.read_u32_le().await {
        Ok(length) => checked(length)?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = vec![0; length];
    match reader.read_exact(&mut content).await {
        Ok(_) => Ok(Some(serde_json::from_slice(&content)?)),
        // Cut off in the middle of a frame: the writer is gone, and how it went says more.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn checked(length: u32) -> io::Result<usize> {
    if length <= MOST_BYTES { Ok(length as usize) } else { Err(too_long()) }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message between the program and its child is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut stream = Vec::new();
        write(&mut stream, &Frame::Phase(Phase::new("one"))).unwrap();
        write(&mut stream, &Frame::Refused("two".into())).unwrap();
        let mut reader = &stream[..];
        assert!(matches!(read(&mut reader).unwrap(), Frame::Phase(phase) if phase.doing == "one"));
        assert!(matches!(read(&mut reader).unwrap(), Frame::Refused(why) if why == "two"));
        assert!(read::<Frame>(&mut reader).is_err());
    }

    #[tokio::test]
    async fn the_end_is_no_error_and_nonsense_is() {
        let frame = encode(&Frame::Phase(Phase::new("one"))).unwrap();
        assert!(read_next::<Frame>(&mut &frame[..frame.len() - 1]).await.unwrap().is_none());
        assert!(read_next::<Frame>(&mut &[][..]).await.unwrap().is_none());
        assert!(read_next::<Frame>(&mut &b"\xff\xff\xff\xffHello"[..]).await.is_err());
        assert!(read_next::<Frame>(&mut &b"\x02\0\0\0{]"[..]).await.is_err());
    }
}
