//! Handles of operations of any kind, with what is known of the operation.

#![forbid(unsafe_code)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aio_safe::{Op, Pending, SubmitError, op::CancelOutcome};

use super::{
    acts::{Act, Event, did, saw},
    apart,
    deeds::is_of_fork,
    kinds::{Draw, Fate, Kind},
    round::{Info, Q, Round},
    seam::fork,
};
use crate::on::On;

/// A handle of an operation. What comes of it is checked wherever it is taken.
pub(super) trait Handle: Send {
    fn wait(self: Box<Self>, round: &Round);
    fn wait_timeout(
        self: Box<Self>,
        round: &Round,
        timeout: Duration,
    ) -> Result<(), Box<dyn Handle>>;
    fn try_take(self: Box<Self>, round: &Round) -> Result<(), Box<dyn Handle>>;
    /// Polls. When it is ready, there is nothing left to be done but to drop it, or to
    /// [poll it in vain](Self::poll_again).
    fn poll(&mut self, round: &Round, context: &mut Context<'_>) -> Poll<()>;
    fn poll_again(&mut self, round: &Round, context: &mut Context<'_>);
    fn cancel(&mut self, round: &Round);
    fn is_done(&self) -> bool;
    fn show(&self) -> String;
    fn forget(self: Box<Self>, round: &Round);
    /// Whether the operation ends by itself.
    fn ends(&self) -> bool;
    /// Whether its queue is one that lasts.
    fn lasts(&self) -> bool;
    /// In a child: whether all that can be done says that it is a child.
    fn check_in_child(self: Box<Self>, how: u32);
}

/// The handle of an operation of one kind.
pub(super) struct One<K: Kind> {
    pending: Pending<K>,
    about: About<K>,
}

pub(super) struct About<K: Kind> {
    expect: K::Expect,
    info: Arc<Info>,
    cancelled: bool,
    surely: bool,
}

impl<K: Kind> About<K> {
    pub(super) fn check(&self, round: &Round, output: K::Output) {
        saw(Event::Checked);
        let fate = Fate {
            cancelled: self.cancelled || self.info.may_be_closed(),
            surely: self.surely,
        };
        round.check(K::check(&self.expect, fate, output));
    }
}

impl<K: Kind> One<K> {
    pub(super) fn boxed(
        pending: Pending<K>,
        expect: K::Expect,
        info: &Arc<Info>,
    ) -> Box<dyn Handle> {
        Box::new(Self {
            pending,
            about: About {
                expect,
                info: Arc::clone(info),
                cancelled: false,
                surely: false,
            },
        })
    }

    fn again(pending: Pending<K>, about: About<K>) -> Box<dyn Handle> {
        Box::new(Self { pending, about })
    }
}

impl<K: Kind> Handle for One<K> {
    fn wait(self: Box<Self>, round: &Round) {
        let Self { pending, about } = *self;
        did(Act::Wait);
        about.check(round, pending.wait());
    }

    fn wait_timeout(
        self: Box<Self>,
        round: &Round,
        timeout: Duration,
    ) -> Result<(), Box<dyn Handle>> {
        let Self { pending, about } = *self;
        did(Act::WaitTimed);
        match pending.wait_timeout(timeout) {
            Ok(output) => {
                about.check(round, output);
                Ok(())
            }
            Err(pending) => Err(Self::again(pending, about)),
        }
    }

    fn try_take(self: Box<Self>, round: &Round) -> Result<(), Box<dyn Handle>> {
        let Self { pending, about } = *self;
        did(Act::TryTake);
        match pending.try_take() {
            Ok(output) => {
                about.check(round, output);
                Ok(())
            }
            Err(pending) => Err(Self::again(pending, about)),
        }
    }

    fn poll(&mut self, round: &Round, context: &mut Context<'_>) -> Poll<()> {
        did(Act::Poll);
        Pin::new(&mut self.pending)
            .poll(context)
            .map(|output| self.about.check(round, output))
    }

    fn poll_again(&mut self, round: &Round, context: &mut Context<'_>) {
        did(Act::PollAgain);
        if !apart::may_panic(round) {
            return;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            super::quietly(|| Pin::new(&mut self.pending).poll(context).is_ready())
        }));
        if let Ok(ready) = polled {
            round.fail(format!("a result came twice: ready is {ready}"));
        }
    }

