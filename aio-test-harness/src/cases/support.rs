//! Helpers for cases of several areas.

use std::fs::File;

use aio_sys::{Errno, abi::IoEvent};

pub(super) use super::files::{
    contents, file, file_with, open_directory, open_to_read, open_to_write, read_at,
    real_file_with, write_at,
};
use crate::{
    case::{CaseResult, Stop},
    env::Env,
    on::On,
    raw::{Context, Memory, Request, Timeout},
};

/// The timeout for what has to happen.
pub(super) const LONG: Timeout = Timeout::Long;

/// The length and alignment of direct reads and writes, in bytes. It fits every disk.
pub(super) const BLOCK: usize = 4096;

/// An address that is the kernel's, or nobody's, and fits this program's words.
pub(super) const LAST_PAGE: u64 = (usize::MAX - 4095) as u64;

/// Makes a pattern that differs from block to block and from seed to seed.
pub(super) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Makes a request that is accepted, and whose event has this errno.
pub(super) fn failing(env: &Env, file: &File) -> CaseResult<(Request, Errno)> {
    Ok(match env.on {
        // It uses the memory as the program does. No file system has room there.
        On::Sim => {
            let memory = Memory::zeroed(8)?;
            (Request::write(file, memory, i64::MAX - 8)?, Errno::EFBIG)
        }
        _ => (
            Request::read(file, Memory::inaccessible()?, 0)?,
            Errno::EFAULT,
        ),
    })
}

/// Submits one request, which has to be accepted.
#[track_caller]
pub(super) fn submit_one(context: &Context, request: &Request) -> CaseResult {
    match context.submit(&[request]) {
        Ok(1) => Ok(()),
        other => Err(Stop::fail(format_args!(
            "io_submit of one request: {other:?}, expected Ok(1)"
        ))),
    }
}

/// Waits for one event.
#[track_caller]
pub(super) fn one_event(context: &Context) -> CaseResult<IoEvent> {
    match context.getevents(1, 1, LONG).as_deref() {
        Ok([event]) => Ok(*event),
        other => Err(Stop::fail(format_args!(
            "io_getevents of one event: {other:?}"
        ))),
    }
}

/// Submits one request and waits for its result.
#[track_caller]
pub(super) fn complete(context: &Context, request: &Request) -> CaseResult<i64> {
    submit_one(context, request)?;
    let event = one_event(context)?;
    if event.obj != request.address().addr() as u64 {
        return Err(Stop::fail(format_args!(
            "the event belongs to another request: {event:?}"
        )));
    }
    Ok(event.res)
}

/// Submits one request, and waits until its event is in the ring. For the real kernel, the request
/// has to be one that completes within `io_submit`.
pub(super) fn submit_done(context: &Context, request: &Request) -> CaseResult {
    let ring = context.ring();
    let before = ring.count();
    submit_one(context, request)?;
    while ring.count() == before {
        std::thread::yield_now();
    }
    Ok(())
}

/// Submits reads whose data count up from 0, one after another, and waits for each one's event to
/// be in the ring. The length of each read is its data modulo 8, plus 1.
pub(super) fn done(context: &Context, env: &Env, name: &str, count: u64) -> CaseResult {
    let file = file_with(env, name, b"content!", 0)?;
    for data in 0..count {
        let memory = Memory::zeroed(data as usize % 8 + 1)?;
        submit_done(context, &Request::read(&file, memory, 0)?.data(data))?;
    }
    Ok(())
}

/// The data of events, in their order.
pub(super) fn data(events: &[IoEvent]) -> Vec<u64> {
    events.iter().map(|event| event.data).collect()
}

/// The data of events, sorted.
pub(super) fn sorted_data(events: &[IoEvent]) -> Vec<u64> {
    let mut data = data(events);
    data.sort_unstable();
    data
}

/// Compares contents. The failure names the first byte that differs.
#[track_caller]
pub(super) fn same_bytes(got: &[u8], expected: &[u8]) -> CaseResult {
    if got == expected {
        return Ok(());
    }
    let at = got
        .iter()
        .zip(expected)
        .position(|(got, expected)| got != expected);
    Err(Stop::fail(format_args!(
        "contents differ from byte {} on: got {} bytes {:02x?}…, expected {} bytes {:02x?}…",
        at.unwrap_or(got.len().min(expected.len())),
        got.len(),
        &got[at.unwrap_or(0)..].iter().take(8).collect::<Vec<_>>(),
        expected.len(),
        &expected[at.unwrap_or(0)..]
            .iter()
            .take(8)
            .collect::<Vec<_>>(),
    )))
}

/// Submits polls of a file that isn't readable until no slot is free, and returns how many were
/// accepted. The number varies, because the kernel hands out slots to CPUs in batches.
pub(super) fn fill_up(context: &Context, file: &File) -> CaseResult<usize> {
    for accepted in 0.. {
        match context.submit(&[&Request::poll(file, libc::POLLIN)?]) {
            Ok(1) => {}
            Err(Errno::EAGAIN) => return Ok(accepted),
            other => {
                return Err(Stop::fail(format_args!(
                    "request {accepted} of many: {other:?}"
                )));
            }
        }
    }
    unreachable!("every context gets full")
}

/// Reads the system-wide limit.
pub(super) fn max_nr() -> CaseResult<u64> {
    number("/proc/sys/fs/aio-max-nr")
}

/// Reads how much of the limit is used.
pub(super) fn nr() -> CaseResult<u64> {
    number("/proc/sys/fs/aio-nr")
}

/// Sets the system-wide limit for the time of a case. The case has to require `Alone`.
pub(super) struct Limit(u64);

impl Limit {
    pub(super) fn set(limit: u64) -> CaseResult<Self> {
        let before = Self(max_nr()?);
        write_limit(limit)?;
        Ok(before)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = write_limit(self.0);
    }
}

fn write_limit(limit: u64) -> std::io::Result<()> {
    std::fs::write("/proc/sys/fs/aio-max-nr", format!("{limit}\n"))
}

fn number(path: &str) -> CaseResult<u64> {
    let text = std::fs::read_to_string(path)?;
    text.trim()
        .parse()
        .map_err(|_| Stop::fail(format_args!("{path}: {text:?} isn't a number")))
}

/// Whether a poll's event says that the file is readable. It may have more bits than were
/// requested, because `aio_poll_wake` passes on all bits of the wake-up.
pub(super) fn is_readable(event: IoEvent) -> bool {
    event.res > 0 && event.res & i64::from(libc::POLLIN) != 0
}
