//! The way of a write through the simulated kernel.

mod common;

use aio_safe::{AlignedBuf, Errno, Op, OpError, Queue, kernel::RwFlags};
use aio_sim::{DiskModel, Fault, File, OFlags, World};

use common::{BUFFERED, DIRECT, filled, queue, read, write};

#[test]
fn direct_transfers_have_to_be_aligned() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs().sector(4096).memory_alignment(4));
    let queue = queue(&world, 1);
    let file = disk.open("file", DIRECT).unwrap();
    assert_eq!(write(&queue, &file, filled(1, 8192), 0), Ok(8192));
    let errno =
        |buffer: AlignedBuf, offset| write(&queue, &file, buffer, offset).unwrap_err().errno();
    assert_eq!(errno(filled(1, 512), 0), Errno::EINVAL);
    assert_eq!(errno(filled(1, 4096), 512), Errno::EINVAL);
    let vectored = |lengths: &[usize]| {
        let parts = lengths.iter().map(|&len| filled(2, len)).collect();
        let written = queue.submit(&file, Op::write_vectored(parts, 0));
        written.unwrap().wait().result
    };
    let odd = vectored(&[4096, 512, 3584]);
    assert_eq!(odd.unwrap_err().errno(), Errno::EINVAL);
    assert_eq!(vectored(&[4096, 4096]), Ok(8192));
    // A read at the end of the file is 0, aligned or not.
    assert_eq!(read(&queue, &file, 512, 8192).unwrap(), []);
    assert_eq!(read(&queue, &file, 512, 0), Err(Errno::EINVAL));
}

#[test]
fn appends_go_to_the_end_whatever_their_offset_is() {
    let world = World::new(1);
    for flags in [BUFFERED, DIRECT] {
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 8);
        let file = disk.open("file", flags | OFlags::APPEND).unwrap();
        let pending: Vec<_> = (1..=8)
            .map(|n| queue.submit(&file, Op::write(filled(n, 512), 0)).unwrap())
            .collect();
        for pending in pending {
            assert_eq!(pending.wait().result.unwrap(), 512);
        }
        let all = read(&queue, &file, 4096, 0).unwrap();
        let firsts: Vec<u8> = all.chunks(512).map(|chunk| chunk[0]).collect();
        assert_eq!(firsts, [1, 2, 3, 4, 5, 6, 7, 8]);
        let elsewhere = Op::write(filled(9, 512), 1024).rw_flags(RwFlags::NOAPPEND);
        assert_eq!(
            queue
                .submit(&file, elsewhere)
                .unwrap()
                .wait()
                .result
                .unwrap(),
            512
        );
        assert_eq!(read(&queue, &file, 512, 1024).unwrap(), [9; 512]);
    }
}

#[test]
fn a_limit_cuts_a_write_short_and_then_refuses() {
    let world = World::builder(1).file_size_limit(1500).build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    let file = disk.open("file", BUFFERED).unwrap();
    assert_eq!(write(&queue, &file, filled(1, 2000), 0), Ok(1500));
    let behind = write(&queue, &file, filled(1, 1), 1500);
    assert_eq!(behind.unwrap_err().errno(), Errno::EFBIG);
    assert_eq!(file.set_len(1501), Err(Errno::EFBIG));
    assert_eq!(file.len(), 1500);
    // What is cut short isn't aligned any more.
    let direct = disk.open("direct", DIRECT).unwrap();
    let cut = write(&queue, &direct, filled(1, 2048), 0);
    assert_eq!(cut.unwrap_err().errno(), Errno::EINVAL);
    // ext4's largest file.
    let world = World::new(1);
    let disk = world.disk(DiskModel::ext4());
    let queue = common::queue(&world, 1);
    let file = disk.open("file", BUFFERED).unwrap();
    let end = (1_u64 << 44) - 4096;
    assert_eq!(write(&queue, &file, filled(1, 100), end - 10), Ok(10));
    assert_eq!(
        write(&queue, &file, filled(1, 100), end)
            .unwrap_err()
            .errno(),
        Errno::EFBIG
    );
}

