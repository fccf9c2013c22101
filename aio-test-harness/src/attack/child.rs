//! What a forked child does: it tries all that it has inherited. Everything has to answer that this
//! is a child.

#![forbid(unsafe_code)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll as Ready, Waker},
    time::Duration,
};

use aio_safe::{
    Op,
    error::{CloseError, QueueError, ReapError},
    op::{FileSync, Transfer},
};

use super::{
    acts::{Act, did},
    deeds::Planted,
    files::Target,
    handle::Handle,
    lanes::LaneHandle,
    round::{Q, Round},
    seam::fork,
};

const FORKED: QueueError = QueueError::Forked;

/// Tries all of these, and ends the child.
pub(super) fn end(
    round: &Arc<Round>,
    held: Vec<Box<dyn Handle>>,
    lanes: Vec<Box<dyn LaneHandle>>,
    mut queues: Vec<Arc<Q>>,
) -> ! {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let others = round.all_lasting().into_iter();
        queues.extend(others.chain(round.queues.take_all()).map(Arc::new));
        for q in &queues {
            try_queue(q, round);
        }
        let mut how = held.len() as u32;
        for handle in held.into_iter().chain(round.handles.take_all()) {
            handle.check_in_child(how);
            how += 1;
        }
        for lane in lanes.into_iter().chain(round.lanes.take_all()) {
            lane.check_in_child(how);
            how += 1;
        }
        drop(queues);
        own_queue(round);
    }));
    match tried {
        Ok(()) => fork::end_child(0),
        Err(panic) if panic.is::<Planted>() => fork::end_child(0),
        Err(panic) => {
            fork::trail(super::deeds::text_of(&*panic));
            fork::end_child(101);
        }
    }
}

fn want(right: bool, what: &str) {
    if !right {
        fork::trail(what);
        fork::end_child(5);
    }
}

fn try_queue(q: &Q, round: &Round) {
    let queue = &q.queue;
    let file = round.files.get(Target::File);
    did(Act::Submit);
    let submitted = queue.submit(file, Op::fdatasync());
    want(
        submitted.is_err_and(|error| error.reason == FORKED),
        "submitted",
    );
    did(Act::BatchPush);
    let mut batch = queue.batch::<FileSync>();
    let pushed = batch.push(file, Op::fdatasync());
    want(pushed.is_err_and(|error| error.reason == FORKED), "pushed");
    did(Act::BatchSubmit);
    let submitted = batch.submit(&mut Vec::new());
    want(submitted == Err(FORKED), "submitted a batch");
    drop(batch);
    did(Act::Lane);
    let lane = queue.lane::<Transfer<Vec<u8>>, ()>(1);
    want(lane.is_err_and(|error| error == FORKED), "made a lane");
    did(Act::Reap);
    let reaped = queue.reap(1, None);
    want(reaped == Err(ReapError::Forked), "reaped");
    did(Act::Drain);
    want(queue.drain() == Err(CloseError::Forked), "drained");
    did(Act::Close);
    let closed = queue.clone().close();
    want(closed == Err(CloseError::Forked), "closed");
    did(Act::ReserveTimed);
    let permit = queue.reserve().wait_timeout(Duration::from_secs(100));
    want(permit.is_err_and(|error| error == FORKED), "got a permit");
    did(Act::ReservePoll);
    let mut reserve = std::pin::pin!(queue.reserve());
    let polled = reserve
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    want(matches!(polled, Ready::Ready(Err(FORKED))), "got a place");
    did(Act::Ask);
    drop(format!("{queue:?}"));
}

/// A queue of the child's own works.
fn own_queue(round: &Round) {
    did(Act::NewQueue);
    // The system's limit may be reached.
    let Ok(own) = round.plan.on.queue(1) else {
        return;
    };
    let read = own.submit(round.files.get(Target::Zero), Op::read(vec![1; 8], 0));
    let right = read.is_ok_and(|read| {
        did(Act::Wait);
        read.wait().buffer == [0; 8]
    });
    want(right, "a queue of its own doesn't work");
    // Destroying it takes long, and the end of the process does it.
    std::mem::forget(own);
}
