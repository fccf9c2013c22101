//! Pools of threads that call a function for each operation.
//!
//! A pool catches the panics of functions, so each model looks at their number at the end.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use loom::sync::{Condvar, Mutex};

use super::{
    Bound, Machine, check, file,
    kernel::{Buffer, REASON, REFUSED},
};
use crate::{BufResult, Op, OpError, queue::CompletionPool};

impl Machine {
    /// Closes the pool, and checks that everything is over.
    fn end(&self, pool: CompletionPool) {
        let observer = pool.clone();
        pool.close().unwrap();
        assert_eq!((observer.panics(), observer.unfinished()), (0, 0));
        drop(observer);
        self.assert_over();
    }
}

/// Waits for something that happens once.
#[derive(Clone)]
struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn set(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut set = self.0.0.lock().unwrap();
        while !*set {
            set = self.0.1.wait(set).unwrap();
        }
    }
}

type Done = BufResult<usize, Buffer>;

/// A function waits for another operation's function, which is reaped meanwhile or later: the role
/// has to be handed on before a function is called.
#[test]
fn pool_hands_the_role_on() {
    let bound = Bound::Preemptions(1, "15,000 executions, several times as many with 2");
    check(bound, &["waits", "done"], |seen| {
        let machine = Machine::new().one_by_one();
        let pool = machine.pool(2, 2);
        let signal = Signal::new();
        let (waits, first, over) = (signal.clone(), seen.clone(), Signal::new());
        let ends = over.clone();
        let function = move |done: Done| {
            assert_eq!(done.into_result().unwrap().1.byte(), 1);
            first.note(match *waits.0.0.lock().unwrap() {
                true => "done",
                false => "waits",
            });
            waits.wait();
            ends.set();
        };
        pool.submit(file(), Op::read(machine.buffer(), 1), function)
            .unwrap();
        let function = move |done: Done| {
            assert_eq!(done.into_result().unwrap().1.byte(), 2);
            signal.set();
        };
        pool.submit(file(), Op::read(machine.buffer(), 2), function)
            .unwrap();
        // The thread that closes the pool would reap.
        over.wait();
        machine.end(pool);
    });
}

/// Two threads, one key: the functions are called in the order of the events, and never at the same
/// time.
#[test]
fn pool_keeps_the_order_of_a_key() {
    let bound = Bound::Preemptions(1, "570 executions, 91,000 with 2");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one();
        let pool = machine.pool(2, 2);
        let called = Arc::new(AtomicUsize::new(0));
        let cell = Arc::new(loom::cell::Cell::new(0));
        for n in [1, 2] {
            let (called, cell) = (Arc::clone(&called), Shares(Arc::clone(&cell)));
            let function = move |done: Done| {
                assert_eq!(done.into_result().unwrap().1.byte(), n as u8);
                assert_eq!(called.fetch_add(1, SeqCst), n - 1);
                // Loom sees whether the functions are ordered.
                cell.raise();
            };
            let op = Op::read(machine.buffer(), n as u64);
            pool.submit_in_order(file(), op, 7, function).unwrap();
        }
        machine.end(pool);
        assert_eq!(called.load(SeqCst), 2);
    });
}

/// A cell that functions of one key share.
struct Shares(Arc<loom::cell::Cell<u32>>);

// SAFETY: loom fails the model if two threads use the cell without an order between them.
unsafe impl Send for Shares {}