#[test]
fn a_write_clears_the_bits_of_a_set_user_id_program() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    for (flags, buffer) in [(BUFFERED, filled(1, 1)), (DIRECT, filled(1, 512))] {
        let file = disk.open("file", flags).unwrap();
        file.set_mode(0o6755);
        assert_eq!(
            write(&queue, &file, AlignedBuf::zeroed(0, 1).unwrap(), 0),
            Ok(0)
        );
        assert_eq!(file.mode(), 0o6755, "a write of nothing clears nothing");
        write(&queue, &file, buffer, 0).unwrap();
        assert_eq!(file.mode(), 0o755);
    }
}

#[test]
fn what_direct_io_leaves_over_goes_through_the_page_cache_to_the_device() {
    let world = World::builder(1).chance(Fault::Fallback, 1).build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    let file = disk.open("file", DIRECT).unwrap();
    for n in 0..50 {
        assert_eq!(write(&queue, &file, filled(n, 8192), 4096), Ok(8192));
        assert_eq!(read(&queue, &file, 8192, 4096).unwrap(), [n; 8192]);
    }
    assert_eq!(world.fired(Fault::Fallback), 50);
}

#[test]
fn direct_and_cached_transfers_see_each_other() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    let direct = disk.open("file", DIRECT).unwrap();
    let cached = disk.open("file", BUFFERED).unwrap();
    write(&queue, &cached, filled(1, 10_000), 0).unwrap();
    assert_eq!(read(&queue, &direct, 4096, 4096).unwrap(), [1; 4096]);
    write(&queue, &direct, filled(2, 512), 512).unwrap();
    let both = read(&queue, &cached, 2048, 0).unwrap();
    let firsts: Vec<u8> = both.chunks(512).map(|chunk| chunk[0]).collect();
    assert_eq!(firsts, [1, 2, 1, 1]);
    // Direct reads end where the file does.
    assert_eq!(
        read(&queue, &direct, 4096, 8192).unwrap(),
        [1; 10_000 - 8192]
    );
}

#[test]
fn flags_of_transfers_are_checked() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    let file = disk.open("file", BUFFERED).unwrap();
    for (flags, errno) in [
        (RwFlags::from_bits_retain(1 << 30), Errno::EOPNOTSUPP),
        (RwFlags::ATOMIC, Errno::EOPNOTSUPP),
        (RwFlags::APPEND | RwFlags::NOAPPEND, Errno::EINVAL),
        (RwFlags::NOWAIT, Errno::EOPNOTSUPP),
    ] {
        let op = Op::write(vec![1], 0).rw_flags(flags);
        let result = queue.submit(&file, op).unwrap().wait().result;
        assert_eq!(result.unwrap_err().errno(), errno, "{flags:?}");
    }
    // What isn't cached can't be read without waiting, and is cached then.
    write(&queue, &file, filled(1, 10), 0).unwrap();
    queue.submit(&file, Op::fsync()).unwrap().wait().unwrap();
    disk.drop_caches();
    let read = || {
        let op = Op::read(vec![0; 10], 0).rw_flags(RwFlags::NOWAIT);
        queue.submit(&file, op).unwrap().wait().result
    };
    assert_eq!(read().unwrap_err().errno(), Errno::EAGAIN);
    assert_eq!(read(), Ok(10));
}

#[test]
fn access_is_checked() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    disk.open("file", BUFFERED).unwrap();
    let reads = disk.open("file", OFlags::RDONLY).unwrap();
    let writes = disk.open("file", OFlags::WRONLY).unwrap();
    let directory = disk.open(".", OFlags::RDONLY).unwrap();
    assert_eq!(
        write(&queue, &reads, filled(1, 1), 0).unwrap_err().errno(),
        Errno::EBADF
    );
    assert_eq!(read(&queue, &writes, 1, 0), Err(Errno::EBADF));
    assert_eq!(read(&queue, &directory, 1, 0), Err(Errno::EINVAL));
    assert_eq!(reads.set_len(1), Err(Errno::EINVAL));
    queue
        .submit(&directory, Op::fsync())
        .unwrap()
        .wait()
        .unwrap();
}

