//! Memory and eventfds that would do harm to a server that trusts them.

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    thread,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create},
};

use crate::{
    client::{Client, dial, new_eventfd, sealed_memory},
    model::{Model, open_direct},
    others::while_others_are_served,
    raw::{carry_out, refused_hello, transfer},
    server::{MEMORY, Server},
    wire::Opcode,
};

fn refused_memory(server: &Server, memory: &File, text: &str) {
    let socket = dial(&server.socket()).unwrap();
    let refusal = refused_hello(socket, memory, new_eventfd().unwrap());
    assert!(refusal.contains(text), "{refusal:?}");
}

fn unsealed(size: u64) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = File::from(memfd_create("test", flags).unwrap());
    memory.set_len(size).unwrap();
    memory
}

#[test]
fn memory_that_could_shrink_or_is_none_is_refused() {
    while_others_are_served(&["--memory", "1MiB"], |server| {
        refused_memory(server, &unsealed(MEMORY), "isn't sealed against shrinking");
        let grows_not = unsealed(MEMORY);
        fcntl_add_seals(&grows_not, SealFlags::GROW | SealFlags::SEAL).unwrap();
        refused_memory(server, &grows_not, "isn't sealed against shrinking");
        let file = File::create(server.file("file")).unwrap();
        file.set_len(MEMORY).unwrap();
        refused_memory(server, &file, "isn't ");
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        refused_memory(server, &File::from(writer), "isn't a memfd");
        refused_memory(server, &sealed_memory(0).unwrap(), "the memory has 0 bytes");
        let large = sealed_memory(MEMORY + 1).unwrap();
        refused_memory(
            server,
            &large,
            "the memory has 1048577 bytes, and 1 to 1048576 are",
        );
        let constant = sealed_memory(MEMORY).unwrap();
        fcntl_add_seals(&constant, SealFlags::WRITE).unwrap();
        refused_memory(server, &constant, "can't be mapped");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&large));
        let largest = File::open(path).unwrap();
        refused_memory(server, &largest, "the memory has 1048577 bytes");
        let sealed = sealed_memory(MEMORY).unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&sealed));
        refused_memory(server, &File::open(path).unwrap(), "can't be mapped");
    });
}

#[test]
fn memory_cannot_be_taken_away() {
    while_others_are_served(&[], |server| {
        let mut client = server.client();
        let file = open_direct(&server.file("file"));
        file.set_len(MEMORY).unwrap();
        let file = client.register(&file).unwrap();
        client.memory.set_len(0).expect_err("it is sealed");
        fcntl_add_seals(&client.memory, SealFlags::WRITE).expect_err("it is mapped");
        // It can grow, which changes nothing, and lose its pages, which come back as zeros.
        client.memory.set_len(2 * MEMORY).unwrap();
        client.memory.write_all_at(&[1; 4096], 0).unwrap();
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&client.memory, hole, 0, MEMORY).unwrap();
        let all = transfer(Opcode::Write, file, MEMORY as u32);
        assert_eq!(carry_out(&mut client, all), i64::from(MEMORY as u32));
        fallocate(&client.memory, hole, 0, MEMORY).unwrap();
        client.memory.write_all_at(&[1; 4096], 0).unwrap();
        let first = transfer(Opcode::Read, file, 4096);
        assert_eq!(carry_out(&mut client, first), 4096);
        let mut found = [1; 4096];
        client.memory.read_exact_at(&mut found, 0).unwrap();
        assert!(found == [0; 4096]);
    });
}

#[test]
fn the_ring_belongs_to_the_server() {
    let server = Server::start(&[]);
    let (memory, eventfd) = (sealed_memory(MEMORY).unwrap(), new_eventfd().unwrap());
    let socket = dial(&server.socket()).unwrap();
    let fds = [memory.as_fd(), eventfd.as_fd()];
    let hello = crate::raw::hello();
    crate::raw::send(&socket, zerocopy::IntoBytes::as_bytes(&hello), &fds).unwrap();
    let (_, fds) = crate::client::receive(&socket).unwrap();
    let ring = File::from(fds.into_iter().next().unwrap());
    ring.set_len(0).expect_err("it can't shrink");
    ring.write_all_at(&[1], 0).expect_err("it can't be written");
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&ring, hole, 0, 4096).expect_err("it can't lose its pages");
    memmap2::MmapRaw::map_raw(&ring).expect_err("it can't be mapped writable");
}

#[test]
fn something_else_than_an_eventfd_is_refused() {
    while_others_are_served(&[], |server| {
        let memory = sealed_memory(MEMORY).unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        for wrong in [reader.as_fd(), writer.as_fd(), memory.as_fd()] {
            let socket = dial(&server.socket()).unwrap();
            let refusal = refused_hello(socket, &memory, wrong);
            assert!(refusal.contains("isn't an eventfd"), "{refusal:?}");
        }
    });
}

/// A write to such an eventfd blocks until the client reads it.
#[test]
fn a_full_eventfd_blocks_nobody() {
    while_others_are_served(&[], |server| {
        let full = File::from(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let duplicate = full.try_clone().unwrap();
        let memory = sealed_memory(MEMORY).unwrap();
        let socket = dial(&server.socket()).unwrap();
        let mut client = Client::introduce(socket, memory, duplicate).unwrap();
        let file = open_direct(&server.file("file"));
        file.set_len(MEMORY).unwrap();
        let file = client.register(&file).unwrap();
        // The hello's signal makes it 1.
        (&full).write_all(&(u64::MAX - 2).to_ne_bytes()).unwrap();
        client.submit(transfer(Opcode::Read, file, 4096)).unwrap();
        // The server has signalled the client when this has passed, or waits in `write` for ever.
        thread::sleep(Duration::from_millis(100));
        let mut other = Model::new(server, "other");
        other.round();
        let mut count = [0; 8];
        (&full).read_exact(&mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), u64::MAX);
        assert_eq!(client.wait().unwrap().result, 4096);
    });
}
