//! The calls with any argument, right or wrong: the answers of the simulated kernel, in the real
//! one's order of checks.

#![allow(
    unsafe_code,
    reason = "makes the calls with iocbs of its own, as no queue does"
)]

mod common;

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use aio_safe::{
    Errno,
    kernel::{
        AioContext, IoEvent, IoPrio, Iocb, IocbFlags, Iovec, Kernel, Opcode, RingHeader, RwFlags,
    },
};
use aio_sim::{DiskModel, Fault, File, OFlags, SimKernel, World};

use common::{BUFFERED, DIRECT};

const MANY: usize = 4096;

/// A context, and a file of 8192 bytes.
struct Setup {
    world: World,
    kernel: SimKernel,
    ctx: AioContext,
    file: File,
    /// Never freed, so that requests may name it at any time.
    buffer: &'static mut [u8],
}

fn setup(world: World, flags: OFlags) -> Setup {
    let disk = world.disk(DiskModel::xfs());
    let file = disk.open("file", flags).unwrap();
    file.set_len(8192).unwrap();
    let kernel = world.kernel();
    let ctx = kernel.io_setup(1).unwrap();
    let buffer = aio_safe::AlignedBuf::zeroed(8192, 4096).unwrap();
    let buffer = Box::leak(Box::new(buffer));
    Setup {
        world,
        kernel,
        ctx,
        file,
        buffer,
    }
}

impl Setup {
    fn number(&self) -> i32 {
        self.file.as_fd().as_raw_fd()
    }

    fn read(&mut self) -> Iocb {
        let iocb = Iocb::pread(self.number(), self.buffer.as_mut_ptr(), 512, 0);
        Iocb {
            aio_data: 7,
            ..iocb
        }
    }

    fn submit(&self, iocbs: &mut [Iocb]) -> Result<usize, Errno> {
        let pointers: Vec<*mut Iocb> = iocbs.iter_mut().map(std::ptr::from_mut).collect();
        // SAFETY: the pointers are to iocbs that are borrowed here, and only the kernel uses them
        // during the call. The memory that they name is leaked, or isn't looked at, because the
        // kernel refuses the request. No test uses it while a request is in flight.
        unsafe { self.kernel.io_submit(self.ctx, &pointers) }
    }

    /// Takes events. Waits for `min` of them.
    fn events(&self, min: usize, timeout: Option<Duration>) -> Result<Vec<IoEvent>, Errno> {
        let mut events = [const { MaybeUninit::uninit() }; MANY];
        // SAFETY: there is one thread, so nobody else takes events.
        let n = unsafe {
            self.kernel
                .io_getevents(self.ctx, min, &mut events, timeout)
        }?;
        let events = events.iter().take(n);
        // SAFETY: the kernel has returned n, so the first n events are initialised.
        Ok(events.map(|event| unsafe { event.assume_init() }).collect())
    }

    /// What `io_submit` says to an iocb, or what its event has.
    fn outcome(&self, iocb: Iocb) -> Result<Result<u64, Errno>, Errno> {
        assert_eq!(self.submit(&mut [iocb])?, 1);
        let event = self.events(1, None)?[0];
        assert_eq!(event.data, iocb.aio_data);
        Ok(Errno::from_result(event.res).unwrap())
    }
}

#[test]
fn setting_up_is_checked_in_order() {
    let kernel = World::new(1).kernel();
    for (requests, errno) in [
        (0, Errno::EINVAL),
        (65_537, Errno::EAGAIN),
        (4_194_304, Errno::EAGAIN),
        (4_194_305, Errno::EINVAL),
        (0x8000_0000, Errno::EAGAIN),
        (0x8040_0000, Errno::EAGAIN),
        (0x8040_0001, Errno::EINVAL),
        (u32::MAX, Errno::EINVAL),
    ] {
        assert_eq!(
            kernel.io_setup(requests).err(),
            Some(errno),
            "{requests:#x}"
        );
    }
}

