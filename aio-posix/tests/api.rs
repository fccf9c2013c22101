//! The Rust face.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    num::NonZero,
    sync::mpsc,
    time::{Duration, Instant},
};

use aio_posix::{
    Aio, Cancel, Config, Control, Errno, List, Sigevent, Status, SyncMode, aio_suspend,
};

/// Longer than a busy machine takes for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn file() -> Result<File> {
    Ok(tempfile::tempfile()?)
}

fn empty_pipe() -> Result<(File, File)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    Ok((reader.into(), writer.into()))
}

#[test]
fn what_was_written_is_read() -> Result {
    let aio = Aio::new()?;
    let file = file()?;
    let write = aio.aio_write(&file, Control::new("some text", 5))?;
    assert_eq!(write.wait().unwrap().result?, 9);
    let read = aio.aio_read(&file, Control::new(vec![7; 20], 5))?;
    let done = read.wait().unwrap();
    assert_eq!(done.result?, 9);
    assert!(done.buffer.starts_with(b"some text"));
    Ok(())
}

#[test]
fn what_is_wrong_is_found_in_the_status() -> Result {
    let aio = Aio::new()?;
    let file = File::open("/dev/null")?;
    let write = aio.aio_write(&file, Control::new("x", 0))?;
    aio_suspend(&[&write], Some(PATIENCE))?;
    assert_eq!(write.aio_error(), Status::Failed(Errno::EBADF));
    assert_eq!(write.aio_return().unwrap().result, Err(Errno::EBADF));
    Ok(())
}

#[test]
fn a_request_that_is_not_over_keeps_its_block() -> Result {
    let aio = Aio::new()?;
    let (reader, mut writer) = empty_pipe()?;
    let read = aio.aio_read(&reader, Control::new(vec![0; 4], 0))?;
    assert_eq!(read.aio_error(), Status::InProgress);
    let read = read.aio_return().unwrap_err();
    let short = Some(Duration::from_millis(20));
    assert_eq!(aio_suspend(&[&read], short), Err(Errno::EAGAIN));
    writer.write_all(b"text")?;
    assert_eq!(read.wait().unwrap().buffer, b"text");
    Ok(())
}

#[test]
fn a_sync_waits_for_the_writes_before_it() -> Result {
    let aio = Aio::new()?;
    let file = file()?;
    for _ in 0..50 {
        let writes: Vec<_> = (0..8)
            .map(|n| aio.aio_write(&file, Control::new(vec![1; 1 << 16], n << 16)))
            .collect::<std::result::Result<_, _>>()?;
        let sync = aio.aio_fsync(SyncMode::DataSync, &file, Sigevent::None)?;
        assert_eq!(sync.wait().unwrap().result, Ok(0));
        for write in writes {
            assert_eq!(write.aio_error(), Status::Succeeded);
        }
    }
    Ok(())
}

#[test]
fn a_sync_that_waits_can_be_cancelled() -> Result {
    let aio = Aio::new()?;
    let (_reader, writer) = empty_pipe()?;
    // More than a pipe takes.
    let write = aio.aio_write(&writer, Control::new(vec![0; 1 << 20], 0))?;
    let sync = aio.aio_fsync(SyncMode::Sync, &writer, Sigevent::None)?;
    assert_eq!(sync.aio_cancel(), Cancel::Canceled);
    assert_eq!(sync.aio_error(), Status::Failed(Errno::ECANCELED));
    assert_eq!(write.aio_error(), Status::InProgress);
    Ok(())
}

#[test]
fn only_a_file_that_can_be_written_is_synced() -> Result {
    let aio = Aio::new()?;
    let file = File::open("/dev/null")?;
    let refused = aio.aio_fsync(SyncMode::Sync, &file, Sigevent::None);
    assert_eq!(refused.unwrap_err().errno, Errno::EBADF);
    Ok(())
}

