//! Signals that end the program, which removes the new file first.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    low_level::{emulate_default_handler, signal_name},
};

/// The signal that came last, or 0.
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// From now on, the signals don't end the program by themselves.
    pub(crate) fn catch() -> Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&caught), signal as usize)
                .context("can't catch signals")?;
        }
        Ok(Self(caught))
    }

    /// It isn't 0 if a signal came.
    pub(crate) fn flag(&self) -> &AtomicUsize {
        &self.0
    }

    /// An error if a signal came.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.0.load(Ordering::Relaxed) == 0, "interrupted");
        Ok(())
    }

    /// If a signal came, ends the program as the signal does without a handler.
    pub(crate) fn end_if_caught(&self) {
        let signal = self.0.load(Ordering::Relaxed) as i32;
        if signal != 0 {
            let name = signal_name(signal).unwrap_or("a signal");
            eprintln!("copy: interrupted by {name}, nothing is left behind");
            // It can only fail for signals that don't end a program.
            let _ = emulate_default_handler(signal);
        }
    }
}
