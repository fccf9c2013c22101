//! Power failures. A kill can't show whether anything was synced, because the kernel writes what a
//! killed process has handed over. So the store runs in the test, on a kernel that writes down what
//! it is asked to do. From that the test makes what a disk may contain after a power failure:
//! everything that was synced, and any part of what wasn't. The same kernel makes syncs fail.

#![allow(unsafe_code, reason = "keeps the promises of a kernel")]

use std::{
    collections::HashMap,
    fs,
    mem::MaybeUninit,
    path::Path,
    ptr, slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aio_safe::{
    Queue,
    kernel::{AioContext, Errno, IoEvent, Iocb, Kernel, Linux, Opcode},
    queue::Driver,
};
use tokio::{runtime::Builder, task::JoinSet};

use crate::server::dir;

#[path = "../../examples/tokio_kv/disk.rs"]
mod disk;
#[path = "../../examples/tokio_kv/store/mod.rs"]
#[allow(dead_code, reason = "`serve` and `check` use the rest")]
mod store;

use store::{Store, dir::Dir};

/// What happened, in its order.
enum Event {
    Submitted(Request),
    /// The number of the `Submitted` that is over.
    Completed(usize),
    /// A client asks for a change.
    Asked(Change),
    Acknowledged(Change),
}

enum Request {
    Write { offset: usize, bytes: Vec<u8> },
    Sync,
    Other,
}

/// A client, and the number of its change.
type Change = (u32, u32);

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    /// The requests in flight by their `aio_data`.
    in_flight: HashMap<u64, usize>,
    /// Whether syncs fail.
    fails: bool,
}

/// The real kernel, which writes down what it does.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Log>>);

impl Recorder {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: Event) {
        self.log().events.push(event);
    }
}

// SAFETY: every call is the real kernel's, and so is every result, except for syncs that fail.
// There is no `ring`, so every event comes by `io_getevents`. Nothing panics. If memory runs out,
// the process aborts.
unsafe impl Kernel for Recorder {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        Linux.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // An event may be taken before the call returns, so the log is locked meanwhile.
        let mut log = self.log();
        // SAFETY: the caller promises to this kernel what Linux wants to be promised.
        let accepted = unsafe { Linux.io_submit(ctx, iocbs) };
        for &iocb in &iocbs[..accepted.unwrap_or(0)] {
            // SAFETY: the caller promises that it points to an iocb that nobody else uses.
            let iocb = unsafe { iocb.read() };
            let request = match iocb.aio_lio_opcode {
                Opcode::PWRITE => {
                    let start = ptr::with_exposed_provenance(iocb.aio_buf as usize);
                    // SAFETY: the caller promises that the source of a write stays valid, and that
                    // nobody writes to it, until the event was given out. `io_getevents` gives it
                    // out after it has had the log's lock.
                    let bytes =
                        unsafe { slice::from_raw_parts::<u8>(start, iocb.aio_nbytes as usize) };
                    Request::Write {
                        offset: iocb.aio_offset as usize,
                        bytes: bytes.to_vec(),
                    }
                }
                Opcode::FSYNC | Opcode::FDSYNC => Request::Sync,
                _ => Request::Other,
            };
            let number = log.events.len();
            log.in_flight.insert(iocb.aio_data, number);
            log.events.push(Event::Submitted(request));
        }
        accepted
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller promises that nobody else takes events.
        let n = unsafe { Linux.io_getevents(ctx, min, events, timeout) }?;
        let mut log = self.log();
        for event in events.iter_mut().take(n) {
            // SAFETY: the kernel has initialised the first `n`.
            let event = unsafe { event.assume_init_mut() };
            if let Some(number) = log.in_flight.remove(&event.data) {
                if log.fails && matches!(log.events[number], Event::Submitted(Request::Sync)) {
                    event.res = -i64::from(Errno::EIO.raw());
                }
                log.events.push(Event::Completed(number));
            }
        }
        Ok(n)
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller promises a readable iocb.
        unsafe { Linux.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody uses the context from now on.
        unsafe { Linux.io_destroy(ctx) }
    }
}

const BLOCK: usize = 4096;
const CLIENTS: u32 = 6;
const CHANGES: u32 = 20;

fn key(client: u32) -> Box<[u8]> {
    client.to_le_bytes().into()
}

/// Of one to six blocks.
fn value((client, change): Change) -> Vec<u8> {
    let len = 1 + (client * 997 + change * 1_301) as usize % 4000;
    format!("{client} {change} ").into_bytes().repeat(len)
}

