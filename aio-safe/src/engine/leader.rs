//! Who reaps: one thread at a time leads, the others follow.
//!
//! The kernel's ring has one consumer at a time. A thread that needs something from it takes the
//! role if nobody has it, and else waits in line. The leader hands the role on when it leaves: to
//! the first in line that hasn't got yet what it waits for. So a thread in line is always either
//! served, or made the leader. Who only wants to look takes the role where it is free, and hands it on in
//! the same way.
//!
//! Nobody runs foreign code (a waker, a buffer's destructor) in this role: foreign code may want to
//! reap itself.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::Arc,
    task::{Wake, Waker},
    time::Instant,
};

use crate::{
    engine::{inbox::News, slot::Slot},
    sync::{
        Condvar, Mutex,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
        lock, thread_local,
    },
};

/// The reaper's role.
pub(crate) struct Leadership {
    /// [`LED`] and [`LINE`]. While nobody waits in line for the role, it is taken and left without a lock.
    state: AtomicUsize,
    line: Mutex<Line>,
}

/// Somebody leads, or was made the leader and doesn't know it yet.
const LED: usize = 1;
/// Somebody joined the line while it was led: whoever leaves the role looks who is to get it, with the
/// line locked. Never without [`LED`].
const LINE: usize = 2;

struct Line {
    /// Who was made the leader and doesn't know it yet.
    heir: Option<Arc<Parker>>,
    followers: VecDeque<Follower>,
    /// Those that wait until no thread is inside the gate.
    watchers: Vec<Arc<Parker>>,
}

impl Line {
    /// Takes the first one with this goal out of the line.
    fn take_first(&mut self, goal: Goal) -> Option<Arc<Parker>> {
        let n = self
            .followers
            .iter()
            .position(|follower| follower.goal == goal)?;
        let follower = self.followers.remove(n)?;
        Some(follower.parker)
    }
}

struct Follower {
    goal: Goal,
    parker: Arc<Parker>,
}

/// What a follower waits for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// The operation in this slot is done. Its waker serves the follower.
    Done(u32),
    /// One of a lane's operations is done. The lane's waker serves the follower.
    News(News<Slot>),
    /// Nothing is in flight.
    Idle,
    /// A slot is free.
    Room,
    /// The role itself.
    Role,
    /// The role, to close the queue: before everybody else, as one kick is to be enough.
    Close,
}

/// How a thread comes into the role, or doesn't.
pub(crate) enum Turn<'a> {
    Lead(Lead<'a>),
    Follow(Seat<'a>),
}

/// The role. Handed on with [`Lead::pass_on`]; dropped, it goes to the first in line.
pub(crate) struct Lead<'a> {
    leadership: &'a Leadership,
}

/// A place in the line.
pub(crate) struct Seat<'a> {
    leadership: &'a Leadership,
    parker: Option<Arc<Parker>>,
}

impl Leadership {
    pub(crate) fn new() -> Self {
        let line = Line {
            heir: None,
            followers: VecDeque::new(),
            watchers: Vec::new(),
        };
        Self {
            state: AtomicUsize::new(0),
            line: Mutex::new(line),
        }
    }

    /// Takes the role, or a place in line.
    #[inline]
    pub(crate) fn join(&self, goal: Goal) -> Turn<'_> {
        match self.try_lead() {
            Some(lead) => Turn::Lead(lead),
            None => self.join_line(goal),
        }
    }

    /// Takes the role, if nobody has it: then nobody waits for it either.
    #[inline]
    pub(crate) fn try_lead(&self) -> Option<Lead<'_>> {
        self.state
            .compare_exchange(0, LED, Acquire, Relaxed)
            .is_ok()
            .then(|| Lead { leadership: self })
    }

    #[cold]
    fn join_line(&self, goal: Goal) -> Turn<'_> {
        let mut line = lock(&self.line);
        if self.state.fetch_or(LED | LINE, Acquire) & LED == 0 {
            return Turn::Lead(Lead { leadership: self });
        }
        let parker = Parker::of_this_thread();
        line.followers.push_back(Follower {
            goal,
            parker: Arc::clone(&parker),
        });
        Turn::Follow(Seat {
            leadership: self,
            parker: Some(parker),
        })
    }

    /// Waits until [`notify_watchers`](Self::notify_watchers), or until the waker that `arm` stores is
    /// woken, or until the deadline; not at all when `arm` says no or `ready` yes. `ready` is called
    /// with the line locked.
    pub(crate) fn watch(
        &self,
        deadline: Option<Instant>,
        arm: impl Fn(&Waker) -> bool,
        ready: impl FnOnce() -> bool,
    ) {
        let parker = Parker::of_this_thread();
        if !arm(&Waker::from(Arc::clone(&parker))) {
            return;
        }
        {
            let mut line = lock(&self.line);
            if ready() {
                return;
            }
            line.watchers.push(Arc::clone(&parker));
        }
        parker.park(deadline);
        lock(&self.line)
            .watchers
            .retain(|watcher| !Arc::ptr_eq(watcher, &parker));
    }

    /// Wakes everybody in [`watch`](Self::watch), and those in line whose goal can be reached without
    /// an event. `before` is called with the line locked.
    pub(crate) fn notify_watchers(&self, before: impl FnOnce()) {
        let watchers = {
            let mut line = lock(&self.line);
            before();
            let mut watchers = std::mem::take(&mut line.watchers);
            let idlers = line
                .followers
                .iter()
                .filter(|follower| follower.goal == Goal::Idle);
            watchers.extend(idlers.map(|follower| Arc::clone(&follower.parker)));
            watchers
        };
        for parker in watchers {
            parker.unpark();
        }
    }

    /// Gives the role to the first in line that `reached` doesn't say has got what it waits for; to
    /// one that waits for room only if there is nobody else.
    #[inline]
    fn hand_over(&self, reached: impl Fn(Goal) -> bool) {
        if self
            .state
            // MECHANISM: the look at the line when the role is left
            // `exchange(LED,` becomes `exchange(self.state.load(Relaxed),`
            .compare_exchange(LED, 0, Release, Relaxed)
            .is_err()
        {
            self.hand_over_in_line(&reached);
        }
    }

    #[cold]
    fn hand_over_in_line(&self, reached: &dyn Fn(Goal) -> bool) {
        let mut idle = Vec::new();
        let heir = {
            let mut line = lock(&self.line);
            let mut heir = line.take_first(Goal::Close);
            line.followers
                .retain(|follower| match (reached(follower.goal), follower.goal) {
                    (true, Goal::Idle) => {
                        idle.push(Arc::clone(&follower.parker));
                        false
                    }
                    (false, Goal::Done(_) | Goal::News(_) | Goal::Idle | Goal::Role)
                        if heir.is_none() =>
                    {
                        heir = Some(Arc::clone(&follower.parker));
                        false
                    }
                    _ => true,
                });
            // Whoever waits for room is served by somebody else's thread, and wouldn't notice while
            // it is in the kernel.
            if heir.is_none() {
                heir = line.take_first(Goal::Room);
            }
            // MECHANISM: the hand-over of the role
            // `line.heir.clone_from(&heir);` becomes `let heir = None::<Arc<Parker>>;`
            line.heir.clone_from(&heir);
            let state = match &heir {
                // All that are left in line are served, and need the role no more.
                None => 0,
                Some(_) if line.followers.is_empty() => LED,
                Some(_) => LED | LINE,
            };
            self.state.store(state, Release);
            heir
        };
        for parker in idle.into_iter().chain(heir) {
            parker.unpark();
        }
    }
}

