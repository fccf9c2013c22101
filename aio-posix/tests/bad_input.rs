//! What a C program gets for bad input: an errno, never a crash. The library works after that.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{
    ffi::c_int,
    fs::File,
    io::Write,
    os::fd::{AsRawFd, IntoRawFd},
    ptr,
};

use aio_posix::c::{AioInit, Aiocb, Sigevent, aioPxLibInit, aioSysInit};
use program::{
    Answer, PAGE, Pages, Request, Scratch, aio_cancel, aio_error, aio_fsync, aio_init, aio_read,
    aio_return, aio_suspend, aio_suspend_at, aio_write, alone, direct_file, lio_listio, pipe,
    signal,
};

const BLOCK: usize = size_of::<Aiocb>();
/// Where the error code and the return value are in a block.
const ERROR_CODE: usize = 112;
const RETURN_VALUE: usize = 120;

/// What the cases use.
struct World {
    file: File,
    read_only: File,
    write_only: File,
    direct: Option<File>,
    /// With data in it.
    pipe: File,
    _writer: File,
    /// A read of a pipe without data.
    in_flight: Request,
    _empty: (File, File),
    over: Request,
    /// The number of a descriptor that was closed.
    closed: c_int,
    /// A page that can be used, and one that isn't mapped.
    ends: Pages,
    /// A page that can be used, one that can only be read, one that can be used.
    middle: Pages,
    /// A page that can be used, and one that can't be read.
    guarded: Pages,
}

impl World {
    fn new(scratch: &Scratch) -> Self {
        let file = scratch.file("file", &[1; 20_000]);
        let (pipe, mut writer) = pipe();
        writer.write_all(&[2; 1000]).unwrap();
        let empty = program::pipe();
        let in_flight = Request::read(&empty.0, 4, 0).submitted();
        let over = Request::read(&file, 4, 0);
        assert_eq!(over.done(), Ok(4));
        // So high that nobody gets it again.
        let null = File::open("/dev/null").unwrap();
        let closed = rustix::io::fcntl_dupfd_cloexec(&null, 900).unwrap();
        let closed = closed.into_raw_fd();
        // SAFETY: nobody else has the descriptor.
        #[allow(unsafe_code, reason = "closes a descriptor by its number")]
        let done = unsafe { libc::close(closed) };
        assert_eq!(done, 0);
        let middle = Pages::new(3);
        // Some blocks are in the page that becomes read-only.
        for place in [PAGE + 1024, PAGE - RETURN_VALUE, 2 * PAGE - RETURN_VALUE] {
            middle.put(place, block_of(&file, &middle));
        }
        Self {
            read_only: File::open(scratch.path("file")).unwrap(),
            write_only: File::create(scratch.path("other")).unwrap(),
            direct: direct_file(&[3; 1 << 13]),
            pipe,
            _writer: writer,
            in_flight,
            _empty: empty,
            over,
            closed,
            ends: Pages::new(2).unmap(1),
            middle: middle.read_only(1),
            guarded: Pages::new(2).take_away(1),
            file,
        }
    }

    /// Whether the library works.
    fn is_usable(&self) -> bool {
        let read = Request::read(&self.file, 100, 50);
        let works = read.done() == Ok(100) && read.bytes() == [1; 100];
        let list = [read.at()];
        let lists = lio_listio(libc::LIO_WAIT, list.as_ptr(), 1, ptr::null_mut());
        works && lists == Ok(0) && self.in_flight.status() == libc::EINPROGRESS
    }

    fn read(&self, change: impl FnOnce(&mut Aiocb)) -> Answer<isize> {
        Request::read(&self.file, 100, 0).with(change).done()
    }

    fn write(&self, change: impl FnOnce(&mut Aiocb)) -> Answer<isize> {
        Request::write(&self.file, [1; 100], 0).with(change).done()
    }

    fn list(&self, mode: c_int, block: *mut Aiocb) -> Answer<isize> {
        let good = Request::read(&self.file, 100, 0);
        let list = [good.at(), block];
        let answer = number(lio_listio(mode, list.as_ptr(), 2, ptr::null_mut()));
        let _ = good.result();
        answer
    }

