//! The end of a process, and exec, with requests in flight.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use aio_sys::{Errno, abi::AioContext};

use crate::{
    case::{Case, CaseResult, Stop},
    cases::support::{BLOCK, complete, file_with, fill_up, pattern, same_bytes},
    check, check_eq,
    env::{Disk, Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys,
    sys::fork::{exit_now, fork},
};

const DIRECT: &[Requirement] = &[Requirement::DirectIo];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "exit::writes_in_flight",
        "writes in flight are done when their process has ended",
        DIRECT,
        |env| ends_with_writes(&file_with(env, "exit", b"", libc::O_DIRECT)?, End::Exit),
    ),
    Case::new(
        "exit::killed_with_writes_in_flight",
        "writes in flight are done when their process was killed",
        DIRECT,
        |env| ends_with_writes(&file_with(env, "killed", b"", libc::O_DIRECT)?, End::Killed),
    ),
    Case::new(
        "exit::disk_writes_in_flight",
        "writes in flight to a disk are done when their process has ended",
        &[Requirement::Disk512],
        |env| {
            let disk: &Disk = env.disk512()?;
            ends_with_writes(&disk.open()?, End::Exit)
        },
    ),
    Case::new(
        "exit::exec_with_writes_in_flight",
        "writes in flight are done when their process has executed another program",
        DIRECT,
        |env| ends_with_writes(&file_with(env, "exec", b"", libc::O_DIRECT)?, End::Exec),
    ),
    Case::new(
        "exit::polls_in_flight",
        "a process ends without waiting for its polls in flight",
        &[],
        polls_in_flight,
    ),
    Case::new(
        "exit::killed_while_waiting",
        "a process that waits for events can be killed",
        &[],
        killed_while_waiting,
    ),
    Case::new(
        "exit::exec_ends_contexts",
        "no context survives exec",
        &[],
        exec_ends_contexts,
    ),
];

/// The cases that only another case starts.
pub(super) const HELPERS: &[Case] = &[Case::new(
    "helper::handle_is_dead",
    "the handle in the environment variable is EINVAL for every call",
    &[],
    handle_is_dead,
)];

const HANDLE: &str = "AIO_CONFORMANCE_HANDLE";

#[derive(Clone, Copy)]
enum End {
    Exit,
    Killed,
    Exec,
}

/// A command that runs a case with this program, without output.
fn this_program(case: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["--run-case", case])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A child submits writes and ends at once. All of them have to be done.
fn ends_with_writes(file: &File, end: End) -> CaseResult {
    const COUNT: usize = 64;
    let content = pattern(21, COUNT * BLOCK);
    let context = Context::new(1)?;
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    let before = Request::write(file, Memory::from_bytes(&other)?, 0)?;
    check_eq!(complete(&context, &before)?, other.len() as i64);

    let (done, mut tell) = sys::fd::pipe()?;
    let child = fork(|| {
        let context = Context::new(COUNT as u32)?;
        let memory = Memory::from_bytes(&content)?;
        let writes = (0..COUNT)
            .map(|index| {
                Request::write(
                    file,
                    memory.part(index * BLOCK, BLOCK),
                    (index * BLOCK) as i64,
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        check_eq!(
            context.submit(&writes.iter().collect::<Vec<_>>()),
            Ok(COUNT)
        );
        match end {
            End::Exit => exit_now(0),
            End::Exec => Err(this_program("setup::zero_requests").exec().into()),
            End::Killed => {
                std::io::Write::write_all(&mut tell, b"x")?;
                let _ =
                    context.getevents(1 + COUNT as isize, 1 + COUNT as isize, Timeout::Never)?;
                Err(Stop::fail("not killed"))
            }
        }
    })?;
    if let End::Killed = end {
        std::io::Read::read_exact(&mut &done, &mut [0])?;
        child.kill()?;
        let status = child.wait()?;
        check!(
            std::os::unix::process::ExitStatusExt::signal(&status).is_some(),
            "{status}"
        );
    } else {
        child.succeeded()?;
    }

    let back = Memory::zeroed(content.len())?;
    check_eq!(
        complete(&context, &Request::read(file, back, 0)?)?,
        content.len() as i64
    );
    same_bytes(&back.to_vec(), &content)
}

fn polls_in_flight(_: &Env) -> CaseResult {
    let (reader, _writer) = sys::fd::pipe()?;
    fork(|| {
        check!(fill_up(&Context::new(64)?, &reader)? >= 64);
        let context = Context::new(64)?;
        check!(fill_up(&context, &reader)? >= 64);
        exit_now(0)
    })?
    .succeeded()
}

fn killed_while_waiting(_: &Env) -> CaseResult {
    let (reader, _writer) = sys::fd::pipe()?;
    let (waiting, mut tell) = sys::fd::pipe()?;
    let child = fork(|| {
        let context = Context::new(1)?;
        check_eq!(
            context.submit(&[&Request::poll(&reader, libc::POLLIN)?]),
            Ok(1)
        );
        std::io::Write::write_all(&mut tell, b"x")?;
        context.getevents(1, 1, Timeout::Never)?;
        Ok(())
    })?;
    std::io::Read::read_exact(&mut &waiting, &mut [0])?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    child.kill()?;
    let status = child.wait()?;
    check_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGKILL)
    );
    Ok(())
}

fn exec_ends_contexts(_: &Env) -> CaseResult {
    let (reader, _writer) = sys::fd::pipe()?;
    fork(|| {
        let context = Context::new(1)?;
        check_eq!(
            context.submit(&[&Request::poll(&reader, libc::POLLIN)?]),
            Ok(1)
        );
        let mut command = this_program(HELPERS[0].name);
        command.env(HANDLE, context.raw().addr().to_string());
        Err(command.exec().into())
    })?
    .succeeded()
}

fn handle_is_dead(_: &Env) -> CaseResult {
    let handle = std::env::var(HANDLE)
        .ok()
        .and_then(|handle| handle.parse().ok());
    let Some(handle) = handle else {
        return Err(Stop::fail(format_args!("{HANDLE} isn't a number")));
    };
    let context = Context::from_raw(AioContext::from_addr(handle));
    check_eq!(context.submit(&[]), Err(Errno::EINVAL));
    check_eq!(
        context.getevents(0, 1, Timeout::Never).err(),
        Some(Errno::EINVAL)
    );
    check_eq!(context.destroy(), Err(Errno::EINVAL));
    Ok(())
}
