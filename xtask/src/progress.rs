//! What long work shows on a terminal: one line each, gone when the work is done.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A set of lines below the output. Where standard error is no terminal nothing is drawn, and only
/// what [`Progress::say`] prints is seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    lines: MultiProgress,
}

impl Progress {
    /// A new line that says `what` is going on, with the time that it has taken so far. It goes
    /// away when dropped.
    pub(crate) fn line(&self, what: impl Into<Cow<'static, str>>) -> Line {
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}")
            .expect("the template is a constant");
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(style));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Line(bar)
    }

    /// Prints a line that stays, above those that move.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        self.lines.suspend(|| eprintln!("{}", text.as_ref()));
    }
}

/// One line of a [`Progress`].
#[derive(Debug)]
pub(crate) struct Line(ProgressBar);

impl Line {
    /// Says something else on this line.
    pub(crate) fn set(&self, what: impl Into<Cow<'static, str>>) {
        self.0.set_message(what);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
