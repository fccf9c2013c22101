//! `io_submit`: the checks in the kernel's order (`fs/aio.c`).

#![allow(
    unsafe_code,
    reason = "reads iocbs, and takes over memory that they name"
)]

use aio_safe::{
    Errno,
    kernel::{AioContext, Iocb, IocbFlags, Opcode, RwFlags},
};

use super::{
    eventfd,
    polls::{ALWAYS, Other},
    request::{Request, Work},
};
use crate::{
    disk::durable::Covered,
    fault::Fault,
    memory::UserMemory,
    open::OpenId,
    trace::What,
    vfs::{Kiocb, Transfer, aio_prep_rw, rw_verify_area},
    world::State,
};

/// What the call takes, and each request in it.
const CALL: u64 = 500;
const REQUEST: u64 = 200;

/// What a poll of a file gives that has no poll of its own (`include/linux/poll.h`):
/// `POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM`.
const DEFAULT_POLLMASK: u16 = 0x145;

/// The value of [`Iocb::aio_key`] after submission.
pub(super) const KIOCB_KEY: u32 = 0;
/// In place of a file of the world.
const NO_FILE: OpenId = OpenId::MAX;
/// The `aio_data` of a request of the queue's own.
const KICK: u64 = u64::MAX;

/// An iocb, and where it is.
struct Control {
    iocb: Iocb,
    place: *mut Iocb,
}

impl State {
    /// As [`Kernel::io_submit`](aio_safe::kernel::Kernel::io_submit).
    ///
    /// # Errors
    ///
    /// As the real kernel's.
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn io_submit(
        &mut self,
        ctx: AioContext,
        iocbs: &[*mut Iocb],
    ) -> Result<usize, Errno> {
        self.spend(CALL);
        self.look_at_polls();
        let context = self.kernel.find(ctx)?;
        if self.fires(Fault::Forbidden) {
            return Err(self.refused(Errno::EPERM));
        }
        let cpu = self.choices.draw(self.kernel.cpus.into()) as u32;
        let most = self.kernel.context(context).nr_events as usize;
        let mut taken = 0;
        for &place in iocbs.iter().take(most) {
            // SAFETY: the pointer is to an iocb that nobody else uses during the call, which the
            // caller promises.
            let iocb = unsafe { place.read() };
            if taken > 0 && self.fires_for(Fault::PartialSubmit, &iocb) {
                break;
            }
            let control = Control { iocb, place };
            // SAFETY: nobody else uses the iocb during the call, and the memory that it names stays
            // valid and unused until the event: the caller promises that.
            match unsafe { self.io_submit_one(context, cpu, &control) } {
                Ok(()) => taken += 1,
                Err(errno) if taken == 0 => return Err(self.refused(errno)),
                Err(_) => break,
            }
            self.spend(REQUEST);
        }
        Ok(taken)
    }

    /// Whether a fault happens to the file that an iocb names.
    fn fires_for(&mut self, fault: Fault, iocb: &Iocb) -> bool {
        let mut place = None;
        if self.faults.is_scripted(fault) {
            let file = self.files.find(iocb.aio_fildes).ok();
            place = file.map(|file| self.place(file, 0));
        }
        self.fires_on(fault, place)
    }

    fn refused(&mut self, errno: Errno) -> Errno {
        self.trace.add(self.agenda.now(), || What::Refuse(errno));
        errno
    }

    /// `io_submit_one`.
    ///
    /// # Safety
    ///
    /// Nobody else uses the iocb. If the request is accepted, the memory that it names stays valid
    /// and nobody else uses it until its event is given out.
    unsafe fn io_submit_one(
        &mut self,
        context: usize,
        cpu: u32,
        control: &Control,
    ) -> Result<(), Errno> {
        let iocb = &control.iocb;
        if iocb.aio_reserved2 != 0 {
            return Err(Errno::EINVAL);
        }
        let fits =
            usize::try_from(iocb.aio_buf).is_ok() && isize::try_from(iocb.aio_nbytes).is_ok();
        if !fits {
            return Err(Errno::EINVAL);
        }
        // `aio_get_req`.
        let of = self.kernel.context_mut(context);
        let in_ring = of.ring.len();
        if !of.slots.get(cpu, in_ring) {
            return Err(Errno::EAGAIN);
        }
        let accepted = match self.fires_for(Fault::NoRoom, iocb) {
            true => Err(Errno::EAGAIN),
            // SAFETY: nobody else uses the iocb, and its memory stays valid and unused until the
            // event: the caller promises that.
            false => unsafe { self.__io_submit_one(context, control) },
        };
        match accepted {
            Ok(request) => {
                self.kernel.context_mut(context).in_flight += 1;
                self.begin(request);
                Ok(())
            }
            Err(errno) => {
                self.kernel.context_mut(context).slots.put(cpu, 1);
                Err(errno)
            }
        }
    }