    /// Begins a list with a sigevent at an address. Nothing of it may be begun then.
    fn list_with(&self, event: *mut Sigevent) -> Answer<isize> {
        let read = Request::read(&self.file, 100, 0);
        let list = [read.at()];
        let answer = lio_listio(libc::LIO_NOWAIT, list.as_ptr(), 1, event);
        assert_eq!(read.bytes(), [0xee; 100]);
        number(answer)
    }

    fn suspend(&self, timeout: *const libc::timespec) -> Answer<isize> {
        let list = [self.in_flight.at().cast_const()];
        number(aio_suspend_at(list.as_ptr(), 1, timeout))
    }

    fn suspend_for(&self, tv_sec: i64, tv_nsec: i64) -> Answer<isize> {
        self.suspend(&libc::timespec { tv_sec, tv_nsec })
    }

    fn suspend_list(&self, list: &[*const Aiocb]) -> Answer<isize> {
        number(aio_suspend(list.as_ptr(), list.len() as c_int, None))
    }
}

/// A good block for a read into the start of some memory.
fn block_of(file: &File, memory: &Pages) -> Aiocb {
    let mut block = Aiocb::new();
    block.aio_fildes = file.as_raw_fd();
    block.aio_buf = memory.at(0);
    block.aio_nbytes = 100;
    block
}

/// Puts a good block somewhere, reads, and waits for the end.
fn read_at(w: &World, pages: &Pages, offset: usize) -> Answer<isize> {
    let block = pages.put(offset, block_of(&w.file, pages));
    aio_read(block)?;
    let list = [block.cast_const()];
    aio_suspend(list.as_ptr(), 1, None)?;
    assert_eq!(aio_error(block), Ok(0));
    aio_return(block)
}

fn number(answer: Answer) -> Answer<isize> {
    answer.map(|n| n as isize)
}

fn wild<T>(address: usize) -> *mut T {
    ptr::without_provenance_mut(address)
}

/// An address that no process can have.
const OF_THE_KERNEL: usize = usize::MAX << 40;

