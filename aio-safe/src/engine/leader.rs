//! The leader's role, which one thread has at a time.
//!
//! The kernel's completion ring has one consumer at a time. That thread is the *leader*. A thread
//! that waits for something becomes the leader if there is none, and a *follower* otherwise. When
//! the leader leaves, it gives the role to the first follower that still waits for its goal. That
//! thread is the *heir* until it notices. So each follower either gets what it waits for, or
//! becomes the leader. A thread that only wants to look takes the role if it is free, and hands it
//! on in the same way.
//!
//! The leader runs no foreign code (wakers, buffers' destructors), because foreign code may want to
//! reap.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::Arc,
    task::{Wake, Waker},
    time::Instant,
};

use crate::{
    engine::{inbox::News, slot::Slot},
    kernel::Eventfd,
    sync::{
        Condvar, Mutex,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
        lock, thread_local, until,
    },
};

/// The leader's role, and the followers.
pub(crate) struct Leadership {
    /// [`LED`] and [`LINE`]. While there are no followers, the role is taken and left without a
    /// lock.
    state: AtomicUsize,
    line: Mutex<Line>,
    /// What is signalled when the role becomes free after somebody [asked](Self::lead_or_ask) for
    /// it.
    eventfd: Option<Arc<Eventfd>>,
}

/// There is a leader, or an heir.
const LED: usize = 1;
/// There may be followers: a leader that leaves the role locks the [`Line`], and looks for an heir.
/// Set only beside [`LED`].
const LINE: usize = 2;

/// The threads that wait behind the leader. (The line of those that wait for a slot is
/// [another](crate::engine::line::Line).)
struct Line {
    /// The follower that was made the leader, and doesn't know it yet.
    heir: Option<Arc<Parker>>,
    followers: VecDeque<Follower>,
    /// Threads in [`Leadership::watch`]. They don't wait for an event.
    watchers: Vec<Arc<Parker>>,
    /// Somebody [asked](Leadership::lead_or_ask) for the role.
    asked: bool,
}

impl Line {
    /// Takes out the first follower with this goal.
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
    /// The operation in this slot is done. The follower has a waker in the slot.
    Done(u32),
    /// One of a lane's operations is done. The follower has a waker in the lane's inbox.
    News(News<Slot>),
    /// Nothing is in flight.
    Idle,
    /// A slot of a full queue. The follower has a waker in its ticket.
    Slot,
    /// The role itself.
    Role,
    /// The role, to close the queue. This goal comes before all others, so that one kick of the
    /// leader is enough.
    Close,
}

/// What a thread that asked for the role became.
pub(crate) enum Joined<'a> {
    Lead(Lead<'a>),
    Follow(Seat<'a>),
}

/// The role. [`Lead::pass_on`] hands it on. Dropping it hands it on as if no follower's goal was
/// reached.
pub(crate) struct Lead<'a> {
    leadership: &'a Leadership,
}

/// A thread's place among the followers. Dropping it leaves them.
pub(crate) struct Seat<'a> {
    leadership: &'a Leadership,
    parker: Option<Arc<Parker>>,
}

impl Leadership {
    pub(crate) fn new(eventfd: Option<Arc<Eventfd>>) -> Self {
        let line = Line {
            heir: None,
            followers: VecDeque::new(),
            watchers: Vec::new(),
            asked: false,
        };
        Self {
            state: AtomicUsize::new(0),
            line: Mutex::new(line),
            eventfd,
        }
    }

