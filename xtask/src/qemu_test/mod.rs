//! `cargo xtask qemu-test`: the conformance program on real kernels, each in its own guest.

mod args;
mod disk;
mod guest;
mod initramfs;
mod kernel;
mod matrix;
mod parity;
mod report;
mod self_check;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use aio_test_harness::{cases, env::Requirement, filter::Filter, report::Line};
use anyhow::{Context, Result};

use crate::{
    apt::Mirror,
    interrupt,
    packages::Tool,
    progress::Progress,
    toolchain::{Program, Target, Toolchains},
    workspace,
};
pub(crate) use args::{Args, Guests};
use guest::{Accel, Files, Limits, Machine, Observed, Outcome, Verdict};
use matrix::{Plan, Planned};
use report::Guest;
pub(crate) use report::Report;

/// What runs in the guests.
const CONFORMANCE: Program = Program {
    manifest: None,
    package: "aio-test-harness",
    target: Target::Binary("aio-conformance"),
};

/// A program that one of the cases runs.
const NO_LIBC: Program = Program {
    manifest: Some("aio-sys/examples/no-libc/Cargo.toml"),
    package: "no-libc",
    target: Target::Binary("no-libc"),
};

/// The example `hello` of aio-safe, without what aio-safe's tests need.
const HELLO: Program = Program {
    manifest: None,
    package: "aio-small",
    target: Target::Binary("hello"),
};

/// The examples that cases run, with their paths in the guest.
const EXAMPLES: [(&str, Program); 5] = [
    ("examples/hello", HELLO),
    ("examples/copy", example("copy")),
    ("examples/tokio_kv", example("tokio_kv")),
    ("examples/epoll_server", example("epoll_server")),
    ("examples/io_master", example("io_master")),
];

const fn example(name: &'static str) -> Program {
    Program {
        manifest: None,
        package: "aio-examples",
        target: Target::Example(name),
    }
}

const TOOLS: [Tool; 2] = [
    Tool {
        program: "mkfs.ext4",
        packages: &["e2fsprogs"],
    },
    Tool {
        program: "dpkg-deb",
        packages: &["dpkg"],
    },
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.self_check {
        return self_check::run(args);
    }
    interrupt::catch()?;
    let work = Work::cases(args);
    let report = boot(&args.guests, &args.guests.kernels, &work)?;
    print!("{}{}", report.notes(), report.text());
    if let Some(file) = &args.json {
        report.write_json(file)?;
    }
    if let Some(file) = &args.parity {
        parity::write(&report, file)?;
    }
    report.exit_code()
}

/// Everything that a run needs: the guests to boot, and their programs.
struct Parts {
    plan: Plan,
    programs: Programs,
}

/// Installs the tools that are missing, downloads kernels and builds the programs, with the
/// examples if they are wanted.
fn prepare(
    wanted: &Guests,
    kernels: &[String],
    examples: bool,
    progress: &Progress,
) -> Result<Parts> {
    let archs = wanted.archs();
    // Collected first, so that one command installs all that are missing.
    let mut tools = TOOLS.to_vec();
    for arch in &archs {
        tools.push(arch.platform.qemu);
    }
    let mirror = Mirror::find(wanted.mirror.as_deref())?;
    let toolchains = Toolchains::get(&archs, &tools, &mirror, wanted.install(), progress)?;
    let plan = matrix::plan(&archs, kernels, &mirror, progress)?;
    for why in &plan.unavailable {
        progress.say(format!("notice: {why}"));
    }
    let mut programs = BTreeMap::new();
    for arch in archs {
        if !plan.guests.iter().any(|guest| guest.arch.name == arch.name) {
            continue;
        }
        interrupt::check()?;
        let build = |program| toolchains.build(program, arch, progress);
        let mut built = vec![("init", build(CONFORMANCE)?)];
        if arch.no_libc {
            built.push(("no-libc", build(NO_LIBC)?));
        }
        // Other architectures have one guest each, and building for them takes as long.
        if examples && arch.is_main() {
            let files = EXAMPLES.map(|(_, program)| program);
            let files = toolchains.build_quickly(files, arch, progress)?;
            built.extend(EXAMPLES.map(|(path, _)| path).into_iter().zip(files));
        }
        programs.insert(arch.name, built);
    }
    Ok(Parts { plan, programs })
}

