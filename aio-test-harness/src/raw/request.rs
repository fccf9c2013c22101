//! The requests of the cases.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    ptr::NonNull,
};

use aio_sys::abi::{IoPrio, Iocb, IocbFlags, Iovec, Opcode, RwFlags};

use super::Memory;

/// An iocb at a fixed address, with its buffer. Both are [`Memory`].
#[derive(Debug)]
pub(crate) struct Request {
    /// The iocb's memory. It has its length and alignment.
    memory: Memory,
    /// The array of a vectored request.
    iovecs: Option<Memory>,
}

impl Request {
    fn new(iocb: Iocb) -> io::Result<Self> {
        let request = Self {
            memory: Memory::zeroed(size_of::<Iocb>())?,
            iovecs: None,
        };
        request.store(iocb);
        Ok(request)
    }

    pub(crate) fn read(file: impl AsFd, memory: Memory, offset: i64) -> io::Result<Self> {
        let file = file.as_fd().as_raw_fd();
        Self::new(Iocb::pread(file, memory.as_ptr(), memory.len(), offset))
    }

    /// A read beyond the end of its memory, which has to be guarded.
    pub(crate) fn read_beyond(file: impl AsFd, memory: Memory, length: usize) -> io::Result<Self> {
        assert!(memory.takes(length), "an access behind the memory faults");
        Self::new(Iocb::pread(
            file.as_fd().as_raw_fd(),
            memory.as_ptr(),
            length,
            0,
        ))
    }

    pub(crate) fn write(file: impl AsFd, memory: Memory, offset: i64) -> io::Result<Self> {
        let file = file.as_fd().as_raw_fd();
        Self::new(Iocb::pwrite(file, memory.as_ptr(), memory.len(), offset))
    }

    pub(crate) fn readv(file: impl AsFd, parts: &[Memory], offset: i64) -> io::Result<Self> {
        let array = iovecs(parts)?;
        let file = file.as_fd().as_raw_fd();
        let iocb = Iocb::preadv(file, array.as_ptr().cast(), parts.len(), offset);
        Ok(Self {
            iovecs: Some(array),
            ..Self::new(iocb)?
        })
    }

    pub(crate) fn writev(file: impl AsFd, parts: &[Memory], offset: i64) -> io::Result<Self> {
        let array = iovecs(parts)?;
        let file = file.as_fd().as_raw_fd();
        let iocb = Iocb::pwritev(file, array.as_ptr().cast(), parts.len(), offset);
        Ok(Self {
            iovecs: Some(array),
            ..Self::new(iocb)?
        })
    }

    /// A vectored read whose array of iovecs can't be read.
    pub(crate) fn readv_of_nothing(file: impl AsFd, count: usize) -> io::Result<Self> {
        let array = Memory::inaccessible()?;
        Self::new(Iocb::preadv(
            file.as_fd().as_raw_fd(),
            array.as_ptr().cast(),
            count,
            0,
        ))
    }

    /// Overwrites the iovecs of a vectored request with lengths of 0.
    pub(crate) fn overwrite_iovecs(&self) {
        let array = self.iovecs.expect("a vectored request");
        array.write(&vec![0; array.len()]);
    }

    pub(crate) fn fsync(file: impl AsFd) -> io::Result<Self> {
        Self::new(Iocb::fsync(file.as_fd().as_raw_fd()))
    }

    pub(crate) fn fdsync(file: impl AsFd) -> io::Result<Self> {
        Self::new(Iocb::fdsync(file.as_fd().as_raw_fd()))
    }

    pub(crate) fn poll(file: impl AsFd, events: i16) -> io::Result<Self> {
        Self::new(Iocb::poll(file.as_fd().as_raw_fd(), events as u16))
    }

    /// An iocb on which every access faults.
    pub(crate) fn inaccessible() -> io::Result<Self> {
        Ok(Self {
            memory: Memory::inaccessible()?,
            iovecs: None,
        })
    }

    /// Makes the iocb's memory read-only.
    pub(crate) fn into_read_only(self) -> io::Result<Self> {
        self.memory.make_read_only()?;
        Ok(self)
    }

    /// Sets the number that comes back in the event.
    pub(crate) fn data(self, data: u64) -> Self {
        self.with(|iocb| iocb.aio_data = data)
    }

    /// Replaces the file's descriptor, for example by one that isn't open.
    pub(crate) fn descriptor(self, fd: RawFd) -> Self {
        self.with(|iocb| iocb.aio_fildes = fd as u32)
    }

    pub(crate) fn offset(self, offset: i64) -> Self {
        self.with(|iocb| iocb.aio_offset = offset)
    }

    pub(crate) fn rw_flags(self, flags: RwFlags) -> Self {
        self.with(|iocb| iocb.aio_rw_flags = flags)
    }

