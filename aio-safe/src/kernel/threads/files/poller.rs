//! The thread that waits until files are ready: for polls, and for streams.

#![allow(unsafe_code, reason = "polls descriptors")]

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::{Arc, OnceLock},
};

use aio_sys::Errno;

use super::{calls::last_errno, file::File};
use crate::{
    kernel::{
        kick::pipe,
        threads::{device::Token, thread},
    },
    sync::{Mutex, lock},
};

/// For how long the thread waits without a job before it ends.
const IDLE_MS: i32 = 5000;
/// How many events it takes at a time.
const EVENTS: usize = 64;

/// See the [module](self).
pub(super) struct Poller<J> {
    shared: OnceLock<Arc<Shared<J>>>,
}

/// What is told that its file is ready.
pub(super) trait Told: Send + 'static {
    /// The file is ready for these events, which are those of `epoll_wait`.
    fn ready(self, events: u32);
}

struct Shared<J> {
    epoll: OwnedFd,
    state: Mutex<State<J>>,
}

struct State<J> {
    waits: Vec<Wait<J>>,
    free: Vec<u32>,
    /// The thread runs.
    runs: bool,
    /// Nobody hands over jobs any more. What wakes the thread, if it could be made.
    ended: Option<Option<OwnedFd>>,
}

struct Wait<J> {
    uses: u32,
    /// The job, and its file's descriptor, which stays open while the job is here.
    job: Option<(J, RawFd)>,
}

impl<J: Told> Poller<J> {
    pub(super) fn new() -> Self {
        Self {
            shared: OnceLock::new(),
        }
    }

    fn shared(&self) -> Result<&Arc<Shared<J>>, Errno> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        // SAFETY: the call touches no memory of ours.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(last_errno());
        }
        let shared = Shared {
            // SAFETY: `epoll_create1` returned the descriptor just now, and nobody else owns it.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            state: Mutex::new(State {
                waits: Vec::new(),
                free: Vec::new(),
                runs: false,
                ended: None,
            }),
        };
        Ok(self.shared.get_or_init(|| Arc::new(shared)))
    }

    /// Makes what is needed, so that [`wait`](Self::wait) needs no descriptor and no thread.
    ///
    /// # Errors
    ///
    /// EAGAIN if the process has no descriptor left, or can't start a thread.
    pub(super) fn prepare(&self) -> Result<(), Errno> {
        let shared = self.shared().map_err(|_| Errno::EAGAIN)?;
        match shared.have_thread(&mut lock(&shared.state)) {
            true => Ok(()),
            false => Err(Errno::EAGAIN),
        }
    }

    /// Has the job wait until its file is ready for one of the events. The file stays open until
    /// then, or until the job was [forgotten](Self::forget).
    ///
    /// # Errors
    ///
    /// The job, and the errno. EPERM says that the file is always ready.
    pub(super) fn wait(&self, file: &File, events: u32, job: J) -> Result<Token, (J, Errno)> {
        let shared = match self.shared() {
            Ok(shared) => shared,
            Err(errno) => return Err((job, errno)),
        };
        let mut state = lock(&shared.state);
        if !shared.have_thread(&mut state) {
            return Err((job, Errno::EAGAIN));
        }
        let index = state.free.pop().unwrap_or_else(|| {
            state.waits.push(Wait { uses: 0, job: None });
            state.waits.len() as u32 - 1
        });
        let token = Token {
            index,
            uses: state.waits[index as usize].uses,
        };
        let mut event = libc::epoll_event {
            events: events | libc::EPOLLONESHOT as u32,
            u64: u64::from(token.uses) << 32 | u64::from(index),
        };
        let (epoll, fd) = (shared.epoll.as_raw_fd(), file.as_raw_fd());
        // SAFETY: `event` is readable during the call.
        if unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) } != 0 {
            state.free.push(index);
            return Err((job, last_errno()));
        }
        state.waits[index as usize].job = Some((job, fd));
        Ok(token)
    }

    /// Takes a job back. `None` if it was run.
    pub(super) fn forget(&self, token: Token) -> Option<J> {
        let shared = self.shared.get()?;
        shared.take(&mut lock(&shared.state), token)
    }
}

impl<J> Drop for Poller<J> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.get() else {
            return;
        };
        let mut state = lock(&shared.state);
        let ready = pipe();
        if let Some(ready) = &ready {
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: u64::MAX,
            };
            let (epoll, fd) = (shared.epoll.as_raw_fd(), ready.as_raw_fd());
            // If this fails, the thread ends a while later.
            // SAFETY: `event` is readable during the call.
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        }
        state.ended = Some(ready);
    }
}

impl<J: Told> Shared<J> {
    /// Starts the thread if it doesn't run. Returns false if that can't be done now.
    fn have_thread(self: &Arc<Self>, state: &mut State<J>) -> bool {
        if !state.runs {
            let shared = Arc::clone(self);
            state.runs = thread::start(move || shared.run());
        }
        state.runs
    }

    /// Takes a job out, and no longer watches its file.
    fn take(&self, state: &mut State<J>, token: Token) -> Option<J> {
        let wait = state.waits.get_mut(token.index as usize)?;
        if wait.uses != token.uses {
            return None;
        }
        let (job, fd) = wait.job.take()?;
        wait.uses = wait.uses.wrapping_add(1);
        state.free.push(token.index);
        // The file may live on in other descriptors, and so would what epoll knows of it.
        // SAFETY: the call touches no memory of ours.
        unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd,
                std::ptr::null_mut(),
            )
        };
        Some(job)
    }

    /// The thread's life.
    fn run(&self) {
        loop {
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
            let epoll = self.epoll.as_raw_fd();
            // SAFETY: `events` is writable in its length.
            let n = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, IDLE_MS) };
            let fired = events.iter().take(usize::try_from(n).unwrap_or(0));
            for &libc::epoll_event { events, u64: token } in fired {
                let token = Token {
                    index: token as u32,
                    uses: (token >> 32) as u32,
                };
                let job = self.take(&mut lock(&self.state), token);
                if let Some(job) = job {
                    job.ready(events);
                }
            }
            let mut state = lock(&self.state);
            let is_idle = n == 0 && state.free.len() == state.waits.len();
            if is_idle || state.ended.is_some() {
                state.runs = false;
                return;
            }
        }
    }
}

/// Whether a file is ready now.
pub(super) fn is_ready(file: &File, to_write: bool) -> bool {
    let mut asked = libc::pollfd {
        fd: file.as_raw_fd(),
        events: if to_write {
            libc::POLLOUT
        } else {
            libc::POLLIN
        },
        revents: 0,
    };
    // SAFETY: `asked` is readable and writable during the call.
    let n = unsafe { libc::poll(&raw mut asked, 1, 0) };
    n > 0
}
