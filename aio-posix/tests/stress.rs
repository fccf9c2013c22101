//! The C face under threads, signals, forks, cancels and lists at random.
//!
//! Each request's result and data are checked against what its thread knows of its file, and each
//! notification against its request. `AIO_POSIX_STRESS_SECONDS` says how long it runs, and
//! `AIO_POSIX_STRESS_SEED` repeats the choices of a run, though not its schedule.

#![allow(unsafe_code, reason = "is a C program")]
#![cfg(target_pointer_width = "64")]

mod common;

use std::{
    alloc::{Layout, alloc_zeroed},
    cell::UnsafeCell,
    collections::VecDeque,
    env,
    ffi::c_int,
    fs::{File, OpenOptions},
    io::Write,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    ptr,
    sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use aio_posix::c::{
    AioInit, Aiocb, aio_cancel, aio_error, aio_fsync, aio_init, aio_read, aio_return, aio_suspend,
    aio_write, aioShow, lio_listio,
};

/// What a request transfers, and how many such parts a file has.
const PART: usize = 4096;
const PARTS: usize = 64;
/// The control blocks of a thread.
const SLOTS: usize = 24;
/// Longer than a busy machine takes for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Changes whenever a thread gets on.
static STEPS: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);
static ASKED_IN_HANDLERS: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
/// Control blocks that signal handlers and children look at.
static KNOWN: [AtomicPtr<Slot>; 128] = [const { AtomicPtr::new(ptr::null_mut()) }; 128];
static KNOWN_COUNT: AtomicUsize = AtomicUsize::new(0);
/// The threads that get signals.
static THREADS: [AtomicU32; 16] = [const { AtomicU32::new(0) }; 16];
static THREADS_COUNT: AtomicUsize = AtomicUsize::new(0);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A control block with its buffer. It is never freed: handlers may look at it at any time.
struct Slot {
    aiocb: UnsafeCell<Aiocb>,
    buffer: *mut u8,
    /// How often the program was told.
    told: AtomicU32,
}

// SAFETY: its thread alone writes the block, while no request with it is in flight. Others give
// its address to the functions that take a block in flight.
unsafe impl Sync for Slot {}

impl Slot {
    fn leak() -> &'static Self {
        let layout = Layout::from_size_align(PART, PART).unwrap();
        let slot = Box::leak(Box::new(Self {
            aiocb: UnsafeCell::new(Aiocb::new()),
            // SAFETY: the layout isn't empty.
            buffer: unsafe { alloc_zeroed(layout) },
            told: AtomicU32::new(0),
        }));
        let n = KNOWN_COUNT.fetch_add(1, SeqCst);
        if let Some(known) = KNOWN.get(n) {
            known.store(slot, SeqCst);
        }
        slot
    }

    fn error(&self) -> c_int {
        // SAFETY: it is a block.
        unsafe { aio_error(self.aiocb.get()) }
    }

    /// The buffer. No request is in flight.
    #[expect(clippy::mut_from_ref, reason = "its thread alone calls this")]
    fn bytes(&self) -> &mut [u8] {
        // SAFETY: it is as long, and the kernel doesn't use it now.
        unsafe { std::slice::from_raw_parts_mut(self.buffer, PART) }
    }
}

extern "C" fn tell(value: usize) {
    let counter: *const AtomicU32 = ptr::with_exposed_provenance(value);
    // SAFETY: the value is the address of a counter that is never freed.
    let counter = unsafe { &*counter };
    counter.fetch_add(1, SeqCst);
}

extern "C" fn on_notification(_: c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a whole one over.
    let info = unsafe { &*info };
    // SAFETY: the signal was queued with a value.
    let value = unsafe { info.si_value() };
    tell(value.sival_ptr.addr());
}

