//! What a case is, and how it says what it found.
//!
//! A case is a plain function that gets an [`Env`] and returns [`CaseResult`]. Inside it, `?` on any error
//! fails the case and keeps the line; [`check!`](crate::check) and
//! [`check_eq!`](crate::check_eq) compare; [`skip`] gives up because something is missing.
//!
//! Imports run one way: `case` uses [`env`](crate::env), `env` uses `probe` and `sys`, and all of
//! them use `stop`, which is re-exported here.

use crate::env::{Env, Requirement};
#[doc(no_inline)]
pub use crate::stop::{CaseResult, Stop, skip};

/// One named case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `area::what_is_tested`, unique among all cases.
    pub name: &'static str,
    /// What is true of a kernel that passes, in one line.
    pub summary: &'static str,
    /// What must be there; without it the case is skipped.
    pub requires: &'static [Requirement],
    /// The case itself. It runs in a process of its own.
    pub run: fn(&Env) -> CaseResult,
}

impl Case {
    /// A case, see the fields.
    pub const fn new(
        name: &'static str,
        summary: &'static str,
        requires: &'static [Requirement],
        run: fn(&Env) -> CaseResult,
    ) -> Self {
        Self {
            name,
            summary,
            requires,
            run,
        }
    }

    /// Whether no other case may run at the same time: it needs something of which there is one.
    #[must_use]
    pub fn runs_alone(&self) -> bool {
        use Requirement::{Alone, Disk512, Disk4096};
        self.requires
            .iter()
            .any(|requirement| matches!(requirement, Alone | Disk512 | Disk4096))
    }

    /// Checks what the case requires, then runs it in this process.
    ///
    /// # Errors
    ///
    /// [`Stop::Skip`] names the first requirement that isn't met; otherwise what the case returned.
    pub fn execute(&self, env: &Env) -> CaseResult {
        for requirement in self.requires {
            requirement.check(env)?;
        }
        (self.run)(env)
    }
}