impl Lead<'_> {
    /// Hands the role to the first in line whose goal isn't `reached`, and wakes those that wait
    /// for an idle queue when that is.
    #[inline]
    pub(crate) fn pass_on(self, reached: impl Fn(Goal) -> bool) {
        self.leadership.hand_over(reached);
        std::mem::forget(self);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.leadership.hand_over(|_| false);
    }
}

impl<'a> Seat<'a> {
    /// The waker that ends [`park`](Self::park).
    pub(crate) fn waker(&self) -> Waker {
        self.parker().clone().into()
    }

    /// Waits until somebody wakes this thread, for whatever reason, or until the deadline. False
    /// when the deadline came.
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        self.parker().park(deadline)
    }

    /// Whether the role was handed to this thread.
    pub(crate) fn is_heir(&self) -> bool {
        let line = lock(&self.leadership.line);
        line.heir
            .as_ref()
            .is_some_and(|heir| Arc::ptr_eq(heir, self.parker()))
    }

    /// Gets up: with the role, if it was handed to this thread meanwhile.
    pub(crate) fn leave(mut self) -> Option<Lead<'a>> {
        self.get_up()
    }

    fn parker(&self) -> &Arc<Parker> {
        self.parker
            .as_ref()
            .expect("only get_up takes it, and it ends the seat")
    }

    fn get_up(&mut self) -> Option<Lead<'a>> {
        let parker = self.parker.take()?;
        let mut line = lock(&self.leadership.line);
        if line
            .heir
            .as_ref()
            .is_some_and(|heir| Arc::ptr_eq(heir, &parker))
        {
            line.heir = None;
            return Some(Lead {
                leadership: self.leadership,
            });
        }
        line.followers
            .retain(|follower| !Arc::ptr_eq(&follower.parker, &parker));
        None
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // A role that came in the meantime is handed on by its own drop.
        drop(self.get_up());
    }
}

/// Puts one thread to sleep. A wake-up that comes first is kept.
pub(crate) struct Parker {
    token: Mutex<bool>,
    changed: Condvar,
}

thread_local! {
    #[allow(
        clippy::missing_const_for_thread_local,
        reason = "loom's macro of this name knows no const initialisers"
    )]
    static PARKER: RefCell<Option<Arc<Parker>>> = RefCell::new(None);
}

impl Parker {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            token: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    /// This thread's: made once. A thread that is ending gets a fresh one.
    fn of_this_thread() -> Arc<Self> {
        PARKER
            .try_with(|cell| Arc::clone(cell.borrow_mut().get_or_insert_with(Self::new)))
            .unwrap_or_else(|_| Self::new())
    }

    fn unpark(&self) {
        *lock(&self.token) = true;
        self.changed.notify_one();
    }

    fn park(&self, deadline: Option<Instant>) -> bool {
        let mut token = lock(&self.token);
        while !*token {
            token = match deadline {
                None => crate::sync::wait(&self.changed, token),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                        return false;
                    };
                    crate::sync::wait_timeout(&self.changed, token, left)
                }
            };
        }
        *token = false;
        true
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Joins a line that isn't empty, or a role that isn't free.
    fn follow(leadership: &Leadership, goal: Goal) -> Seat<'_> {
        match leadership.join(goal) {
            Turn::Follow(seat) => seat,
            Turn::Lead(_) => panic!("nobody led"),
        }
    }

    #[test]
    fn the_role_is_free_when_all_in_line_are_served() {
        let leadership = Leadership::new();
        let lead = leadership.try_lead().unwrap();
        let served = [1, 2].map(|slot| follow(&leadership, Goal::Done(slot)));
        lead.pass_on(|_| true);
        // Whether or not they have got up.
        leadership.try_lead().unwrap().pass_on(|_| true);
        drop(served);
        leadership.try_lead().unwrap().pass_on(|_| true);
    }
}
