//! An AIO context.

use std::{io, ptr, sync::Arc};

use aio_sys::{
    Errno,
    abi::{AioContext, AioSigset, IoEvent, Iocb},
};

use super::{Mask, Memory, Request, Ring, Timeout, seam::Seam};

/// A context, destroyed when dropped.
///
/// It is the real kernel's, or one of a kernel of aio-safe: see [`Seam`].
#[derive(Debug)]
pub(crate) struct Context {
    raw: AioContext,
    /// Who answers, if it isn't the real kernel.
    seam: Option<Arc<Seam>>,
    /// Whether the handle is a kernel's. Any other number may be no address.
    real: bool,
}

/// Calls `io_setup` with the handle in this memory, and returns the context.
pub(crate) fn setup_at(nr_events: u32, handle: Memory) -> Result<Context, Errno> {
    assert!(
        handle.takes(size_of::<AioContext>()),
        "the memory takes a handle"
    );
    // SAFETY: the memory is never unmapped. It has room for a handle, or the access faults, which
    // the kernel answers with EFAULT.
    unsafe { aio_sys::io_setup(nr_events, handle.as_ptr().cast()) }?;
    // SAFETY: the kernel has just written a handle there. Memory from `zeroed` starts on a page, so
    // it is aligned.
    let raw = unsafe { handle.as_ptr().cast::<AioContext>().read_volatile() };
    Ok(Context {
        raw,
        seam: None,
        real: true,
    })
}

impl Context {
    /// `io_setup`.
    pub(crate) fn new(nr_events: u32) -> Result<Self, Errno> {
        if let Some(seam) = Seam::setup(nr_events) {
            let seam = seam?;
            return Ok(Self {
                raw: seam.raw(),
                seam: Some(seam),
                real: true,
            });
        }
        let mut raw = AioContext::NONE;
        // SAFETY: `raw` is readable and writable during the call. The kernel doesn't keep its
        // address.
        unsafe { aio_sys::io_setup(nr_events, &raw mut raw) }?;
        Ok(Self {
            raw,
            seam: None,
            real: true,
        })
    }

    /// The handle.
    pub(crate) fn raw(&self) -> AioContext {
        self.raw
    }

    /// Makes a context of any handle. Dropping it calls `io_destroy` on the handle.
    pub(crate) fn from_raw(raw: AioContext) -> Self {
        Self {
            raw,
            seam: Seam::of(raw),
            real: false,
        }
    }

    /// Gives up the handle without destroying the context.
    pub(crate) fn into_raw(mut self) -> AioContext {
        drop(self.seam.take());
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }

    /// Calls `io_submit` with several requests.
    pub(crate) fn submit(&self, requests: &[&Request]) -> Result<usize, Errno> {
        let pointers: Vec<*mut Iocb> = requests.iter().map(|request| request.address()).collect();
        if let Some(seam) = &self.seam {
            return seam.submit(self.raw, &pointers);
        }
        // SAFETY: the array has `pointers.len()` pointers. The iocb of a `Request` and the buffers
        // that it names are never unmapped, or fault. The iocb is only accessed through raw
        // pointers, so the kernel may write to it.
        unsafe { aio_sys::io_submit(self.raw, pointers.len() as isize, pointers.as_ptr()) }
    }

    /// Calls `io_submit` with these requests and the count `nr`. The memory behind the last pointer
    /// faults.
    pub(crate) fn submit_claiming(&self, nr: isize, requests: &[&Request]) -> Result<usize, Errno> {
        assert!(self.seam.is_none(), "the seam takes a slice");
        let pointers: Vec<u8> = requests
            .iter()
            .flat_map(|request| request.address().addr().to_ne_bytes())
            .collect();
        let array = Memory::guarded(pointers.len()).expect("memory for the pointers");
        array.write(&pointers);
        // SAFETY: the memory behind the array faults, so the kernel reads only the requests'
        // pointers. The iocb of a `Request` and the buffers that it names are never unmapped, or
        // fault, and are only accessed through raw pointers.
        unsafe { aio_sys::io_submit(self.raw, nr, array.as_ptr().cast()) }
    }

