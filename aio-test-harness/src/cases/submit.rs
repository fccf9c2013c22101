//! `io_submit`: its errors in their order.

use aio_sys::Errno;

use crate::case::{Case, CaseResult};
use crate::check_eq;
use crate::env::{Env, Requirement};
use crate::raw::{Context, Memory, Request};

use super::support::file;

pub(super) const CASES: &[Case] = &[Case::new(
    "submit::bad_descriptor",
    "a descriptor that isn't open is EBADF",
    &[Requirement::Directory],
    bad_descriptor,
)];

fn bad_descriptor(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "bad-descriptor")?;
    for fd in [-1, i32::MAX, i32::MIN] {
        let request = Request::read(&file, Memory::zeroed(512)?, 0)?.descriptor(fd);
        check_eq!(context.submit(&[&request]), Err(Errno::EBADF), "fd {fd}");
    }
    Ok(())
}