#[test]
fn rings_are_as_large_as_real_ones() {
    let kernel = World::new(1).kernel();
    for (requests, entries) in [
        (1, 127),
        (62, 127),
        (63, 255),
        (126, 255),
        (127, 383),
        (1024, 2175),
        (4096, 8319),
    ] {
        let ctx = kernel.io_setup(requests).unwrap();
        let header = std::ptr::with_exposed_provenance::<RingHeader>(ctx.addr());
        // SAFETY: the handle of a context is the address of its ring, which lives as long.
        let header = unsafe { header.read() };
        assert_eq!(header.nr, entries, "{requests}");
        assert!(header.is_readable());
    }
}

#[test]
fn so_many_requests_fit_as_in_the_real_kernel() {
    let mut setup = setup(World::new(1), DIRECT);
    let iocb = setup.read();
    let mut taken = 0;
    loop {
        match setup.submit(&mut [iocb]) {
            Ok(n) => taken += n,
            Err(errno) => {
                assert_eq!(errno, Errno::EAGAIN);
                break;
            }
        }
    }
    // There are 126 slots, which go to two processors in batches of 15. Calls are made on both, so
    // one may have some left.
    assert!((100..=120).contains(&taken), "{taken}");
    assert_eq!(setup.events(taken, None).unwrap().len(), taken);
    assert_eq!(setup.submit(&mut [iocb]), Ok(1));
}

#[test]
fn requests_are_checked_in_the_kernels_order() {
    let mut setup = setup(World::new(1), BUFFERED);
    let good = setup.read();
    let other_fd = |iocb: Iocb| Iocb {
        aio_fildes: 9999,
        ..iocb
    };
    let opcode = |iocb: Iocb| Iocb {
        aio_lio_opcode: Opcode::NOOP,
        ..iocb
    };
    let not_an_eventfd = |iocb: Iocb| Iocb {
        aio_flags: iocb.aio_flags | IocbFlags::RESFD,
        aio_resfd: iocb.aio_fildes,
        ..iocb
    };
    let priority = |iocb: Iocb| Iocb {
        aio_flags: iocb.aio_flags | IocbFlags::IOPRIO,
        aio_reqprio: IoPrio::from_raw(1 << 13),
        ..iocb
    };
    let flags = |iocb: Iocb| Iocb {
        aio_rw_flags: RwFlags::from_bits_retain(1 << 29),
        ..iocb
    };
    let kernels = |iocb: Iocb| Iocb {
        aio_buf: (usize::MAX - 4095) as u64,
        ..iocb
    };
    let offset = |iocb: Iocb| Iocb {
        aio_offset: -1,
        ..iocb
    };
    let reserved = |iocb: Iocb| Iocb {
        aio_reserved2: 1,
        ..iocb
    };
    // Each has the mistakes of all below it, and is refused for its own.
    let mut iocb = good;
    for (mistake, errno) in [
        (&offset as &dyn Fn(Iocb) -> Iocb, Errno::EINVAL),
        (&kernels, Errno::EFAULT),
        (&flags, Errno::EOPNOTSUPP),
        (&priority, Errno::EPERM),
        (&opcode, Errno::EINVAL),
        (&not_an_eventfd, Errno::EINVAL),
        (&other_fd, Errno::EBADF),
        (&reserved, Errno::EINVAL),
    ] {
        iocb = mistake(iocb);
        assert_eq!(setup.submit(&mut [iocb]), Err(errno), "{iocb:?}");
    }
    let negative = Iocb {
        aio_nbytes: u64::MAX,
        ..other_fd(good)
    };
    assert_eq!(setup.submit(&mut [negative]), Err(Errno::EINVAL));
    let closed_eventfd = Iocb {
        aio_flags: IocbFlags::RESFD,
        aio_resfd: 9999,
        ..good
    };
    assert_eq!(setup.submit(&mut [closed_eventfd]), Err(Errno::EBADF));
    let overflow = Iocb {
        aio_offset: i64::MAX,
        ..good
    };
    assert_eq!(setup.submit(&mut [overflow]), Err(Errno::EINVAL));
    assert_eq!(setup.outcome(good), Ok(Ok(512)));
    // Unknown bits of `aio_flags` are ignored.
    let unknown = Iocb {
        aio_flags: IocbFlags::from_bits_retain(1 << 20),
        ..good
    };
    assert_eq!(setup.outcome(unknown), Ok(Ok(512)));
    assert!(setup.world.trace().is_empty(), "nobody asked for one");
}