    /// `io_getevents`.
    pub(crate) fn getevents(
        &self,
        min: isize,
        nr: isize,
        timeout: Timeout,
    ) -> Result<Vec<IoEvent>, Errno> {
        let room = usize::try_from(nr).unwrap_or(0);
        if let Some(seam) = &self.seam {
            let min = usize::try_from(min).expect("the seam has no negative number");
            return seam.getevents(self.raw, min, room, timeout);
        }
        let mut events = vec![IoEvent::default(); room.max(1)];
        let mut time = aio_sys::GetEventsTimespec::default();
        let time = match timeout.parts() {
            Some((seconds, nanoseconds)) => {
                time.tv_sec = seconds as _;
                time.tv_nsec = nanoseconds as _;
                &raw const time
            }
            None => unusual(timeout),
        };
        // SAFETY: the vector has room for `nr` events during the call. `time` is readable during
        // the call, null, or faults.
        let got = unsafe { aio_sys::io_getevents(self.raw, min, nr, events.as_mut_ptr(), time) }?;
        events.truncate(got);
        Ok(events)
    }

    /// Calls `io_getevents` with this memory for the events.
    pub(crate) fn getevents_at(
        &self,
        min: isize,
        nr: isize,
        events: Memory,
    ) -> Result<usize, Errno> {
        assert!(self.seam.is_none(), "the seam takes a slice");
        let length = usize::try_from(nr).unwrap_or(0) * size_of::<IoEvent>();
        assert!(events.takes(length), "the memory takes the events");
        // SAFETY: the memory has room for `nr` events, or an access behind its end faults. A null
        // timeout waits without limit.
        unsafe { aio_sys::io_getevents(self.raw, min, nr, events.as_ptr().cast(), ptr::null()) }
    }

    /// `io_pgetevents`.
    pub(crate) fn pgetevents(
        &self,
        min: isize,
        nr: isize,
        timeout: Timeout,
        mask: Mask,
    ) -> Result<Vec<IoEvent>, Errno> {
        assert!(self.seam.is_none(), "the seam has no io_pgetevents");
        let room = usize::try_from(nr).unwrap_or(0);
        let mut events = vec![IoEvent::default(); room.max(1)];
        let mut time = aio_sys::PgetEventsTimespec::default();
        let time = match timeout.parts() {
            Some((seconds, nanoseconds)) => {
                time.tv_sec = seconds as _;
                time.tv_nsec = nanoseconds as _;
                &raw const time
            }
            None => unusual(timeout),
        };
        let (set, size) = match mask {
            Mask::Set(set, size) => (Some(set), size),
            Mask::Empty(size) | Mask::InaccessibleSet(size) => (None, size),
            Mask::None | Mask::Inaccessible => (None, 0),
        };
        let set = set.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut sig = AioSigset {
            sigsetsize: size as _,
            ..AioSigset::new(set)
        };
        let sig = match mask {
            Mask::None => ptr::null(),
            Mask::Inaccessible => nowhere().cast(),
            Mask::InaccessibleSet(_) => {
                sig.sigmask = nowhere().addr() as _;
                &raw const sig
            }
            Mask::Empty(_) | Mask::Set(..) => &raw const sig,
        };
        // SAFETY: the vector has room for `nr` events during the call. `time`, `sig` and the mask
        // that `sig` names are readable during the call, null, or fault.
        let got =
            unsafe { aio_sys::io_pgetevents(self.raw, min, nr, events.as_mut_ptr(), time, sig) }?;
        events.truncate(got);
        Ok(events)
    }

