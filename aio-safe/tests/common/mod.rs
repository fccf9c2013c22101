//! What the tests of this directory share.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unsafe_code, reason = "implements the crate's unsafe traits")]

mod buffers;
mod device;
mod fake;
mod files;
mod lanes;
mod ringed;
mod room;
mod tasks;
mod wrapped;

#[allow(unused_imports, reason = "as above")]
pub(crate) use self::{
    buffers::{Either, PanicsOnDrop, Tracked},
    fake::{Fake, Request, Verdict},
    files::{Scratch, direct_file, pattern},
    lanes::submit,
    ringed::WithRing,
    room::room,
    tasks::{Flag, Woken, block_on, poll_once, within},
    wrapped::{Spy, WithoutRing},
};
