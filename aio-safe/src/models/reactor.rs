//! The eventfd, and the driver in a runtime's reactor.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use loom::thread::{self, JoinHandle};

use super::{Bound, Machine, Task, block_on, check, file};
use crate::{
    Op, Queue,
    engine::driver::{Mode, reactor::Source},
    kernel::Eventfd,
    sync::{Mutex, lock},
};

/// Submits an operation, and waits for it as a thread does.
fn waits(queue: &Queue, machine: &Machine) -> JoinHandle<()> {
    let (queue, machine) = (queue.clone(), machine.clone());
    thread::spawn(move || {
        let read = queue.submit(file(), Op::read(machine.buffer(), 1));
        drop(read.unwrap().wait().into_result().unwrap());
    })
}

/// Submits an operation, and awaits it.
fn awaits(queue: &Queue, machine: &Machine) {
    let read = queue.submit(file(), Op::read(machine.buffer(), 2)).unwrap();
    let (_, buffer) = block_on(read, &Task::new()).into_result().unwrap();
    assert_eq!(buffer.byte(), 2);
}

/// An event loop looks when the eventfd is signalled, while another thread waits for an operation
/// of its own and takes completions too.
#[test]
fn event_loop_beside_a_waiting_thread() {
    let bound = Bound::Preemptions(3, "51,000 executions, several times as many with 4");
    check(bound, &["in vain"], |seen| {
        let machine = Machine::new();
        let eventfd = Arc::new(Eventfd::new().unwrap());
        let queue = machine.signalling(2, Mode::Caller, &eventfd);
        let waits = waits(&queue, &machine);
        let mut read = queue.submit(file(), Op::read(machine.buffer(), 2)).unwrap();
        loop {
            read = match read.try_take() {
                Ok(done) => {
                    assert_eq!(done.buffer.byte(), 2);
                    break;
                }
                Err(read) => read,
            };
            eventfd.wait();
            eventfd.clear();
            if queue.reap(0, None).unwrap() == 0 {
                seen.note("in vain");
            }
        }
        waits.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A reactor: a thread that watches an eventfd.
struct Reactor {
    eventfd: Arc<Eventfd>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    signalled: bool,
    waker: Option<Waker>,
    /// The runtime has ended, or the queue is gone.
    ended: bool,
}

/// What the queue has of it.
struct Watched(Arc<Reactor>);

impl Reactor {
    /// A reactor that drives a queue of this depth, and its thread.
    fn drive(machine: &Machine, depth: u32) -> (Queue, Arc<Self>, JoinHandle<()>) {
        let eventfd = Arc::new(Eventfd::new().unwrap());
        let queue = machine.signalling(depth, Mode::Reactor, &eventfd);
        let reactor = Arc::new(Self {
            eventfd,
            state: Mutex::new(State::default()),
        });
        let shared = queue.shared();
        shared.set_reactor(shared.hold(), Box::new(Watched(Arc::clone(&reactor))));
        let runs = thread::spawn({
            let reactor = Arc::clone(&reactor);
            move || reactor.run()
        });
        (queue, reactor, runs)
    }

    fn run(&self) {
        loop {
            self.eventfd.wait();
            self.eventfd.clear();
            let (waker, ended) = {
                let mut state = lock(&self.state);
                state.signalled = true;
                (state.waker.take(), state.ended)
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            if ended {
                return;
            }
        }
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.eventfd.signal();
    }
}

impl Source for Watched {
    fn poll_signalled(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0.state);
        if state.ended {
            return Poll::Ready(Err(io::ErrorKind::Other.into()));
        }
        if std::mem::take(&mut state.signalled) {
            return Poll::Ready(Ok(()));
        }
        let before = state.waker.replace(context.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let waker = lock(&self.0.state).waker.take();
        drop(waker);
        self.0.end();
    }
}

/// A task waits, and so does a thread, which takes completions too.
#[test]
fn task_beside_a_waiting_thread() {
    let bound = Bound::Preemptions(1, "three threads and a reactor: 260,000 executions with 2");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let (queue, _, runs) = Reactor::drive(&machine, 2);
        let waits = waits(&queue, &machine);
        awaits(&queue, &machine);
        waits.join().unwrap();
        drop(queue);
        runs.join().unwrap();
        machine.assert_over();
    });
}

/// The runtime ends while a task of another one waits: a thread takes the reactor's place.
#[test]
fn end_of_the_reactor_against_a_task() {
    let bound = Bound::Preemptions(2, "39,000 executions, several times as many with 3");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let (queue, reactor, runs) = Reactor::drive(&machine, 1);
        let ends = thread::spawn(move || reactor.end());
        awaits(&queue, &machine);
        ends.join().unwrap();
        runs.join().unwrap();
        drop(queue);
        machine.wait_until_freed();
        machine.assert_over();
    });
}

/// Another thread wakes the driver, too.
#[test]
fn two_wakes_of_the_driver() {
    let bound = Bound::Preemptions(2, "2,000 executions, several times as many with 3");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let (queue, reactor, runs) = Reactor::drive(&machine, 1);
        let waker = lock(&reactor.state).waker.clone().unwrap();
        let wakes = thread::spawn(move || waker.wake());
        awaits(&queue, &machine);
        wakes.join().unwrap();
        drop(queue);
        runs.join().unwrap();
        machine.assert_over();
    });
}
