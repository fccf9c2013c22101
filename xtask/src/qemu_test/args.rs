//! What `cargo xtask qemu-test` is told.

use std::{num::NonZero, path::PathBuf, thread};

use anyhow::{Result, bail};

use super::matrix::LONG_LIVED;
use crate::{
    arch::{self, Arch},
    packages::Install,
};

/// What says something of the run of cases, which isn't one run then.
const NOT_WITH_SELF_CHECK: [&str; 7] =
    ["case", "full", "json", "keep", "parity", "report", "resume"];

/// Boots kernels in QEMU and runs the conformance program on each.
///
/// Installs QEMU and cross compilers with apt when they are missing, after printing the command.
/// Downloads kernels from the Debian archive that this machine's apt uses, and keeps them in the
/// user's cache directory for the next run.
///
/// Exits with 1 when a case failed, when a guest hung, panicked or reported nothing, or when a
/// kernel isn't available; the other guests still run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) guests: Guests,

    /// Boot everything that the archive has whole: `--kernel all`, and `all-16k` where there are
    /// such kernels. Says at the start how long that takes, if earlier runs tell.
    #[arg(long, conflicts_with = "kernels")]
    pub(crate) full: bool,

    /// Go on with a run that was interrupted: boot only the guests that hadn't ended. Results, also
    /// those of guests that failed, are kept in cargo's build directory. They hold as long as the
    /// tested programs, the kernel and this command are the same.
    #[arg(long)]
    pub(crate) resume: bool,

    /// Run only the cases whose name contains this.
    #[arg(long, value_name = "FILTER", value_parser = one_word)]
    pub(crate) case: Option<String>,

    /// The time limit for a guest, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "600",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) timeout: u64,

    /// Write the results to this file as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the results to this directory as well: a page (`index.html`), XML for build servers
    /// (`junit.xml`) and a picture of the grid (`grid.svg`). It is made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,

    /// Run only the cases of the simulated kernel, there and on the guests' kernels, and write a
    /// table of what they share to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "case")]
    pub(crate) parity: Option<PathBuf>,

    /// Test this command instead of the kernels: boot guests that fail, hang, panic and die on
    /// purpose, and check that each is reported correctly.
    #[arg(long, conflicts_with_all = NOT_WITH_SELF_CHECK)]
    pub(crate) self_check: bool,

    /// What the guest does wrong on purpose.
    #[arg(long, hide = true, value_parser = ["fail", "hang", "panic", "die"])]
    pub(crate) sabotage: Option<String>,
}

/// The options of every command that boots guests: which guests, and where their parts come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Guests {
    #[arg(long, value_name = "ARCH", value_parser = arch::values(), help = arch_help())]
    arch: Vec<String>,

    #[arg(long = "kernel", value_name = "KERNEL", help = kernel_help())]
    pub(crate) kernels: Vec<String>,

    /// The modules of the kernel that `--kernel` gives by its path: its `lib/modules/VERSION`. By
    /// default they are looked for beside the kernel, in the usual places.
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,

    /// How many guests run at once [default: two for each processor].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,

    /// Keep each guest's console log, report and disks, and print the directory.
    #[arg(long)]
    pub(crate) keep: bool,

    /// The Debian archive to get kernels from, instead of the one in apt's configuration.
    #[arg(long, value_name = "URI")]
    pub(crate) mirror: Option<String>,

    /// Install nothing: when a package is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

fn arch_help() -> String {
    format!(
        "The user space to test, or all of them. 32-bit programs run on 64-bit kernels. Can be \
         repeated [default: {}]",
        main_names()
    )
}

fn kernel_help() -> String {
    format!(
        "The kernel to boot. A series of the archive: a number such as 6.1, or oldest, or newest, \
         or all. The newest complete release of the series is used. `-16k` behind it stands for \
         kernels with such pages (aarch64): 6.12-16k, all-16k. Or the path of a kernel, with a \
         slash: see --modules. Can be repeated [default: {} and newest on {}, {} on the others]",
        LONG_LIVED.join(", "),
        main_names(),
        arch::STABLE_SERIES
    )
}

fn main_names() -> String {
    let names: Vec<&str> = arch::main().map(|arch| arch.name).collect();
    names.join(" and ")
}

/// A filter goes through the kernel's command line, where spaces can't be quoted.
fn one_word(filter: &str) -> Result<String> {
    if filter.is_empty() || filter.contains(|c: char| c.is_whitespace() || c == '"') {
        bail!("a filter is part of a case's name, without spaces or quotes");
    }
    Ok(filter.to_owned())
}

impl Args {
    /// The kernels that were asked for. None at all are the default ones.
    pub(crate) fn kernels(&self) -> Vec<String> {
        if !self.full {
            return self.guests.kernels.clone();
        }
        let mut kernels = vec!["all".to_owned()];
        for arch in self.guests.archs() {
            for (size, _) in arch.platform.other_pages {
                let name = format!("all-{size}");
                if !kernels.contains(&name) {
                    kernels.push(name);
                }
            }
        }
        kernels
    }
}

impl Guests {
    /// Guests of these architectures.
    pub(crate) fn of(archs: &[&'static Arch], mirror: Option<String>, install: Install) -> Self {
        Self {
            arch: archs.iter().map(|arch| arch.name.to_owned()).collect(),
            kernels: Vec::new(),
            modules: None,
            jobs: None,
            keep: false,
            mirror,
            no_install: install == Install::No,
        }
    }

    /// The architectures that were asked for; the main ones when none was.
    pub(crate) fn archs(&self) -> Vec<&'static Arch> {
        if self.arch.is_empty() {
            arch::main().collect()
        } else {
            arch::named(&self.arch)
        }
    }

    /// Whether an architecture or a kernel was named.
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
    fn the_main_architectures_are_the_default() {
        assert_eq!(archs(&[]), ["x86_64", "aarch64"]);
        assert_eq!(archs(&["--arch", "s390x"]), ["s390x"]);
        assert_eq!(archs(&["--arch", "all"]).len(), arch::all().len());
        for unknown in ["vax", "every"] {
            assert!(Cli::try_parse_from(["qemu-test", "--arch", unknown]).is_err());
        }
    }

    #[test]
    fn full_is_every_kernel_that_there_is() {
        let kernels = |line: &[&str]| {
            let cli = Cli::try_parse_from([&["qemu-test", "--full"], line].concat());
            cli.unwrap().args.kernels()
        };
        assert_eq!(kernels(&[]), ["all", "all-16k"]);
        assert_eq!(kernels(&["--arch", "x86_64"]), ["all"]);
        assert!(Cli::try_parse_from(["qemu-test", "--full", "--kernel", "6.1"]).is_err());
    }

    #[test]
    fn a_filter_is_one_word() {
        assert!(Cli::try_parse_from(["qemu-test", "--case", "a b"]).is_err());
        assert!(Cli::try_parse_from(["qemu-test", "--case", ""]).is_err());
        assert!(Cli::try_parse_from(["qemu-test", "--case", "submit"]).is_ok());
    }
}
