//! The lines that a run writes, one JSON object each: what `--json` prints on a host, and what a guest
//! sends to the machine that started it.
//!
//! A run that got through is one [`Line::Hello`], then for each case a [`Line::Start`] and a
//! [`Line::Case`], then one [`Line::End`]. Whatever is missing tells how far a run came that didn't: a
//! `Start` without its `Case` names the case that took the machine down.
//!
//! ```
//! use aio_test_harness::report::{Line, Outcome};
//!
//! let line: Line = r#"{"type":"case","name":"setup::zero","outcome":"passed","reason":null,"seconds":0.01}"#.parse()?;
//! assert!(matches!(line, Line::Case { outcome: Outcome::Passed, .. }));
//! assert_eq!(line.to_string().parse::<Line>()?, line);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One line of a report.
///
/// [`Display`](fmt::Display) and [`FromStr`] are its JSON form, without the line feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    /// The run begins.
    Hello {
        /// The kernel's release, as `uname -r` prints it.
        release: String,
        /// What the conformance program was built for, see [`ARCH`].
        arch: String,
        /// How many cases are going to run.
        cases: usize,
    },
    /// A case begins.
    Start {
        /// Its name.
        name: String,
    },
    /// A case has ended.
    Case {
        /// Its name.
        name: String,
        /// How it ended.
        outcome: Outcome,
        /// Why it failed or was skipped; nothing when it passed.
        reason: Option<String>,
        /// How long it took.
        seconds: f64,
    },
    /// The run has ended.
    End(Totals),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Line {
    type Err = serde_json::Error;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(line)
    }
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The kernel answered as documented.
    Passed,
    /// It did not, or the case crashed or ran out of time.
    Failed,
    /// The case couldn't be run here; the reason says what is missing.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that were skipped.
    pub skipped: usize,
}

impl Totals {
    /// Counts one more case.
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }
}

/// What this program was built for, by the name that the whole project uses: `x86_64`, `aarch64`,
/// `riscv64`, `s390x`, `powerpc64le`, `i686`, `armhf`; elsewhere the compiler's own name for it.
///
/// An `i686` program on a 64-bit kernel is `i686`: its calls take the kernel's compat path.
pub const ARCH: &str = if cfg!(target_arch = "x86") {
    "i686"
} else if cfg!(target_arch = "arm") {
    "armhf"
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    "powerpc64le"
} else {
    std::env::consts::ARCH
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are a contract with whoever reads them: exactly these bytes.
    #[test]
    fn lines_are_written_as_agreed() {
        let cases = [
            (
                Line::Hello {
                    release: "6.1.0-1".into(),
                    arch: "s390x".into(),
                    cases: 43,
                },
                r#"{"type":"hello","release":"6.1.0-1","arch":"s390x","cases":43}"#,
            ),
            (
                Line::Start {
                    name: "a::b".into(),
                },
                r#"{"type":"start","name":"a::b"}"#,
            ),
            (
                Line::Case {
                    name: "a::b".into(),
                    outcome: Outcome::Passed,
                    reason: None,
                    seconds: 0.5,
                },
                r#"{"type":"case","name":"a::b","outcome":"passed","reason":null,"seconds":0.5}"#,
            ),
            (
                Line::Case {
                    name: "a::b".into(),
                    outcome: Outcome::Skipped,
                    reason: Some("no\ndisk".into()),
                    seconds: 0.25,
                },
                r#"{"type":"case","name":"a::b","outcome":"skipped","reason":"no\ndisk","seconds":0.25}"#,
            ),
            (
                Line::End(Totals {
                    passed: 1,
                    failed: 2,
                    skipped: 3,
                }),
                r#"{"type":"end","passed":1,"failed":2,"skipped":3}"#,
            ),
        ];
        for (line, text) in cases {
            assert_eq!(line.to_string(), text);
            assert_eq!(text.parse::<Line>().unwrap(), line);
        }
    }

    #[test]
    fn half_a_line_is_an_error() {
        assert!(r#"{"type":"start","na"#.parse::<Line>().is_err());
        assert!(r#"{"type":"other"}"#.parse::<Line>().is_err());
    }

    #[test]
    fn totals_count_each_outcome() {
        let mut totals = Totals::default();
        for outcome in [
            Outcome::Passed,
            Outcome::Failed,
            Outcome::Skipped,
            Outcome::Passed,
        ] {
            totals.count(outcome);
        }
        assert_eq!(
            totals,
            Totals {
                passed: 2,
                failed: 1,
                skipped: 1
            }
        );
    }
}
