//! `select`.

#![allow(unsafe_code, reason = "select takes numbers of files")]

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use rustix::{
    event::{FdSetElement, FdSetIter, fd_set_insert, fd_set_num_elements, select},
    io::Errno,
};

use crate::calls::{Call, Calls};

/// Blocks until one of the files can be read. Returns the places in `files` of those that can.
pub(crate) fn readable(files: &[BorrowedFd<'_>], calls: &Calls) -> Result<Vec<usize>> {
    let end = files.iter().map(|file| file.as_raw_fd() + 1).max();
    let end = end.unwrap_or(0);
    // The call overwrites the set with its answer, so the set is made anew each time.
    let mut set = vec![FdSetElement::default(); fd_set_num_elements(files.len(), end)];
    for file in files {
        fd_set_insert(&mut set, file.as_raw_fd());
    }
    // SAFETY: all files in the set are borrowed, so they are open. The set has room for `end` files
    // by `fd_set_num_elements`.
    let result = unsafe { select(end, Some(&mut set), None, None, None) };
    match calls.count(Call::Select, result) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(Vec::new()),
        Err(error) => return Err(error).context("select"),
    }
    let ready: Vec<_> = FdSetIter::new(&set).collect();
    let places = (0..files.len()).filter(|&place| ready.contains(&files[place].as_raw_fd()));
    Ok(places.collect())
}