/// What a handler may call.
extern "C" fn on_interruption(_: c_int) {
    // SAFETY: the call takes nothing.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: it is this thread's.
    let errno = unsafe { place.read() };
    let asked = ASKED_IN_HANDLERS.fetch_add(1, Relaxed) as usize;
    let count = KNOWN_COUNT.load(SeqCst).clamp(1, KNOWN.len());
    let slot = KNOWN[asked % count].load(SeqCst);
    if !slot.is_null() {
        // SAFETY: slots are never freed.
        let slot = unsafe { &*slot };
        let block: *const Aiocb = slot.aiocb.get();
        let none = libc::timespec {
            tv_sec: 0,
            tv_nsec: 1000,
        };
        let known = [0, libc::EINPROGRESS, libc::ECANCELED, libc::EAGAIN];
        assert!(known.contains(&slot.error()));
        // SAFETY: it is a list of one block.
        unsafe { aio_suspend(&raw const block, 1, &raw const none) };
        // SAFETY: it is a block.
        unsafe { aio_return(slot.aiocb.get()) };
    }
    // SAFETY: it is this thread's.
    unsafe { place.write(errno) };
}

fn handle(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: zeros are a value of the type.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handlers call what a handler may call.
    let answer = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    assert_eq!(answer, 0);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write(u64),
    Read,
    Sync,
}

/// A request in flight.
struct InFlight {
    slot: usize,
    part: usize,
    kind: Kind,
    /// Whether a notification comes for sure, or perhaps (a signal may be lost).
    told: Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Perhaps,
    Surely,
}

/// A thread with a file.
struct Worker {
    random: Random,
    file: File,
    slots: Vec<&'static Slot>,
    free: Vec<usize>,
    in_flight: Vec<InFlight>,
    /// What each part was last written with. 0: nothing.
    parts: Vec<u64>,
    busy: Vec<bool>,
    count: u64,
    list_told: &'static AtomicU32,
}

fn pattern(bytes: &mut [u8], seed: u64) {
    for (n, word) in bytes.chunks_exact_mut(8).enumerate() {
        let value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n as u64;
        word.copy_from_slice(&if seed == 0 { 0 } else { value }.to_ne_bytes());
    }
}

impl Worker {
    fn new(seed: u64, dir: &Path, n: u64) -> Self {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let path = dir.join(n.to_string());
        let direct = n % 2 == 1;
        let file = options
            .custom_flags(if direct { libc::O_DIRECT } else { 0 })
            .open(&path)
            .or_else(|_| options.custom_flags(0).open(&path))
            .unwrap();
        file.set_len((PART * PARTS) as u64).unwrap();
        Self {
            random: Random(seed ^ (n << 32)),
            file,
            slots: (0..SLOTS).map(|_| Slot::leak()).collect(),
            free: (0..SLOTS).collect(),
            in_flight: Vec::new(),
            parts: vec![0; PARTS],
            busy: vec![false; PARTS],
            count: n << 40,
            list_told: Box::leak(Box::new(AtomicU32::new(1))),
        }
    }

    /// Fills a control block in. `None`: none is free.
    fn prepare(&mut self) -> Option<InFlight> {
        let part = self.random.below(PARTS);
        if self.busy[part] {
            return None;
        }
        let slot_index = self.free.pop()?;
        let slot = self.slots[slot_index];
        slot.told.store(0, SeqCst);
        let kind = match self.random.below(9) {
            0..4 => {
                self.count += 1;
                pattern(slot.bytes(), self.count);
                Kind::Write(self.count)
            }
            4..8 => {
                slot.bytes().fill(0xee);
                Kind::Read
            }
            _ => Kind::Sync,
        };
        // SAFETY: no request with it is in flight.
        let aiocb = unsafe { &mut *slot.aiocb.get() };
        aiocb.aio_fildes = self.file.as_raw_fd();
        aiocb.aio_buf = slot.buffer.cast();
        aiocb.aio_nbytes = PART;
        aiocb.aio_offset = (part * PART) as i64;
        aiocb.aio_reqprio = self.random.below(3) as c_int;
        aiocb.aio_lio_opcode = match kind {
            Kind::Write(_) => libc::LIO_WRITE,
            Kind::Read => libc::LIO_READ,
            Kind::Sync => libc::LIO_NOP,
        };
        let event = &mut aiocb.aio_sigevent;
        event.sigev_value = (&raw const slot.told).expose_provenance();
        event.attributes = 0;
        let told = match self.random.below(8) {
            0 => {
                event.sigev_notify = libc::SIGEV_THREAD;
                event.function = tell as *const () as usize;
                Told::Surely
            }
            1 | 2 => {
                event.sigev_notify = libc::SIGEV_SIGNAL;
                event.sigev_signo = libc::SIGRTMIN();
                Told::Perhaps
            }
            _ => {
                event.sigev_notify = libc::SIGEV_NONE;
                Told::No
            }
        };
        if kind != Kind::Sync {
            self.busy[part] = true;
        }
        Some(InFlight {
            slot: slot_index,
            part,
            kind,
            told,
        })
    }

