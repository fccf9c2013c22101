//! The options of the guest on the kernel's command line.

use std::{fs, io, str::FromStr, time::Duration};

use crate::{filter::Filter, guest::sabotage::Sabotage};

/// The `aio.*` words of the command line.
#[derive(Debug, PartialEq)]
pub(super) struct Options {
    pub(super) filter: Filter,
    /// Runs the cases of [`cases::compared`](crate::cases::compared) alone.
    pub(super) compares: bool,
    pub(super) timeout: Duration,
    pub(super) sabotage: Sabotage,
    /// The arguments of the program that runs instead of the cases.
    pub(super) errand: Option<Vec<String>>,
}

impl Options {
    /// Reads `/proc/cmdline`.
    pub(super) fn read() -> io::Result<Self> {
        fs::read_to_string("/proc/cmdline")?
            .parse()
            .map_err(io::Error::other)
    }
}

impl FromStr for Options {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut options = Self {
            filter: Filter::default(),
            compares: false,
            timeout: Duration::from_secs(60),
            sabotage: Sabotage::None,
            errand: None,
        };
        for word in line.split_ascii_whitespace() {
            let Some((name, value)) = word.strip_prefix("aio.").and_then(|w| w.split_once('='))
            else {
                continue;
            };
            let wrong = || format!("kernel command line: {word} is not understood");
            match name {
                "case" => options.filter = Filter::new(value),
                "compare" if value == "sim" => options.compares = true,
                "timeout" => {
                    options.timeout = Duration::from_secs(value.parse().map_err(|_| wrong())?);
                }
                "run" => options.errand = Some(value.split(',').map(str::to_owned).collect()),
                "sabotage" => options.sabotage = value.parse().map_err(|()| wrong())?,
                _ => return Err(wrong()),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_words_count() {
        let options: Options =
            "console=ttyS0 aio.case=a::b panic=-1 aio.timeout=7 aio.sabotage=die\n"
                .parse()
                .unwrap();
        assert_eq!(options.filter, Filter::new("a::b"));
        assert_eq!(options.timeout, Duration::from_secs(7));
        assert_eq!(options.sabotage, Sabotage::Die);
        let options: Options = "console=ttyS0".parse().unwrap();
        assert_eq!(options.filter, Filter::default());
        assert_eq!(options.sabotage, Sabotage::None);
        assert!(!options.compares);
        let options: Options = "aio.compare=sim".parse().unwrap();
        assert!(options.compares);
    }

    #[test]
    fn an_errand_is_a_list_of_arguments() {
        let options: Options = "aio.run=stress,--seconds=3,disk:raw512".parse().unwrap();
        let expected = ["stress", "--seconds=3", "disk:raw512"].map(str::to_owned);
        assert_eq!(options.errand, Some(expected.to_vec()));
    }

    #[test]
    fn a_wrong_word_of_ours_is_named() {
        for word in [
            "aio.sabotage=x",
            "aio.timeout=soon",
            "aio.compare=x",
            "aio.cases=1",
        ] {
            assert!(word.parse::<Options>().unwrap_err().contains(word));
        }
    }
}
