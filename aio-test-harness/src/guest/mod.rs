//! The program as the first process of a guest.
//!
//! What it does, in order:
//!
//! 1. mounts proc, sysfs, devtmpfs and a tmpfs;
//! 2. loads the kernel modules that `/modules/order` lists: one file per line, each after those it depends on, not
//!    compressed;
//! 3. finds its disks by their virtio serial numbers: `raw512` and `raw4096`, which the cases overwrite, have logical
//!    blocks of that size, and `ext4` has such a file system, which it mounts;
//! 4. runs the cases, and sends the [report](crate::report)'s lines through the virtio-serial port named
//!    `aio.results`. The console gets the same report as text;
//! 5. switches the machine off.
//!
//! If anything of this can't be done, it says so on the console and switches the machine off without having reported
//! an end.
//!
//! With `aio.run=ARGUMENT,ARGUMENT...` on the kernel's command line it runs itself with these
//! arguments instead of the cases (`disk:SERIAL` and `dir:ext4` stand for their paths). Where the
//! first argument is an absolute path, it runs that program with the other arguments.
//! The command line may also say `aio.case=FILTER`, `aio.timeout=SECONDS` (for one case, 60 otherwise) and
//! `aio.sabotage=fail|hang|panic|die`, which breaks the guest on purpose so that whoever watches it can be tested: one
//! case more, which fails; an endless wait, a kernel panic or a silent end just after the first line.

mod cmdline;
mod disks;
mod errand;
mod modules;
mod port;
mod sabotage;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use cmdline::Options;

use crate::{cases, env::Env, progress, runner::Runner, sys};

/// Where the kernel finds the program in its initramfs.
const INIT: &str = "/init";

/// How long devices may take to come up after their modules have been loaded.
const DEVICES: Duration = Duration::from_secs(10);

/// Whether this process is a guest's init.
///
/// Being process 1 isn't enough: a container's only process is that, too.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1 && std::env::args_os().next().is_some_and(|name| name == INIT)
}

/// Does everything that the guest is for, and switches the machine off.
pub fn main() -> ! {
    if let Err(error) = run() {
        // No end has been reported, which is how the other side knows.
        eprintln!("aio-conformance: the guest gives up: {error}");
    }
    let error = sys::init::power_off();
    panic!("the machine can't be switched off: {error}");
}

fn run() -> io::Result<()> {
    mount_all()?;
    shorten_grace_periods();
    let options = Options::read()?;
    modules::load_all()?;
    let mut port = port::open()?;
    let env = Env {
        targets: disks::find()?,
        alone: true,
    };
    if let Some(words) = &options.errand {
        errand::run(words, &mut port, &options)?;
        drop(port);
        return disks::release();
    }
    let cases = options
        .filter
        .pick(cases::all().chain(options.sabotage.extra_case()));
    let runner = Runner {
        program: INIT.into(),
        env,
        timeout: options.timeout,
    };
    let mut console = io::stdout();
    runner.run(&cases, |line| {
        writeln!(port, "{line}")?;
        progress::show(&mut console, line)?;
        options.sabotage.act(line);
        Ok(())
    })?;
    // Closing the port first: the other side then has everything before the machine goes.
    drop(port);
    disks::release()
}

/// Mounts what the runner and the cases need.
fn mount_all() -> io::Result<()> {
    for (source, target, fs_type) in [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("devtmpfs", "/dev", "devtmpfs"),
        ("tmpfs", "/tmp", "tmpfs"),
    ] {
        fs::create_dir_all(target)?;
        match sys::init::mount(source, Path::new(target), fs_type) {
            // A kernel may have mounted devtmpfs itself.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(io::Error::other(format!("mounting {target}: {error}"))),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Has the kernel look for the end of RCU grace periods more often. Every end of a context waits for one, which is
/// most of what the cases take; where it can't be set, they take longer.
fn shorten_grace_periods() {
    for (parameter, jiffies) in [
        ("jiffies_till_first_fqs", "0"),
        ("jiffies_till_next_fqs", "1"),
    ] {
        let _ = fs::write(
            format!("/sys/module/rcutree/parameters/{parameter}"),
            jiffies,
        );
    }
}

/// Asks again and again until there is an answer or time is up.
fn wait_for<T>(mut ask: impl FnMut() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    let started = Instant::now();
    loop {
        match ask()? {
            None if started.elapsed() < DEVICES => std::thread::sleep(Duration::from_millis(20)),
            answer => return Ok(answer),
        }
    }
}
