//! Forks at any place, other threads or not.

use std::{
    cell::RefCell,
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    attack::{
        acts::{Event, saw},
        apart,
    },
    sys::fork::{Forked, exit_now, fork_beside_threads},
};

/// Whether this process is a forked child.
static CHILD: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where a child writes what it is about to do. Of one thread, as a child has only one.
    static TRAIL: RefCell<Option<UnixStream>> = const { RefCell::new(None) };
}

/// Whether this process is a forked child: then other threads' locks may stay locked for ever.
pub(in crate::attack) fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}

/// Writes down what a child is about to do. Does nothing in the parent.
pub(in crate::attack) fn trail(text: &str) {
    if !is_child() {
        return;
    }
    TRAIL.with_borrow(|stream| {
        if let Some(mut stream) = stream.as_ref() {
            // A full socket loses it; it is only told of when something is wrong.
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.write_all(b" ");
        }
    });
}

/// Ends a child. What is left to be dropped isn't.
pub(in crate::attack) fn end_child(status: i32) -> ! {
    assert!(is_child(), "only a child ends like this");
    exit_now(status)
}

/// Forks, unless another thread [may be unwinding](apart). True in the child, which has to end with
/// [`end_child`]. The parent waits for that.
///
/// # Errors
///
/// In the parent, what was wrong with the child: it took too long, or ended with another status
/// than 0.
pub(in crate::attack) fn fork(limit: Duration, event: Event) -> Result<bool, String> {
    let Some(forking) = apart::Forking::begin() else {
        return Ok(false);
    };
    saw(event);
    let said = |error: std::io::Error| format!("fork: {error}");
    let (mut reader, writer) = UnixStream::pair().map_err(said)?;
    reader.set_nonblocking(true).map_err(said)?;
    writer.set_nonblocking(true).map_err(said)?;
    // SAFETY: the child runs safe code on this thread's memory until `end_child`. It takes no lock
    // of the program that another thread may hold (`Round` tries its locks in a child), allocates,
    // for which glibc puts its locks in order, panics, though no other thread did so at the fork,
    // and calls aio-safe, which keeps away from what it shares with other threads after a fork:
    // that is what is tested.
    let forked = unsafe { fork_beside_threads() };
    drop(forking);
    match forked.map_err(said)? {
        None => {
            CHILD.store(true, Ordering::Relaxed);
            TRAIL.set(Some(writer));
            Ok(true)
        }
        Some(child) => {
            drop(writer);
            let ended = wait(child, limit);
            ended.map(|()| false).map_err(|what| {
                let mut trail = Vec::new();
                // It ends with an error where the trail does.
                let _ = reader.read_to_end(&mut trail);
                let trail = String::from_utf8_lossy(&trail);
                format!("a forked child {what}; it did: {}", trail.trim_end())
            })
        }
    }
}

/// Waits for the child, and ends it when it takes too long.
fn wait(child: Forked, limit: Duration) -> Result<(), String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if started.elapsed() < limit => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("was still there after {} s", limit.as_secs_f32()));
            }
            Err(error) => return Err(format!("can't be waited for: {error}")),
        }
    }
}
