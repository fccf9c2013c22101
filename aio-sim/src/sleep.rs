//! Tasks that sleep in virtual time.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;

use crate::{World, agenda::Due};

/// A future that is ready at a virtual time. Made by [`World::sleep`].
#[must_use = "it sleeps only when it is awaited"]
pub struct Sleep {
    world: World,
    until: u64,
    key: Option<usize>,
}

/// The tasks that sleep.
#[derive(Default)]
pub(crate) struct Sleepers {
    asleep: Slab<Option<Waker>>,
    /// The keys of those whose time has come. They are woken outside of the world's lock and of
    /// kernel calls.
    due: VecDeque<usize>,
}

impl Sleepers {
    /// The time of a task has come. The key may be another task's by now, which wakes up in vain.
    ///
    /// Its waker stays with it. A waker without its [`Sleep`] would be dropped with the world,
    /// which the kernel's destructor may do, and that runs no foreign code.
    pub(crate) fn ring(&mut self, key: usize) {
        self.due.push_back(key);
    }

    /// The next one that is to be woken.
    fn next(&mut self) -> Option<Waker> {
        while let Some(key) = self.due.pop_front() {
            let waker = self.asleep.get_mut(key).and_then(Option::take);
            if waker.is_some() {
                return waker;
            }
        }
        None
    }
}

impl World {
    /// Sleeps for a virtual time. The task is woken in [`block_on`](Self::block_on) and in
    /// [`pass`](Self::pass). Another executor has to call one of these.
    ///
    /// ```
    /// use aio_sim::World;
    /// use std::time::Duration;
    ///
    /// let world = World::new(1);
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// world.block_on(&[], world.sleep(day));
    /// assert_eq!(world.now(), day);
    /// ```
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep {
            world: self.clone(),
            until: self.enter(|state| state.agenda.after_duration(time)),
            key: None,
        }
    }

    /// Wakes the tasks whose time has come. If a waker panics, the next call wakes the others.
    pub(crate) fn wake(&self) {
        while let Some(waker) = self.enter(|state| state.sleepers.next()) {
            waker.wake();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (until, key) = (self.until, self.key);
        // Cloned outside of the lock: it is foreign code.
        let waker = Some(context.waker().clone());
        let key = self.world.enter(|state| {
            if state.agenda.now() >= until {
                return None;
            }
            if let Some(key) = key {
                let before = std::mem::replace(&mut state.sleepers.asleep[key], waker);
                return Some((key, before));
            }
            let key = state.sleepers.asleep.insert(waker);
            state.agenda.add(until, Due::Alarm(key));
            Some((key, None))
        });
        match key {
            None => Poll::Ready(()),
            Some((key, before)) => {
                drop(before);
                self.key = Some(key);
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.world.enter(|state| state.sleepers.asleep.remove(key));
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("until", &Duration::from_nanos(self.until))
            .finish_non_exhaustive()
    }
}
