//! Bringing content from its source into a staged file.
//!
//! The network is read by the task, the disk is written by a thread that may block; a short channel
//! between them makes the network wait when the disk is slow. A dropped attempt closes the channel, the
//! thread ends at the next piece and its staged file removes itself.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Client, Response, Url};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::Source;
use crate::action::keep::{Replacement, StagedFile};
use crate::base::Secret;
use crate::base::units::show_bytes;
use crate::http::{broken_transfer, read_text, send, shown, unexpected_status};
use crate::kind::{Context, StepError};
use crate::site::SecretReference;

/// Pieces are at most some ten kilobytes, so this is about a megabyte of memory.
const PIECES_IN_FLIGHT: usize = 32;
/// Thousands of lines; a manifest is longer only by mistake.
const MAX_MANIFEST: u64 = 4 << 20;

/// Runs what blocks on a thread that may.
pub(super) async fn in_background<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, StepError>
where
    T: Send + 'static,
    E: Into<StepError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(StepError::because("bug: the file could not be worked on", &error)),
    }
}

/// Fetches for one attempt.
pub(super) struct Fetcher<'a> {
    client: Client,
    /// The token and the address it is meant for: a manifest of another host must not see it.
    token: Option<(Secret<String>, Url)>,
    context: &'a Context,
}

impl<'a> Fetcher<'a> {
    pub(super) async fn new(
        client: Client,
        bearer: Option<&SecretReference>,
        source: &Source,
        context: &'a Context,
    ) -> Result<Self, StepError> {
        let token = match (bearer, source) {
            (Some(bearer), Source::Address(url)) => Some((context.secret(bearer).await?, url.clone())),
            _ => None,
        };
        Ok(Fetcher { client, token, context })
    }

    /// The text of a manifest.
    pub(super) async fn read_small(&self, source: &Source) -> Result<String, StepError> {
        match source {
            Source::Address(url) => read_text(self.get(url, "the manifest").await?, MAX_MANIFEST, self.context).await,
            Source::File(path) => {
                let path = path.clone();
                in_background(move || read_small_file(&path)).await
            }
        }
    }

    /// The whole content, beside the file it will become.
    pub(super) async fn fetch(
        &self,
        source: &Source,
        replacement: &Replacement,
        limit: u64,
    ) -> Result<StagedFile, StepError> {
        match source {
            Source::Address(url) => {
                let response = self.get(url, "the mirror").await?;
                if response.content_length().is_some_and(|announced| announced > limit) {
                    return Err(too_large(&shown(url), limit));
                }
                self.receive(response, replacement, limit).await
            }
            Source::File(path) => copy(path.clone(), replacement.clone(), limit).await,
        }
    }

    async fn get(&self, url: &Url, what: &str) -> Result<Response, StepError> {
        let mut request = self.client.get(url.clone());
        if let Some((token, _)) = self.token.as_ref().filter(|(_, meant_for)| meant_for.origin() == url.origin()) {
            request = request.bearer_auth(token.reveal());
        }
        let response = send(request, self.context).await?;
        if response.status().is_success() { Ok(response) } else { Err(unexpected_status(what, &response)) }
    }

    async fn receive(
        &self,
        mut response: Response,
        replacement: &Replacement,
        limit: u64,
    ) -> Result<StagedFile, StepError> {
        let url = response.url().clone();
        let (sender, receiver) = mpsc::channel::<Bytes>(PIECES_IN_FLIGHT);
        let place = replacement.clone();
        let writer = in_background(move || write_pieces(&place, receiver));
        let reader = async move {
            let mut received = 0_u64;
            while let Some(piece) =
                response.chunk().await.map_err(|error| broken_transfer(&url, received, error, self.context))?
            {
                received += piece.len() as u64;
                if received > limit {
                    return Err(too_large(&shown(&url), limit));
                }
                // A closed channel means that writing failed; the writer says why.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        // Both to their end: the reader's error explains a short file, the writer's a closed channel.
        let (read, written) = tokio::join!(reader, writer);
        read.and(written)
    }
}

fn too_large(place: &str, limit: u64) -> StepError {
    StepError::new(format!("{place} is larger than {}", show_bytes(limit))).help("raise `size_limit` if that is right")
}

fn write_pieces(replacement: &Replacement, mut pieces: mpsc::Receiver<Bytes>) -> Result<StagedFile, StepError> {
    let mut staged = replacement.stage()?;
    while let Some(piece) = pieces.blocking_recv() {
        staged.write_all(&piece).map_err(|error| cannot_write(&staged, &error))?;
    }
    Ok(staged)
}

fn cannot_write(staged: &StagedFile, error: &std::io::Error) -> StepError {
    StepError::because(format!("cannot write {}", staged.path().display()), error)
        .help("nothing was replaced; is there room on the file system?")
}

fn read_small_file(path: &Path) -> Result<String, StepError> {
    let cannot = |error: std::io::Error| {
        StepError::because(format!("cannot read the manifest {}", path.display()), &error)
            .help("`manifest_file` or `manifest` says where it is")
    };
    let mut text = String::new();
    File::open(path).map_err(cannot)?.take(MAX_MANIFEST + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(StepError::new(format!(
            "the manifest {} is larger than {}",
            path.display(),
            show_bytes(MAX_MANIFEST)
        )));
    }
    Ok(text)
}

/// Tells a thread that nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn copy(from: PathBuf, replacement: Replacement, limit: u64) -> Result<StagedFile, StepError> {
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(stop.clone());
    in_background(move || copy_file(&from, &replacement, limit, &stop)).await
}

fn copy_file(from: &Path, replacement: &Replacement, limit: u64, stop: &AtomicBool) -> Result<StagedFile, StepError> {
    let shown = from.display();
    let cannot = |error: std::io::Error| {
        StepError::because(format!("cannot read {shown}"), &error).help("check the path and its permissions")
    };
    let mut source = File::open(from).map_err(cannot)?;
    if !source.metadata().map_err(cannot)?.is_file() {
        return Err(StepError::new(format!("{shown} is not a regular file")).help("name a file, not a folder"));
    }
    let mut staged = replacement.stage()?;
    let mut buffer = vec![0_u8; 1 << 20];
    while !stop.load(Ordering::Relaxed) {
        let length = source.read(&mut buffer).map_err(cannot)?;
        if length == 0 {
            return Ok(staged);
        }
        staged.write_all(&buffer[..length]).map_err(|error| cannot_write(&staged, &error))?;
        if staged.bytes() > limit {
            return Err(too_large(&shown.to_string(), limit));
        }
    }
    Err(StepError::new("cancelled before it was finished"))
}
