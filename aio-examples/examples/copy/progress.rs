//! Progress on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{bar:30} {percent:>3} % of {binary_total_bytes}, \
                        {binary_bytes_per_sec}, {eta} left";

/// A bar with the rate and the time left. It is drawn only if standard error is a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(bytes: u64) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is a constant");
        Self(ProgressBar::new(bytes).with_style(style))
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