/// Boots all guests, and returns the results.
pub(crate) fn boot(wanted: &Guests, kernels: &[String], work: &Work) -> Result<Report> {
    let progress = Progress::default();
    let mut parts = prepare(wanted, kernels, work.examples, &progress)?;
    for (arch, programs) in &mut parts.programs {
        programs.extend_from_slice(work.programs.get(arch).map_or(&[], Vec::as_slice));
    }
    let mut dir = tempfile::Builder::new();
    dir.prefix("aio-guests-");
    // The directory for temporary files may be on a file system without O_DIRECT.
    let dir = match &work.native {
        None => dir.tempdir()?,
        Some(_) => dir.tempdir_in(workspace::target_dir())?,
    };
    let lab = Lab {
        jobs: wanted.jobs(),
        work,
        programs: &parts.programs,
        dir: dir.path(),
        progress: &progress,
        kvm_failed: AtomicBool::new(false),
        noticed: AtomicBool::new(false),
    };
    let guests = lab.boot_all(&parts.plan.guests)?;
    if wanted.keep {
        progress.say(format!("kept: {}", dir.keep().display()));
    }
    Ok(Report::new(guests, parts.plan.unavailable))
}

/// What the guests of a run do.
#[derive(Debug)]
pub(crate) struct Work {
    /// The program's words on the kernel's command line: `aio.NAME=VALUE`.
    pub(crate) words: Vec<String>,
    /// The time limit for a guest.
    pub(crate) limit: Duration,
    /// Adds a disk `slow`, with this limit of operations a second.
    pub(crate) slow_iops: Option<u32>,
    /// Whether the guest measures processor time: its clock then counts instructions.
    pub(crate) timed: bool,
    /// QEMU itself reads and writes the disks with native AIO, through the libaio in this
    /// directory.
    pub(crate) native: Option<PathBuf>,
    /// Whether guests of the main architectures have the examples that cases run.
    pub(crate) examples: bool,
    /// More programs for the guests.
    pub(crate) programs: Programs,
}

/// The limit of the slow disk for cases, in operations a second. 64 of them take four seconds.
const SLOW_IOPS: u32 = 16;

/// The programs of each architecture, by its name: their paths in the guest, and their files.
type Programs = BTreeMap<&'static str, Vec<(&'static str, PathBuf)>>;

impl Work {
    /// Running the conformance cases.
    fn cases(args: &Args) -> Self {
        // The program ends a case that takes too long, well before the guest's own limit.
        let mut words = vec![format!("aio.timeout={}", (args.timeout / 3).max(1))];
        let word = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("aio.{name}={value}"))
        };
        words.extend(word("case", &args.case));
        words.extend(word("sabotage", &args.sabotage));
        if args.parity.is_some() {
            words.push("aio.compare=sim".to_owned());
        }
        Self {
            words,
            limit: Duration::from_secs(args.timeout),
            slow_iops: Some(SLOW_IOPS),
            timed: false,
            native: None,
            examples: args.parity.is_none()
                && runs_examples(args.case.as_deref().unwrap_or_default()),
            programs: Programs::new(),
        }
    }
}

/// Whether the filter picks a case that runs examples. Building them takes longer than the rest.
fn runs_examples(filter: &str) -> bool {
    let picked = Filter::new(filter).pick(cases::all());
    picked
        .iter()
        .any(|case| case.requires.contains(&Requirement::Examples))
}

/// What all guests of a run share.
struct Lab<'a> {
    /// How many run at once.
    jobs: usize,
    work: &'a Work,
    programs: &'a Programs,
    dir: &'a Path,
    progress: &'a Progress,
    /// Set when a guest has shown that hardware acceleration doesn't work here.
    kvm_failed: AtomicBool,
    /// Set when the notice about hardware acceleration has been printed.
    noticed: AtomicBool,
}

