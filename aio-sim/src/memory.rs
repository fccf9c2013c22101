//! The program's memory, which requests name by address.

#![allow(
    unsafe_code,
    reason = "copies to and from memory that is known by its address"
)]

use std::{
    mem::MaybeUninit,
    ops::Range,
    ptr::{copy_nonoverlapping, with_exposed_provenance, with_exposed_provenance_mut},
    sync::Arc,
};

use aio_safe::{Errno, kernel::Iovec};

use crate::disk::data::Data;

/// The most that one transfer moves: `MAX_RW_COUNT` in `include/linux/fs.h`.
const MAX_RW_COUNT: usize = 0x7fff_f000;
/// The bytes of a cache line.
const LINE: usize = 64;
/// Shorter copies aren't made by `rep movsb`.
const LONG: usize = 2048;

/// The buffers of a read or a write. Nobody else uses them while this exists.
#[derive(Debug)]
pub(crate) struct UserMemory {
    parts: Parts,
    /// The bytes of all parts.
    len: usize,
}

#[derive(Debug)]
enum Parts {
    One(Part),
    Several(Vec<Part>),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    addr: usize,
    len: usize,
}

impl Part {
    /// `access_ok`: the memory isn't the kernel's. A 64-bit kernel has the upper half, and leaves
    /// nearly all of 4 GiB to a 32-bit program.
    fn access_ok(self) -> bool {
        let most = match size_of::<usize>() {
            8 => isize::MAX as usize,
            _ => usize::MAX - 4095,
        };
        let end = self.addr.checked_add(self.len);
        end.is_some_and(|end| end <= most)
    }
}

impl UserMemory {
    /// One buffer: `import_ubuf` in `lib/iov_iter.c`.
    ///
    /// # Errors
    ///
    /// EFAULT for the kernel's memory.
    ///
    /// # Safety
    ///
    /// The memory is valid for what the request does with it, and nobody else uses it, as long as
    /// the result exists.
    pub(crate) unsafe fn import_ubuf(addr: usize, len: usize) -> Result<Self, Errno> {
        let len = len.min(MAX_RW_COUNT);
        let part = Part { addr, len };
        if !part.access_ok() {
            return Err(Errno::EFAULT);
        }
        Ok(Self {
            parts: Parts::One(part),
            len,
        })
    }

    /// Several buffers: `import_iovec` in `lib/iov_iter.c`, and `generic_segment_checks` in
    /// `mm/filemap.c` of old.
    ///
    /// # Errors
    ///
    /// EINVAL for too many, and for lengths that are negative as `ssize_t`. EFAULT for the kernel's
    /// memory.
    ///
    /// # Safety
    ///
    /// As [`import_ubuf`](Self::import_ubuf), for each buffer. If `count` is at most
    /// [`Iovec::MAX_COUNT`], so many iovecs are readable at `addr`.
    pub(crate) unsafe fn import_iovec(addr: usize, count: usize) -> Result<Self, Errno> {
        if count > Iovec::MAX_COUNT {
            return Err(Errno::EINVAL);
        }
        let first = with_exposed_provenance::<Iovec>(addr);
        let mut parts = Vec::with_capacity(count);
        let mut total = 0_usize;
        for n in 0..count {
            let place = first.wrapping_add(n);
            // SAFETY: `count` isn't more than the maximum, and so many iovecs are readable, which
            // the caller promises. Their alignment isn't promised.
            let iovec = unsafe { place.read_unaligned() };
            let mut part = Part {
                addr: iovec.iov_base.expose_provenance(),
                len: iovec.iov_len,
            };
            if isize::try_from(part.len).is_err() {
                return Err(Errno::EINVAL);
            }
            if !part.access_ok() {
                return Err(Errno::EFAULT);
            }
            part.len = part.len.min(MAX_RW_COUNT - total);
            total += part.len;
            parts.push(part);
        }
        Ok(Self {
            parts: Parts::Several(parts),
            len: total,
        })
    }

