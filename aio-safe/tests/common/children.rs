//! Processes: children that are forked, and this program started once more for one test.

use std::{
    os::unix::process::ExitStatusExt,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering::SeqCst},
    },
};

/// How long a child may take. A child that hangs is killed by a SIGALRM.
const SECONDS: u32 = 60;

/// Set for this program when it was started for one test.
const ALONE: &str = "AIO_SAFE_TEST_ALONE";

/// Forks. Returns 0 in the child, which has [`SECONDS`], and the child's number in the parent.
fn fork() -> libc::pid_t {
    // SAFETY: the child uses no lock that another thread may hold, and ends with `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: sets a timer of the child's own.
        unsafe { libc::alarm(SECONDS) };
    }
    child
}

fn exit(good: bool) -> ! {
    // SAFETY: ends the child at once.
    unsafe { libc::_exit(i32::from(!good)) }
}

fn status_of(child: libc::pid_t) -> i32 {
    let mut status = -1;
    // SAFETY: `status` is a place for an int.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
}

/// Runs something in a child process, and fails if it panics or dies.
pub(crate) fn in_child(what: impl FnOnce()) {
    let child = fork();
    if child == 0 {
        exit(catch_unwind(AssertUnwindSafe(what)).is_ok());
    }
    assert_eq!(
        status_of(child),
        0,
        "the child's status; 14 is SIGALRM: it hung"
    );
}

/// A fork in the middle of something: of a waker, say.
#[derive(Clone)]
pub(crate) struct Fork(Arc<AtomicI32>);

impl Fork {
    const NOT_YET: i32 = -1;
    const CHILD: i32 = -2;

    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI32::new(Self::NOT_YET)))
    }

    /// Forks. The parent goes on when the child has ended.
    pub(crate) fn here(&self) {
        let child = fork();
        let state = match child {
            0 => Self::CHILD,
            _ => status_of(child),
        };
        self.0.store(state, SeqCst);
    }

    pub(crate) fn is_in_child(&self) -> bool {
        self.0.load(SeqCst) == Self::CHILD
    }

    /// Ends the child: `good` says whether all was well. Returns in the parent only, and fails if
    /// the child didn't end well.
    pub(crate) fn join(&self, good: impl FnOnce() -> bool) {
        if self.is_in_child() {
            exit(catch_unwind(AssertUnwindSafe(good)).unwrap_or(false));
        }
        let status = self.0.load(SeqCst);
        assert_ne!(status, Self::NOT_YET, "nothing has forked");
        assert_eq!(status, 0, "the child's status; 14 is SIGALRM: it hung");
    }
}

/// Keeps the tests of a file apart, while it is held.
///
/// For tests that fork in the midst of a call: the child inherits std's locks as they are at that
/// time. Another test that panics or prints would hold one, for which the child waits for ever.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the body of the test of this name in a process of its own, where it may do what would
/// disturb other tests.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        // SAFETY: sets a timer of this process, which is here for one test.
        unsafe { libc::alarm(SECONDS) };
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}signal {:?}; 14 is SIGALRM: it hung",
        String::from_utf8_lossy(&output.stderr),
        output.status.signal()
    );
}

/// From now on this process gets no more descriptors.
pub(crate) fn use_up_descriptors() {
    // The lowest that is free: those below are in use.
    let next = std::fs::File::open("/dev/null").unwrap();
    let limit = libc::rlimit {
        rlim_cur: std::os::fd::AsRawFd::as_raw_fd(&next) as libc::rlim_t,
        rlim_max: 4096,
    };
    drop(next);
    // SAFETY: `limit` is a rlimit.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(done, 0);
    let error = std::fs::File::open("/dev/null").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
}

/// From now on this thread, and those that it starts, get this answer to a system call.
pub(crate) fn forbid(call: libc::c_long, errno: i32) {
    let statement = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let answer = |answer| statement(libc::BPF_RET | libc::BPF_K, 0, answer);
    let mut program = [
        // The number of the call, which struct seccomp_data begins with.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
        answer(libc::SECCOMP_RET_ERRNO | errno as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: PR_SET_NO_NEW_PRIVS takes four numbers, as wide as words.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, none, none, none) };
    assert_eq!(done, 0);
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the program has as many statements as it says, and the call copies them.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// From now on this thread can't start others.
pub(crate) fn use_up_threads() {
    forbid(libc::SYS_clone3, libc::EAGAIN);
    forbid(libc::SYS_clone, libc::EAGAIN);
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
}

/// From now on this process gets at most so many bytes more from the kernel.
pub(crate) fn limit_memory(more: libc::rlim_t) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:")?.split_whitespace().next());
    let bytes = size.unwrap().parse::<libc::rlim_t>().unwrap() * 1024;
    let limit = libc::rlimit {
        rlim_cur: bytes + more,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a rlimit.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(result, 0);
}
