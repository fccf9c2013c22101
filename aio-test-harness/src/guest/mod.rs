//! The program as the first process of a guest.
//!
//! It does the following, in this order:
//!
//! 1. It mounts proc, sysfs, devtmpfs and a tmpfs, and brings the loopback interface up.
//! 2. It loads the kernel modules that `/modules/order` lists. The list has one file per line, each
//!    after the modules that it depends on. The files aren't compressed.
//! 3. It finds its disks by their virtio serial numbers. The cases overwrite `raw512` and
//!    `raw4096`, which have logical blocks of that length. `ext4` has an ext4 file system, which is
//!    mounted.
//! 4. It runs the cases, and sends the lines of the [report](crate::report) through the
//!    virtio-serial port named `aio.results`. The console shows the same report as text.
//! 5. It switches the machine off.
//!
//! The cases named `example::` run the project's example programs, which are in `/examples`. If
//! there is no such directory, these cases are skipped.
//!
//! If one of these fails, it says so on the console, and switches the machine off without reporting
//! an end.
//!
//! With `aio.run=ARGUMENT,ARGUMENT...` on the kernel's command line, it runs itself with these
//! arguments instead of the cases. If the first argument is an absolute path, it runs that program
//! with the other arguments. `disk:SERIAL` and `dir:ext4` stand for their paths. `aio.case=FILTER`
//! picks cases, and `aio.timeout=SECONDS` limits each case (60 otherwise). `aio.compare=sim` picks
//! the cases of the simulated kernel, to be run on it and on the guest's kernel.
//! `aio.sabotage=fail|hang|panic|die` breaks the guest, for testing the program that watches it.
//! `fail` adds a case that fails. The others hang, panic the kernel, or switch the machine off just
//! after the first line.

mod cmdline;
mod disks;
mod errand;
mod modules;
mod port;
mod sabotage;

pub(crate) use disks::slow as slow_disk;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use cmdline::Options;

use crate::{cases, env::Env, progress, runner::Runner, sys};

/// The path of the program in the initramfs.
const INIT: &str = "/init";

/// How long devices may take to come up after their modules were loaded.
const DEVICES: Duration = Duration::from_secs(10);

/// Whether this process is a guest's init.
///
/// The process number isn't enough: the process of a container is number 1, too.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1 && std::env::args_os().next().is_some_and(|name| name == INIT)
}

/// Runs the guest, and switches the machine off.
pub fn main() -> ! {
    if let Err(error) = run() {
        // The report has no end, by which its reader notices.
        eprintln!("aio-conformance: the guest gives up: {error}");
    }
    let error = sys::init::power_off();
    panic!("the machine can't be switched off: {error}");
}

fn run() -> io::Result<()> {
    mount_all()?;
    // A kernel may have no network. Only cases with sockets notice.
    let _ = sys::init::bring_up_loopback();
    shorten_grace_periods();
    let options = Options::read()?;
    modules::load_all()?;
    let mut port = port::open()?;
    let env = Env {
        targets: disks::find()?,
        alone: true,
        ..Env::default()
    };
    if let Some(words) = &options.errand {
        errand::run(words, &mut port, &options)?;
        drop(port);
        return disks::release();
    }
    let cases = match options.compares {
        true => cases::compared().collect(),
        false => options
            .filter
            .pick(cases::all().chain(options.sabotage.extra_case())),
    };
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
    // The port is closed first, so that its reader has everything before the machine is off.
    drop(port);
    disks::release()
}

/// Mounts the file systems that the runner and the cases need.
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

/// Makes the kernel look for the end of RCU grace periods more often. Each `io_destroy` waits for
/// one, which is most of the cases' time. A kernel without these parameters takes longer.
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

/// Asks repeatedly until there is an answer or the time is up.
fn wait_for<T>(mut ask: impl FnMut() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    let started = Instant::now();
    loop {
        match ask()? {
            None if started.elapsed() < DEVICES => std::thread::sleep(Duration::from_millis(20)),
            answer => return Ok(answer),
        }
    }
}
