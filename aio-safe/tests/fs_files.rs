//! Opening files, what they are on, and their alignment.

mod common;

use std::{
    fs,
    io::ErrorKind,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use aio_safe::{
    Queue,
    fs::{AlignmentSource, Asynchrony, Direct, File, OpenOptions, Storage},
};
use common::{Scratch, direct_file, pattern};

fn status_flags(file: &impl AsRawFd) -> i32 {
    let number = file.as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    i32::from_str_radix(flags.unwrap().trim(), 8).unwrap()
}

fn options(direct: Direct) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).direct(direct);
    options
}

#[test]
fn a_file_is_direct_if_it_can_be() {
    let scratch = Scratch::new();
    let possible = direct_file(&scratch, "probe", b"").is_some();
    for direct in [Direct::IfPossible, Direct::On, Direct::Off] {
        let opened = options(direct).open(scratch.path("file"));
        if direct == Direct::On && !possible {
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::Unsupported);
            continue;
        }
        let file = opened.unwrap();
        let flags = status_flags(&file);
        let expected = possible && direct != Direct::Off;
        assert_eq!(file.is_direct(), expected);
        assert_eq!(flags & libc::O_DIRECT != 0, expected);
        assert_ne!(flags & libc::O_CLOEXEC, 0);
        let alignment = file.alignment();
        let buffered = alignment.source == AlignmentSource::Buffered;
        assert_eq!((alignment.memory == 1, buffered), (!expected, !expected));
        assert_eq!(file.asynchrony() == Asynchrony::Buffered, !expected);
    }
    let file = File::create(scratch.path("created")).unwrap();
    assert_eq!(file.is_direct(), possible);
    assert_eq!(
        File::open(scratch.path("created")).unwrap().is_direct(),
        possible
    );
}

