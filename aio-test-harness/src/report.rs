//! The lines of a report, each a JSON object. `--json` prints them on a host, and a guest sends
//! them to its host.
//!
//! A complete run is one [`Line::Hello`], then for each case a [`Line::Start`] and a
//! [`Line::Case`], then one [`Line::End`]. If a run breaks off, the last line tells where: a
//! `Start` without its `Case` names the case that broke it.
//!
//! ```
//! use aio_test_harness::report::{Line, Outcome};
//!
//! let json = r#"{"type":"case","name":"a::b","outcome":"passed","reason":null,"seconds":0.01}"#;
//! let line: Line = json.parse()?;
//! assert!(matches!(line, Line::Case { outcome: Outcome::Passed, .. }));
//! assert_eq!(line.to_string().parse::<Line>()?, line);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One line of a report.
///
/// [`Display`](fmt::Display) and [`FromStr`] are the JSON form, without the line feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    /// The run begins.
    Hello {
        /// The kernel's release, as `uname -r` prints it.
        release: String,
        /// The architecture of the conformance program: see [`ARCH`].
        arch: String,
        /// The number of cases that are going to run.
        cases: usize,
    },
    /// A case begins.
    Start {
        /// The case's name.
        name: String,
    },
    /// A case has ended.
    Case {
        /// The case's name.
        name: String,
        /// The case's outcome.
        outcome: Outcome,
        /// Why the case failed or was skipped. A case that passed usually has none.
        reason: Option<String>,
        /// The time that the case took, in seconds.
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

/// The outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The kernel answered as documented.
    Passed,
    /// The kernel answered something else, or the case crashed or timed out.
    Failed,
    /// The case can't run here. The reason says what is missing.
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

/// The number of cases with each outcome.
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

/// The architecture that this program was built for, by its name in the whole project: `x86_64`,
/// `aarch64`, `riscv64`, `s390x`, `powerpc64le`, `i686` or `armhf`. Other architectures have the
/// compiler's name.
///
/// An `i686` program on a 64-bit kernel is `i686`. Its calls take the kernel's compat path.
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

    /// Other programs read the lines, so each byte counts.
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
                    name: "a".into(),
                    outcome: Outcome::Skipped,
                    reason: Some("a\nb".into()),
                    seconds: 0.25,
                },
                r#"{"type":"case","name":"a","outcome":"skipped","reason":"a\nb","seconds":0.25}"#,
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