    fn cancel(&mut self, round: &Round) {
        did(Act::Cancel);
        let closed = self.about.info.may_be_closed();
        self.about.cancelled = true;
        let right = match self.pending.cancel() {
            Ok(CancelOutcome::Cancelled) if K::CAN_CANCEL => true,
            Ok(CancelOutcome::Cancelled) => {
                self.about.surely = true;
                round.plan.on != On::Native
            }
            Ok(CancelOutcome::TooLate) => true,
            Ok(CancelOutcome::NotCancellable) => !K::CAN_CANCEL || closed,
            Err(_) => fork::is_child(),
        };
        if !right {
            round.fail("cancel gave a wrong answer".to_owned());
        }
    }

    fn is_done(&self) -> bool {
        did(Act::IsDone);
        self.pending.is_done()
    }

    fn show(&self) -> String {
        did(Act::Show);
        format!("{:?}", self.pending)
    }

    fn forget(self: Box<Self>, round: &Round) {
        let Self { pending, about } = *self;
        did(Act::Forget);
        about.info.forget();
        round.shares.forgotten(K::SHARES);
        // There may be one in it.
        round.bells.forgotten(1);
        std::mem::forget(pending);
    }

    fn ends(&self) -> bool {
        K::ends(&self.about.expect)
    }

    fn lasts(&self) -> bool {
        self.about.info.lasts
    }

    fn check_in_child(mut self: Box<Self>, how: u32) {
        let done = self.is_done();
        did(Act::Cancel);
        let cancelled = self.pending.cancel();
        if cancelled.is_ok() && !done {
            fork::trail("cancelled an operation of the parent's");
            fork::end_child(2);
        }
        let Self { pending, .. } = *self;
        let answered = catch_unwind(AssertUnwindSafe(|| match how % 5 {
            0 => {
                did(Act::Wait);
                drop(pending.wait());
                true
            }
            1 => {
                did(Act::WaitTimed);
                pending.wait_timeout(Duration::from_secs(100)).is_ok()
            }
            2 => {
                did(Act::Poll);
                let mut pending = pending;
                let mut context = Context::from_waker(std::task::Waker::noop());
                Pin::new(&mut pending).poll(&mut context).is_ready()
            }
            3 => {
                did(Act::TryTake);
                let taken = pending.try_take();
                taken.is_ok() == done
            }
            _ => {
                did(Act::Drop);
                drop(pending);
                true
            }
        }));
        let right = match answered {
            // Its destructors may panic.
            Err(panic) => is_of_fork(&*panic) || panic.is::<super::deeds::Planted>(),
            Ok(answered) => answered && (done || how % 5 > 2),
        };
        if !right {
            fork::trail("took a result of the parent's");
            fork::end_child(3);
        }
    }
}

/// What comes of submitting an operation.
type Submitted<K> = Result<Pending<K>, SubmitError<Op<K>>>;

/// Submits an operation. Drops its handle, or puts it where another attacker may take it.
pub(super) fn submit_aside<K: Kind>(q: &Q, round: &Arc<Round>, rng: &mut fastrand::Rng) {
    let drop_it = rng.bool();
    let (submitted, expect) = submit::<K>(q, round, rng, false);
    if let Some(handle) = submitted_one(round, &q.info, submitted, expect) {
        if drop_it {
            did(Act::Drop);
            drop(handle);
        } else {
            round.handles.put(handle);
        }
    }
}

/// Submits one operation; quietly: first asks, with the lock that foreign code takes. Asking runs
/// no foreign code, and submitting may.
pub(super) fn submit<K: Kind>(
    q: &Q,
    round: &Round,
    rng: &mut fastrand::Rng,
    quietly: bool,
) -> (Submitted<K>, K::Expect) {
    let (target, op, expect) = K::make(&mut round.draw(rng));
    let file = round.files.get(target);
    if quietly {
        let _quiet = round.quiet();
        did(Act::Ask);
        let _ = (q.queue.in_flight(), q.queue.stats().strays);
    }
    did(Act::Submit);
    (q.queue.submit(file, op), expect)
}

/// The handle of what was submitted.
pub(super) fn submitted_one<K: Kind>(
    round: &Round,
    info: &Arc<Info>,
    submitted: Submitted<K>,
    expect: K::Expect,
) -> Option<Box<dyn Handle>> {
    match submitted {
        Ok(pending) => Some(One::boxed(pending, expect, info)),
        Err(error) => {
            round.check(info.check(error.reason));
            None
        }
    }
}

impl Round {
    pub(super) fn draw<'a>(&'a self, rng: &'a mut fastrand::Rng) -> Draw<'a> {
        Draw {
            rng,
            files: &self.files,
            direct: self.plan.direct,
            never: self.plan.never,
        }
    }
}
