//! `cargo xtask qemu-test`: the conformance program on real kernels, each in a guest of its own.

pub(crate) mod arch;
mod args;
pub(crate) mod cross;
mod disk;
mod guest;
mod initramfs;
mod kernel;
mod matrix;
mod report;
mod self_check;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aio_test_harness::report::Line;
use anyhow::{Context, Result};

use crate::apt::Mirror;
use crate::interrupt;
use crate::packages::{self, Tool};
use crate::progress::Progress;

pub(crate) use args::Args;
use cross::Program;
use guest::{Accel, Files, Limits, Machine, Outcome, Verdict};
use matrix::Planned;
use report::{Guest, Report};

/// What runs in the guests.
const CONFORMANCE: Program = Program {
    package: "aio-test-harness",
    binary: "aio-conformance",
};

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
    let report = test(args)?;
    print!("{}", report.text());
    if let Some(file) = &args.json {
        report.write_json(file)?;
    }
    Ok(if report.all_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Everything that guests are made of.
struct Parts {
    guests: Vec<Planned>,
    /// The program for each architecture, by its name.
    programs: BTreeMap<&'static str, PathBuf>,
}

/// Gets everything that is missing: tools, kernels, the program.
fn prepare(args: &Args, kernels: &[String], progress: &Progress) -> Result<Parts> {
    let archs = args.archs();
    let qemus = archs.iter().map(|arch| arch.platform.qemu);
    let tools: Vec<Tool> = TOOLS.into_iter().chain(qemus).collect();
    packages::ensure(&tools, args.install(), progress)?;
    let mirror = Mirror::find(args.mirror.as_deref())?;
    let guests = matrix::plan(&archs, kernels, &mirror, progress)?;
    let mut programs = BTreeMap::new();
    for arch in archs {
        interrupt::check()?;
        let program = cross::build(CONFORMANCE, arch, &mirror, args.install(), progress)?;
        programs.insert(arch.name, program);
    }
    Ok(Parts { guests, programs })
}

/// Boots all guests, and tells what they came to.
fn test(args: &Args) -> Result<Report> {
    let progress = Progress::default();
    let parts = prepare(args, &args.kernels, &progress)?;
    let dir = tempfile::Builder::new().prefix("aio-guests-").tempdir()?;
    let lab = Lab {
        args,
        programs: &parts.programs,
        dir: dir.path(),
        progress: &progress,
        kvm_failed: AtomicBool::new(false),
        noticed: AtomicBool::new(false),
    };
    let report = lab.boot_all(&parts.guests)?;
    if args.keep {
        progress.say(format!("kept: {}", dir.keep().display()));
    }
    Ok(report)
}

/// What all guests of a run share.
struct Lab<'a> {
    args: &'a Args,
    programs: &'a BTreeMap<&'static str, PathBuf>,
    dir: &'a Path,
    progress: &'a Progress,
    /// A guest has shown that hardware acceleration doesn't work here.
    kvm_failed: AtomicBool,
    /// That it can't be used has been said.
    noticed: AtomicBool,
}

impl Lab<'_> {
    /// Boots the guests, as many at a time as there are jobs.
    fn boot_all(&self, guests: &[Planned]) -> Result<Report> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.args.jobs().min(guests.len()) {
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
        let guests = done
            .into_iter()
            .map(|(_, result)| result)
            .collect::<Result<Vec<_>>>()?;
        Ok(Report::new(guests))
    }

    /// Boots one guest; where hardware acceleration turns out not to work, once more without.
    fn boot(&self, guest: &Planned) -> Result<Guest> {
        interrupt::check()?;
        let (mut accel, notice) = Accel::offered(guest.arch.platform);
        if let Some(notice) = notice.filter(|_| !self.noticed.swap(true, Ordering::Relaxed)) {
            self.progress.say(notice);
        }
        if self.kvm_failed.load(Ordering::Relaxed) {
            accel = Accel::Emulation;
        }
        let result = self.boot_with(guest, accel)?;
        // Without a word from the program nothing but the machine can be to blame.
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

    fn boot_with(&self, guest: &Planned, accel: Accel) -> Result<Guest> {
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
        let disks = disk::make(&files.dir)?;
        let limits = self.limits(accel);
        let machine = Machine {
            platform: arch.platform,
            accel,
            kernel,
            initramfs: &initramfs,
            disks: &disks,
            words: &self.words(),
        };
        let mut cases = 0;
        let mut ended = 0;
        let seen = guest::run(
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
        )?;
        let verdict = Verdict::new(&seen);
        let named = (arch.name, kernel.series.as_str(), kernel.release.as_str());
        Ok(Guest::new(
            named,
            verdict,
            seen.took.as_secs_f64(),
            seen.console,
        ))
    }

    fn limits(&self, accel: Accel) -> Limits {
        let wall = Duration::from_secs(self.args.timeout);
        // A case is ended by the program itself long before this.
        let silence = wall / 2;
        match accel {
            Accel::Kvm => Limits {
                wall,
                silence: silence.min(Machine::KVM_START),
            },
            Accel::Emulation => Limits { wall, silence },
        }
    }

    /// What the program is told.
    fn words(&self) -> Vec<String> {
        let mut words = vec![format!("aio.timeout={}", (self.args.timeout / 3).max(1))];
        words.extend(
            self.args
                .case
                .as_ref()
                .map(|case| format!("aio.case={case}")),
        );
        words.extend(
            self.args
                .sabotage
                .as_ref()
                .map(|kind| format!("aio.sabotage={kind}")),
        );
        words
    }
}
