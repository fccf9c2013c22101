//! Starting a thread that takes none of the process's signals.

#[cfg(not(loom))]
pub(super) fn start(run: impl FnOnce() + Send + 'static) -> bool {
    // A thread inherits the blocked signals. The program's signals are left to its own threads.
    let signals = crate::signals::Blocked::all();
    let started = std::thread::Builder::new()
        .name("aio-safe-io".to_owned())
        .stack_size(STACK)
        .spawn(run)
        .is_ok();
    drop(signals);
    started
}

/// Enough for system calls: no foreign code runs here.
#[cfg(not(loom))]
const STACK: usize = 128 * 1024;

#[cfg(loom)]
pub(super) fn start(run: impl FnOnce() + Send + 'static) -> bool {
    loom::thread::spawn(run);
    true
}
