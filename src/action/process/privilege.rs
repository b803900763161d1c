//! Starts programs that can never gain privileges (`no_new_privs` of the kernel, prctl(2)).
//!
//! The mark belongs to a thread, passes to what it starts and cannot be taken back. Setting it between
//! fork and exec would cost the fast way of starting programs, and setting it on the engine's own thread
//! would take `sudo` from the steps that are allowed it. So one thread bears the mark and starts programs.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};

type Order = (Command, Sender<io::Result<Child>>);

static SPAWNER: LazyLock<io::Result<Mutex<Sender<Order>>>> = LazyLock::new(|| {
    let (sender, orders) = channel();
    std::thread::Builder::new().name("spawner".into()).stack_size(128 << 10).spawn(move || serve(&orders))?;
    Ok(Mutex::new(sender))
});

/// Starts the program without a way to more privileges than the engine has.
pub fn spawn_unprivileged(command: Command) -> io::Result<Child> {
    let spawner = SPAWNER.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (answer, result) = channel();
    let gone = |_| io::Error::other("the thread that starts programs has ended");
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer)).map_err(|_| gone(()))?;
    result.recv().map_err(|_| gone(()))?
}

fn serve(orders: &Receiver<Order>) {
    let marked = rustix::thread::set_no_new_privs(true);
    while let Ok((mut command, answer)) = orders.recv() {
        let started = match marked {
            Ok(()) => command.spawn(),
            Err(error) => Err(error.into()),
        };
        // The starting thread waits for the answer; it is gone only when the program ends.
        let _ = answer.send(started);
    }
}