#[test]
fn a_batch_ends_at_the_first_refusal_which_shows_when_it_comes_first() {
    let mut setup = setup(World::new(1), BUFFERED);
    let good = setup.read();
    let bad = Iocb {
        aio_fildes: 9999,
        ..good
    };
    let mut iocbs = [good, good, bad, good];
    assert_eq!(setup.submit(&mut iocbs), Ok(2));
    assert_eq!(setup.submit(&mut iocbs[2..]), Err(Errno::EBADF));
    assert_eq!(
        setup.events(0, None).unwrap().len(),
        2,
        "buffered reads are over at once"
    );
    assert_eq!(setup.submit(&mut []), Ok(0));
}

#[test]
fn a_refused_request_keeps_no_slot() {
    let mut setup = setup(World::builder(1).cpus(1).build(), BUFFERED);
    let bad = Iocb {
        aio_fildes: 9999,
        ..setup.read()
    };
    for _ in 0..1000 {
        assert_eq!(setup.submit(&mut [bad]), Err(Errno::EBADF));
    }
}

#[test]
fn the_key_is_written_back() {
    let mut setup = setup(World::new(1), BUFFERED);
    let mut iocbs = [Iocb {
        aio_key: 99,
        ..setup.read()
    }];
    setup.submit(&mut iocbs).unwrap();
    assert_eq!(iocbs[0].aio_key, 0);
}

#[test]
fn syncs_and_polls_are_checked() {
    let setup = setup(World::new(1), BUFFERED);
    let number = setup.number();
    assert_eq!(setup.outcome(Iocb::fsync(number)), Ok(Ok(0)));
    for spoilt in [
        Iocb {
            aio_buf: 8,
            ..Iocb::fsync(number)
        },
        Iocb {
            aio_offset: 1,
            ..Iocb::fdsync(number)
        },
        Iocb {
            aio_nbytes: 1,
            ..Iocb::fsync(number)
        },
        Iocb {
            aio_rw_flags: RwFlags::DSYNC,
            ..Iocb::fsync(number)
        },
        Iocb {
            aio_buf: 0x1_0001,
            ..Iocb::poll(number, 0)
        },
        Iocb {
            aio_offset: 1,
            ..Iocb::poll(number, 1)
        },
        // A regular file isn't ready for urgent data, and can't tell when it is.
        Iocb::poll(number, 2),
    ] {
        assert_eq!(setup.outcome(spoilt), Err(Errno::EINVAL), "{spoilt:?}");
    }
    assert_eq!(setup.outcome(Iocb::poll(number, 5)), Ok(Ok(5)));
}

#[test]
fn iovecs_are_counted_and_checked() {
    let setup = setup(World::new(1), BUFFERED);
    let number = setup.number();
    let iovec = Iovec {
        iov_base: setup.buffer.as_mut_ptr().cast(),
        iov_len: 4,
    };
    let all = Box::leak(vec![iovec; 1025].into_boxed_slice());
    assert_eq!(
        setup.outcome(Iocb::preadv(number, all.as_ptr(), 1024, 0)),
        Ok(Ok(4096))
    );
    let too_many = Iocb::preadv(number, all.as_ptr(), 1025, 0);
    assert_eq!(setup.outcome(too_many), Err(Errno::EINVAL));
    assert_eq!(
        setup.outcome(Iocb::preadv(number, all.as_ptr(), 0, 0)),
        Ok(Ok(0))
    );
    all[3].iov_base = std::ptr::without_provenance_mut(usize::MAX - 4095);
    let kernels = Iocb::pwritev(number, all.as_ptr(), 5, 0);
    assert_eq!(setup.outcome(kernels), Err(Errno::EFAULT));
}

