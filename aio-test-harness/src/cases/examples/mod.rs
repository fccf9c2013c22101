//! The project's example programs on this kernel. They have tests of their own, which check more,
//! but only on the kernel of the machine that builds them.

mod copy;
mod epoll_server;
mod hello;
mod io_master;
mod process;
mod tokio_kv;

use crate::{
    case::Case,
    env::Requirement::{DirectIo, Disk512, Disk4096, Examples, Root},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "example::hello",
        "the example hello writes a block of a file and of a disk, and reads it back",
        &[Examples, DirectIo, Disk4096],
        hello::writes_a_block,
    ),
    Case::new(
        "example::copy",
        "the example copy keeps contents, holes, mode, owner and times",
        &[Examples, DirectIo, Root],
        copy::copies,
    ),
    Case::new(
        "example::copy_killed",
        "the example copy leaves nothing or the whole file when it is killed",
        &[Examples, DirectIo],
        copy::is_killed,
    ),
    Case::new(
        "example::tokio_kv",
        "the example tokio_kv keeps acknowledged writes when it is killed, also in a compaction",
        &[Examples, DirectIo],
        tokio_kv::is_killed,
    ),
    Case::new(
        "example::epoll_server",
        "the example epoll_server serves the blocks of a disk over TCP",
        &[Examples, Disk512],
        epoll_server::serves,
    ),
    Case::new(
        "example::io_master",
        "the example io_master serves a file and a disk to clients, some of which are killed",
        &[Examples, DirectIo, Disk512],
        io_master::serves,
    ),
];
