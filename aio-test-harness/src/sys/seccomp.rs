//! Forbids system calls, as container runtimes do.

use std::io;

use super::check;

/// What a filter answers to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Allow,
    Errno(u16),
}

impl Answer {
    fn code(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
        }
    }
}

/// Makes these system calls of this process answer with this errno. This can't be undone.
pub(crate) fn forbid(calls: &[u32], errno: u16) -> io::Result<()> {
    let rules: Vec<_> = calls
        .iter()
        .map(|call| (*call, Answer::Errno(errno)))
        .collect();
    answer(&rules, Answer::Allow)
}

/// Sets the answers to these system calls of this process, and to all others. This can't be undone.
pub(crate) fn answer(rules: &[(u32, Answer)], others: Answer) -> io::Result<()> {
    // struct seccomp_data begins with the call's number. The architecture isn't checked, because
    // this process makes no calls of another one.
    const NUMBER: u32 = 0;
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = vec![statement(
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        NUMBER,
    )];
    for (call, answer) in rules {
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        // If equal, the next statement runs. Otherwise it is skipped.
        program.push(libc::sock_filter {
            code: equal,
            jt: 0,
            jf: 1,
            k: *call,
        });
        program.push(statement(libc::BPF_RET | libc::BPF_K, answer.code()));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, others.code()));
    let program = libc::sock_fprog {
        len: program.len().try_into().map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: PR_SET_NO_NEW_PRIVS takes four numbers that are as wide as words.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, none, none, none) })?;
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the program has `len` statements. Both outlive the call, which copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    check(result).map(drop)
}