#[test]
fn all_requests_on_a_descriptor_are_cancelled() -> Result {
    let aio = Aio::new()?;
    let (reader, _writer) = empty_pipe()?;
    assert_eq!(aio.aio_cancel(&reader), Cancel::AllDone);
    let reads: Vec<_> = (0..10)
        .map(|_| aio.aio_read(&reader, Control::new(vec![0; 4], 0)))
        .collect::<std::result::Result<_, _>>()?;
    let started = Instant::now();
    // The first one can't be cancelled while a worker looks whether there is data.
    while aio.aio_cancel(&reader) == Cancel::NotCanceled {
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    for read in reads {
        assert_eq!(read.aio_error(), Status::Failed(Errno::ECANCELED));
    }
    assert_eq!(aio.aio_cancel(&reader), Cancel::AllDone);
    Ok(())
}

#[test]
fn more_requests_than_slots_wait_and_go_on_by_priority() -> Result {
    let config = {
        let mut config = Config::default();
        config.depth = 1;
        config
    };
    let aio = Aio::with_config(config)?;
    let (reader, mut writer) = empty_pipe()?;
    let first = aio.aio_read(&reader, Control::new(vec![0; 1], 0))?;
    let of = |prio| aio.aio_read(&reader, Control::new(vec![0; 1], 0).reqprio(prio));
    let (late, early) = (of(20)?, of(3)?);
    assert!(aio.show().to_string().contains("waits for a slot"));
    assert_eq!(aio.show().requests(), 3);
    writer.write_all(b"abc")?;
    let bytes = [first, early, late].map(|read| read.wait().unwrap().buffer[0]);
    assert_eq!(bytes, *b"abc");
    assert_eq!(aio.show().requests(), 0);
    let refused = of(21).unwrap_err();
    assert_eq!((refused.errno, refused.buffer), (Errno::EINVAL, vec![0; 1]));
    Ok(())
}

#[test]
fn many_requests_that_are_over_at_once_need_little_stack() -> Result {
    let mut config = Config::default();
    config.depth = 2;
    let aio = Aio::with_config(config)?;
    let mut file = file()?;
    file.write_all(&[3; 4096])?;
    let (reader, mut writer) = empty_pipe()?;
    let held: Vec<_> = (0..2)
        .map(|_| aio.aio_read(&reader, Control::new(vec![0; 1], 0)))
        .collect::<std::result::Result<_, _>>()?;
    let reads: Vec<_> = (0..20_000)
        .map(|_| aio.aio_read(&file, Control::new(vec![0; 16], 0)))
        .collect::<std::result::Result<_, _>>()?;
    writer.write_all(b"go")?;
    for read in reads {
        assert_eq!(read.wait().unwrap().buffer, [3; 16]);
    }
    drop(held);
    Ok(())
}

#[test]
fn a_list_is_waited_for() -> Result {
    let aio = Aio::new()?;
    let file = file()?;
    let null = File::open("/dev/null")?;
    let list = List::writes()
        .push(&file, Control::new(b"hello ".to_vec(), 0))
        .push(&null, Control::new(b"nothing".to_vec(), 0))
        .push(&file, Control::new(b"world".to_vec(), 6))
        .read()
        .push(&null, Control::new(vec![0; 5], 0));
    assert_eq!(list.len(), 4);
    let results: Vec<_> = aio
        .lio_listio_wait(list)?
        .into_iter()
        .map(|done| done.result)
        .collect();
    assert_eq!(results, [Ok(6), Err(Errno::EBADF), Ok(5), Ok(0)]);
    Ok(())
}

#[test]
fn a_list_tells_when_it_is_over() -> Result {
    let aio = Aio::new()?;
    let (reader, mut writer) = empty_pipe()?;
    let (sender, receiver) = mpsc::channel();
    let list = List::reads().push(&reader, Control::new(vec![0; 2], 0));
    let tell = move || sender.send(()).unwrap();
    let begun = aio.lio_listio_nowait(list, Sigevent::thread(tell))?;
    assert_eq!(aio.show().lists(), 1);
    assert!(receiver.try_recv().is_err());
    writer.write_all(b"ab")?;
    receiver.recv_timeout(PATIENCE)?;
    for aiocb in begun {
        assert_eq!(aiocb?.aio_return().unwrap().buffer, b"ab");
    }
    assert_eq!(aio.show().lists(), 0);
    let (sender, receiver) = mpsc::channel();
    let empty: List<'_, Vec<u8>> = List::reads();
    let tell = move || sender.send(()).unwrap();
    aio.lio_listio_nowait(empty, Sigevent::thread(tell))?;
    receiver.recv_timeout(PATIENCE)?;
    Ok(())
}

#[test]
fn there_are_as_many_lists_as_there_may_be() -> Result {
    let mut config = Config::default();
    config.lists = NonZero::new(1);
    let aio = Aio::with_config(config)?;
    let (reader, mut writer) = empty_pipe()?;
    let list = || List::reads().push(&reader, Control::new(vec![5; 1], 0));
    let begun = aio.lio_listio_nowait(list(), Sigevent::None)?;
    let refused = aio.lio_listio_wait(list()).unwrap_err();
    assert_eq!(refused.errno, Errno::EAGAIN);
    assert_eq!(refused.controls.len(), 1);
    writer.write_all(b"xy")?;
    for aiocb in begun {
        assert_eq!(aiocb?.wait().unwrap().buffer, b"x");
    }
    // The list is over a moment after its last request.
    let started = Instant::now();
    while aio.show().lists() > 0 {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert_eq!(aio.lio_listio_wait(list())?[0].buffer, b"y");
    Ok(())
}

#[test]
fn dropping_ends_what_nothing_else_would_end() -> Result {
    let mut config = Config::default();
    config.depth = 2;
    let aio = Aio::with_config(config)?;
    let (reader, _writer) = empty_pipe()?;
    let reads: Vec<_> = (0..10)
        .map(|_| aio.aio_read(&reader, Control::new(vec![0; 4], 0)))
        .collect::<std::result::Result<_, _>>()?;
    drop(aio);
    for read in reads {
        assert_eq!(read.wait().unwrap().result, Err(Errno::ECANCELED));
    }
    Ok(())
}

#[test]
fn appends_keep_their_order() -> Result {
    let aio = Aio::new()?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log");
    let file = OpenOptions::new().append(true).create(true).open(&path)?;
    let appends: Vec<_> = (0..100_u8)
        .map(|n| aio.aio_write(&file, Control::new(vec![n], 0)))
        .collect::<std::result::Result<_, _>>()?;
    for append in appends {
        assert_eq!(append.wait().unwrap().result, Ok(1));
    }
    assert_eq!(std::fs::read(path)?, (0..100).collect::<Vec<u8>>());
    Ok(())
}