    /// A request was refused.
    fn put_back(&mut self, request: &InFlight) {
        if request.kind != Kind::Sync {
            self.busy[request.part] = false;
        }
        self.free.push(request.slot);
    }

    fn submit_one(&mut self) {
        let Some(request) = self.prepare() else {
            return;
        };
        let block = self.slots[request.slot].aiocb.get();
        let op = [libc::O_SYNC, libc::O_DSYNC][self.random.below(2)];
        let answer = match request.kind {
            // SAFETY: the block and its buffer are left alone until the request is over.
            Kind::Write(_) => unsafe { aio_write(block) },
            // SAFETY: the block and its buffer are left alone until the request is over.
            Kind::Read => unsafe { aio_read(block) },
            // SAFETY: the block and its buffer are left alone until the request is over.
            Kind::Sync => unsafe { aio_fsync(op, block) },
        };
        if answer != 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
            self.put_back(&request);
            return;
        }
        if self.random.below(4) == 0 {
            // It is in flight, or over and not used again: a second request is refused, or nothing
            // was in flight any more.
            self.submit_again(&request);
        }
        self.in_flight.push(request);
    }

    /// Submits a block again that is in flight for sure: it is refused.
    fn submit_again(&self, request: &InFlight) {
        let slot = self.slots[request.slot];
        // Writes of the same data may be repeated without harm, if nobody is told twice.
        if request.told != Told::No || !matches!(request.kind, Kind::Write(_)) {
            return;
        }
        // SAFETY: a second write from the buffer changes nothing.
        if unsafe { aio_write(slot.aiocb.get()) } != 0 {
            let error = std::io::Error::last_os_error().raw_os_error();
            assert!(
                matches!(error, Some(libc::EINVAL | libc::EAGAIN)),
                "{error:?}"
            );
        }
    }

    fn submit_list(&mut self) {
        let waits = self.random.below(2) == 0;
        if !waits && self.list_told.load(SeqCst) == 0 {
            return;
        }
        let count = 1 + self.random.below(8);
        let mut requests = Vec::new();
        for _ in 0..count {
            if let Some(request) = self.prepare() {
                match request.kind {
                    Kind::Sync => self.put_back(&request),
                    _ => requests.push(request),
                }
            }
        }
        let mut list: Vec<_> = requests
            .iter()
            .map(|request| self.slots[request.slot].aiocb.get())
            .collect();
        list.push(ptr::null_mut());
        let mut event = Aiocb::new().aio_sigevent;
        event.sigev_notify = libc::SIGEV_THREAD;
        event.function = tell as *const () as usize;
        event.sigev_value = (&raw const *self.list_told).expose_provenance();
        if !waits {
            self.list_told.store(0, SeqCst);
        }
        let mode = if waits {
            libc::LIO_WAIT
        } else {
            libc::LIO_NOWAIT
        };
        let nent = list.len() as c_int;
        // SAFETY: the blocks and their buffers are left alone until the requests are over.
        let answer = unsafe { lio_listio(mode, list.as_ptr(), nent, &raw mut event) };
        let error = std::io::Error::last_os_error().raw_os_error();
        if waits && answer == 0 {
            for request in &requests {
                assert_eq!(self.slots[request.slot].error(), 0, "the list is over");
            }
        }
        assert!(
            answer == 0
                || matches!(error, Some(libc::EIO | libc::EAGAIN))
                || waits && error == Some(libc::EINTR),
            "{error:?}"
        );
        self.in_flight.extend(requests);
    }

    fn suspend(&mut self) {
        let mut list: Vec<*const Aiocb> = vec![ptr::null()];
        for request in &self.in_flight {
            if self.random.below(2) == 0 {
                list.push(self.slots[request.slot].aiocb.get());
            }
        }
        let timeout = libc::timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let short = libc::timespec {
            tv_sec: 0,
            tv_nsec: 100_000,
        };
        let long = list.len() > 1 && self.random.below(4) > 0;
        let timeout = if long {
            &raw const timeout
        } else {
            &raw const short
        };
        // SAFETY: it is a list of blocks.
        let answer = unsafe { aio_suspend(list.as_ptr(), list.len() as c_int, timeout) };
        let error = std::io::Error::last_os_error().raw_os_error();
        let is_over = |block: &*const Aiocb| {
            // SAFETY: it is a block.
            !block.is_null() && unsafe { aio_error(*block) } != libc::EINPROGRESS
        };
        match answer {
            0 => assert!(list.iter().any(is_over)),
            _ if long => assert_eq!(error, Some(libc::EINTR)),
            _ => assert!(
                matches!(error, Some(libc::EINTR | libc::EAGAIN)),
                "{error:?}"
            ),
        }
    }

    fn cancel(&mut self) {
        let fd = self.file.as_raw_fd();
        let block = match self.in_flight.len() {
            0 => ptr::null_mut(),
            len => match self.random.below(4) {
                0 => ptr::null_mut(),
                _ => self.slots[self.in_flight[self.random.below(len)].slot]
                    .aiocb
                    .get(),
            },
        };
        // SAFETY: it is a block of this descriptor.
        let answer = unsafe { aio_cancel(fd, block) };
        assert!((0..3).contains(&answer));
        if block.is_null() {
            if answer != libc::AIO_NOTCANCELED {
                let is_over = |r: &InFlight| self.slots[r.slot].error() != libc::EINPROGRESS;
                assert!(self.in_flight.iter().all(is_over));
            }
        } else if answer != libc::AIO_NOTCANCELED {
            // SAFETY: it is a block.
            assert_ne!(unsafe { aio_error(block) }, libc::EINPROGRESS);
        }
    }

    /// Takes the results of what is over.
    fn collect(&mut self) {
        let mut n = 0;
        while n < self.in_flight.len() {
            let slot = self.slots[self.in_flight[n].slot];
            match slot.error() {
                libc::EINPROGRESS => n += 1,
                error => {
                    let request = self.in_flight.swap_remove(n);
                    self.check(&request, slot, error);
                }
            }
        }
    }

    fn check(&mut self, request: &InFlight, slot: &'static Slot, error: c_int) {
        // SAFETY: it is a block whose request is over.
        let value = unsafe { aio_return(slot.aiocb.get()) };
        match (request.kind, error) {
            (Kind::Write(seed), 0) => {
                assert_eq!(value, PART as isize);
                self.parts[request.part] = seed;
            }
            (Kind::Read, 0) => {
                assert_eq!(value, PART as isize);
                let mut expected = [0; PART];
                pattern(&mut expected, self.parts[request.part]);
                assert!(slot.bytes() == expected, "part {}", request.part);
            }
            (Kind::Sync, 0) => assert_eq!(value, 0),
            (kind, libc::ECANCELED | libc::EAGAIN) => {
                assert_eq!(value, -1);
                CANCELLED.fetch_add(1, Relaxed);
                // A write that was submitted again may have been carried out once.
                if let Kind::Write(seed) = kind {
                    let mut found = [0; PART];
                    self.look(request.part, &mut found);
                    let mut expected = [0; PART];
                    pattern(&mut expected, seed);
                    if found == expected {
                        self.parts[request.part] = seed;
                    }
                }
            }
            _ => panic!("errno {error} of {:?}", request.kind),
        }
        let told = &slot.told;
        match request.told {
            Told::No => assert_eq!(told.load(SeqCst), 0),
            Told::Surely => {
                let started = Instant::now();
                while told.load(SeqCst) == 0 {
                    assert!(started.elapsed() < PATIENCE, "nobody was told");
                    thread::yield_now();
                }
                assert_eq!(told.load(SeqCst), 1);
            }
            Told::Perhaps => {
                // The signal was sent a moment after the status was stored, if at all.
                let started = Instant::now();
                while told.load(SeqCst) == 0 && started.elapsed() < Duration::from_millis(200) {
                    thread::yield_now();
                }
                assert!(told.load(SeqCst) <= 1);
            }
        }
        ENDED.fetch_add(1, Relaxed);
        self.put_back(request);
    }

    /// What a part holds now.
    fn look(&self, part: usize, into: &mut [u8; PART]) {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::open(path).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, into, (part * PART) as u64).unwrap();
    }

    fn run(mut self) {
        be_known();
        while !STOP.load(Relaxed) {
            match self.random.below(20) {
                0..9 => self.submit_one(),
                9..12 => self.submit_list(),
                12..15 => self.suspend(),
                15 => self.cancel(),
                _ => self.collect(),
            }
            STEPS.fetch_add(1, Relaxed);
        }
        self.finish();
        for part in 0..PARTS {
            let mut found = [0; PART];
            self.look(part, &mut found);
            let mut expected = [0; PART];
            pattern(&mut expected, self.parts[part]);
            assert!(found == expected, "part {part} at the end");
        }
    }

    fn finish(&mut self) {
        let started = Instant::now();
        while !self.in_flight.is_empty() || self.list_told.load(SeqCst) == 0 {
            self.collect();
            assert!(started.elapsed() < PATIENCE, "it doesn't end");
            thread::yield_now();
        }
        assert_eq!(self.list_told.load(SeqCst), 1, "told once of each list");
    }
}

