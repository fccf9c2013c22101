//! Running a future in a world, in one thread.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use aio_safe::Queue;

use crate::World;

/// Notes that the future was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

impl World {
    /// Runs a future to its end, in this thread. While it waits, the next thing in the world
    /// happens, and the completions of these queues are taken. The queues have
    /// [`Driver::Caller`](aio_safe::queue::Driver::Caller), so that no other thread takes them.
    ///
    /// ```
    /// use aio_safe::{Op, Queue, queue::Driver};
    /// use aio_sim::{DiskModel, OFlags, World};
    ///
    /// let world = World::new(7);
    /// let disk = world.disk(DiskModel::xfs());
    /// let queue = Queue::builder(32).driver(Driver::Caller).build_on(world.kernel())?;
    /// let file = disk.open("a", OFlags::RDWR | OFlags::CREATE)?;
    /// let written = world.block_on(&[&queue], async {
    ///     queue.submit(&file, Op::write(vec![1; 100], 0))?.await.result?;
    ///     queue.submit(&file, Op::fdatasync())?.await?;
    ///     Ok::<_, Box<dyn std::error::Error>>(file.len())
    /// });
    /// assert_eq!(written?, 100);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When the future waits, nothing is due in the world and no real file is polled: it would wait
    /// for ever. Also when the future or a waker panics.
    pub fn block_on<F: Future>(&self, queues: &[&Queue], future: F) -> F::Output {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        loop {
            if flag.0.swap(false, Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return output;
                }
                continue;
            }
            self.wake();
            let mut reaped = 0;
            for queue in queues {
                // An error is told to the operations too.
                reaped += queue.reap(0, None).unwrap_or(0);
            }
            let woken = flag.0.load(Relaxed);
            assert!(
                reaped > 0 || woken || self.step() || self.wait_for_polls(),
                "the future waits, and nothing is due in the world"
            );
        }
    }

    /// Goes to the next thing that is due, which happens. Returns whether there was one.
    fn step(&self) -> bool {
        self.enter(|state| match state.agenda.advance(u64::MAX) {
            _ if state.look_at_polls() => true,
            Some(due) => {
                state.happen(due);
                true
            }
            None => false,
        })
    }

    /// Waits for polls of files that aren't of the world. Returns whether there are any in flight.
    fn wait_for_polls(&self) -> bool {
        let real = self.lock().kernel.polls.real();
        if real.is_empty() {
            return false;
        }
        real.wait();
        true
    }
}