    pub(crate) fn flags(self, flags: IocbFlags) -> Self {
        self.with(|iocb| iocb.aio_flags = flags)
    }

    pub(crate) fn ioprio(self, priority: IoPrio) -> Self {
        self.with(|iocb| *iocb = iocb.with_ioprio(priority))
    }

    /// Sets the eventfd that counts the completion.
    pub(crate) fn resfd(self, eventfd: RawFd) -> Self {
        self.with(|iocb| *iocb = iocb.with_resfd(eventfd))
    }

    pub(crate) fn reserved2(self, value: u64) -> Self {
        self.with(|iocb| iocb.aio_reserved2 = value)
    }

    pub(crate) fn key(self, key: u32) -> Self {
        self.with(|iocb| iocb.aio_key = key)
    }

    /// Changes the key of a request that may be in flight. The kernel has its own copy of the iocb,
    /// and reads this one only in `io_cancel`.
    pub(crate) fn set_key(&self, key: u32) {
        self.store(Iocb {
            aio_key: key,
            ..self.iocb()
        });
    }

    /// Sets the eventfd to this file, which may be an eventfd or not.
    pub(crate) fn resfd_of(self, file: impl AsFd) -> Self {
        self.resfd(file.as_fd().as_raw_fd())
    }

    /// Sets an opcode that no kernel implements.
    pub(crate) fn unknown_opcode(self, opcode: Opcode) -> Self {
        assert!(
            [4, 6].contains(&opcode.0) || opcode.0 > 8,
            "an implemented opcode could make the kernel write to the wrong memory"
        );
        self.with(|iocb| iocb.aio_lio_opcode = opcode)
    }

    /// Sets a length that the kernel refuses before it uses the address.
    pub(crate) fn refused_length(self, length: u64) -> Self {
        assert!(length > i64::MAX as u64, "negative as the kernel's ssize_t");
        self.with(|iocb| iocb.aio_nbytes = length)
    }

    /// Sets an address that can't be one of this process.
    pub(crate) fn foreign_address(self, address: u64) -> Self {
        let kernel_half = address >> 63 == 1;
        let beyond_a_word = usize::try_from(address).is_err();
        let non_canonical = (1 << 52..1 << 55).contains(&address);
        let last_page = size_of::<usize>() == 4 && address >= 0xffff_f000;
        assert!(kernel_half || beyond_a_word || non_canonical || last_page);
        self.with(|iocb| iocb.aio_buf = address)
    }

    /// Sets a number of iovecs that every kernel refuses.
    pub(crate) fn too_many_iovecs(self, count: u64) -> Self {
        assert!(count > Iovec::MAX_COUNT as u64);
        self.with(|iocb| iocb.aio_nbytes = count)
    }

    /// Sets fields that a sync or a poll doesn't use as an address.
    pub(crate) fn unused_fields(self, buf: u64, nbytes: u64) -> Self {
        let opcode = self.iocb().aio_lio_opcode;
        assert!([Opcode::FSYNC, Opcode::FDSYNC, Opcode::POLL].contains(&opcode));
        self.with(|iocb| (iocb.aio_buf, iocb.aio_nbytes) = (buf, nbytes))
    }

    /// A copy of the iocb. The kernel writes its `aio_key` when it is submitted.
    pub(crate) fn iocb(&self) -> Iocb {
        // SAFETY: the memory holds an iocb, which `new` stored. It is aligned to a page and never
        // unmapped. If it is inaccessible, the process ends by SIGSEGV.
        unsafe { self.address().read_volatile() }
    }

    /// The iocb's address, which identifies it in `io_cancel` and `io_event.obj`.
    pub(crate) fn address(&self) -> *mut Iocb {
        self.memory.as_ptr().cast()
    }

    fn with(self, change: impl FnOnce(&mut Iocb)) -> Self {
        let mut iocb = self.iocb();
        change(&mut iocb);
        self.store(iocb);
        self
    }

    fn store(&self, iocb: Iocb) {
        let at = NonNull::new(self.address()).expect("memory is never at address 0");
        // SAFETY: the memory has the length of an iocb, is aligned to a page and never unmapped,
        // and nobody has a reference to it. If it is inaccessible, the process ends by SIGSEGV.
        unsafe { at.write_volatile(iocb) };
    }
}

/// Makes the iovec array of some parts, in the kernel's layout.
fn iovecs(parts: &[Memory]) -> io::Result<Memory> {
    let mut bytes = Vec::new();
    for part in parts {
        // struct iovec: an address and a length, each as wide as a pointer.
        bytes.extend_from_slice(&part.as_ptr().addr().to_ne_bytes());
        bytes.extend_from_slice(&part.len().to_ne_bytes());
    }
    Memory::from_bytes(if bytes.is_empty() { &[0] } else { &bytes })
}