/// This thread gets signals.
fn be_known() {
    // SAFETY: the call touches no memory.
    let thread = unsafe { libc::gettid() };
    THREADS[THREADS_COUNT.fetch_add(1, SeqCst)].store(thread as u32, SeqCst);
}

/// A file or a pipe whose transfers keep their order.
fn in_order(seed: u64, fd: RawFd, writer: Option<&File>) -> Vec<u64> {
    be_known();
    let mut random = Random(seed);
    let slots: Vec<_> = (0..6).map(|_| Slot::leak()).collect();
    let reads = writer.is_some();
    let mut next = 0_u64;
    let mut fed = 0_u64;
    let mut seen = Vec::new();
    let mut queue: VecDeque<&Slot> = VecDeque::new();
    let mut free = slots;
    loop {
        let stops = STOP.load(Relaxed);
        // Reads that were cancelled leave their bytes in the pipe, which must not fill up.
        let room = |fed: u64| fed < seen.len() as u64 + 100;
        if !stops {
            if let Some(slot) = free.pop() {
                // SAFETY: no request with it is in flight.
                let aiocb = unsafe { &mut *slot.aiocb.get() };
                aiocb.aio_fildes = fd;
                aiocb.aio_buf = slot.buffer.cast();
                aiocb.aio_nbytes = 8;
                next += 1;
                slot.bytes()[..8].copy_from_slice(&next.to_ne_bytes());
                let block = slot.aiocb.get();
                let submit = if reads { aio_read } else { aio_write };
                // SAFETY: the block and its buffer are left alone until the request is over.
                let answer = unsafe { submit(block) };
                match answer {
                    0 => queue.push_back(slot),
                    _ => free.push(slot),
                }
            }
        }
        if let Some(mut writer) = writer.filter(|_| random.below(3) > 0 && fed < next && room(fed))
        {
            fed += 1;
            writer.write_all(&fed.to_ne_bytes()).unwrap();
        }
        if stops || random.below(40) == 0 {
            // SAFETY: there is no block.
            unsafe { aio_cancel(fd, ptr::null_mut()) };
        }
        // The first one is over first, but for those that were cancelled.
        while let Some(slot) = queue.front().copied() {
            let error = slot.error();
            if error == libc::EINPROGRESS {
                break;
            }
            queue.pop_front();
            // SAFETY: it is a block whose request is over.
            let value = unsafe { aio_return(slot.aiocb.get()) };
            match error {
                0 => {
                    assert_eq!(value, 8);
                    let bytes = slot.bytes()[..8].try_into().unwrap();
                    seen.push(u64::from_ne_bytes(bytes));
                }
                _ => assert!(matches!(error, libc::ECANCELED | libc::EAGAIN), "{error}"),
            }
            ENDED.fetch_add(1, Relaxed);
            free.push(slot);
        }
        STEPS.fetch_add(1, Relaxed);
        if stops && queue.is_empty() {
            return seen;
        }
        thread::sleep(Duration::from_micros(random.below(200) as u64));
    }
}