#[test]
fn a_write_that_would_wait_within_the_call_says_so() {
    let world = World::new(1);
    for (model, expected) in [
        (DiskModel::ext4(), Err(Errno::EAGAIN)),
        (DiskModel::xfs(), Ok(512)),
    ] {
        let disk = world.disk(model);
        let queue = queue(&world, 1);
        let file = disk.open("file", DIRECT).unwrap();
        let op = Op::write(filled(1, 512), 0).rw_flags(RwFlags::NOWAIT);
        let written = queue.submit(&file, op).unwrap().wait().result;
        assert_eq!(written.map_err(OpError::errno), expected);
    }
}

#[test]
fn a_page_that_is_cached_during_a_direct_write_is_forgotten() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 2);
    let direct = disk.open("file", DIRECT).unwrap();
    let cached = disk.open("file", BUFFERED).unwrap();
    write(&queue, &direct, filled(1, 4096), 0).unwrap();
    let pending = queue
        .submit(&direct, Op::write(filled(2, 4096), 0))
        .unwrap();
    // The page is read at once, and the write is over later.
    assert_eq!(read(&queue, &cached, 4096, 0).unwrap(), [1; 4096]);
    assert_eq!(pending.wait().result, Ok(4096));
    assert_eq!(read(&queue, &cached, 4096, 0).unwrap(), [2; 4096]);
}

#[test]
fn a_part_of_a_page_is_written_over_what_the_device_holds() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 2);
    let direct = disk.open("file", DIRECT).unwrap();
    let cached = disk.open("file", BUFFERED).unwrap();
    write(&queue, &direct, filled(1, 3 * 4096), 0).unwrap();
    write(&queue, &cached, filled(2, 4096 + 20), 4096 - 10).unwrap();
    let all = read(&queue, &cached, 3 * 4096, 0).unwrap();
    let (before, rest) = all.split_at(4096 - 10);
    let (written, after) = rest.split_at(4096 + 20);
    assert!(before.iter().chain(after).all(|&byte| byte == 1));
    assert!(written.iter().all(|&byte| byte == 2));
}

/// A file of 8 MiB whose bytes are 7: more pages than the page cache keeps.
fn large(world: &World, queue: &Queue) -> File {
    let disk = world.disk(DiskModel::ext4());
    let direct = disk.open("large", DIRECT).unwrap();
    assert_eq!(write(queue, &direct, filled(7, 8 << 20), 0), Ok(8 << 20));
    disk.open("large", BUFFERED).unwrap()
}

#[test]
fn reads_through_a_full_page_cache_have_all_of_their_pages() {
    let world = World::new(1);
    let queue = queue(&world, 1);
    let file = large(&world, &queue);
    for n in 0..600 {
        let there = read(&queue, &file, 3 * 4096, n * 3 * 4096).unwrap();
        assert_eq!(there, [7; 3 * 4096], "{n}");
    }
    // It needs more pages than are kept.
    let all = read(&queue, &file, 8 << 20, 0).unwrap();
    assert!(all.len() == 8 << 20 && all.iter().all(|&byte| byte == 7));
}

#[test]
fn writes_through_a_full_page_cache_keep_what_is_beside_them() {
    let world = World::new(1);
    let queue = queue(&world, 1);
    let file = large(&world, &queue);
    for cached in 1022..1026 {
        // So many clean pages, then a write to the inside of two others.
        let at = 1500 * 4096;
        assert_eq!(
            read(&queue, &file, cached * 4096, 0).unwrap().len(),
            cached * 4096
        );
        assert_eq!(write(&queue, &file, filled(9, 4096), at + 2048), Ok(4096));
        let there = read(&queue, &file, 8192, at).unwrap();
        assert_eq!(
            there,
            [[7; 2048], [9; 2048], [9; 2048], [7; 2048]].concat(),
            "{cached}"
        );
        assert!(queue.submit(&file, Op::fsync()).unwrap().wait().is_ok());
        assert_eq!(write(&queue, &file, filled(7, 8192), at), Ok(8192));
        assert!(queue.submit(&file, Op::fsync()).unwrap().wait().is_ok());
    }
}

