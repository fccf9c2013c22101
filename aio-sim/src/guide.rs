//! Three worked examples.
//!
//! # An engine that loses data
//!
//! It stores one number, in the first block of a file. A test asks for the promise that storage
//! engines make: what was acknowledged is there after a power cut.
//!
//! ```
//! use aio_safe::{AlignedBuf, Errno, Op, Queue};
//! use aio_sim::{Campaign, Disk, DiskModel, File, History, OFlags, World};
//!
//! struct Counter {
//!     queue: Queue,
//!     file: File,
//! }
//!
//! impl Counter {
//!     fn open(world: &World, disk: &Disk) -> Result<Self, Errno> {
//!         let queue = Queue::with_kernel(4, world.kernel()).expect("a queue");
//!         let file = disk.open("counter", OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT)?;
//!         Ok(Self { queue, file })
//!     }
//!
//!     fn set(&self, number: u64) -> Result<(), Errno> {
//!         let mut block = AlignedBuf::zeroed(512, 512).expect("memory");
//!         block[..8].copy_from_slice(&number.to_le_bytes());
//!         let write = Op::write(block, 0);
//!         let written = self.queue.submit(&self.file, write).expect("a slot").wait();
//!         written.result.map_err(|error| error.errno())?;
//!         Ok(())
//!     }
//!
//!     fn get(&self) -> Result<Option<u64>, Errno> {
//!         let block = AlignedBuf::zeroed(512, 512).expect("memory");
//!         let read = self.queue.submit(&self.file, Op::read(block, 0)).expect("a slot").wait();
//!         match read.result.map_err(|error| error.errno())? {
//!             0 => Ok(None),
//!             _ => Ok(Some(u64::from_le_bytes(read.buffer[..8].try_into().unwrap()))),
//!         }
//!     }
//! }
//!
//! let report = Campaign::new(0..1000).run(|builder| {
//!     let world = builder.build();
//!     let disk = world.disk(DiskModel::ext4());
//!     let mut history = History::new();
//!     // Somewhere in the middle of the ten writes, or after them.
//!     disk.cut_power_after(world.draw(30));
//!     if let Ok(counter) = Counter::open(&world, &disk) {
//!         for number in 1..=10 {
//!             let begun = history.begin("counter", Some(number));
//!             match counter.set(number) {
//!                 Ok(()) => history.acknowledge(begun),
//!                 Err(_) => history.fail(begun),
//!             }
//!         }
//!     }
//!     disk.cut_power();
//!     disk.power_on();
//!     let counter = Counter::open(&world, &disk).unwrap();
//!     let left = counter.get().unwrap();
//!     match history.check(|_| left).first() {
//!         None => Ok(()),
//!         Some(finding) => Err(finding.to_string()),
//!     }
//! });
//! let failure = report.failure().expect("it doesn't sync");
//! assert!(failure.message().contains("was acknowledged"));
//! println!("{failure}");
//! ```
//!
//! The campaign prints the seed, and what happened in the simplest run that fails: a write, its
//! acknowledgement, a power cut, and a read that finds nothing.
//!
//! # The same, mended
//!
//! It syncs before it acknowledges, and it syncs the directory when it has made the file. With that
//! it survives power cuts. The test also lets syncs fail now and then: after that the engine can't
//! know what is on the disk, so it acknowledges nothing any more, and the test opens it again.
//!
//! Two mistakes are left to make, and the first one is to believe a read after a failed sync: it
//! shows data that isn't durable and may never be. So the engine writes what it read again, and
//! syncs that, before it goes on. The second one is to take a block of zeros for a number. The
//! file's length may be durable when its bytes aren't. So 0 means that there is no number.
//!
//! ```
//! use aio_safe::{AlignedBuf, Errno, Op, Queue};
//! use aio_sim::{Campaign, Disk, DiskModel, Fault, File, History, OFlags, World};
//!
//! struct Counter {
//!     queue: Queue,
//!     file: File,
//!     number: Option<u64>,
//! }
//!
//! impl Counter {
//!     fn open(world: &World, disk: &Disk) -> Result<Self, Errno> {
//!         let queue = Queue::with_kernel(4, world.kernel()).expect("a queue");
//!         let file = disk.open("counter", OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT)?;
//!         let directory = disk.open(".", OFlags::RDONLY)?;
//!         let mut counter = Self { queue, file, number: None };
//!         counter.sync(&counter.file)?;
//!         counter.sync(&directory)?;
//!         counter.number = counter.read()?;
//!         if let Some(number) = counter.number {
//!             counter.set(number)?;
//!         }
//!         Ok(counter)
//!     }
//!
//!     fn sync(&self, file: &File) -> Result<(), Errno> {
//!         let synced = self.queue.submit(file, Op::fsync()).expect("a slot").wait();
//!         synced.map_err(|error| error.errno())
//!     }
//!
//!     fn set(&mut self, number: u64) -> Result<(), Errno> {
//!         let mut block = AlignedBuf::zeroed(512, 512).expect("memory");
//!         block[..8].copy_from_slice(&number.to_le_bytes());
//!         let write = Op::write(block, 0);
//!         let written = self.queue.submit(&self.file, write).expect("a slot").wait();
//!         written.result.map_err(|error| error.errno())?;
//!         self.sync(&self.file)?;
//!         self.number = Some(number);
//!         Ok(())
//!     }
//!
//!     fn read(&self) -> Result<Option<u64>, Errno> {
//!         let block = AlignedBuf::zeroed(512, 512).expect("memory");
//!         let read = self.queue.submit(&self.file, Op::read(block, 0)).expect("a slot").wait();
//!         match read.result.map_err(|error| error.errno())? {
//!             0 => Ok(None),
//!             _ => {
//!                 let number = u64::from_le_bytes(read.buffer[..8].try_into().unwrap());
//!                 Ok(Some(number).filter(|&number| number > 0))
//!             }
//!         }
//!     }
//! }
//!
//! let report = Campaign::new(0..300).run(|builder| {
//!     let world = builder.chance(Fault::SyncError, 10).build();
//!     let disk = world.disk(DiskModel::posix());
//!     let mut history = History::new();
//!     let mut next = 0;
//!     for _ in 0..3 {
//!         disk.cut_power_after(world.draw(60));
//!         while disk.is_on() {
//!             let Ok(mut counter) = Counter::open(&world, &disk) else {
//!                 continue;
//!             };
//!             if let Some(finding) = history.check(|_| counter.number).first() {
//!                 return Err(finding.to_string());
//!             }
//!             loop {
//!                 next += 1;
//!                 let begun = history.begin("counter", Some(next));
//!                 if counter.set(next).is_err() {
//!                     history.fail(begun);
//!                     break;
//!                 }
//!                 history.acknowledge(begun);
//!             }
//!         }
//!         disk.power_on();
//!     }
//!     Ok(())
//! });
//! report.assert_passed();
//! // It means something: syncs did fail, and the power was cut while data was volatile.
//! assert!(report.reached().fired(Fault::SyncError) > 100);
//! assert!(report.reached().count("power cut with unsynced writes") > 100);
//! ```
//!
//! # An existing program
//!
//! A program comes under simulation when it doesn't choose its kernel and its files itself: it
//! takes a [`Queue`](aio_safe::Queue), and files as `impl AsFd`. In production it gets a queue of
//! the real kernel and real files, and in its tests those of a world. Here a copying function is
//! tested on a disk whose transfers are short and interrupted.
//!
//! ```
//! use std::os::fd::AsFd;
//!
//! use aio_safe::{Errno, Op, OpError, Queue, queue::Driver};
//! use aio_sim::{Campaign, DiskModel, Fault, OFlags};
//!
//! /// Copies a file, and makes the copy durable.
//! async fn copy(queue: &Queue, from: impl AsFd, to: impl AsFd) -> Result<u64, OpError> {
//!     let (mut at, mut buffer) = (0, Vec::with_capacity(4096));
//!     loop {
//!         buffer.clear();
//!         let read = queue.submit(&from, Op::read(buffer, at)).unwrap().await;
//!         match read.result {
//!             Ok(0) => break,
//!             Ok(_) => {}
//!             Err(error) if error.errno() == Errno::EINTR => {
//!                 buffer = read.buffer;
//!                 continue;
//!             }
//!             Err(error) => return Err(error),
//!         }
//!         let written = queue.submit(&to, Op::write(read.buffer, at)).unwrap().await;
//!         match written.result {
//!             // What was left over is read again.
//!             Ok(n) => at += n as u64,
//!             Err(error) if error.errno() == Errno::EINTR => {}
//!             Err(error) => return Err(error),
//!         }
//!         buffer = written.buffer;
//!     }
//!     queue.submit(&to, Op::fsync()).unwrap().await?;
//!     Ok(at)
//! }
//!
//! let report = Campaign::new(0..50).run(|builder| {
//!     let builder = builder.chance(Fault::Interrupted, 5).chance(Fault::ShortTransfer, 5);
//!     let world = builder.build();
//!     let disk = world.disk(DiskModel::xfs());
//!     // The test drives the queue, so that no thread does.
//!     let queue = Queue::builder(4).driver(Driver::Caller).build_on(world.kernel()).unwrap();
//!     let from = disk.open("from", OFlags::RDWR | OFlags::CREATE).unwrap();
//!     let to = disk.open("to", OFlags::RDWR | OFlags::CREATE).unwrap();
//!     let contents: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
//!     world.block_on(&[&queue], async {
//!         let mut done = 0;
//!         while done < contents.len() {
//!             let rest = contents[done..].to_vec();
//!             let write = queue.submit(&from, Op::write(rest, done as u64)).unwrap();
//!             done += write.await.result.unwrap_or(0);
//!         }
//!         copy(&queue, &from, &to).await.map_err(|error| error.to_string())
//!     })?;
//!     disk.cut_power();
//!     disk.power_on();
//!     match disk.contents("to").unwrap() == contents {
//!         true => Ok(()),
//!         false => Err("the copy isn't the same".to_owned()),
//!     }
//! });
//! report.assert_passed();
//! ```
//!
//! # How far to trust it
//!
//! What holds here holds on Linux as far as the simulated kernel answers as Linux does. The cases
//! of `aio-test-harness` check that: see [the crate's page](crate#how-true-it-is). A program that
//! needs what is [not simulated](crate#what-isnt-simulated) has to be tested on a real kernel.
