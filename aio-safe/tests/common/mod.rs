//! What the tests of this directory share.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unsafe_code, reason = "implements the crate's unsafe traits")]

mod buffers;
mod children;
mod clipped;
mod device;
mod driven;
mod fake;
mod files;
mod handles;
mod lanes;
mod panics;
mod ringed;
mod room;
mod runtimes;
mod tasks;
mod wrapped;

#[allow(unused_imports, reason = "as above")]
pub(crate) use self::{
    buffers::{Either, OnDrop, PanicsOnDrop, Tracked, With},
    children::{
        Fork, alone, forbid, in_child, limit_memory, one_at_a_time, use_up_descriptors,
        use_up_threads,
    },
    clipped::{Clip, Clipped},
    driven::driven_by_test,
    fake::{Fake, Request, Verdict},
    files::{Scratch, direct_file, pattern, pipe},
    handles::{read, tracked},
    lanes::{
        Bytes, Reads, TrackedReads, lane_of, numbered, poll_lane, push, results, submit,
        submit_reads, take_all, tracked_lane, tracked_op,
    },
    panics::{
        PanickingFile, caught, panicking_waker, text, waker_panicking_in_clone,
        waker_panicking_in_drop,
    },
    ringed::WithRing,
    room::room,
    runtimes::{Blocks, futures, threads},
    tasks::{Does, Flag, Woken, block_on, poll_once, within},
    wrapped::{Spy, WithoutRing},
};