#[test]
fn a_cached_read_is_whole_although_a_direct_write_ends_meanwhile() {
    for seed in 0..50 {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 2);
        let direct = disk.open("file", DIRECT).unwrap();
        let cached = disk.open("file", BUFFERED).unwrap();
        assert_eq!(write(&queue, &direct, filled(1, 8192), 0), Ok(8192));
        let pending = queue.submit(&direct, Op::write(filled(2, 4096), 0));
        let there = read(&queue, &cached, 8192, 0).unwrap();
        assert!(
            [1, 2]
                .map(|byte| [[byte; 4096], [1; 4096]].concat())
                .contains(&there),
            "{seed}"
        );
        assert_eq!(pending.unwrap().wait().result.unwrap(), 4096);
    }
}

#[test]
fn a_page_that_becomes_dirty_during_a_direct_write_is_kept_and_reported() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 2);
    let direct = disk.open("file", DIRECT).unwrap();
    let cached = disk.open("file", BUFFERED).unwrap();
    assert_eq!(write(&queue, &direct, filled(1, 4 * 4096), 0), Ok(4 * 4096));
    let pending = queue.submit(&direct, Op::write(filled(2, 3 * 4096 + 512), 0));
    // Beside it, in its last page.
    assert_eq!(
        write(&queue, &cached, filled(3, 512), 3 * 4096 + 1024),
        Ok(512)
    );
    assert_eq!(pending.unwrap().wait().result.unwrap(), 3 * 4096 + 512);
    assert_eq!(read(&queue, &cached, 3 * 4096, 0).unwrap(), [2; 3 * 4096]);
    assert_eq!(
        read(&queue, &cached, 512, 3 * 4096 + 1024).unwrap(),
        [3; 512]
    );
    // An error first, then success.
    let sync = || queue.submit(&cached, Op::fsync()).unwrap().wait();
    assert_eq!(sync().unwrap_err().errno(), Errno::EIO);
    assert_eq!(sync(), Ok(()));
    disk.cut_power();
    disk.power_on();
    assert_eq!(
        disk.contents("file").unwrap()[3 * 4096 + 1024..][..512],
        [3; 512]
    );
}

#[test]
fn a_file_becomes_shorter_after_its_direct_writes_in_flight() {
    for model in [DiskModel::ext4(), DiskModel::xfs(), DiskModel::posix()] {
        let world = World::new(1);
        let disk = world.disk(model);
        let queue = queue(&world, 4);
        let file = disk.open("file", DIRECT).unwrap();
        let shorten: [&dyn Fn(); 2] = [&|| file.set_len(512).unwrap(), &|| {
            drop(disk.open("file", DIRECT | OFlags::TRUNC).unwrap());
        }];
        for (shorten, len) in shorten.into_iter().zip([512, 0]) {
            assert_eq!(write(&queue, &file, filled(1, 4096), 0), Ok(4096));
            let pending = queue.submit(&file, Op::write(filled(2, 4096), 0));
            shorten();
            assert_eq!(file.len(), len);
            assert_eq!(pending.unwrap().wait().result.unwrap(), 4096);
            assert_eq!(file.len(), len);
            assert_eq!(disk.contents("file").unwrap(), [2; 512][..len as usize]);
        }
    }
}

#[test]
fn the_power_is_cut_while_a_file_becomes_shorter() {
    for truncates in [false, true] {
        let world = World::new(1);
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 4);
        let file = disk.open("file", DIRECT).unwrap();
        assert_eq!(write(&queue, &file, filled(1, 4096), 0), Ok(4096));
        let pending = queue.submit(&file, Op::write(filled(2, 4096), 0)).unwrap();
        // After its own step, at the end of the write.
        disk.cut_power_after(1);
        let shortened = match truncates {
            false => file.set_len(0),
            true => disk.open("file", DIRECT | OFlags::TRUNC).map(drop),
        };
        assert_eq!(shortened, Err(Errno::EIO));
        assert_eq!(pending.wait().result.unwrap_err().errno(), Errno::EIO);
    }
}
