//! Ctrl-C once: stop starting, clean up. Twice: end everything now.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Each message is a wish to stop; `true` for one that will not wait.
pub fn stop_requests() -> std::io::Result<mpsc::UnboundedReceiver<bool>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut hard = false;
        loop {
            let received = tokio::select! {
                received = interrupts.recv() => received,
                received = terminations.recv() => received,
            };
            if received.is_none() || sender.send(hard).is_err() {
                return;
            }
            hard = true;
        }
    });
    Ok(receiver)
}