/// What a child does: it looks at the parent's requests, and has requests of its own.
fn child(dir: &Path, n: u64) -> Result<(), c_int> {
    let check = |is_so: bool, code: c_int| if is_so { Ok(()) } else { Err(code) };
    for known in &KNOWN {
        let slot = known.load(SeqCst);
        if !slot.is_null() {
            // SAFETY: slots are never freed.
            let slot = unsafe { &*slot };
            check(slot.error() != libc::EINPROGRESS, 10)?;
        }
    }
    let path = dir.join(format!("child {n}"));
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&path).map_err(|_| 11)?;
    let _ = std::fs::remove_file(path);
    let slot = Slot::leak();
    // SAFETY: no request with it is in flight.
    let aiocb = unsafe { &mut *slot.aiocb.get() };
    aiocb.aio_fildes = file.as_raw_fd();
    aiocb.aio_buf = slot.buffer.cast();
    aiocb.aio_nbytes = PART;
    let block = slot.aiocb.get();
    let wait = || {
        let timeout = libc::timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        while slot.error() == libc::EINPROGRESS {
            let list: *const Aiocb = block;
            // SAFETY: it is a list of one block.
            let answer = unsafe { aio_suspend(&raw const list, 1, &raw const timeout) };
            let error = std::io::Error::last_os_error().raw_os_error();
            check(answer == 0 || error == Some(libc::EINTR), 12)?;
        }
        check(slot.error() == 0, 13)
    };
    pattern(slot.bytes(), n + 1);
    // SAFETY: the block and its buffer are left alone until the request is over.
    check(unsafe { aio_write(block) } == 0, 14)?;
    wait()?;
    // SAFETY: the block and its buffer are left alone until the request is over.
    check(unsafe { aio_fsync(libc::O_DSYNC, block) } == 0, 15)?;
    wait()?;
    slot.bytes().fill(0);
    // SAFETY: the block and its buffer are left alone until the request is over.
    check(unsafe { aio_read(block) } == 0, 16)?;
    wait()?;
    let mut expected = [0; PART];
    pattern(&mut expected, n + 1);
    check(slot.bytes() == expected, 17)
}

