//! The reasons why a case stops: [`Stop`], and the checks that return one.

use std::{
    error::Error,
    fmt,
    panic::Location,
    sync::{Mutex, PoisonError},
};

/// The result of a case.
pub type CaseResult<T = ()> = Result<T, Stop>;

/// Why a case stopped before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Something was not as documented. The text names the line, the value that was got and the one
    /// that was expected.
    Fail(String),
    /// Something that the case requires is missing. The text names it.
    Skip(String),
}

impl Stop {
    /// A failure, with the line of the caller.
    #[track_caller]
    pub fn fail(what: impl fmt::Display) -> Self {
        let at = Location::caller();
        Self::Fail(format!("{}:{}: {what}", at.file(), at.line()))
    }
}

impl<E: Error> From<E> for Stop {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::fail(format_args!("unexpected error: {error}"))
    }
}

/// Skips a case because `what` is missing.
///
/// # Errors
///
/// Always [`Stop::Skip`].
pub fn skip<T>(what: impl fmt::Display) -> CaseResult<T> {
    Err(Stop::Skip(what.to_string()))
}

static NOTE: Mutex<Option<String>> = Mutex::new(None);

/// Notes what a case has measured. If the case passes, the report says this as its reason. A later
/// note takes the place of an earlier one.
pub fn note(what: impl fmt::Display) {
    *NOTE.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_string());
}

/// What was noted in this process.
pub(crate) fn noted() -> Option<String> {
    NOTE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Fails the case unless the condition is true. The other arguments are a message as for `format!`.
#[macro_export]
macro_rules! check {
    ($condition:expr $(,)?) => {
        if !$condition {
            return Err($crate::stop::Stop::fail(concat!("not so: ", stringify!($condition))));
        }
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::stop::Stop::fail(format_args!($($message)+)));
        }
    };
}

/// Fails the case unless the first value, which was got, equals the second one, which is expected.
/// The other arguments are a message as for `format!`.
#[macro_export]
macro_rules! check_eq {
    ($got:expr, $expected:expr $(,)?) => {
        match (&$got, &$expected) {
            (got, expected) if *got == *expected => {}
            (got, expected) => return Err($crate::stop::Stop::fail(format_args!(
                "{}: got {got:?}, expected {expected:?}", stringify!($got)
            ))),
        }
    };
    ($got:expr, $expected:expr, $($message:tt)+) => {
        match (&$got, &$expected) {
            (got, expected) if *got == *expected => {}
            (got, expected) => return Err($crate::stop::Stop::fail(format_args!(
                "{}: got {got:?}, expected {expected:?}", format_args!($($message)+)
            ))),
        }
    };
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn text(result: CaseResult) -> String {
        match result {
            Err(Stop::Fail(text)) => text,
            other => panic!("no failure: {other:?}"),
        }
    }

    #[test]
    fn a_failed_comparison_tells_line_got_and_expected() {
        let text = text((|| {
            check_eq!(1 + 1, 3);
            Ok(())
        })());
        assert!(text.contains(concat!(file!(), ":")), "{text}");
        assert!(text.ends_with("1 + 1: got 2, expected 3"), "{text}");
    }

    #[test]
    fn a_message_replaces_the_expression() {
        let text = text((|| {
            check_eq!(1, 2, "byte {}", 7);
            Ok(())
        })());
        assert!(text.ends_with("byte 7: got 1, expected 2"), "{text}");
    }

    #[test]
    fn a_question_mark_keeps_its_own_line() {
        let line = line!() + 2;
        let text = text((|| {
            Err(io::Error::other("no"))?;
            Ok(())
        })());
        assert!(
            text.contains(&format!("{}:{line}: unexpected error: no", file!())),
            "{text}"
        );
    }

    #[test]
    fn what_holds_passes() {
        let run = || -> CaseResult {
            check!(1 < 2);
            check!(1 < 2, "never {}", "shown");
            check_eq!(2, 2);
            Ok(())
        };
        assert_eq!(run(), Ok(()));
    }
}