    /// The number of bytes in all buffers.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn parts(&self) -> &[Part] {
        match &self.parts {
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Several(parts) => parts,
        }
    }

    /// Whether each buffer's address is a multiple of this, and each length of that.
    pub(crate) fn is_aligned(&self, address: usize, length: usize) -> bool {
        let aligned = |part: &Part| part.addr % address == 0 && part.len % length == 0;
        self.parts().iter().all(aligned)
    }

    /// Hands out what overlaps with `len` bytes from `skip` on: an address, and the place in these
    /// bytes.
    fn each(&self, skip: usize, len: usize, mut show: impl FnMut(usize, Range<usize>)) {
        let (mut skip, mut done) = (skip, 0);
        for part in self.parts() {
            let inside = part.len.saturating_sub(skip).min(len - done);
            if inside > 0 {
                show(part.addr + skip, done..done + inside);
                done += inside;
            }
            skip = skip.saturating_sub(part.len);
        }
    }

    /// A copy of so many bytes, or of all if the buffers have fewer.
    ///
    /// A long one begins at a cache line. Programs have their buffers at pages, and some processors
    /// take fifty times as long for a long copy to an address that is 16 bytes behind a page's.
    pub(crate) fn copy(&self, len: usize) -> Data {
        let len = len.min(self.len);
        let spare = if len < LONG { 0 } else { LINE - 1 };
        let mut all = Arc::<[u8]>::new_uninit_slice(len + spare);
        let to = Arc::get_mut(&mut all).expect("nobody else has it yet");
        let before = to.as_ptr().align_offset(LINE).min(spare);
        let (head, to) = to.split_at_mut(before);
        let (to, tail) = to.split_at_mut(len);
        head.fill(MaybeUninit::new(0));
        tail.fill(MaybeUninit::new(0));
        let mut copied = 0;
        self.each(0, len, |addr, place| {
            copied += place.len();
            let to = &mut to[place];
            let from = with_exposed_provenance::<u8>(addr);
            // SAFETY: the memory at `from` is one of the buffers, or a part of one, so it is valid
            // for reads, and nobody else uses it: making a `UserMemory` requires that. So it isn't
            // `to`, which is borrowed.
            unsafe { copy_nonoverlapping(from, to.as_mut_ptr().cast(), to.len()) };
        });
        assert_eq!(copied, len, "the buffers have all of it");
        // SAFETY: `head` and `tail` were filled. `each` hands out disjoint places of the bytes
        // between them, and `copied`, the sum of their lengths, is all of these.
        let all = unsafe { all.assume_init() };
        Data::new(all, before..before + len)
    }

    /// Copies from the buffers, from the byte `skip` on. Fills `to` as far as the buffers reach.
    pub(crate) fn copy_from(&self, skip: usize, to: &mut [u8]) {
        self.each(skip, to.len(), |addr, place| {
            let to = &mut to[place];
            let from = with_exposed_provenance::<u8>(addr);
            // SAFETY: the memory at `from` is one of the buffers, or a part of one, so it is valid
            // for reads, and nobody else uses it: making a `UserMemory` requires that. So it isn't
            // `to`, which is borrowed.
            unsafe { copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        });
    }

    /// Copies to the buffers, from the byte `skip` on, as far as they reach.
    pub(crate) fn copy_to(&self, skip: usize, from: &[u8]) {
        self.each(skip, from.len(), |addr, place| {
            let from = &from[place];
            let to = with_exposed_provenance_mut::<u8>(addr);
            // SAFETY: the memory at `to` is one of the buffers, or a part of one. The request is a
            // read, so it is valid for writes, and nobody else uses it: making a `UserMemory`
            // requires that. So it isn't `from`, which is borrowed.
            unsafe { copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iovec(bytes: &mut [u8]) -> Iovec {
        Iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        }
    }

    #[test]
    fn bytes_go_to_their_places_in_several_buffers() {
        let (mut a, mut b, mut c) = ([0_u8; 3], [0_u8; 0], [0_u8; 4]);
        let iovecs = [iovec(&mut a), iovec(&mut b), iovec(&mut c)];
        let addr = iovecs.as_ptr().expose_provenance();
        // SAFETY: the iovecs and their buffers outlive it, and are used again only afterwards.
        let memory = unsafe { UserMemory::import_iovec(addr, 3) }.unwrap();
        assert_eq!(memory.len(), 7);
        memory.copy_to(1, &[1, 2, 3, 4, 5, 6, 7]);
        let mut back = [0; 4];
        memory.copy_from(2, &mut back);
        assert_eq!(back, [2, 3, 4, 5]);
        assert_eq!(memory.copy(5)[..], [0, 1, 2, 3, 4]);
        assert_eq!(memory.copy(9)[..], [0, 1, 2, 3, 4, 5, 6]);
        drop(memory);
        assert_eq!((a, c), ([0, 1, 2], [3, 4, 5, 6]));
    }

    #[test]
    fn a_copy_is_the_buffers_bytes_wherever_it_begins() {
        for len in [0, 1, LONG - 1, LONG, LONG + 1, 9000] {
            let mut bytes: Vec<u8> = (0..len).map(|n| (n % 251 + 1) as u8).collect();
            let addr = bytes.as_mut_ptr().expose_provenance();
            // SAFETY: the bytes outlive it, and are used again only afterwards.
            let memory = unsafe { UserMemory::import_ubuf(addr, len) }.unwrap();
            let copies = [0; 3].map(|_| memory.copy(len + 7));
            drop(memory);
            for copy in copies {
                assert_eq!(copy[..], bytes[..]);
                assert!(len < LONG || copy.as_ptr() as usize % LINE == 0);
            }
        }
    }

    #[test]
    fn segments_are_checked_as_the_kernel_does() {
        // SAFETY: nothing is copied, and there are too many iovecs to be looked at.
        let too_many = unsafe { UserMemory::import_iovec(8, Iovec::MAX_COUNT + 1) };
        assert_eq!(too_many.unwrap_err(), Errno::EINVAL);
        // SAFETY: nothing is copied.
        let kernels = unsafe { UserMemory::import_ubuf(usize::MAX - 4096, 512) };
        assert_eq!(kernels.unwrap_err(), Errno::EFAULT);
        // SAFETY: nothing is copied.
        let long = unsafe { UserMemory::import_ubuf(4096, MAX_RW_COUNT + 1) };
        assert_eq!(long.unwrap().len(), MAX_RW_COUNT);
        let negative = [Iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: usize::MAX,
        }];
        // SAFETY: the iovec is readable, and nothing is copied.
        let negative =
            unsafe { UserMemory::import_iovec(negative.as_ptr().expose_provenance(), 1) };
        assert_eq!(negative.unwrap_err(), Errno::EINVAL);
    }
}