#[test]
fn misalignment_is_found_by_the_file_and_is_an_event() {
    let mut setup = setup(World::new(1), DIRECT);
    let misaligned = Iocb {
        aio_offset: 7,
        ..setup.read()
    };
    assert_eq!(setup.outcome(misaligned), Ok(Err(Errno::EINVAL)));
}

#[test]
fn waiting_is_checked_and_takes_virtual_time() {
    let mut setup = setup(World::new(1), DIRECT);
    assert_eq!(setup.events(MANY + 1, None), Err(Errno::EINVAL));
    let before = setup.world.now();
    let second = Duration::from_secs(1);
    assert_eq!(setup.events(1, Some(second)), Ok(Vec::new()));
    let waited = setup.world.now() - before;
    assert!(
        (second..second + Duration::from_millis(1)).contains(&waited),
        "{waited:?}"
    );
    let iocb = setup.read();
    setup.submit(&mut [iocb]).unwrap();
    assert_eq!(setup.events(0, None), Ok(Vec::new()), "it doesn't wait");
    // As many as there are by then.
    let events = setup.events(2, Some(second)).unwrap();
    assert_eq!(events.len(), 1);
}

#[test]
fn a_wait_that_is_interrupted_gives_what_is_there() {
    let world = World::builder(1).chance(Fault::InterruptedWait, 1).build();
    let mut setup = setup(world, DIRECT);
    assert_eq!(setup.events(1, None), Err(Errno::EINTR));
    let buffered = {
        let disk = setup.world.disk(DiskModel::xfs());
        disk.open("other", BUFFERED).unwrap()
    };
    let iocb = Iocb {
        aio_fildes: buffered.as_fd().as_raw_fd() as u32,
        ..setup.read()
    };
    setup.submit(&mut [iocb]).unwrap();
    assert_eq!(setup.events(2, None).unwrap().len(), 1);
}

#[test]
fn nothing_of_a_file_can_be_cancelled() {
    let mut setup = setup(World::new(1), DIRECT);
    let mut iocb = setup.read();
    setup.submit(std::slice::from_mut(&mut iocb)).unwrap();
    // SAFETY: the iocb is readable.
    let cancelled = unsafe { setup.kernel.io_cancel(setup.ctx, &raw mut iocb) };
    assert_eq!(cancelled, Err(Errno::EINVAL));
    assert_eq!(setup.events(1, None).unwrap().len(), 1);
}

#[test]
fn a_context_that_was_destroyed_is_unknown() {
    let mut setup = setup(World::new(1), DIRECT);
    setup.buffer.fill(9);
    let iocb = setup.read();
    // For longer than destroying takes by itself.
    setup.world.provoke(Fault::Stall);
    setup.submit(&mut [iocb]).unwrap();
    // SAFETY: there is one thread, which doesn't read the ring.
    unsafe { setup.kernel.io_destroy(setup.ctx) }.unwrap();
    // It has waited for the read.
    assert_eq!(setup.buffer[..513], [[0; 512].as_slice(), &[9]].concat());
    assert_eq!(setup.submit(&mut [iocb]), Err(Errno::EINVAL));
    assert_eq!(setup.events(0, None), Err(Errno::EINVAL));
    // SAFETY: there is no such context, so nobody uses it.
    let again = unsafe { setup.kernel.io_destroy(setup.ctx) };
    assert_eq!(again, Err(Errno::EINVAL));
    // Its depth counts no more.
    setup.kernel.io_setup(65_536).unwrap();
}

#[test]
fn an_eventfd_is_signalled_after_each_event() {
    let mut setup = setup(World::new(1), DIRECT);
    let eventfd: OwnedFd =
        rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
    let iocb = setup.read().with_resfd(eventfd.as_raw_fd());
    for _ in 0..3 {
        setup.submit(&mut [iocb]).unwrap();
    }
    assert_eq!(setup.events(3, None).unwrap().len(), 3);
    let mut count = [0; 8];
    rustix::io::read(&eventfd, &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 3);
}
