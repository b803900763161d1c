//! Both outputs of a program, and its input.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use futures_util::future::{Either, join, select};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::Capture;
use crate::base::live::Tail;

/// The result of `main`; `background` makes progress meanwhile and may end earlier.
pub async fn alongside<T>(
    main: Pin<&mut impl Future<Output = T>>,
    background: Pin<&mut impl Future<Output = ((), ())>>,
) -> T {
    match select(main, background).await {
        Either::Left((result, _)) => result,
        Either::Right((_, main)) => main.await,
    }
}

/// Both outputs. They are read side by side: a program that fills one pipe while the other is being
/// waited for would never end.
pub struct Outputs {
    pub stdout: (pipe::Receiver, Capture),
    pub stderr: (pipe::Receiver, Capture),
}

impl Outputs {
    /// `tail` shows both of them to whoever looks on.
    pub fn new(stdout: OwnedFd, stderr: OwnedFd, tail: Option<&Tail>) -> std::io::Result<Self> {
        let open =
            |end| Ok::<_, std::io::Error>((pipe::Receiver::from_owned_fd(end)?, Capture::seen_by(tail.cloned())));
        Ok(Outputs { stdout: open(stdout)?, stderr: open(stderr)? })
    }

    pub async fn drain(&mut self) {
        join(self.stdout.1.fill(&mut self.stdout.0), self.stderr.1.fill(&mut self.stderr.0)).await;
    }
}

/// Writes the text and closes standard input. A program may end without reading all of it, so a
/// broken pipe is not an error.
pub async fn feed(stdin: Option<OwnedFd>, text: String) {
    let Some(Ok(mut writer)) = stdin.map(pipe::Sender::from_owned_fd) else { return };
    let _ = writer.write_all(text.as_bytes()).await;
}