impl Lab<'_> {
    /// Boots the guests, `jobs` of them at a time.
    fn boot_all(&self, guests: &[Planned]) -> Result<Vec<Guest>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(guests.len()) {
                scope.spawn(|| {
                    while let Some((place, guest)) = Some(next.fetch_add(1, Ordering::Relaxed))
                        .and_then(|n| Some((n, guests.get(n)?)))
                    {
                        let result = self.boot(guest);
                        if let Ok(guest) = &result {
                            self.progress.say(guest.line().trim_end());
                        }
                        done.lock()
                            .expect("no thread panics with it")
                            .push((place, result));
                    }
                });
            }
        });
        interrupt::check()?;
        let mut done = done.into_inner().expect("all threads are done");
        done.sort_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Boots one guest. If hardware acceleration turns out not to work, boots it again without.
    fn boot(&self, guest: &Planned) -> Result<Guest> {
        interrupt::check()?;
        if self.work.timed {
            return self.boot_with(guest, Accel::Counted);
        }
        let (mut accel, notice) = Accel::offered(guest.arch.platform);
        if let Some(notice) = notice.filter(|_| !self.noticed.swap(true, Ordering::Relaxed)) {
            self.progress.say(notice);
        }
        if self.kvm_failed.load(Ordering::Relaxed) {
            accel = Accel::Emulation;
        }
        let result = self.boot_with(guest, accel)?;
        // The program reported nothing at all, so the machine itself didn't work.
        let said_nothing = result.outcome != Outcome::Passed && result.cases.is_empty();
        if accel == Accel::Emulation || !said_nothing || interrupt::requested() {
            return Ok(result);
        }
        if !self.kvm_failed.swap(true, Ordering::Relaxed) {
            self.progress
                .say("notice: a guest didn't start with /dev/kvm: emulating");
        }
        self.boot_with(guest, Accel::Emulation)
    }

    /// Boots one guest. If QEMU crashes before the guest has reported anything, boots it once more.
    fn boot_with(&self, guest: &Planned, accel: Accel) -> Result<Guest> {
        let mut seen = self.boot_once(guest, accel)?;
        if seen.qemu_crashed_early() {
            self.progress.say(format!(
                "notice: QEMU crashed while it booted {} {}, so it is booted once more: {}",
                guest.arch.name,
                guest.kernel.release,
                seen.qemu.trim()
            ));
            seen = self.boot_once(guest, accel)?;
        }
        let Planned { arch, kernel } = guest;
        let verdict = Verdict::new(&seen);
        let named = (arch.name, kernel.series.as_str(), kernel.release.as_str());
        let guest = Guest::new(named, verdict, seen.took.as_secs_f64(), seen.console);
        Ok(Guest {
            qemu: seen.qemu,
            ..guest
        })
    }

    fn boot_once(&self, guest: &Planned, accel: Accel) -> Result<Observed> {
        let Planned { arch, kernel } = guest;
        let name = format!("{} {}", arch.name, kernel.release);
        let line = self.progress.line(format!("{name}: booting"));
        let dir = self.dir.join(format!("{}-{}", arch.name, kernel.series));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        let files = Files { dir };
        let initramfs = files.dir.join("initramfs");
        initramfs::write(&initramfs, &self.programs[arch.name], &kernel.modules)?;
        let disks = disk::make(&files.dir, self.work.slow_iops)?;
        let limits = self.limits(accel);
        let machine = Machine {
            platform: arch.platform,
            accel,
            kernel,
            initramfs: &initramfs,
            disks: &disks,
            words: &self.work.words,
            native: self.work.native.as_deref(),
        };
        let mut cases = 0;
        let mut ended = 0;
        guest::run(
            &mut machine.command(&files),
            &files,
            limits,
            |said| match said {
                Line::Hello { cases: n, .. } => cases = *n,
                Line::Start { name: case } => {
                    line.set(format!("{name}: case {} of {cases}, {case}", ended + 1));
                }
                Line::Case { .. } => ended += 1,
                Line::End(_) => {}
            },
        )
    }

    fn limits(&self, accel: Accel) -> Limits {
        let wall = self.work.limit;
        // Every case is reported, so a working guest is never silent for this long.
        let silence = wall / 2;
        match accel {
            Accel::Kvm => Limits {
                wall,
                silence: silence.min(Machine::KVM_START),
            },
            Accel::Emulation | Accel::Counted => Limits { wall, silence },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_built_only_for_cases_that_run_them() {
        assert!(runs_examples(""));
        assert!(runs_examples("example::copy"));
        assert!(!runs_examples("setup"));
        assert!(!runs_examples("sabotage"));
    }
}
