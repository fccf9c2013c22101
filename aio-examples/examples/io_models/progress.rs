//! Progress on a terminal, below the output.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the name of the model that runs. It is drawn only if standard error is a terminal,
/// and only between runs: it takes no CPU time from a run.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(runs: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}")
            .expect("the template is a constant");
        Self(ProgressBar::new(runs as u64).with_style(style))
    }

    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
        self.0.tick();
    }

    pub(crate) fn done(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
