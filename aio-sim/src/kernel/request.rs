//! Requests, and what becomes of them.

use aio_safe::{Errno, kernel::IoEvent};

use crate::{
    agenda::Due,
    fault::Fault,
    open::OpenId,
    trace::What,
    vfs::{Progress, Transfer},
    world::State,
};

/// An accepted request. Its memory may be used as long as this exists.
#[derive(Debug)]
pub(crate) struct Request {
    pub(super) context: usize,
    /// Its number among all requests, for the trace.
    pub(super) number: u64,
    pub(super) data: u64,
    pub(super) obj: u64,
    pub(super) file: OpenId,
    pub(super) work: Work,
    pub(super) resfd: Option<u32>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    Read(Transfer),
    Write(Transfer),
    Sync,
    /// A poll that is over, with these events.
    Poll(u16),
    /// A request of the queue's own, which is over at once.
    Kick,
}

impl State {
    /// Begins a request that took a slot. It may be over when this returns.
    pub(super) fn begin(&mut self, mut request: Request) {
        let file = request.file;
        let progress = match &mut request.work {
            Work::Read(transfer) => self.generic_file_read_iter(file, transfer),
            Work::Write(transfer) => self.generic_file_write_iter(file, transfer),
            Work::Sync => Progress::Queued,
            Work::Poll(events) => Progress::Over(Ok(usize::from(*events))),
            Work::Kick => Progress::Over(Ok(0)),
        };
        match progress {
            Progress::Over(result) => self.end(request, result),
            Progress::Queued => {
                let end = self.device_takes_until(file);
                let key = self.kernel.requests.insert(request);
                self.agenda.add(end, Due::Request(key));
            }
            Progress::Waited => {
                let end = self.device_takes_until(file);
                self.run_until(end);
                self.carry_out(request);
            }
        }
    }

    fn device_takes_until(&mut self, file: OpenId) -> u64 {
        let disk = &mut self.disks[self.files.get(file).disk];
        disk.delays.end(self.agenda.now(), &mut self.choices)
    }

    /// The time has come for a request that was queued.
    pub(crate) fn device_is_done(&mut self, key: usize) {
        let request = self.kernel.requests.remove(key);
        self.carry_out(request);
    }

    fn carry_out(&mut self, request: Request) {
        let file = request.file;
        let result = match &request.work {
            Work::Read(_) | Work::Write(_) if self.fires(Fault::Interrupted) => Err(Errno::EINTR),
            Work::Read(transfer) => self.end_direct_read(file, transfer),
            Work::Write(transfer) => self.end_direct_write(file, transfer),
            Work::Sync => self.end_sync(file),
            Work::Poll(_) | Work::Kick => Ok(0),
        };
        self.end(request, result);
    }

    /// Ends a request: gives its event out.
    fn end(&mut self, request: Request, result: Result<usize, Errno>) {
        let res = match result {
            Ok(count) => count as i64,
            Err(errno) => -i64::from(errno.raw()),
        };
        self.trace.add(self.agenda.now(), || What::Event {
            request: request.number,
            res,
        });
        let event = IoEvent {
            data: request.data,
            obj: request.obj,
            res,
            res2: 0,
        };
        let (context, resfd) = (request.context, request.resfd);
        if !matches!(request.work, Work::Kick) {
            self.files.release(request.file);
        }
        // Its memory isn't used any more before its event is there.
        drop(request);
        self.kernel.context_mut(context).in_flight -= 1;
        self.aio_complete(context, event, resfd);
    }
}