#[test]
fn options_do_what_their_names_say() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(0o640);
    let file = new.open(&path).unwrap();
    let mode = file.as_std().metadata().unwrap().permissions().mode();
    // The umask may have taken more away.
    assert_eq!(mode & 0o7777 & !0o640, 0, "{mode:o}");
    assert_eq!(
        new.open(&path).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    fs::write(&path, "contents").unwrap();
    assert_eq!(options(Direct::Off).open(&path).unwrap().len().unwrap(), 8);
    let mut truncating = OpenOptions::new();
    truncating.write(true).truncate(true);
    assert_eq!(truncating.open(&path).unwrap().len().unwrap(), 0);
    // Flags of the caller's are passed on, except for those that are refused or ignored.
    let file = options(Direct::Off)
        .custom_flags(libc::O_DSYNC | libc::O_DIRECT)
        .open(&path)
        .unwrap();
    assert_ne!(status_flags(&file) & libc::O_DSYNC, 0);
    assert!(!file.is_direct());
    let append = options(Direct::Off)
        .custom_flags(libc::O_APPEND)
        .open(&path);
    assert_eq!(append.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(
        OpenOptions::new().open(&path).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

/// What can't have direct I/O is opened all the same.
#[test]
fn where_direct_io_is_impossible_a_file_is_buffered() {
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = File::from(fs::File::from(OwnedFd::from(socket)));
    assert_eq!((socket.is_direct(), socket.alignment().length), (false, 1));
    assert_eq!(
        socket.asynchrony(),
        Asynchrony::Synchronous(Storage::NoFile)
    );
    let null = "/dev/null";
    assert!(!File::open(null).unwrap().is_direct());
    let direct = OpenOptions::new().read(true).direct(Direct::On).open(null);
    assert_eq!(direct.unwrap_err().kind(), ErrorKind::Unsupported);
    // /proc has no direct I/O.
    let file = File::open("/proc/self/status").unwrap();
    assert_eq!(file.asynchrony(), Asynchrony::Buffered);
}

#[test]
fn a_file_in_memory_is_not_asynchronous() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        return eprintln!("skipped: no /dev/shm");
    };
    let mut new = OpenOptions::new();
    new.read(true).write(true).create_new(true);
    let file = new.open(dir.path().join("file")).unwrap();
    let expected = match file.is_direct() {
        true => Asynchrony::Synchronous(Storage::Memory),
        false => Asynchrony::Buffered,
    };
    assert_eq!(file.asynchrony(), expected);
    assert!(!file.asynchrony().is_asynchronous());
    let queue = Queue::new(1).unwrap();
    let mut buffer = file.buffer(100).unwrap();
    buffer.try_extend_from_slice(b"in memory").unwrap();
    buffer.pad_to(file.alignment().length).unwrap();
    file.write_all_at(&queue, buffer, 0).wait().result.unwrap();
}

#[test]
fn files_are_converted_and_cloned() {
    let scratch = Scratch::new();
    let buffered = File::from(scratch.file("buffered", &pattern(4096)));
    assert!(!buffered.is_direct());
    let files = [
        direct_file(&scratch, "direct", &pattern(4096)).map(File::from),
        Some(buffered),
    ];
    for file in files.into_iter().flatten() {
        let opened = options(Direct::IfPossible)
            .open(scratch.path("direct"))
            .ok();
        if let Some(opened) = opened.filter(|_| file.is_direct()) {
            assert_eq!(file.alignment(), opened.alignment());
        }
        let clone = file.try_clone().unwrap();
        assert_eq!(
            (clone.is_direct(), clone.alignment()),
            (file.is_direct(), file.alignment())
        );
        assert_ne!(clone.as_raw_fd(), file.as_raw_fd());
        assert!(format!("{file:?}").contains("alignment"));
        let number = file.as_fd().as_raw_fd();
        assert_eq!(file.try_into_std().unwrap().as_raw_fd(), number);
        let number = clone.as_raw_fd();
        assert_eq!(clone.try_into_std().unwrap().as_raw_fd(), number);
    }
}

#[test]
fn a_buffer_fits_the_file() {
    let scratch = Scratch::new();
    let file = options(Direct::IfPossible)
        .open(scratch.path("file"))
        .unwrap();
    let alignment = file.alignment();
    for len in [0, 1, 511, 512, 513, 100_000] {
        let buffer = file.buffer(len).unwrap();
        assert_eq!(buffer.capacity(), len.next_multiple_of(alignment.length));
        assert_eq!((buffer.len(), buffer.align()), (0, alignment.memory));
    }
    file.buffer(usize::MAX).unwrap_err();
}

#[test]
fn lengths_are_set_and_blocks_allocated() {
    let scratch = Scratch::new();
    let file = options(Direct::Off).open(scratch.path("file")).unwrap();
    file.set_len(5000).unwrap();
    assert_eq!(file.len().unwrap(), 5000);
    match file.allocate(0, 1 << 20) {
        Ok(()) => assert_eq!(file.len().unwrap(), 1 << 20),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
    }
    assert_eq!(
        file.allocate(0, 0).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let proc = File::open("/proc/self/status").unwrap();
    proc.allocate(0, 1).unwrap_err();
    proc.set_len(1).unwrap_err();
}

/// A loop device with an ext4 file system, for as long as it lives. As root only.
struct Disk {
    device: PathBuf,
    mounted: Option<PathBuf>,
    _dir: Scratch,
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Administrators' programs are often not in other users' `PATH`.
fn admin(program: &str) -> Command {
    let places = ["/usr/sbin", "/sbin"].map(|dir| Path::new(dir).join(program));
    let found = places.into_iter().find(|path| path.exists());
    Command::new(found.unwrap_or_else(|| program.into()))
}

impl Disk {
    fn new(sector: u32) -> Result<Self, String> {
        let dir = Scratch::new();
        let image = dir.path("disk");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let sector = sector.to_string();
        let mut set_up = admin("losetup");
        set_up.args(["--find", "--show", "--sector-size", &sector]);
        let mut disk = Self {
            device: run(set_up.arg(&image))?.into(),
            mounted: None,
            _dir: dir,
        };
        run(admin("mkfs.ext4")
            .args(["-q", "-b", "4096"])
            .arg(&disk.device))?;
        let place = disk._dir.path("mounted");
        fs::create_dir(&place).unwrap();
        run(admin("mount").args([&disk.device, &place]))?;
        disk.mounted = Some(place);
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.mounted.as_ref().unwrap().join("file")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(place) = &self.mounted {
            run(admin("umount").arg(place)).unwrap();
        }
        run(admin("losetup").arg("--detach").arg(&self.device)).unwrap();
    }
}

/// The kernel's version. What came later may have been added to an older one.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Reads and writes with exactly the alignment that was found, and with half of it.
fn check_alignment(file: &File) {
    let alignment = file.alignment();
    let queue = Queue::new(1).unwrap();
    let (memory, block) = (alignment.memory, alignment.length);
    // An address that is a multiple of the alignment, and of nothing larger.
    let buffer = |address: usize, len: usize| {
        let room = aio_safe::AlignedBuf::zeroed(2 * memory + len, 2 * memory).unwrap();
        aio_safe::buf::IoBufExt::slice(room, address..address + len)
    };
    let offset = alignment.offset;
    let write = file.write_at(&queue, buffer(memory, block), offset).wait();
    assert_eq!(write.result, Ok(block), "{alignment:?}");
    let read = file.read_at(&queue, buffer(memory, block), offset).wait();
    assert_eq!(read.result, Ok(block), "{alignment:?}");
    // The kernel refuses half a block, so the number isn't larger than it has to be.
    let op = aio_safe::Op::read(buffer(memory, block / 2), offset);
    let read = queue.submit(file, op).unwrap().wait();
    let refused = aio_safe::OpError::Failed(aio_safe::Errno::EINVAL);
    assert_eq!(read.result, Err(refused), "{alignment:?}");
}

#[test]
fn alignments_are_those_of_the_disk() {
    for sector in [512, 4096] {
        let disk = match Disk::new(sector) {
            Ok(disk) => disk,
            Err(why) => return eprintln!("skipped: no loop device with ext4: {why}"),
        };
        let on = |path: &Path, storage| {
            let file = options(Direct::On).create(false).open(path).unwrap();
            assert_eq!(file.asynchrony(), Asynchrony::Asynchronous(storage));
            let alignment = file.alignment();
            assert_eq!(alignment.length, sector as usize, "{alignment:?}");
            assert_eq!(alignment.offset, sector.into());
            assert_ne!(alignment.source, AlignmentSource::Guess);
            if kernel() >= (6, 1) {
                assert_eq!(alignment.source, AlignmentSource::Statx);
            }
            file
        };
        fs::write(disk.path(), pattern(65536)).unwrap();
        let file = on(&disk.path(), Storage::Ext);
        check_alignment(&file);
        file.allocate(65536, 1 << 20).unwrap();
        assert_eq!(file.len().unwrap(), (1 << 20) + 65536);
        let device = on(&disk.device, Storage::BlockDevice);
        assert_eq!(device.len().unwrap(), 64 << 20);
        let read = device.read_op(device.buffer(4096).unwrap(), 0).unwrap();
        let queue = Queue::new(1).unwrap();
        assert_eq!(queue.submit(&device, read).unwrap().wait().result, Ok(4096));
        assert_eq!(
            device.allocate(0, 0).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn a_flag_that_was_set_later_is_seen_by_a_conversion() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "").unwrap();
    let mut std = fs::OpenOptions::new();
    let opened = std
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(scratch.path("file"));
    if let Ok(file) = opened {
        let file = File::from(file);
        let same = File::open(scratch.path("file")).unwrap();
        assert_eq!(
            (file.is_direct(), file.alignment()),
            (same.is_direct(), same.alignment())
        );
    }
}
