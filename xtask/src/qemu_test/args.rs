//! What `cargo xtask qemu-test` is told.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use anyhow::{Result, bail};

use crate::arch::{self, Arch};
use crate::packages::Install;

/// Boots kernels in QEMU and runs the conformance program on each.
///
/// Everything that is missing is installed or downloaded first: QEMU and cross compilers with apt
/// (after printing the command), kernels from the Debian archive that this machine's apt is set up
/// for. Kernels stay in the user's cache directory, so that the next run boots at once.
///
/// Exits with 1 when a case failed or a guest hung, panicked or reported nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) guests: Guests,

    /// Run only the cases whose name contains this.
    #[arg(long, value_name = "FILTER", value_parser = one_word)]
    pub(crate) case: Option<String>,

    /// Seconds that a guest may take from its start to its end.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,

    /// Write the results to this file as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Instead of testing the kernels, test this command: boot guests that fail, hang, panic and die
    /// on purpose, and check that each is reported as what it is.
    #[arg(long, conflicts_with_all = ["case", "json", "keep"])]
    pub(crate) self_check: bool,

    /// What the guest is to do wrong on purpose: fail, hang, panic or die.
    #[arg(long, hide = true, value_parser = ["fail", "hang", "panic", "die"])]
    pub(crate) sabotage: Option<String>,
}

/// What every command that boots guests is told: which there are to be, and how to come by them.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "it is help text too, which shows backticks as they are"
)]
pub(crate) struct Guests {
    /// The user space to test: x86_64, aarch64, riscv64, s390x, powerpc64le, i686 (on x86_64
    /// kernels), armhf (on aarch64 kernels), all (the first two) or every (all seven); repeatable
    /// [default: all].
    #[arg(long, value_name = "ARCH", value_parser = arch_names())]
    arch: Vec<String>,

    /// The kernel series to boot, such as 6.1, or `oldest` or `newest`; repeatable [default: 5.10, 6.1,
    /// 6.12 and the newest released one on x86_64 and aarch64, 6.12 elsewhere].
    #[arg(long = "kernel", value_name = "SERIES")]
    pub(crate) kernels: Vec<String>,

    /// How many guests run at once [default: two for each processor, as they wait a lot].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,

    /// Keep each guest's console log, reported lines and disks, and say where.
    #[arg(long)]
    pub(crate) keep: bool,

    /// The Debian archive to get kernels from, instead of the one in apt's configuration.
    #[arg(long, value_name = "URI")]
    pub(crate) mirror: Option<String>,

    /// Install nothing: when a package is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

fn arch_names() -> clap::builder::PossibleValuesParser {
    let names = arch::all().iter().map(|arch| arch.name);
    names.chain(["all", "every"]).collect::<Vec<_>>().into()
}

/// The kernel's command line has no way to quote a space.
fn one_word(filter: &str) -> Result<String> {
    if filter.is_empty() || filter.contains(|c: char| c.is_whitespace() || c == '"') {
        bail!("a filter is part of a case's name, without spaces or quotes");
    }
    Ok(filter.to_owned())
}

impl Guests {
    /// The architectures that were asked for, each once, in the table's order.
    pub(crate) fn archs(&self) -> Vec<&'static Arch> {
        let asked = |arch: &&Arch| {
            let main = arch::MAIN.contains(&arch.name);
            self.arch.is_empty() && main
                || self.arch.iter().any(|name| match name.as_str() {
                    "every" => true,
                    "all" => main,
                    name => name == arch.name,
                })
        };
        arch::all().iter().filter(asked).collect()
    }

    /// Whether anything was said about which guests there are to be.
    pub(crate) fn were_named(&self) -> bool {
        !self.arch.is_empty() || !self.kernels.is_empty()
    }

    pub(crate) fn jobs(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        self.jobs.map_or_else(|| 2 * processors(), NonZero::get)
    }

    pub(crate) fn install(&self) -> Install {
        if self.no_install {
            Install::No
        } else {
            Install::Yes
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn archs(line: &[&str]) -> Vec<&'static str> {
        let cli = Cli::try_parse_from([&["qemu-test"], line].concat()).unwrap();
        cli.args
            .guests
            .archs()
            .iter()
            .map(|arch| arch.name)
            .collect()
    }

    #[test]
    fn architectures_are_named_one_by_one_or_together() {
        assert_eq!(archs(&[]), ["x86_64", "aarch64"]);
        assert_eq!(
            archs(&["--arch", "s390x", "--arch", "i686"]),
            ["s390x", "i686"]
        );
        assert_eq!(archs(&["--arch", "every"]).len(), 7);
        assert_eq!(
            archs(&["--arch", "all", "--arch", "x86_64"]),
            ["x86_64", "aarch64"]
        );
        assert!(Cli::try_parse_from(["qemu-test", "--arch", "vax"]).is_err());
    }

    #[test]
    fn a_filter_is_one_word() {
        assert!(Cli::try_parse_from(["qemu-test", "--case", "a b"]).is_err());
        assert!(Cli::try_parse_from(["qemu-test", "--case", ""]).is_err());
        assert!(Cli::try_parse_from(["qemu-test", "--case", "submit"]).is_ok());
    }
}