    /// Takes the role, or joins the followers.
    #[inline]
    pub(crate) fn join(&self, goal: Goal) -> Joined<'_> {
        match self.try_lead() {
            Some(lead) => Joined::Lead(lead),
            None => self.join_line(goal),
        }
    }

    /// Takes the role if it is free. Then no follower needs it.
    #[inline]
    pub(crate) fn try_lead(&self) -> Option<Lead<'_>> {
        self.state
            .compare_exchange(0, LED, Acquire, Relaxed)
            .is_ok()
            .then(|| Lead { leadership: self })
    }

    /// Takes the role if it is free. If the queue has an eventfd and another thread leads, sees to
    /// it that the eventfd is signalled when the role is free. That thread may have looked at the
    /// ring before the event came that brought the caller here.
    pub(crate) fn lead_or_ask(&self) -> Option<Lead<'_>> {
        match self.try_lead() {
            None if self.eventfd.is_some() => self.ask(),
            lead => lead,
        }
    }

    #[cold]
    fn ask(&self) -> Option<Lead<'_>> {
        let mut line = lock(&self.line);
        if self.state.fetch_or(LED | LINE, Acquire) & LED == 0 {
            return Some(Lead { leadership: self });
        }
        // MECHANISM: the request for a role that isn't free
        // `line.asked = true;` becomes nothing
        line.asked = true;
        None
    }

    #[cold]
    fn join_line(&self, goal: Goal) -> Joined<'_> {
        let mut line = lock(&self.line);
        if self.state.fetch_or(LED | LINE, Acquire) & LED == 0 {
            return Joined::Lead(Lead { leadership: self });
        }
        let parker = Parker::of_this_thread();
        line.followers.push_back(Follower {
            goal,
            parker: Arc::clone(&parker),
        });
        Joined::Follow(Seat {
            leadership: self,
            parker: Some(parker),
        })
    }

    /// Waits until [`notify_watchers`](Self::notify_watchers) is called, the waker that `arm`
    /// stores is woken, or the deadline is over. Doesn't wait if `arm` returns false or `ready`
    /// returns true. `ready` is called with the [`Line`] locked.
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

    /// Wakes all threads in [`watch`](Self::watch), and the followers that wait for an idle queue.
    /// `before` is called with the [`Line`] locked.
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

    /// Gives the role to the first follower whose goal isn't `reached`. A thread that closes the
    /// queue comes first, and threads that wait for a slot come last. If the queue is idle, wakes
    /// the followers that wait for that.
    #[inline(always)]
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
        let (heir, asked) = {
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
            // These come last, because another thread gives them their slot. In the kernel they
            // would notice it only by a kick.
            if heir.is_none() {
                heir = line.take_first(Goal::Slot);
            }
            // MECHANISM: the hand-over of the role
            // `line.heir.clone_from(&heir);` becomes `let heir = None::<Arc<Parker>>;`
            line.heir.clone_from(&heir);
            let state = match &heir {
                // All followers that are left have reached their goals, so none needs the role.
                None => 0,
                Some(_) if line.followers.is_empty() && !line.asked => LED,
                Some(_) => LED | LINE,
            };
            self.state.store(state, Release);
            // The heir looks at the ring. When it leaves the role, it comes here again.
            let asked = heir.is_none() && std::mem::take(&mut line.asked);
            (heir, asked)
        };
        if let Some(eventfd) = self.eventfd.as_ref().filter(|_| asked) {
            eventfd.signal();
        }
        for parker in idle.into_iter().chain(heir) {
            parker.unpark();
        }
    }
}

impl Lead<'_> {
    /// Gives the role to the first follower whose goal isn't `reached`. If the queue is idle, wakes
    /// the followers that wait for that.
    #[inline(always)]
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
    /// A waker that ends [`park`](Self::park).
    pub(crate) fn waker(&self) -> Waker {
        self.parker().clone().into()
    }

    /// Waits until another thread wakes this one, or until the deadline. Returns false when the
    /// deadline is over. A wakeup may be spurious.
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        self.parker().park(deadline)
    }

    /// Whether this thread was made the leader.
    pub(crate) fn is_heir(&self) -> bool {
        let line = lock(&self.leadership.line);
        line.heir
            .as_ref()
            .is_some_and(|heir| Arc::ptr_eq(heir, self.parker()))
    }

    /// Leaves the followers. Returns the role if this thread was made the leader.
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
        // If this thread was made the leader, dropping the role hands it on.
        drop(self.get_up());
    }
}

/// Puts one thread to sleep. An `unpark` before `park` makes that `park` return at once.
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

    /// This thread's parker, which is made once. A thread that is ending gets a new one each time.
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
                    let Some(left) = until(deadline) else {
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

    /// Follows a leader.
    fn follow(leadership: &Leadership, goal: Goal) -> Seat<'_> {
        match leadership.join(goal) {
            Joined::Follow(seat) => seat,
            Joined::Lead(_) => panic!("nobody led"),
        }
    }

    #[test]
    fn the_role_is_free_when_all_in_line_are_served() {
        let leadership = Leadership::new(None);
        let lead = leadership.try_lead().unwrap();
        let served = [1, 2].map(|slot| follow(&leadership, Goal::Done(slot)));
        lead.pass_on(|_| true);
        // The role is free whether or not the followers have left the line.
        leadership.try_lead().unwrap().pass_on(|_| true);
        drop(served);
        leadership.try_lead().unwrap().pass_on(|_| true);
    }
}
