//! Progress on a terminal: one line for each piece of long work, which goes when the work is done.

use std::{borrow::Cow, fmt, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

/// A set of lines below the output. They are drawn only if standard error is a terminal; what
/// [`Progress::say`] prints is always shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    lines: MultiProgress,
}

impl Progress {
    /// A new line with `what` is being done, and for how long. It goes away when it is dropped.
    pub(crate) fn line(&self, what: impl Into<Cow<'static, str>>) -> Line {
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}")
            .expect("the template is a constant");
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(style));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Line(bar)
    }

    /// A new line that is drawn several times a second, with what `draw` returns then. It goes away
    /// when it is dropped.
    pub(crate) fn drawn(&self, draw: impl Fn() -> String + Clone + Send + Sync + 'static) -> Line {
        let draw = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            // Nothing can be done about a terminal that doesn't take it.
            out.write_str(&draw()).ok();
        };
        let style = ProgressStyle::with_template("{drawn}").expect("the template is a constant");
        let style = style.with_key("drawn", draw);
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(style));
        bar.enable_steady_tick(Duration::from_millis(500));
        Line(bar)
    }

    /// Prints a line that stays, above the lines of progress.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        self.lines.suspend(|| eprintln!("{}", text.as_ref()));
    }
}

/// One line of a [`Progress`].
#[derive(Debug)]
pub(crate) struct Line(ProgressBar);

impl Line {
    /// Changes what the line says.
    pub(crate) fn set(&self, what: impl Into<Cow<'static, str>>) {
        self.0.set_message(what);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