impl Shares {
    fn raise(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// An operation is refused while the pool's only thread waits in the kernel, or is about to.
#[test]
fn pool_hears_of_a_refusal() {
    let bound = Bound::Preemptions(3, "14,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let pool = machine.pool(1, 1);
        let signal = Signal::new();
        let refused = signal.clone();
        let function = move |done: Done| {
            assert_eq!(done.result, Err(OpError::Refused(REASON)));
            refused.set();
        };
        let op = Op::read(machine.buffer(), REFUSED);
        pool.submit(file(), op, function).unwrap();
        signal.wait();
        machine.end(pool);
    });
}

/// The pool's only thread is in a function that waits for the only slot. Another operation has it,
/// or a permit that another thread drops.
#[test]
fn pool_makes_room_in_a_function() {
    let bound = Bound::Preemptions(2, "14,000 executions, several times as many with 3");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let pool = machine.pool(1, 2);
        let signal = Signal::new();
        let permit = pool.wait_for_slot().unwrap();
        let (inside, over, buffer) = (pool.clone(), signal.clone(), machine.buffer());
        let function = move |done: Done| {
            assert_eq!(done.into_result().unwrap().1.byte(), 1);
            let kept = inside.wait_for_slot().unwrap();
            let next = inside.wait_for_slot().unwrap();
            drop(kept);
            let op = Op::read(buffer, 2);
            next.submit(file(), op, move |done: Done| {
                assert_eq!(done.into_result().unwrap().1.byte(), 2);
                over.set();
            })
            .unwrap();
        };
        pool.submit(file(), Op::read(machine.buffer(), 1), function)
            .unwrap();
        drop(permit);
        signal.wait();
        machine.end(pool);
    });
}

/// Two functions wait for slots in both threads of the pool. Each takes the other's result out of
/// its slot, or reaps for it.
#[test]
fn pool_makes_room_in_two_functions() {
    let bound = Bound::Preemptions(1, "10,000 executions, several times as many with 2");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one();
        let pool = machine.pool(2, 1);
        let called = Arc::new(AtomicUsize::new(0));
        for n in [1, 2] {
            let (inside, buffer) = (pool.clone(), machine.buffer());
            let called = Arc::clone(&called);
            let function = move |done: Done| {
                assert_eq!(done.into_result().unwrap().1.byte(), n);
                let permit = inside.wait_for_slot().unwrap();
                let op = Op::read(buffer, u64::from(n) + 2);
                permit
                    .submit(file(), op, move |done: Done| {
                        assert_eq!(done.into_result().unwrap().1.byte(), n + 2);
                        called.fetch_add(1, SeqCst);
                    })
                    .unwrap();
            };
            let op = Op::read(machine.buffer(), n.into());
            pool.wait_for_slot()
                .unwrap()
                .submit(file(), op, function)
                .unwrap();
        }
        // Closing would refuse what the functions submit.
        while called.load(SeqCst) < 2 {
            loom::thread::yield_now();
        }
        machine.end(pool);
    });
}

/// The last clone is dropped in a function, while another operation is in flight.
#[test]
fn pool_is_dropped_in_a_function() {
    let bound = Bound::Preemptions(1, "1,500 executions, 110,000 with 2");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let pool = machine.pool(2, 2);
        let signal = Signal::new();
        let called = Arc::new(AtomicUsize::new(0));
        let (inside, over) = (pool.clone(), signal.clone());
        let function = move |_: Done| {
            over.wait();
            drop(inside);
        };
        pool.submit(file(), Op::read(machine.buffer(), 1), function)
            .unwrap();
        let of_second = Arc::clone(&called);
        let function = move |_: Done| {
            of_second.fetch_add(1, SeqCst);
        };
        pool.submit(file(), Op::read(machine.buffer(), 2), function)
            .unwrap();
        drop(pool);
        signal.set();
        machine.wait_until_freed();
        machine.assert_over();
        assert_eq!(called.load(SeqCst), 1);
    });
}

/// A function that waits for a slot reaps, and doesn't get the slot that this frees. The function
/// that became due is called by the other thread.
#[test]
fn pool_function_that_reaps_hands_on() {
    let bound = Bound::Preemptions(1, "4,800 executions, several times as many with 2");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one();
        let pool = machine.pool(2, 1);
        let inside = pool.clone();
        let function = move |_: Done| drop(inside.wait_for_slot().unwrap());
        let op = Op::read(machine.buffer(), 1);
        pool.submit(file(), op, function).unwrap();
        let signal = Signal::new();
        let called = signal.clone();
        let op = Op::read(machine.buffer(), 2);
        let permit = pool.wait_for_slot().unwrap();
        permit
            .submit(file(), op, move |_: Done| called.set())
            .unwrap();
        let held = pool.wait_for_slot().unwrap();
        signal.wait();
        drop(held);
        // Closing would end the function's wait with an error.
        while pool.unfinished() > 0 {
            loom::thread::yield_now();
        }
        machine.end(pool);
    });
}