/// What is done, what is expected, and its name.
type Case = (&'static str, Answer<isize>, fn(&World) -> Answer<isize>);

const EINVAL: Answer<isize> = Err(libc::EINVAL);
const EBADF: Answer<isize> = Err(libc::EBADF);
const EFAULT: Answer<isize> = Err(libc::EFAULT);
const EIO: Answer<isize> = Err(libc::EIO);
const EAGAIN: Answer<isize> = Err(libc::EAGAIN);

/// Addresses of control blocks.
const BLOCKS: &[Case] = &[
    ("read null", EINVAL, |_| number(aio_read(ptr::null_mut()))),
    ("read wild", EINVAL, |_| number(aio_read(wild(4096)))),
    ("read unaligned", EINVAL, |w| {
        let block = w.ends.put(4, block_of(&w.file, &w.ends));
        number(aio_read(block))
    }),
    ("read kernel", EINVAL, |_| {
        number(aio_read(wild(OF_THE_KERNEL)))
    }),
    ("read last address", EINVAL, |_| {
        number(aio_read(wild(usize::MAX - 7)))
    }),
    ("read unmapped", EINVAL, |w| {
        number(aio_read(w.ends.at(PAGE)))
    }),
    ("read unreadable", EINVAL, |w| {
        number(aio_read(w.guarded.at(PAGE)))
    }),
    ("read partly mapped", EINVAL, |w| {
        number(aio_read(w.ends.at(PAGE - BLOCK + 8)))
    }),
    ("read last byte unreadable", EINVAL, |w| {
        number(aio_read(w.guarded.at(PAGE - BLOCK + 8)))
    }),
    ("read first word mapped", EINVAL, |w| {
        number(aio_read(w.ends.at(PAGE - 8)))
    }),
    ("read up to the last byte", Ok(100), |w| {
        read_at(w, &w.ends, PAGE - BLOCK)
    }),
    ("read up to a guard", Ok(100), |w| {
        read_at(w, &w.guarded, PAGE - BLOCK)
    }),
    ("read read-only", EINVAL, |w| {
        number(aio_read(w.middle.at(PAGE + 1024)))
    }),
    ("read value read-only", EINVAL, |w| {
        number(aio_read(w.middle.at(PAGE - RETURN_VALUE)))
    }),
    ("read error read-only", EINVAL, |w| {
        number(aio_read(w.middle.at(2 * PAGE - RETURN_VALUE)))
    }),
    ("read in flight", EINVAL, |w| number(w.in_flight.submit())),
    ("write null", EINVAL, |_| number(aio_write(ptr::null_mut()))),
    ("write wild", EINVAL, |_| number(aio_write(wild(8)))),
    ("write unmapped", EINVAL, |w| {
        number(aio_write(w.ends.at(PAGE)))
    }),
    ("write in flight", EINVAL, |w| {
        number(aio_write(w.in_flight.at()))
    }),
    ("write read-only", EINVAL, |w| {
        number(aio_write(w.middle.at(PAGE + 1024)))
    }),
    ("sync null", EINVAL, |_| {
        number(aio_fsync(libc::O_SYNC, ptr::null_mut()))
    }),
    ("sync wild", EINVAL, |_| {
        number(aio_fsync(libc::O_DSYNC, wild(1 << 20)))
    }),
    ("sync unaligned", EINVAL, |w| {
        number(aio_fsync(libc::O_SYNC, w.ends.at(1)))
    }),
    ("sync unmapped", EINVAL, |w| {
        number(aio_fsync(libc::O_SYNC, w.ends.at(PAGE)))
    }),
    ("sync read-only", EINVAL, |w| {
        number(aio_fsync(libc::O_SYNC, w.middle.at(PAGE + 1024)))
    }),
    ("sync partly mapped", EINVAL, |w| {
        number(aio_fsync(libc::O_SYNC, w.ends.at(PAGE - 120)))
    }),
    ("error null", EINVAL, |_| number(aio_error(ptr::null()))),
    ("error wild", EINVAL, |_| number(aio_error(wild(8)))),
    ("error unaligned", EINVAL, |w| {
        number(aio_error(w.over.at().wrapping_byte_add(1)))
    }),
    ("error unmapped", EINVAL, |w| {
        number(aio_error(w.ends.at(PAGE)))
    }),
    ("error code unmapped", EINVAL, |w| {
        number(aio_error(w.ends.at(PAGE - ERROR_CODE)))
    }),
    ("error kernel", EINVAL, |_| {
        number(aio_error(wild(OF_THE_KERNEL)))
    }),
    ("error last address", EINVAL, |_| {
        number(aio_error(wild(usize::MAX - 7)))
    }),
    ("error no status", EINVAL, |w| {
        w.ends.put(0, [0xff_u8; BLOCK]);
        number(aio_error(w.ends.at(0)))
    }),
    ("error of another process", EINVAL, |w| {
        w.ends.put(0, [0_u8; BLOCK]);
        w.ends.put(ERROR_CODE, libc::EINPROGRESS);
        number(aio_error(w.ends.at(0)))
    }),
    ("return null", EINVAL, |_| aio_return(ptr::null_mut())),
    ("return wild", EINVAL, |_| aio_return(wild(1 << 12))),
    ("return unaligned", EINVAL, |w| {
        aio_return(w.over.at().wrapping_byte_add(4))
    }),
    ("return unmapped", EINVAL, |w| aio_return(w.ends.at(PAGE))),
    ("return value unmapped", EINVAL, |w| {
        w.ends.put(PAGE - RETURN_VALUE, [0_u8; RETURN_VALUE]);
        aio_return(w.ends.at(PAGE - RETURN_VALUE))
    }),
    ("return in flight", EINVAL, |w| aio_return(w.in_flight.at())),
];

/// Fields of control blocks.
const FIELDS: &[Case] = &[
    ("read fd -1", EBADF, |w| {
        w.read(|block| block.aio_fildes = -1)
    }),
    ("read fd least", EBADF, |w| {
        w.read(|block| block.aio_fildes = i32::MIN)
    }),
    ("read fd greatest", EBADF, |w| {
        w.read(|block| block.aio_fildes = i32::MAX)
    }),
    ("read fd closed", EBADF, |w| {
        w.read(|block| block.aio_fildes = w.closed)
    }),
    ("read fd write-only", EBADF, |w| {
        Request::read(&w.write_only, 1, 0).done()
    }),
    ("write fd -1", EBADF, |w| {
        w.write(|block| block.aio_fildes = -1)
    }),
    ("write fd closed", EBADF, |w| {
        w.write(|block| block.aio_fildes = w.closed)
    }),
    ("write fd read-only", EBADF, |w| {
        Request::write(&w.read_only, b"x", 0).done()
    }),
    ("read negative nbytes", EINVAL, |w| {
        w.read(|block| block.aio_nbytes = usize::MAX)
    }),
    ("read nbytes too large", EINVAL, |w| {
        w.read(|block| block.aio_nbytes = 1 << 63)
    }),
    ("write negative nbytes", EINVAL, |w| {
        w.write(|block| block.aio_nbytes = 1 << 63)
    }),
    ("read offset -1", EINVAL, |w| {
        w.read(|block| block.aio_offset = -1)
    }),
    ("read offset least", EINVAL, |w| {
        w.read(|block| block.aio_offset = i64::MIN)
    }),
    ("write offset -1", EINVAL, |w| {
        w.write(|block| block.aio_offset = -1)
    }),
    ("write offset too large", Err(libc::EFBIG), |w| {
        w.write(|block| block.aio_offset = i64::MAX - 100)
    }),
    ("read reqprio -1", EINVAL, |w| {
        w.read(|block| block.aio_reqprio = -1)
    }),
    ("read reqprio 21", EINVAL, |w| {
        w.read(|block| block.aio_reqprio = 21)
    }),
    ("read reqprio greatest", EINVAL, |w| {
        w.read(|block| block.aio_reqprio = i32::MAX)
    }),
    ("write reqprio least", EINVAL, |w| {
        w.write(|block| block.aio_reqprio = i32::MIN)
    }),
    ("sync op 0", EINVAL, |w| number(aio_fsync(0, w.over.at()))),
    ("sync op -1", EINVAL, |w| number(aio_fsync(-1, w.over.at()))),
    ("sync op other", EINVAL, |w| {
        number(aio_fsync(libc::O_RDWR, w.over.at()))
    }),
    ("sync fd closed", EBADF, |w| {
        let sync = Request::read(&w.file, 0, 0).with(|block| block.aio_fildes = w.closed);
        number(aio_fsync(libc::O_SYNC, sync.at()))
    }),
    ("sync fd read-only", EBADF, |w| {
        number(aio_fsync(
            libc::O_SYNC,
            Request::read(&w.read_only, 0, 0).at(),
        ))
    }),
    ("sync in flight", EBADF, |w| {
        number(aio_fsync(libc::O_SYNC, w.in_flight.at()))
    }),
    ("read signal 65", Ok(100), |w| {
        w.read(|block| block.aio_sigevent = signal(65, 0))
    }),
    ("read signal -1", Ok(100), |w| {
        w.read(|block| block.aio_sigevent = signal(-1, 0))
    }),
    ("read notify 99", Ok(100), |w| {
        w.read(|block| block.aio_sigevent = program::event(99))
    }),
    ("read thread without function", Ok(100), |w| {
        w.read(|block| block.aio_sigevent = program::event(libc::SIGEV_THREAD))
    }),
];

/// Buffers.
const BUFFERS: &[Case] = &[
    ("read null buffer", EFAULT, |w| {
        w.read(|block| block.aio_buf = ptr::null_mut())
    }),
    ("read wild buffer", EFAULT, |w| {
        w.read(|block| block.aio_buf = wild(8))
    }),
    ("read kernel buffer", EFAULT, |w| {
        w.read(|block| block.aio_buf = wild(OF_THE_KERNEL))
    }),
    ("read last buffer", EFAULT, |w| {
        w.read(|block| block.aio_buf = wild(usize::MAX - 50))
    }),
    ("read unmapped buffer", EFAULT, |w| {
        w.read(|block| block.aio_buf = w.ends.at(PAGE))
    }),
    ("read read-only buffer", EFAULT, |w| {
        w.read(|block| block.aio_buf = w.middle.at(PAGE))
    }),
    ("read null buffer of 0", Ok(0), |w| {
        w.read(|block| (block.aio_buf, block.aio_nbytes) = (ptr::null_mut(), 0))
    }),
    ("read wild buffer of 0", Ok(0), |w| {
        w.read(|block| (block.aio_buf, block.aio_nbytes) = (wild(8), 0))
    }),
    ("read buffer mapped in part", Ok(50), |w| {
        w.read(|block| block.aio_buf = w.guarded.at(PAGE - 50))
    }),
    ("write null buffer", EFAULT, |w| {
        w.write(|block| block.aio_buf = ptr::null_mut())
    }),
    ("write wild buffer", EFAULT, |w| {
        w.write(|block| block.aio_buf = wild(8))
    }),
    ("write unmapped buffer", EFAULT, |w| {
        w.write(|block| block.aio_buf = w.ends.at(PAGE))
    }),
    ("write unreadable buffer", EFAULT, |w| {
        w.write(|block| block.aio_buf = w.guarded.at(PAGE))
    }),
    ("write null buffer of 0", Ok(0), |w| {
        w.write(|block| (block.aio_buf, block.aio_nbytes) = (ptr::null_mut(), 0))
    }),
    ("pipe wild buffer", EFAULT, |w| {
        let read = Request::read(&w.pipe, 10, 0).with(|block| block.aio_buf = wild(8));
        read.done()
    }),
    ("pipe read-only buffer", EFAULT, |w| {
        let read = Request::read(&w.pipe, 10, 0).with(|block| block.aio_buf = w.middle.at(PAGE));
        read.done()
    }),
    ("direct wild buffer", EFAULT, |w| {
        direct(w, wild(4096), 4096)
    }),
    ("direct read-only buffer", EFAULT, |w| {
        direct(w, w.middle.at(PAGE), 4096)
    }),
    ("direct unmapped buffer", EFAULT, |w| {
        direct(w, w.ends.at(PAGE), 4096)
    }),
];

/// Reads a file directly. Where there is none, nothing can be wrong.
fn direct(w: &World, buffer: *mut libc::c_void, len: usize) -> Answer<isize> {
    let Some(file) = &w.direct else {
        return EFAULT;
    };
    let read = Request::read(file, 0, 0).with(|block| {
        block.aio_buf = buffer;
        block.aio_nbytes = len;
    });
    read.done()
}

/// Lists and times.
const LISTS: &[Case] = &[
    ("suspend nent -1", EINVAL, |w| {
        let list = [w.over.at().cast_const()];
        number(aio_suspend(list.as_ptr(), -1, None))
    }),
    ("suspend nent least", EINVAL, |_| {
        number(aio_suspend(ptr::null(), i32::MIN, None))
    }),
    ("suspend null list", EINVAL, |_| {
        number(aio_suspend(ptr::null(), 1, None))
    }),
    ("suspend unaligned list", EINVAL, |w| {
        number(aio_suspend(w.ends.at::<*const Aiocb>(4), 1, None))
    }),
    ("suspend unmapped list", EINVAL, |w| {
        number(aio_suspend(w.ends.at::<*const Aiocb>(PAGE), 1, None))
    }),
    ("suspend list unmapped in part", EINVAL, |w| {
        w.ends.put(PAGE - 8, w.over.at());
        number(aio_suspend(w.ends.at::<*const Aiocb>(PAGE - 8), 2, None))
    }),
    ("suspend list up to the last byte", Ok(0), |w| {
        w.ends.put(PAGE - 8, w.over.at());
        number(aio_suspend(w.ends.at::<*const Aiocb>(PAGE - 8), 1, None))
    }),
    ("suspend huge nent", EINVAL, |w| {
        w.ends.put(0, [0_u8; PAGE]);
        number(aio_suspend(w.ends.at::<*const Aiocb>(0), i32::MAX, None))
    }),
    ("suspend wild block", EINVAL, |w| {
        w.suspend_list(&[w.in_flight.at(), wild(4096)])
    }),
    ("suspend unaligned block", EINVAL, |w| {
        w.suspend_list(&[w.in_flight.at(), wild(4097)])
    }),
    ("suspend unmapped block", EINVAL, |w| {
        w.suspend_list(&[w.ends.at(PAGE)])
    }),
    ("suspend timeout sec -1", EINVAL, |w| w.suspend_for(-1, 0)),
    ("suspend timeout nsec -1", EINVAL, |w| w.suspend_for(0, -1)),
    ("suspend timeout nsec 10^9", EINVAL, |w| {
        w.suspend_for(0, 1_000_000_000)
    }),
    ("suspend timeout nsec greatest", EINVAL, |w| {
        w.suspend_for(0, i64::MAX)
    }),
    ("suspend timeout 0", EAGAIN, |w| w.suspend_for(0, 0)),
    ("suspend timeout wild", EINVAL, |w| w.suspend(wild(8))),
    ("suspend timeout unaligned", EINVAL, |w| {
        w.suspend(w.ends.at(4))
    }),
    ("suspend timeout unmapped", EINVAL, |w| {
        w.suspend(w.ends.at(PAGE))
    }),
    ("suspend timeout unmapped in part", EINVAL, |w| {
        w.suspend(w.ends.at(PAGE - 8))
    }),
    ("suspend timeout greatest, over", Ok(0), |w| {
        let list = [w.over.at().cast_const()];
        let (tv_sec, tv_nsec) = (i64::MAX, 999_999_999);
        let time = libc::timespec { tv_sec, tv_nsec };
        number(aio_suspend(list.as_ptr(), 1, Some(time)))
    }),
    ("cancel fd -1", EBADF, |_| {
        number(aio_cancel(-1, ptr::null_mut()))
    }),
    ("cancel fd closed", EBADF, |w| {
        number(aio_cancel(w.closed, ptr::null_mut()))
    }),
    ("cancel wild block", EINVAL, |w| {
        number(aio_cancel(w.file.as_raw_fd(), wild(8)))
    }),
    ("cancel unaligned block", EINVAL, |w| {
        number(aio_cancel(w.file.as_raw_fd(), wild(4097)))
    }),
    ("cancel unmapped block", EINVAL, |w| {
        number(aio_cancel(w.file.as_raw_fd(), w.ends.at(PAGE)))
    }),
    ("cancel another file's block", EINVAL, |w| {
        number(aio_cancel(w.file.as_raw_fd(), w.in_flight.at()))
    }),
    ("cancel nothing", Ok(libc::AIO_ALLDONE as isize), |w| {
        number(aio_cancel(w.file.as_raw_fd(), w.over.at()))
    }),
    ("list mode 2", EINVAL, |w| w.list(2, ptr::null_mut())),
    ("list mode -1", EINVAL, |w| w.list(-1, ptr::null_mut())),
    ("list nent -1", EINVAL, |_| {
        number(lio_listio(libc::LIO_WAIT, ptr::null(), -1, ptr::null_mut()))
    }),
    ("list null", EINVAL, |_| {
        number(lio_listio(libc::LIO_WAIT, ptr::null(), 1, ptr::null_mut()))
    }),
    ("list unaligned", EINVAL, |w| {
        let list = w.ends.at(4);
        number(lio_listio(libc::LIO_WAIT, list, 1, ptr::null_mut()))
    }),
    ("list unmapped", EINVAL, |w| {
        let list = w.ends.at(PAGE);
        number(lio_listio(libc::LIO_NOWAIT, list, 1, ptr::null_mut()))
    }),
    ("list unmapped in part", EINVAL, |w| {
        w.ends.put(PAGE - 8, ptr::null_mut::<Aiocb>());
        let list = w.ends.at(PAGE - 8);
        number(lio_listio(libc::LIO_WAIT, list, 2, ptr::null_mut()))
    }),
    ("list up to the last byte", Ok(0), |w| {
        let read = Request::read(&w.file, 100, 0);
        w.ends.put(PAGE - 8, read.at());
        let list = w.ends.at(PAGE - 8);
        number(lio_listio(libc::LIO_WAIT, list, 1, ptr::null_mut()))
    }),
    ("list huge nent", EINVAL, |w| {
        w.ends.put(0, [0_u8; PAGE]);
        let list = w.ends.at(0);
        number(lio_listio(libc::LIO_WAIT, list, i32::MAX, ptr::null_mut()))
    }),
    ("list wild block", EINVAL, |w| {
        w.list(libc::LIO_WAIT, wild(4096))
    }),
    ("list unaligned block", EINVAL, |w| {
        w.list(libc::LIO_NOWAIT, wild(4097))
    }),
    ("list unmapped block", EINVAL, |w| {
        w.list(libc::LIO_WAIT, w.ends.at(PAGE))
    }),
    ("list read-only block", EIO, |w| {
        w.list(libc::LIO_WAIT, w.middle.at(PAGE + 1024))
    }),
    ("list block in flight", EIO, |w| {
        w.list(libc::LIO_WAIT, w.in_flight.at())
    }),
    ("list unknown opcode", EIO, |w| {
        let read = Request::read(&w.file, 1, 0).with(|block| block.aio_lio_opcode = 3);
        let answer = w.list(libc::LIO_WAIT, read.at());
        assert_eq!(read.result(), EINVAL);
        answer
    }),
    ("list bad descriptor", EIO, |w| {
        let read = Request::read(&w.file, 1, 0).with(|block| block.aio_fildes = w.closed);
        let answer = w.list(libc::LIO_WAIT, read.at());
        assert_eq!(read.result(), EBADF);
        answer
    }),
    ("list sig wild", EINVAL, |w| w.list_with(wild(8))),
    ("list sig unaligned", EINVAL, |w| w.list_with(w.ends.at(4))),
    ("list sig unmapped", EINVAL, |w| {
        w.list_with(w.ends.at(PAGE))
    }),
    ("list sig unmapped in part", EINVAL, |w| {
        w.list_with(w.ends.at(PAGE - 16))
    }),
    ("init null", Ok(0), |_| {
        aio_init(ptr::null());
        Ok(0)
    }),
    ("init wild", Ok(0), |w| {
        aio_init(wild(8));
        aio_init(w.ends.at::<AioInit>(PAGE));
        aio_init(w.ends.at::<AioInit>(PAGE - 16));
        Ok(0)
    }),
    ("lists after the first request", Ok(-1), |_| {
        Ok(aioPxLibInit(5) as isize)
    }),
    ("tasks after the first request", Ok(-1), |_| {
        Ok(aioSysInit(2, 50, 0) as isize)
    }),
];

#[test]
fn each_case_has_its_errno() {
    alone("each_case_has_its_errno", || {
        let scratch = Scratch::new();
        let world = World::new(&scratch);
        let mut wrong = Vec::new();
        let cases = || [BLOCKS, FIELDS, BUFFERS, LISTS].into_iter().flatten();
        assert!(cases().count() >= 130, "{}", cases().count());
        for (name, expected, case) in cases() {
            // The last line says which case has crashed.
            println!("{name}");
            let answer = case(&world);
            if answer != *expected {
                wrong.push(format!("{name}: {answer:?}, not {expected:?}"));
            }
            if !world.is_usable() {
                wrong.push(format!("{name}: the library isn't usable after that"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn what_is_said_before_the_first_request_is_in_range() {
    alone("what_is_said_before_the_first_request_is_in_range", || {
        for (tasks, priority) in [(-1, 0), (i32::MIN, 0), (2, -1), (2, 256), (2, i32::MAX)] {
            assert_eq!(aioSysInit(tasks, priority, 0), -1);
        }
        for lists in [-1, i32::MIN] {
            assert_eq!(aioPxLibInit(lists), -1);
        }
        for number in [-1, 0, i32::MIN, i32::MAX] {
            let init = AioInit {
                aio_threads: number.min(4),
                aio_num: number.min(64),
                aio_idle_time: number,
                ..AioInit::default()
            };
            aio_init(&raw const init);
        }
        let scratch = Scratch::new();
        let file = scratch.file("file", b"text");
        assert_eq!(Request::read(&file, 4, 0).done(), Ok(4));
    });
}

#[test]
fn a_request_is_refused_when_there_are_no_descriptors_and_works_after_that() {
    alone(
        "a_request_is_refused_when_there_are_no_descriptors_and_works_after_that",
        || {
            let scratch = Scratch::new();
            let file = scratch.file("file", b"text");
            let next = File::open("/dev/null").unwrap();
            let most = next.as_raw_fd();
            drop(next);
            let limit = |number| {
                let limit = libc::rlimit {
                    rlim_cur: number,
                    rlim_max: 1024,
                };
                // SAFETY: `limit` is a rlimit.
                #[allow(unsafe_code, reason = "std has no such call")]
                let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
                assert_eq!(done, 0);
            };
            limit(most as libc::rlim_t);
            match Request::read(&file, 4, 0).done() {
                Ok(4) | EAGAIN => {}
                other => panic!("{other:?}"),
            }
            limit(1024);
            assert_eq!(Request::read(&file, 4, 0).done(), Ok(4));
        },
    );
}
