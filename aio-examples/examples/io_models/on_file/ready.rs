//! Waiting until a file is ready, which a regular file always is.

use std::{os::fd::AsFd, time::Instant};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, epoll, poll},
    io::Errno,
};

use super::read;
use crate::{
    blocks::Blocks,
    calls::Call,
    run::{Outcome, Run},
    select,
};

/// Waits with `select` before each read.
pub(crate) fn by_select(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    each(blocks, run, |run| {
        select::readable(&[blocks.as_fd()], &run.calls).map(drop)
    })
}

/// Waits with `poll` before each read.
pub(crate) fn by_poll(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    each(blocks, run, |run| {
        let mut file = [PollFd::new(blocks, PollFlags::IN)];
        match run.calls.count(Call::Poll, poll(&mut file, None)) {
            // The read that follows waits for the disk in any case.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("poll"),
        }
    })
}

/// Tries to add the file to an epoll instance.
pub(crate) fn by_epoll(blocks: &Blocks, _: &mut Run) -> Result<Outcome> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
    let data = epoll::EventData::new_u64(0);
    match epoll::add(&epoll, blocks, data, epoll::EventFlags::IN) {
        Err(Errno::PERM) => Ok(Outcome::Refused(
            "epoll_ctl answers EPERM: there is nothing to wait for on a regular file".into(),
        )),
        Err(error) => Err(error).context("epoll_ctl"),
        Ok(()) => anyhow::bail!("epoll has accepted a regular file, which Linux doesn't do"),
    }
}

/// Waits until the file is ready, and reads, for each block.
fn each(blocks: &Blocks, run: &mut Run, wait: impl Fn(&Run) -> Result<()>) -> Result<Outcome> {
    let mut buffer = blocks.buffer()?;
    run.timed(|run| {
        for &block in &blocks.order {
            let since = Instant::now();
            wait(run)?;
            read(blocks, &run.calls, block, &mut buffer)?;
            run.got(since);
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
