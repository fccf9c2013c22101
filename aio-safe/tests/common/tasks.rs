//! Running futures and threads in tests.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self::default());
        (Arc::clone(&woken), Waker::from(woken))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Runs something once, when woken or when dropped.
pub(crate) struct Does<W: FnOnce(), D: FnOnce()> {
    on_wake: Mutex<Option<W>>,
    on_drop: Mutex<Option<D>>,
}

impl<W: FnOnce() + Send + 'static, D: FnOnce() + Send + 'static> Does<W, D> {
    pub(crate) fn waker(on_wake: W, on_drop: D) -> Waker {
        Waker::from(Arc::new(Self {
            on_wake: Mutex::new(Some(on_wake)),
            on_drop: Mutex::new(Some(on_drop)),
        }))
    }
}

impl<W: FnOnce() + Send + 'static, D: FnOnce() + Send + 'static> Wake for Does<W, D> {
    fn wake(self: Arc<Self>) {
        let on_wake = self.on_wake.lock().unwrap().take();
        if let Some(on_wake) = on_wake {
            on_wake();
        }
    }
}

impl<W: FnOnce(), D: FnOnce()> Drop for Does<W, D> {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.get_mut().unwrap().take() {
            on_drop();
        }
    }
}

/// Runs a future on this thread, which sleeps between wake-ups.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Something that one thread sets and others wait for.
#[derive(Default)]
pub(crate) struct Flag(Mutex<bool>, Condvar);

impl Flag {
    pub(crate) fn set(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let guard = self.0.lock().unwrap();
        drop(self.1.wait_while(guard, |set| !*set).unwrap());
    }
}

/// Runs a test on a thread of its own, and fails when it isn't done in time: a lost wake-up is a
/// failure, not a test that never ends.
pub(crate) fn within<R: Send + 'static>(
    seconds: u64,
    test: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = test();
        sender.send(()).ok();
        result
    });
    match receiver.recv_timeout(Duration::from_secs(seconds)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still not done after {seconds} s"),
        _ => thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}
