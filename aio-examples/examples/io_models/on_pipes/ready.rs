//! Waiting for all pipes in one call, then reading those that are ready.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, epoll, poll},
    io::Errno,
};

use crate::{
    calls::Call,
    pipes::{PIPES, Pipes},
    run::{Outcome, Run},
    select,
};

/// Waits with `select`.
pub(crate) fn by_select(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    let readers: Vec<_> = pipes.readers.iter().map(AsFd::as_fd).collect();
    each(pipes, run, |run| select::readable(&readers, &run.calls))
}

/// Waits with `poll`.
pub(crate) fn by_poll(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    let of = |reader| PollFd::new(reader, PollFlags::IN);
    let mut readers: Vec<_> = pipes.readers.iter().map(of).collect();
    each(pipes, run, |run| {
        match run.calls.count(Call::Poll, poll(&mut readers, None)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error).context("poll"),
        }
        // Also those that hung up: reading says so.
        let ready = readers.iter().map(|reader| !reader.revents().is_empty());
        Ok((0..)
            .zip(ready)
            .filter_map(|(pipe, ready)| ready.then_some(pipe))
            .collect())
    })
}

/// Waits with `epoll_wait`. The kernel was told once which pipes there are.
pub(crate) fn by_epoll(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
    for (pipe, reader) in (0..).zip(&pipes.readers) {
        let data = epoll::EventData::new_u64(pipe);
        epoll::add(&epoll, reader, data, epoll::EventFlags::IN).context("epoll_ctl")?;
    }
    each(pipes, run, |run| {
        let mut events = Vec::with_capacity(PIPES);
        let result = epoll::wait(&epoll, spare_capacity(&mut events), None);
        match run.calls.count(Call::EpollWait, result) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error).context("epoll_wait"),
        }
        Ok(events
            .iter()
            .map(|event| event.data.u64() as usize)
            .collect())
    })
}

/// Waits until pipes are ready, and reads a message from each of these, until all are there.
fn each(
    pipes: &Pipes,
    run: &mut Run,
    mut wait: impl FnMut(&Run) -> Result<Vec<usize>>,
) -> Result<Outcome> {
    pipes.timed(run, |run| {
        let mut left = pipes.total();
        while left > 0 {
            for pipe in wait(run)? {
                // The pipes are non-blocking. So if one isn't ready after all, the read doesn't
                // block.
                if let Some(sent) = pipes.read(pipe, &run.calls)? {
                    run.got(sent);
                    left -= 1;
                }
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
