//! Transfers of streams and appends keep their order, though some wait for a slot.

mod common;

use std::{fs::OpenOptions, io::Write, thread};

use aio_posix::{Aio, Config, Control};
use common::{pipe, within};

fn with_depth(depth: u32) -> Aio {
    let mut config = Config::default();
    config.depth = depth;
    Aio::with_config(config).unwrap()
}

#[test]
fn appends_keep_their_order_when_the_backlog_comes_and_goes() {
    for depth in [2, 3, 5] {
        within("appends", move || {
            let aio = with_depth(depth);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let file = OpenOptions::new().append(true).create(true).open(&path);
            let file = file.unwrap();
            let count = 30_000_u32;
            let mut waiting = std::collections::VecDeque::new();
            for n in 0..count {
                let bytes = n.to_ne_bytes().to_vec();
                let write = aio.aio_write(&file, Control::new(bytes, 0)).unwrap();
                waiting.push_back(write);
                // About as many as there are slots, so that the backlog has one or none.
                while waiting.len() > depth as usize {
                    let first = waiting.pop_front().unwrap();
                    assert_eq!(first.wait().unwrap().result, Ok(4));
                }
            }
            for write in waiting {
                assert_eq!(write.wait().unwrap().result, Ok(4));
            }
            let found = std::fs::read(path).unwrap();
            let found = found
                .chunks_exact(4)
                .map(|b| u32::from_ne_bytes(b.try_into().unwrap()));
            let wrong = found
                .zip(0..count)
                .find(|(found, expected)| found != expected);
            assert_eq!(wrong, None);
        });
    }
}

#[test]
fn reads_of_a_pipe_keep_their_order_when_the_backlog_comes_and_goes() {
    for depth in [2, 3, 5] {
        within("reads", move || {
            let aio = with_depth(depth);
            let (reader, mut writer) = pipe();
            let count = 30_000_u32;
            let feeder = thread::spawn(move || {
                for n in 0..count {
                    writer.write_all(&n.to_ne_bytes()).unwrap();
                }
            });
            let mut waiting = std::collections::VecDeque::new();
            let mut next = 0;
            for n in 0..count + depth {
                if n < count {
                    let control = Control::new(vec![0; 4], 0);
                    waiting.push_back(aio.aio_read(&reader, control).unwrap());
                }
                while waiting.len() > depth as usize || n >= count && !waiting.is_empty() {
                    let done = waiting.pop_front().unwrap().wait().unwrap();
                    assert_eq!(done.result, Ok(4));
                    let found = u32::from_ne_bytes(done.buffer[..].try_into().unwrap());
                    assert_eq!(found, next);
                    next += 1;
                }
            }
            assert_eq!(next, count);
            feeder.join().unwrap();
        });
    }
}
