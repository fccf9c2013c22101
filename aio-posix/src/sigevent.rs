//! How a program is told that a request or a list is over.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aio_safe::queue::Signal;

use crate::{foreign, signals::Blocked};

/// What happens when a request or a list is over, besides that its status says so.
#[derive(Default)]
pub enum Sigevent {
    /// Nothing (`SIGEV_NONE`).
    #[default]
    None,
    /// This signal is sent (`SIGEV_SIGNAL`; `SIGEV_THREAD_ID` if it is to a thread).
    ///
    /// The kernel queues a limited number of real-time signals (`RLIMIT_SIGPENDING`), and one of
    /// each other kind. Further ones are lost. So look at all requests when one comes.
    Signal(Signal),
    /// A new thread calls this function (`SIGEV_THREAD`). All signals are blocked in the thread. If
    /// no thread can be started, the thread that reaps calls it.
    Thread(Box<dyn FnOnce() + Send>),
}

impl Sigevent {
    /// A [`Thread`](Self::Thread) with this function.
    pub fn thread(function: impl FnOnce() + Send + 'static) -> Self {
        Self::Thread(Box::new(function))
    }
}

/// What the engine does with a [`Sigevent`], or with that of a C program.
#[derive(Default)]
pub(crate) enum Notify {
    #[default]
    None,
    Signal(Signal),
    /// The thread that reaps calls it. It doesn't block, and doesn't panic.
    Call(Box<dyn FnOnce() + Send>),
}

impl From<Sigevent> for Notify {
    fn from(sigevent: Sigevent) -> Self {
        match sigevent {
            Sigevent::None => Self::None,
            Sigevent::Signal(signal) => Self::Signal(signal),
            Sigevent::Thread(function) => Self::Call(Box::new(|| call_in_thread(function))),
        }
    }
}

impl Notify {
    /// Tells the program.
    pub(crate) fn tell(self) {
        match self {
            Self::None => {}
            Self::Signal(signal) => signal.send(),
            Self::Call(function) => function(),
        }
    }
}

fn call_in_thread(function: Box<dyn FnOnce() + Send>) {
    // If the thread can't be started, its closure is dropped, and the function is still here.
    let function = Arc::new(Mutex::new(Some(function)));
    let take = |function: &Mutex<Option<Box<dyn FnOnce() + Send>>>| {
        let mut place = function.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    };
    let of_thread = Arc::clone(&function);
    let builder = std::thread::Builder::new().name("aio-notify".to_owned());
    // The request may have ended in a thread of the program, where signals aren't blocked.
    let blocked = Blocked::all();
    let started = builder.spawn(move || {
        if let Some(function) = take(&of_thread) {
            function();
        }
    });
    drop(blocked);
    if started.is_err() {
        if let Some(function) = take(&function) {
            foreign::call(function);
        }
    }
}

impl fmt::Debug for Sigevent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Signal(signal) => f.debug_tuple("Signal").field(signal).finish(),
            Self::Thread(_) => f.debug_tuple("Thread").finish_non_exhaustive(),
        }
    }
}