/// What the segment may contain if the power fails after these events.
fn image(events: &[Event], random: &mut fastrand::Rng) -> Vec<u8> {
    let completed = |before: usize, number: usize| {
        let mut events = events[..before].iter();
        events.any(|event| matches!(event, Event::Completed(it) if *it == number))
    };
    let syncs: Vec<usize> = (0..events.len())
        .filter(|n| matches!(events[*n], Event::Submitted(Request::Sync)))
        .filter(|n| completed(events.len(), *n))
        .collect();
    let mut image = vec![0; 8 << 20];
    for (number, event) in events.iter().enumerate() {
        let Event::Submitted(Request::Write { offset, bytes }) = event else {
            continue;
        };
        // A sync covers what was completed before it was submitted.
        let durable = syncs.iter().any(|sync| completed(*sync, number));
        let rate = random.f32();
        for (n, block) in bytes.chunks(BLOCK).enumerate() {
            if durable || random.f32() < rate {
                image[offset + n * BLOCK..][..BLOCK].copy_from_slice(block);
            }
        }
    }
    image
}

/// Changes of concurrent clients, written down.
async fn changes(queue: &Queue, recorder: &Recorder, dir: &Path) {
    let store = Store::open(Dir::open(queue, dir).unwrap()).await.unwrap();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (store, recorder) = (store.clone(), recorder.clone());
        clients.spawn(async move {
            for change in 1..=CHANGES {
                let change = (client, change);
                recorder.note(Event::Asked(change));
                store.put(key(client), value(change).into()).await.unwrap();
                recorder.note(Event::Acknowledged(change));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[test]
fn a_power_failure_loses_no_acknowledged_write() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (recorder, live) = (Recorder::default(), dir());
        let queue = Queue::builder(16).driver(Driver::Tokio);
        let queue = queue.build_on(recorder.clone()).unwrap();
        changes(&queue, &recorder, live.path()).await;

        let events = std::mem::take(&mut recorder.log().events);
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let asked = |event: &Event| matches!(event, Event::Asked(_));
        let opened = events.iter().position(asked).unwrap();
        let queue = Queue::builder(16).driver(Driver::Tokio).build().unwrap();
        let mut lost = 0;
        for _ in 0..150 {
            let events = &events[..random.usize(opened..=events.len())];
            let dir = dir();
            let path = dir.path().join("0000000001.segment");
            fs::write(path, image(events, &mut random)).unwrap();
            let store = Store::open(Dir::open(&queue, dir.path()).unwrap());
            let store = store.await.unwrap();
            for client in 0..CLIENTS {
                let mut known: Vec<u32> = vec![0];
                for event in events {
                    match event {
                        Event::Asked((it, change)) if *it == client => known.push(*change),
                        Event::Acknowledged((it, change)) if *it == client => known = vec![*change],
                        _ => {}
                    }
                }
                let shown = store.get(&key(client)).await.unwrap();
                let shown = shown.map(|value| value.to_vec());
                let may = |change: &u32| match change {
                    0 => shown.is_none(),
                    change => shown == Some(value((client, *change))),
                };
                let found = known.iter().position(may);
                assert!(found.is_some(), "client {client}: {known:?}");
                lost += usize::from(known.len() > 1 && found == Some(0));
            }
            store.close().await.unwrap();
        }
        assert!(
            lost > 20,
            "the failures cost changes that weren't acknowledged: {lost}"
        );
    });
}

/// Nobody knows what is on the disk after a sync that failed. So the store takes no more changes,
/// until it is opened again, and shows what is durable.
#[test]
fn after_a_failed_sync_the_store_takes_no_changes() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (recorder, dir) = (Recorder::default(), dir());
        let queue = Queue::builder(16).driver(Driver::Tokio);
        let queue = queue.build_on(recorder.clone()).unwrap();
        let open = async || Store::open(Dir::open(&queue, dir.path()).unwrap()).await;
        for rolls in [false, true] {
            let store = open().await.unwrap();
            store.put(key(0), value((0, 1)).into()).await.unwrap();
            recorder.log().fails = true;
            if rolls {
                store.compact().await.unwrap_err();
            } else {
                let put = store.put(key(0), value((0, 2)).into());
                put.await.unwrap_err();
            }
            recorder.log().fails = false;
            for _ in 0..2 {
                let error = store.delete(key(0)).await.unwrap_err().to_string();
                let cause = if rolls {
                    "can't seal the segment"
                } else {
                    "can't sync the log"
                };
                let why = "Input/output error (os error 5)";
                let says = format!("the store takes no changes any more: {cause}: {why}");
                assert_eq!(error, says);
                assert_eq!(*store.get(&key(0)).await.unwrap().unwrap(), *value((0, 1)));
            }
            assert!(store.close().await.is_err());
            drop(store);
            // The writer's task has a hold on the directory's lock until it ends.
            tokio::task::yield_now().await;
            let store = open().await.unwrap();
            store.put(key(0), value((0, 3)).into()).await.unwrap();
            store.close().await.unwrap();
            drop(store);
            tokio::task::yield_now().await;
        }
    });
}
