//! A hybrid queue works under filters that forbid native AIO, or parts of it.
//!
//! The list of calls that the two filters of containers and services allow is what both of these
//! allow, and what the Rust standard library and this program need: Docker's and containerd's
//! default profile (`seccomp/default.json` of moby/profiles, read in 2025), and the set
//! `@system-service` of systemd, which most of Debian's services with a filter use. Both allow all
//! calls of native AIO. Neither is Docker's before 20.10 or so, which had no `io_pgetevents`.

use std::io::Write;

use aio_safe::{
    Errno, Op, Queue, fs,
    op::{CancelOutcome, PollEvents},
};
use aio_sys::nr;

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, offset},
        support::{BLOCK, file, same_bytes},
    },
    check, check_eq,
    env::Env,
    sys::{self, fork::fork, seccomp::forbid},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::filters::no_aio_enosys",
        "a hybrid queue works, and says why, where all calls of native AIO answer ENOSYS",
        DIRECT,
        |env| no_aio(env, Errno::ENOSYS),
    ),
    Case::new(
        "queue::filters::no_aio_eperm",
        "a hybrid queue works, and says why, where all calls of native AIO answer EPERM",
        DIRECT,
        |env| no_aio(env, Errno::EPERM),
    ),
    Case::new(
        "queue::filters::any_part",
        "a hybrid queue works under a filter of any call of native AIO, eventfd and memfd_create",
        DIRECT,
        any_part,
    ),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Case::new(
        "queue::filters::container",
        "a hybrid queue uses native AIO under the default filter of containers",
        DIRECT,
        |env| allowed(env, Some(libc::ENOSYS)),
    ),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Case::new(
        "queue::filters::service",
        "a hybrid queue uses native AIO under a filter of system services",
        DIRECT,
        |env| allowed(env, None),
    ),
];

/// The calls of native AIO, in groups of which a filter forbids all or none.
const CALLS: &[&[u32]] = &[
    &[nr::IO_SETUP],
    &[nr::IO_DESTROY],
    &[nr::IO_SUBMIT],
    &[nr::IO_CANCEL],
    &[nr::IO_GETEVENTS],
    &[
        nr::IO_PGETEVENTS,
        #[cfg(target_pointer_width = "32")]
        nr::IO_PGETEVENTS_TIME64,
    ],
];

/// What else a hybrid queue would like to have.
const OTHERS: &[&[u32]] = &[&[libc::SYS_eventfd2 as u32, libc::SYS_memfd_create as u32]];

/// Does all kinds of operations. No other case that runs at the same time has this name.
fn works(env: &Env, name: &str, queue: &Queue) -> CaseResult {
    const COUNT: usize = 4;
    let direct = blocks(env, name, COUNT)?;
    for index in 0..COUNT {
        let write = queue.submit(&direct, Op::write(buffer(&block(index))?, offset(index)))?;
        check_eq!(write.wait().result, Ok(BLOCK));
    }
    check_eq!(queue.submit(&direct, Op::fsync())?.wait(), Ok(()));
    check_blocks(queue, &direct, COUNT)?;
    let checked = fs::File::open(env.directory()?.join(name))?;
    let read = checked.read_at(queue, checked.buffer(BLOCK)?, 0).wait();
    check_eq!(read.result, Ok(BLOCK));
    same_bytes(&read.buffer, &block(0))?;

    let buffered = file(env, &format!("{name}-buffered"))?;
    let write = queue.submit(&buffered, Op::write("text", 0))?.wait();
    check_eq!(write.result, Ok(4));
    let read = queue.submit(&buffered, Op::read(vec![0; 8], 0))?.wait();
    check_eq!(
        (read.result, &read.buffer[..4]),
        (Ok(4), b"text".as_slice())
    );

    let (reader, mut writer) = sys::fd::pipe()?;
    let read = queue.submit(&reader, Op::read(vec![0; 8], 0))?;
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    writer.write_all(b"piped")?;
    let read = read.wait();
    check_eq!(
        (read.result, &read.buffer[..5]),
        (Ok(5), b"piped".as_slice())
    );
    // The read may have taken everything before the poll looked.
    writer.write_all(b"x")?;
    check!(poll.wait()?.contains(PollEvents::IN));

    let (reader, _writer) = sys::fd::pipe()?;
    let mut poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    check_eq!(poll.cancel(), Ok(CancelOutcome::Cancelled));
    check_eq!(poll.wait(), Ok(PollEvents::default()));
    // Closing ends it.
    std::mem::forget(queue.submit(&reader, Op::poll(PollEvents::IN))?);
    check_eq!(queue.stats().strays, 0);
    Ok(())
}

fn without_native(queue: &Queue) -> Option<Errno> {
    queue.ways().and_then(|ways| ways.without_native)
}

fn no_aio(env: &Env, errno: Errno) -> CaseResult {
    let name = format!("queue-filters-{}", errno.raw());
    forbid(&CALLS.concat(), errno.raw() as u16)?;
    let queue = env.queue(8)?;
    check_eq!(without_native(&queue), Some(errno));
    works(env, &name, &queue)?;
    queue.close()?;
    Ok(())
}

/// Each call alone, all, and none. Every subset takes an emulated processor a minute, so a test of
/// aio-safe tries them (`it_works_whichever_calls_a_filter_forbids`).
fn any_part(env: &Env) -> CaseResult {
    let all = (1_u32 << CALLS.len()) - 1;
    let subsets = (0..CALLS.len()).map(|n| 1 << n).chain([0, all]);
    for subset in subsets {
        for (errno, others) in [(Errno::ENOSYS, OTHERS), (Errno::EPERM, &[])] {
            let chosen = |n: usize| subset >> n & 1 == 1;
            let calls = CALLS.iter().enumerate().filter(|(n, _)| chosen(*n));
            let calls = calls.map(|(_, calls)| *calls).chain(others.iter().copied());
            let calls = calls.collect::<Vec<_>>().concat();
            fork(|| {
                forbid(&calls, errno.raw() as u16)?;
                let queue = env.queue(8)?;
                works(env, "queue-filters-part", &queue)
                    .and_then(|()| Ok(queue.close()?))
                    .inspect_err(|_| eprintln!("forbidden with {errno}: {calls:?}"))
            })?
            .succeeded()?;
        }
    }
    Ok(())
}

/// What both filters allow, of what this program uses.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_ioctl,
    libc::SYS_ioprio_set,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_prlimit64,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Everything else answers EPERM. `clone3` answers the errno, or is allowed.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn allowed(env: &Env, clone3: Option<i32>) -> CaseResult {
    use crate::sys::seccomp::{Answer, answer};

    let name = format!("queue-filters-allowed-{}", clone3.is_some());
    let mut rules: Vec<_> = ALLOWED
        .iter()
        .map(|call| (*call as u32, Answer::Allow))
        .collect();
    rules.push((nr::IO_PGETEVENTS, Answer::Allow));
    let clone3 = clone3.map_or(Answer::Allow, |errno| Answer::Errno(errno as u16));
    rules.push((libc::SYS_clone3 as u32, clone3));
    answer(&rules, Answer::Errno(libc::EPERM as u16))?;

    // Both filters allow this call, but it isn't needed, so it isn't in the list.
    let forbidden = std::fs::create_dir(env.directory()?.join("queue-filters-forbidden"));
    check_eq!(
        forbidden.err().and_then(|error| error.raw_os_error()),
        Some(libc::EPERM)
    );
    let queue = env.queue(8)?;
    check_eq!(without_native(&queue), None);
    works(env, &name, &queue)?;
    queue.close()?;
    Ok(())
}
