//! Requests, and what becomes of them.

use aio_safe::{Errno, kernel::IoEvent};

use super::polls::Other;
use crate::{
    agenda::Due,
    disk::{durable::Covered, faults::Place, inode::InodeId},
    fault::Fault,
    open::OpenId,
    trace::What,
    vfs::{Progress, Transfer},
    world::State,
};

/// How long a device stalls, in nanoseconds.
const STALL: u64 = 10_000_000_000;
/// No stall is longer: a hundred years.
const FOREVER: u64 = 100 * 365 * 86_400 * 1_000_000_000;

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
    Sync(Covered),
    /// A poll of a file of the world, which is over with these events.
    Poll(u16),
    /// A poll of another file, for these events.
    Watch {
        events: u16,
        /// The file, until the poll is in flight.
        other: Option<Other>,
    },
    /// A request of the queue's own, which is over at once.
    Kick,
}

impl State {
    /// Begins a request that took a slot. It may be over when this returns.
    pub(super) fn begin(&mut self, mut request: Request) {
        let file = request.file;
        if let Work::Watch { .. } = request.work {
            return self.watch(request);
        }
        let reaches_disk = !matches!(request.work, Work::Poll(_) | Work::Kick);
        if reaches_disk && !self.reach_disk(file) {
            return self.end(request, Err(Errno::EIO));
        }
        let progress = match &mut request.work {
            Work::Read(transfer) => self.generic_file_read_iter(file, transfer),
            Work::Write(transfer) => self.generic_file_write_iter(file, transfer),
            Work::Sync(covered) => {
                *covered = self.begin_sync(file);
                Progress::Queued
            }
            Work::Poll(events) => Progress::Over(Ok(usize::from(*events))),
            Work::Kick | Work::Watch { .. } => Progress::Over(Ok(0)),
        };
        match progress {
            Progress::Over(result) => self.end(request, result),
            Progress::Queued => {
                self.queue(request);
            }
            Progress::Waited => {
                let end = self.queue(request);
                self.run_until(end);
            }
        }
    }

    /// Counts a step of the file's disk, which may be the last one before a power cut. Returns
    /// whether the file can be used.
    fn reach_disk(&mut self, file: OpenId) -> bool {
        let disk = self.files.get(file).disk;
        if self.is_alive(file) && self.fires_at(Fault::Gone, file) {
            self.cut_power(disk);
        }
        self.step_of(disk);
        self.is_alive(file)
    }

    /// Hands a request to the device. Returns when it is done with it.
    fn queue(&mut self, request: Request) -> u64 {
        let end = self.device_takes_until(request.file);
        let number = request.number;
        let key = self.kernel.requests.insert(request);
        self.agenda.add(end, Due::Request(key, number));
        end
    }

    /// When the device is done with a request that begins now.
    pub(crate) fn device_takes_until(&mut self, file: OpenId) -> u64 {
        let index = self.files.get(file).disk;
        if self.fires_at(Fault::Stall, file) {
            self.stall(index, STALL);
        }
        let disk = &mut self.disks[index];
        // What is in flight is done when the stall ends. What is submitted meanwhile comes later.
        let begin = self.agenda.now().max(disk.stalled_until);
        disk.delays.end(begin, &mut self.choices)
    }

    /// The disk completes nothing for so many nanoseconds.
    pub(crate) fn stall(&mut self, index: usize, nanos: u64) {
        let until = self.agenda.after(nanos.min(FOREVER));
        let disk = &mut self.disks[index];
        disk.stalled_until = disk.stalled_until.max(until);
    }

    /// `inode_dio_wait` (`include/linux/fs.h`): waits until no direct transfer of a file is in
    /// flight.
    pub(crate) fn inode_dio_wait(&mut self, disk: usize, inode: InodeId) {
        while self.has_direct_io(disk, inode) {
            let Some(due) = self.agenda.advance(u64::MAX) else {
                break;
            };
            self.happen(due);
        }
    }

    fn has_direct_io(&self, disk: usize, inode: InodeId) -> bool {
        let mut in_flight = self.kernel.requests.iter();
        in_flight.any(|(_, request)| {
            let file = self.files.get(request.file);
            let transfers = matches!(request.work, Work::Read(_) | Work::Write(_));
            transfers && (file.disk, file.inode) == (disk, inode)
        })
    }