fn fork(dir: &Path, n: u64) {
    // SAFETY: the child does what a child of a program with threads may not do by the standard.
    // The C library makes it work, and the library under test has to.
    let child_id = unsafe { libc::fork() };
    assert!(child_id >= 0);
    if child_id == 0 {
        // SAFETY: a hang ends the child by a signal.
        unsafe { libc::alarm(40) };
        let code = child(dir, n).err().unwrap_or(0);
        // SAFETY: nothing runs after this.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status is writable.
    while unsafe { libc::waitpid(child_id, &raw mut status, 0) } < 0 {
        let error = std::io::Error::last_os_error().raw_os_error();
        assert_eq!(error, Some(libc::EINTR));
    }
    assert_eq!(status, 0, "the child (a wait status)");
}

/// Ends the program if no thread gets on.
fn watch() {
    let mut before = u64::MAX;
    let mut since = Instant::now();
    loop {
        thread::sleep(Duration::from_secs(1));
        let steps = STEPS.load(Relaxed);
        if steps != before {
            (before, since) = (steps, Instant::now());
        } else if since.elapsed() > 2 * PATIENCE {
            eprintln!("nothing gets on");
            aioShow(0);
            std::process::abort();
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect(name))
}

#[test]
fn the_c_face_under_stress() {
    let duration = Duration::from_secs(number("AIO_POSIX_STRESS_SECONDS").unwrap_or(3));
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("AIO_POSIX_STRESS_SEED").unwrap_or_else(|| now().unwrap().as_nanos() as u64);
    eprintln!("AIO_POSIX_STRESS_SEED={seed}");
    // Few slots, so that requests wait for them.
    let init = AioInit {
        aio_threads: 4,
        aio_num: 20,
        ..AioInit::default()
    };
    // SAFETY: the address is that of an `AioInit`, which nobody writes.
    unsafe { aio_init(&raw const init) };
    handle(
        libc::SIGRTMIN(),
        on_notification as *const () as usize,
        libc::SA_SIGINFO,
    );
    handle(libc::SIGUSR1, on_interruption as *const () as usize, 0);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    thread::spawn(watch);
    let mut forks = 0;
    thread::scope(|scope| {
        // A panic of one of them would keep the scope waiting for the others.
        let guarded = |function: Box<dyn FnOnce() + Send>| {
            scope.spawn(move || {
                let stops = StopIfPanics;
                function();
                std::mem::forget(stops);
            })
        };
        for n in 1..=4 {
            let worker = Worker::new(seed, dir, n);
            // SAFETY: its slots are moved with it to the thread that uses them.
            let worker = Sendable(worker);
            guarded(Box::new(move || {
                let worker = worker;
                worker.0.run();
            }));
        }
        guarded(Box::new(move || {
            let (reader, writer) = common::pipe();
            let seen = in_order(seed ^ 5, reader.as_raw_fd(), Some(&writer));
            assert!(seen.is_sorted(), "a pipe");
            assert!(
                seen.iter().copied().eq(1..=seen.len() as u64),
                "nothing is lost"
            );
        }));
        let path = dir.join("log");
        let options = OpenOptions::new().append(true).create(true).open(&path);
        guarded(Box::new(move || {
            let file = options.unwrap();
            let written = in_order(seed ^ 6, file.as_raw_fd(), None);
            let found = std::fs::read(path).unwrap();
            let found = found
                .chunks_exact(8)
                .map(|b| u64::from_ne_bytes(b.try_into().unwrap()));
            assert!(found.eq(written), "appends");
        }));
        guarded(Box::new(|| {
            let mut random = Random(seed ^ 7);
            while !STOP.load(Relaxed) {
                let count = THREADS_COUNT.load(SeqCst);
                if count > 0 {
                    let thread = THREADS[random.below(count)].load(SeqCst) as c_int;
                    let process = std::process::id() as c_int;
                    let (call, signal) = (libc::SYS_tgkill, libc::SIGUSR1);
                    // SAFETY: the call touches no memory. The thread may be over by now.
                    unsafe { libc::syscall(call, process, thread, signal) };
                }
                thread::sleep(Duration::from_micros(random.below(2000) as u64));
            }
        }));
        // Also if a child fails: the scope waits for all threads.
        let stops = StopIfPanics;
        let started = Instant::now();
        while started.elapsed() < duration && !STOP.load(Relaxed) {
            fork(dir, forks);
            forks += 1;
            thread::sleep(Duration::from_millis(10));
        }
        drop(stops);
    });
    let load = |counter: &AtomicU64| counter.load(Relaxed);
    let (ended, cancelled) = (load(&ENDED), load(&CANCELLED));
    let asked = load(&ASKED_IN_HANDLERS);
    eprintln!("{ended} requests, {cancelled} cancelled, {forks} forks, {asked} handlers");
    assert!(ended > 0 && forks > 0 && asked > 0);
}

struct Sendable(Worker);

// SAFETY: one thread has it.
unsafe impl Send for Sendable {}

struct StopIfPanics;

impl Drop for StopIfPanics {
    fn drop(&mut self) {
        STOP.store(true, Relaxed);
    }
}
