//! A case, and the ways in which it ends.
//!
//! A case is a plain function that gets an [`Env`] and returns [`CaseResult`]. Inside it, `?` fails
//! the case on any error, with the line. [`check!`](crate::check) and
//! [`check_eq!`](crate::check_eq) compare. [`skip`] ends a case because something is missing.
//!
//! Imports run one way: `case` uses [`env`](crate::env), `env` uses `probe` and `sys`, and all of
//! them use [`stop`](crate::stop), which is re-exported here.

use std::{fmt, fs};

#[doc(no_inline)]
pub use crate::stop::{CaseResult, Stop, note, skip};
use crate::{
    env::{Env, Requirement},
    on::On,
    raw, simulated,
};

/// One named case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `area::what_is_tested`, unique among all cases of one kernel.
    pub name: &'static str,
    /// The kernel of the case's contexts and queues. The case's `Display` appends `@threads`,
    /// `@hybrid` or `@sim` to the name.
    pub on: On,
    /// What is true of a kernel that passes, in one line.
    pub summary: &'static str,
    /// The requirements. The case is skipped if one of them isn't met.
    pub requires: &'static [Requirement],
    /// The function of the case. It runs in a process of its own.
    pub run: fn(&Env) -> CaseResult,
}

impl Case {
    /// Makes a case: see the fields.
    pub const fn new(
        name: &'static str,
        summary: &'static str,
        requires: &'static [Requirement],
        run: fn(&Env) -> CaseResult,
    ) -> Self {
        Self {
            name,
            on: On::Native,
            summary,
            requires,
            run,
        }
    }

    /// The same case with queues on another kernel.
    #[must_use]
    pub const fn on(self, on: On) -> Self {
        Self { on, ..self }
    }

    /// Whether no other case may run at the same time, because this one needs a disk or the
    /// system's limits for itself.
    #[must_use]
    pub fn runs_alone(&self) -> bool {
        use Requirement::{Alone, Disk512, Disk4096, SlowDisk};
        self.requires
            .iter()
            .any(|requirement| matches!(requirement, Alone | Disk512 | Disk4096 | SlowDisk))
    }

    /// Checks what the case requires, then runs it in this process.
    ///
    /// # Errors
    ///
    /// [`Stop::Skip`] if a requirement isn't met, which it names. Otherwise the error of the case.
    pub fn execute(&self, env: &Env) -> CaseResult {
        for requirement in self.requires {
            requirement.check(env)?;
        }
        let mut env = env.clone();
        env.on = self.on;
        // The same case may run on other kernels at the same time, with files of the same names.
        if let (Some(directory), true) = (&mut env.targets.directory, self.on != On::Native) {
            directory.push(self.on.to_string());
            fs::create_dir_all(directory)?;
        }
        if self.on == On::Sim {
            simulated::start(env.targets.directory.as_deref())?;
        }
        raw::use_kernel(self.on);
        (self.run)(&env)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.on {
            On::Native => Ok(()),
            on => write!(f, "@{on}"),
        }
    }
}