    /// Calls `io_cancel`. Returns its answer, and the result if the kernel wrote one.
    pub(crate) fn cancel(&self, request: &Request) -> (Result<(), Errno>, Option<IoEvent>) {
        let untouched = IoEvent {
            data: 1,
            obj: 2,
            res: 3,
            res2: 4,
        };
        if let Some(seam) = &self.seam {
            return (seam.cancel(self.raw, request.address()), None);
        }
        let mut result = untouched;
        // SAFETY: the iocb is never unmapped, or faults, and `result` is writable during the call.
        let answer = unsafe { aio_sys::io_cancel(self.raw, request.address(), &raw mut result) };
        (answer, (result != untouched).then_some(result))
    }

    /// `io_destroy`.
    pub(crate) fn destroy(mut self) -> Result<(), Errno> {
        if let Some(seam) = self.seam.take() {
            return seam.destroy(self.into_raw());
        }
        // SAFETY: memory that requests in flight write to is never freed, so the context may end at
        // any time. A `Ring` borrows `self`, so none reads the ring any more.
        unsafe { aio_sys::io_destroy(self.into_raw()) }
    }

    /// Unmaps the ring. The context keeps its handle.
    pub(crate) fn without_its_ring(self) -> io::Result<Self> {
        assert!(self.seam.is_none(), "the ring isn't a mapping of its own");
        let length = self.ring().length();
        let raw = self.into_raw();
        let start = ptr::with_exposed_provenance_mut(raw.addr());
        // SAFETY: the range is the ring's, which starts at the handle; no `Ring` is left that reads
        // it, because each borrows the context that has just been given up.
        match unsafe { libc::munmap(start, length) } {
            0 => Ok(Self::from_raw(raw)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Moves the ring. The context gets its new handle.
    pub(crate) fn with_its_ring_moved(self) -> io::Result<Self> {
        assert!(self.seam.is_none(), "the ring isn't a mapping of its own");
        let length = self.ring().length();
        let start = ptr::with_exposed_provenance_mut(self.into_raw().addr());
        let elsewhere = Memory::inaccessible_of(length)?.as_ptr();
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the range is the ring's, which starts at the handle; no `Ring` is left that reads
        // it, because each borrows the context that has just been given up. The target is a mapping
        // of its own that nobody accesses.
        let moved = unsafe { libc::mremap(start, length, length, flags, elsewhere) };
        if moved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            raw: AioContext::from_addr(moved.expose_provenance()),
            seam: None,
            real: true,
        })
    }

    /// The ring. Its address is the real kernel's handle.
    ///
    /// # Panics
    ///
    /// For a context of [`from_raw`](Self::from_raw): there may be no memory at its handle.
    pub(crate) fn ring(&self) -> Ring<'_> {
        assert!(self.real, "only the handle of a new context has a ring");
        if let Some(seam) = &self.seam {
            return seam.ring(self.raw).expect("the kernel has a ring");
        }
        let header = ptr::with_exposed_provenance(self.raw.addr());
        // SAFETY: the handle is the address of the ring (fs/aio.c, `ctx->user_id =
        // ctx->mmap_base`). The ring is mapped until the context is destroyed, and the `Ring`
        // borrows the context.
        unsafe { Ring::at(header) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(seam) = &self.seam {
            let _ = seam.destroy(self.raw);
            return;
        }
        // SAFETY: memory that requests in flight write to is never freed, and a `Ring` borrows
        // `self`, so none reads the ring any more. Destroying a context twice is an error without
        // effect.
        let _ = unsafe { aio_sys::io_destroy(self.raw) };
    }
}

/// The pointer of a timeout without a timespec.
fn unusual<T>(timeout: Timeout) -> *const T {
    match timeout {
        Timeout::Inaccessible => nowhere().cast(),
        _ => ptr::null(),
    }
}

/// An address at which every access faults.
fn nowhere() -> *const u8 {
    let memory: io::Result<Memory> = Memory::inaccessible();
    memory.expect("address space").as_ptr()
}
