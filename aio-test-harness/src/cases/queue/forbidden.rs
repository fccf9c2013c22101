//! A queue under a filter that forbids some of its system calls, as container runtimes install.

use aio_safe::{Errno, Op, OpError, Queue, error::SetupError, op::PollEvents};
use aio_sys::nr;

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, full_blocks, offset},
        support::BLOCK,
    },
    check, check_eq,
    env::Env,
    sys::{self, seccomp::forbid},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::forbidden_setup",
        "a forbidden io_setup is an error that names the filter",
        &[],
        forbidden_setup,
    ),
    Case::new(
        "queue::missing_setup",
        "a kernel without io_setup is an error of its own",
        &[],
        missing_setup,
    ),
    Case::new(
        "queue::forbidden_pgetevents",
        "a queue needs no io_pgetevents",
        DIRECT,
        forbidden_pgetevents,
    ),
    Case::new(
        "queue::forbidden_submit",
        "operations are refused with EPERM when io_submit is forbidden",
        DIRECT,
        forbidden_submit,
    ),
    Case::new(
        "queue::forbidden_cancel",
        "a forbidden io_cancel is an error, and the operation stays in flight",
        &[],
        forbidden_cancel,
    ),
];

/// All forms of the call that this target has.
const PGETEVENTS: &[u32] = &[
    nr::IO_PGETEVENTS,
    #[cfg(target_pointer_width = "32")]
    nr::IO_PGETEVENTS_TIME64,
];

fn forbidden_setup(_: &Env) -> CaseResult {
    forbid(&[nr::IO_SETUP], libc::EPERM as u16)?;
    let error = Queue::new(1).err();
    check_eq!(error, Some(SetupError::Forbidden(Errno::EPERM)));
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    check!(text.contains("seccomp"), "{text}");
    Ok(())
}

fn missing_setup(_: &Env) -> CaseResult {
    forbid(&[nr::IO_SETUP], libc::ENOSYS as u16)?;
    check_eq!(Queue::new(1).err(), Some(SetupError::Unsupported));
    Ok(())
}

fn forbidden_pgetevents(env: &Env) -> CaseResult {
    forbid(PGETEVENTS, libc::EPERM as u16)?;
    let file = blocks(env, "queue-pgetevents", 8)?;
    let queue = Queue::new(8)?;
    for index in 0..8 {
        let write = queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?;
        check_eq!(write.wait().result, Ok(BLOCK));
    }
    check_blocks(&queue, &file, 8)?;
    queue.close()?;
    Ok(())
}

fn forbidden_submit(env: &Env) -> CaseResult {
    let file = full_blocks(env, "queue-submit", 1)?;
    let queue = Queue::new(1)?;
    forbid(&[nr::IO_SUBMIT], libc::EPERM as u16)?;
    let read = queue.submit(&file, Op::read(vec![1; 8], 0))?.wait();
    check_eq!(read.result, Err(OpError::Refused(Errno::EPERM)));
    check_eq!(read.buffer, [1; 8]);
    queue.close()?;
    Ok(())
}

fn forbidden_cancel(_: &Env) -> CaseResult {
    let (reader, mut writer) = sys::fd::pipe()?;
    let queue = Queue::new(1)?;
    forbid(&[nr::IO_CANCEL], libc::EPERM as u16)?;
    let mut poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    check_eq!(poll.cancel(), Err(Errno::EPERM));
    std::io::Write::write_all(&mut writer, b"x")?;
    check!(poll.wait()?.contains(PollEvents::IN));
    Ok(())
}