    /// The time has come for a request that was queued, unless a power cut has ended it.
    pub(crate) fn device_is_done(&mut self, key: usize, number: u64) {
        let is_it = |request: &Request| request.number == number;
        let Some(file) = self.kernel.requests.get(key).filter(|it| is_it(it)) else {
            return;
        };
        let disk = self.files.get(file.file).disk;
        let stalled_until = self.disks[disk].stalled_until;
        if stalled_until > self.agenda.now() {
            self.agenda.add(stalled_until, Due::Request(key, number));
            return;
        }
        self.step_of(disk);
        if self.kernel.requests.get(key).is_some_and(is_it) {
            let request = self.kernel.requests.remove(key);
            self.carry_out(request);
        }
    }

    /// Counts a step of a disk. The power may be cut before it.
    pub(crate) fn step_of(&mut self, index: usize) {
        let disk = &mut self.disks[index];
        match &mut disk.fuse {
            Some(0) => self.cut_power(index),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// Cuts a disk's power. What is in flight may have been done, in whole or in part. Each of
    /// these requests ends with EIO.
    pub(crate) fn cut_power(&mut self, index: usize) {
        if !self.disks[index].is_on {
            return;
        }
        self.trace
            .add(self.agenda.now(), || What::PowerCut { disk: index });
        self.note_cut(index);
        let in_flight = self.kernel.requests.iter();
        let of_it = in_flight.filter(|(_, request)| self.files.get(request.file).disk == index);
        let keys: Vec<usize> = of_it.map(|(key, _)| key).collect();
        let requests: Vec<Request> = keys
            .into_iter()
            .map(|key| self.kernel.requests.remove(key))
            .collect();
        for request in &requests {
            self.do_perhaps(request);
        }
        self.disks[index].cut(&mut self.choices);
        for request in requests {
            self.end(request, Err(Errno::EIO));
        }
    }

    /// Notes in which state the power is cut.
    fn note_cut(&mut self, index: usize) {
        let mut in_flight = self.kernel.requests.iter();
        let requests = in_flight.any(|(_, request)| self.files.get(request.file).disk == index);
        let disk = &self.disks[index];
        let states = [
            (true, "power cut"),
            (requests, "power cut with requests in flight"),
            (disk.has_dirty_pages(), "power cut with dirty pages"),
            (disk.has_volatile_writes(), "power cut with unsynced writes"),
            (disk.has_changes(), "power cut with uncommitted changes"),
        ];
        for (is_so, state) in states {
            if is_so {
                self.reached.add(self.phase, state);
            }
        }
    }

    /// A request is in flight when the power is cut. A write may be on the medium, like one that
    /// was completed. A sync may be done.
    fn do_perhaps(&mut self, request: &Request) {
        let Place { disk, inode, .. } = self.place(request.file, 0);
        match &request.work {
            Work::Write(transfer) => {
                let bytes = transfer.memory.copy(transfer.count);
                let at = transfer.kiocb.pos.unsigned_abs();
                self.disks[disk].device_write(inode, at, bytes);
            }
            Work::Sync(covered) => {
                if self.choices.draw(2) == 0 {
                    self.disks[disk].sync(inode, *covered);
                }
            }
            Work::Read(_) | Work::Poll(_) | Work::Watch { .. } | Work::Kick => {}
        }
    }

    fn carry_out(&mut self, request: Request) {
        let file = request.file;
        let result = match &request.work {
            Work::Read(_) | Work::Write(_) if self.fires_at(Fault::Interrupted, file) => {
                Err(Errno::EINTR)
            }
            Work::Read(transfer) => self.end_direct_read(file, transfer),
            Work::Write(transfer) => self.end_direct_write(file, transfer),
            Work::Sync(covered) => self.end_sync(file, *covered),
            Work::Poll(_) | Work::Watch { .. } | Work::Kick => Ok(0),
        };
        self.end(request, result);
    }

    /// Ends a request: gives its event out.
    pub(super) fn end(&mut self, request: Request, result: Result<usize, Errno>) {
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
        if !matches!(request.work, Work::Kick | Work::Watch { .. }) {
            self.release(request.file);
        }
        // Its memory isn't used any more before its event is there.
        drop(request);
        self.kernel.context_mut(context).in_flight -= 1;
        self.aio_complete(context, event, resfd);
    }
}
