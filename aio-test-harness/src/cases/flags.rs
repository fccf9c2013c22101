//! `aio_rw_flags`: the flags that the kernel accepts, and what they do.

use std::fs::{File, OpenOptions};

use aio_sys::{Errno, abi::RwFlags};

use crate::{
    case::{Case, CaseResult, Stop, note, skip},
    cases::support::{complete, contents, file, file_with, one_event, real_file_with, same_bytes},
    check, check_eq,
    env::{Env, Requirement},
    on::On,
    raw::{Context, Memory, Request},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];
const DIRECT: &[Requirement] = &[Requirement::DirectIo];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "flags::unknown",
        "flags that no kernel knows are EOPNOTSUPP",
        DIRECTORY,
        unknown,
    ),
    Case::new(
        "flags::read_as_preadv2",
        "reads with each flag are answered as preadv2 is",
        DIRECTORY,
        |env| as_synchronous(env, "flags-read", 0, Way::Read),
    ),
    Case::new(
        "flags::write_as_pwritev2",
        "writes with each flag are answered as pwritev2 is",
        DIRECTORY,
        |env| as_synchronous(env, "flags-write", 0, Way::Write),
    ),
    Case::new(
        "flags::direct_read_as_preadv2",
        "reads with each flag and O_DIRECT are answered as preadv2 is",
        DIRECT,
        |env| as_synchronous(env, "flags-direct-read", libc::O_DIRECT, Way::Read),
    ),
    Case::new(
        "flags::direct_write_as_pwritev2",
        "writes with each flag and O_DIRECT are answered as pwritev2 is",
        DIRECT,
        |env| as_synchronous(env, "flags-direct-write", libc::O_DIRECT, Way::Write),
    ),
    Case::new(
        "flags::nowait_of_a_file_that_cannot",
        "NOWAIT on a file that doesn't support it is EOPNOTSUPP",
        &[],
        nowait_unsupported,
    ),
    Case::new(
        "flags::nowait_of_an_empty_pipe",
        "a NOWAIT read that would block is EAGAIN in the event",
        &[],
        nowait_empty_pipe,
    ),
    Case::new(
        "flags::append",
        "APPEND writes at the end, whatever the offset",
        DIRECTORY,
        append,
    ),
    Case::new(
        "flags::append_with_noappend",
        "APPEND with NOAPPEND is EINVAL",
        DIRECTORY,
        append_with_noappend,
    ),
    Case::new(
        "flags::noappend",
        "NOAPPEND writes at the offset of a file opened for appending",
        DIRECTORY,
        noappend,
    ),
    Case::new(
        "flags::noappend_of_an_append_only_file",
        "NOAPPEND on an append-only file is EPERM",
        &[Requirement::Directory, Requirement::Root],
        noappend_of_append_only,
    ),
    Case::new(
        "flags::sync_writes",
        "what is written with DSYNC and SYNC is read back",
        DIRECT,
        sync_writes,
    ),
];

/// The flags that came after 5.10, and are accepted for any file. The simulated kernel knows all
/// flags.
const SINCE_6_9: RwFlags = RwFlags::NOAPPEND
    .union(RwFlags::DONTCACHE)
    .union(RwFlags::NOSIGNAL);

#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

/// The kernel's answer: a count of bytes, or an errno times -1.
pub(super) type Answer = i64;

fn synchronous(file: &File, flags: i32, way: Way, memory: Memory) -> Answer {
    let result = match way {
        Way::Read => sys::rw::read_at(file, memory, 0, flags),
        Way::Write => sys::rw::write_at(file, memory, 0, flags),
    };
    match result {
        Ok(count) => count as i64,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
    }
}

/// The answer of `io_submit` or of the event. A file may refuse a flag in either.
pub(super) fn asynchronous(context: &Context, request: &Request) -> CaseResult<Answer> {
    match context.submit(&[request]) {
        Ok(1) => Ok(one_event(context)?.res),
        Err(errno) => Ok(-i64::from(errno.raw())),
        other => Err(Stop::fail(format_args!(
            "io_submit of one request: {other:?}"
        ))),
    }
}

fn as_synchronous(env: &Env, name: &str, open_flags: i32, way: Way) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, name, &[7; 4096], open_flags)?;
    // The simulated kernel has to answer for its file as the real one does for this.
    let real = real_file_with(env, &format!("{name}-real"), &[7; 4096], open_flags)?;
    let mut not_compared = RwFlags::empty();
    for bit in 0..32 {
        let flag = 1i32 << bit;
        let flags = RwFlags::from_bits_retain(flag);
        let memory = Memory::from_bytes(&[7; 4096])?;
        let request = match way {
            Way::Read => Request::read(&file, memory, 0)?,
            Way::Write => Request::write(&file, memory, 0)?,
        };
        let expected = synchronous(&real, flag, way, memory);
        let got = asynchronous(&context, &request.rw_flags(flags))?;
        let is_unknown = expected == -i64::from(libc::EOPNOTSUPP) && SINCE_6_9.contains(flags);
        // Whether it would have to wait is another matter on another disk.
        let would_wait = expected == -i64::from(libc::EAGAIN);
        if env.on == On::Sim && (is_unknown || would_wait) {
            not_compared |= flags;
            continue;
        }
        check_eq!(got, expected, "{flags:?}");
        check!(got == 4096 || got < 0, "{flags:?}: {got}");
    }
    if not_compared != RwFlags::empty() {
        note(format_args!("not compared: {not_compared:?}"));
    }
    Ok(())
}

