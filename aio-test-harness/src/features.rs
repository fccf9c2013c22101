//! What a storage supports, as the cases named `features::` find it out and programs read it.
//!
//! Such a case passes whatever the answers are. Its note is a [`Features`] as text.
//!
//! ```
//! use aio_test_harness::features::Features;
//!
//! let note = "ext4: direct I/O = yes; ATOMIC write = no (EOPNOTSUPP)";
//! let features: Features = note.parse().unwrap();
//! assert_eq!(features.storage, "ext4");
//! assert_eq!(features.answers[1].feature, "ATOMIC write");
//! assert!(features.answers[0].is_yes() && !features.answers[1].is_yes());
//! assert_eq!(features.to_string(), note);
//! ```

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What the names of the cases begin with.
pub const AREA: &str = "features::";

/// The answer if it works.
pub const YES: &str = "yes";

/// What one storage supports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// The storage: a disk with its length of blocks, or a file system.
    pub storage: String,
    /// An answer for each feature.
    pub answers: Vec<Answer>,
}

/// Whether a feature is supported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The feature's name.
    pub feature: String,
    /// [`YES`], and perhaps more words; or another text, which says why not.
    pub answer: String,
}

impl Answer {
    /// Whether the feature is supported.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        self.answer.starts_with(YES)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.storage)?;
        for (n, Answer { feature, answer }) in self.answers.iter().enumerate() {
            let separator = if n > 0 { "; " } else { "" };
            write!(f, "{separator}{feature} = {answer}")?;
        }
        Ok(())
    }
}

/// The error of a text that isn't one of [`Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFeatures;

impl fmt::Display for NoFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text names no storage with its features")
    }
}

impl std::error::Error for NoFeatures {}

impl FromStr for Features {
    type Err = NoFeatures;

    fn from_str(text: &str) -> Result<Self, NoFeatures> {
        let (storage, answers) = text.split_once(": ").ok_or(NoFeatures)?;
        let answer = |part: &str| {
            let (feature, answer) = part.split_once(" = ").ok_or(NoFeatures)?;
            Ok(Answer {
                feature: feature.to_owned(),
                answer: answer.to_owned(),
            })
        };
        Ok(Self {
            storage: storage.to_owned(),
            answers: answers.split("; ").map(answer).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_names_no_features() {
        for text in [
            "",
            "a = yes",
            "took 3 s",
            "not compared: all",
            "ext4: a = yes; b",
        ] {
            assert_eq!(text.parse::<Features>(), Err(NoFeatures), "{text}");
        }
    }
}