    /// `__io_submit_one`: the checks after a slot was taken.
    ///
    /// # Safety
    ///
    /// As [`io_submit_one`](Self::io_submit_one).
    unsafe fn __io_submit_one(
        &mut self,
        context: usize,
        control: &Control,
    ) -> Result<Request, Errno> {
        let iocb = &control.iocb;
        let is_kick =
            iocb.aio_data == KICK && iocb.aio_lio_opcode == Opcode::PREAD && iocb.aio_nbytes == 0;
        let mut other = None;
        let file = if is_kick {
            NO_FILE
        } else if let Ok(file) = self.files.find(iocb.aio_fildes) {
            file
        } else {
            other = Some(Other::find(iocb.aio_fildes)?);
            NO_FILE
        };
        let mut resfd = None;
        if iocb.aio_flags.contains(IocbFlags::RESFD) {
            self.check_eventfd(context, iocb.aio_resfd)?;
            resfd = Some(iocb.aio_resfd);
        }
        // SAFETY: the pointer is to an iocb that nobody else uses, which the caller promises.
        let key = unsafe { &raw mut (*control.place).aio_key };
        // SAFETY: the pointer is to a field of an iocb that nobody else uses, which the caller
        // promises.
        unsafe { key.write(KIOCB_KEY) };
        let work = match iocb.aio_lio_opcode {
            _ if is_kick => Work::Kick,
            opcode if other.is_some() => request_on_another_file(opcode, iocb, other)?,
            Opcode::PREAD | Opcode::PREADV => {
                // SAFETY: the memory that the iocb names stays valid and unused until the event,
                // which the caller promises. The request is dropped before that.
                Work::Read(unsafe { self.aio_rw(file, iocb, false) }?)
            }
            Opcode::PWRITE | Opcode::PWRITEV => {
                // SAFETY: the memory that the iocb names stays valid and unused until the event,
                // which the caller promises. The request is dropped before that.
                Work::Write(unsafe { self.aio_rw(file, iocb, true) }?)
            }
            Opcode::FSYNC | Opcode::FDSYNC => aio_fsync(iocb)?,
            Opcode::POLL => aio_poll(iocb)?,
            _ => return Err(Errno::EINVAL),
        };
        if file != NO_FILE {
            self.files.hold(file);
        }
        self.kernel.submitted += 1;
        let number = self.kernel.submitted;
        self.trace.add(self.agenda.now(), || What::Submit {
            context,
            request: number,
            file,
            iocb: Box::new(*iocb),
        });
        Ok(Request {
            context,
            number,
            data: iocb.aio_data,
            obj: control.place.expose_provenance() as u64,
            file,
            work,
            resfd,
        })
    }

    /// An eventfd stays open until the context is destroyed, so one look at it is enough.
    fn check_eventfd(&mut self, context: usize, number: u32) -> Result<(), Errno> {
        let context = self.kernel.context_mut(context);
        if context.eventfd != Some(number) {
            eventfd::check(number)?;
            context.eventfd = Some(number);
        }
        Ok(())
    }

    /// `aio_read` and `aio_write`, up to the call of the file's own function.
    ///
    /// # Safety
    ///
    /// The memory that the iocb names is valid, and nobody else uses it as long as the result
    /// exists.
    unsafe fn aio_rw(&self, file: OpenId, iocb: &Iocb, writes: bool) -> Result<Transfer, Errno> {
        let open = self.files.get(file);
        let kiocb: Kiocb = aio_prep_rw(open, iocb)?;
        let may = if writes { open.writes() } else { open.reads() };
        if !may {
            return Err(Errno::EBADF);
        }
        if !self.has_iter(open) {
            return Err(Errno::EINVAL);
        }
        let (addr, count) = (iocb.aio_buf as usize, iocb.aio_nbytes as usize);
        // `aio_setup_rw`.
        let vectored = matches!(iocb.aio_lio_opcode, Opcode::PREADV | Opcode::PWRITEV);
        let memory = match vectored {
            // SAFETY: the iovecs are readable, and their memory is valid and unused, which the
            // caller promises.
            true => unsafe { UserMemory::import_iovec(addr, count) }?,
            // SAFETY: the memory is valid and unused, which the caller promises.
            false => unsafe { UserMemory::import_ubuf(addr, count) }?,
        };
        rw_verify_area(kiocb.pos, memory.len())?;
        Ok(Transfer {
            kiocb,
            count: memory.len(),
            memory,
        })
    }
}

/// `aio_fsync`.
fn aio_fsync(iocb: &Iocb) -> Result<Work, Errno> {
    let unused = iocb.aio_buf == 0
        && iocb.aio_offset == 0
        && iocb.aio_nbytes == 0
        && iocb.aio_rw_flags == RwFlags::empty();
    match unused {
        true => Ok(Work::Sync(Covered::default())),
        false => Err(Errno::EINVAL),
    }
}

/// `aio_poll`. Regular files have no poll of their own: they are always ready.
fn aio_poll(iocb: &Iocb) -> Result<Work, Errno> {
    match DEFAULT_POLLMASK & (poll_events(iocb)? | ALWAYS) {
        ready @ 1.. => Ok(Work::Poll(ready)),
        _ => Err(Errno::EINVAL),
    }
}

/// The events that a poll waits for, if it uses no other field.
fn poll_events(iocb: &Iocb) -> Result<u16, Errno> {
    let events = u16::try_from(iocb.aio_buf).map_err(|_| Errno::EINVAL)?;
    let unused =
        iocb.aio_offset == 0 && iocb.aio_nbytes == 0 && iocb.aio_rw_flags == RwFlags::empty();
    match unused {
        true => Ok(events),
        false => Err(Errno::EINVAL),
    }
}

/// Of a file that isn't of the world, only polls are simulated. None of these files has an `fsync`.
fn request_on_another_file(
    opcode: Opcode,
    iocb: &Iocb,
    other: Option<Other>,
) -> Result<Work, Errno> {
    match opcode {
        Opcode::POLL => Ok(Work::Watch {
            events: poll_events(iocb)?,
            other,
        }),
        Opcode::PREAD | Opcode::PREADV | Opcode::PWRITE | Opcode::PWRITEV => Err(Errno::EBADF),
        _ => Err(Errno::EINVAL),
    }
}