fn unknown(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "flags-unknown")?;
    for bit in 20..32 {
        let flags = RwFlags::from_bits_retain(1i32 << bit);
        for request in [
            Request::read(&file, Memory::zeroed(8)?, 0)?.rw_flags(flags),
            Request::write(&file, Memory::zeroed(8)?, 0)?.rw_flags(flags),
        ] {
            check_eq!(
                context.submit(&[&request]),
                Err(Errno::EOPNOTSUPP),
                "{flags:?}"
            );
        }
    }
    Ok(())
}

fn nowait_unsupported(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = File::open("/proc/version")?;
    let request = Request::read(&file, Memory::zeroed(8)?, 0)?;
    check_eq!(complete(&context, &request)?, 8, "without the flag");
    let request = request.rw_flags(RwFlags::NOWAIT);
    check_eq!(context.submit(&[&request]), Err(Errno::EOPNOTSUPP));
    Ok(())
}

fn nowait_empty_pipe(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let memory = Memory::zeroed(8)?;
    let request = Request::read(&reader, memory, 0)?.rw_flags(RwFlags::NOWAIT);
    // Older kernels don't support NOWAIT on pipes, and preadv2 says so, too. A pipe has no offset,
    // so preadv2 gets -1.
    let synchronous = sys::rw::read_at(&reader, memory, -1, RwFlags::NOWAIT.bits());
    match synchronous.err().and_then(|error| error.raw_os_error()) {
        Some(libc::EOPNOTSUPP) => check_eq!(context.submit(&[&request]), Err(Errno::EOPNOTSUPP)),
        Some(libc::EAGAIN) => check_eq!(complete(&context, &request)?, -i64::from(libc::EAGAIN)),
        other => {
            return Err(Stop::fail(format_args!(
                "preadv2 of an empty pipe: {other:?}"
            )));
        }
    }
    Ok(())
}

fn append(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "append", b"first", 0)?;
    let write = Request::write(&file, Memory::from_bytes(b"second")?, 0)?;
    check_eq!(complete(&context, &write.rw_flags(RwFlags::APPEND))?, 6);
    same_bytes(&contents(env, "append")?, b"firstsecond")
}

/// Skips the case when `pwritev2` doesn't support the flag on files of this directory.
fn wants(env: &Env, flags: RwFlags) -> CaseResult {
    if env.on == On::Sim {
        // It knows the flags of the newest kernel.
        return Ok(());
    }
    let file = file(env, "flags-probe")?;
    match synchronous(&file, flags.bits(), Way::Write, Memory::zeroed(1)?) {
        error if error == -i64::from(libc::EOPNOTSUPP) => {
            skip(format_args!("pwritev2 doesn't support {flags:?} here"))
        }
        _ => Ok(()),
    }
}

fn append_with_noappend(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "append-noappend")?;
    wants(env, RwFlags::NOAPPEND)?;
    let write = Request::write(&file, Memory::zeroed(8)?, 0)?;
    let write = write.rw_flags(RwFlags::APPEND | RwFlags::NOAPPEND);
    check_eq!(context.submit(&[&write]), Err(Errno::EINVAL));
    Ok(())
}

fn noappend(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "noappend", b"a file", libc::O_APPEND)?;
    wants(env, RwFlags::NOAPPEND)?;
    let write = Request::write(&file, Memory::from_bytes(b"A")?, 0)?;
    check_eq!(complete(&context, &write.rw_flags(RwFlags::NOAPPEND))?, 1);
    same_bytes(&contents(env, "noappend")?, b"A file")
}

fn noappend_of_append_only(env: &Env) -> CaseResult {
    write_to_append_only(env, |context, write| {
        check_eq!(context.submit(&[write]), Err(Errno::EPERM));
        Ok(())
    })
}

/// Makes an append-only file, and hands on a write of it with NOAPPEND.
pub(super) fn write_to_append_only(
    env: &Env,
    then: impl FnOnce(&Context, &Request) -> CaseResult,
) -> CaseResult {
    /// Takes the mark away when it is dropped, because an append-only file can't be removed.
    struct Marked<'a>(&'a File);
    impl Drop for Marked<'_> {
        fn drop(&mut self) {
            let _ = sys::block::set_append_only(self.0, false);
        }
    }

    let context = Context::new(1)?;
    let file = file_with(env, "append-only", b"a file", 0)?;
    wants(env, RwFlags::NOAPPEND)?;
    if let Err(error) = sys::block::set_append_only(&file, true) {
        return skip(format_args!(
            "this file system has no append-only files: {error}"
        ));
    }
    let _marked = Marked(&file);
    let appending = OpenOptions::new()
        .append(true)
        .open(env.directory()?.join("append-only"))?;
    let write = Request::write(&appending, Memory::from_bytes(b"A")?, 0)?;
    then(&context, &write.rw_flags(RwFlags::NOAPPEND))
}

fn sync_writes(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "sync-writes", b"", libc::O_DIRECT)?;
    for (byte, flags) in [
        (1, RwFlags::DSYNC),
        (2, RwFlags::SYNC),
        (3, RwFlags::DSYNC | RwFlags::SYNC),
    ] {
        let write = Request::write(&file, Memory::from_bytes(&[byte; 4096])?, 0)?;
        check_eq!(
            complete(&context, &write.rw_flags(flags))?,
            4096,
            "{flags:?}"
        );
        let back = Memory::zeroed(4096)?;
        check_eq!(complete(&context, &Request::read(&file, back, 0)?)?, 4096);
        same_bytes(&back.to_vec(), &[byte; 4096])?;
    }
    Ok(())
}
