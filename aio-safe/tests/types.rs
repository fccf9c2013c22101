//! What public types promise of themselves: waiting, converting, sizes. Their marker traits are in
//! `public_types.rs`.

use aio_safe::{
    AlignedBuf, Errno, Op, OpError, Pending, Queue, SubmitError,
    buf::{AllocError, CapacityError, IoBuf, IoBufMut, Take},
    error::{CloseError, QueueError, ReapError, SetupError},
    fs::{
        File, Misaligned, Misalignment, OpenOptions, Syncing, Transferring, VectoredTransferring,
    },
    kernel::{Kernel, Linux},
    op::{FilePoll, FileSync, Transfer, VectoredTransfer},
    queue::Reserve,
};
use static_assertions::{assert_eq_size, assert_impl_all, assert_obj_safe, const_assert};
use std::{
    error::Error,
    fmt::{Debug, Display},
};

#[allow(dead_code, reason = "assertions alone use it, which 1.85 misses")]
type Bytes = Transfer<Vec<u8>>;
#[allow(dead_code, reason = "assertions alone use it, which 1.85 misses")]
type Parts = VectoredTransfer<Vec<u8>>;

assert_impl_all!(Reserve<'static>: Debug, Future);
assert_impl_all!(Pending<Bytes>: Debug, Future);
assert_impl_all!(Pending<Parts>: Debug, Future);
assert_impl_all!(Pending<FileSync>: Debug, Future);
assert_impl_all!(Pending<FilePoll>: Debug, Future);
assert_impl_all!(Linux: Kernel, Debug);
assert_impl_all!(SetupError: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(SubmitError<Op<Bytes>>: Error, Debug, Display, Into<std::io::Error>);
/// With every payload a `SubmitError` is Send, Sync and 'static. `?` into `anyhow::Error` wants
/// that.
macro_rules! errors_go_anywhere {
    ($($payload:ty),* $(,)?) => {$(
        const _: () = {
            const fn goes_anywhere<E: Error + Send + Sync + 'static>() {}
            goes_anywhere::<SubmitError<Op<$payload>>>();
            goes_anywhere::<SubmitError<(Op<$payload>, String)>>();
        };
    )*};
}
errors_go_anywhere!(
    FileSync,
    FilePoll,
    Bytes,
    Parts,
    Transfer<AlignedBuf>,
    VectoredTransfer<AlignedBuf>,
    Transfer<Unshared>,
    VectoredTransfer<Unshared>,
);
/// What a buffer may be like: sent, and not shared.
#[allow(dead_code, reason = "assertions alone use it, which 1.85 misses")]
type Unshared = std::cell::Cell<u8>;
assert_impl_all!(QueueError: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(OpError: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(ReapError: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(CloseError: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(AllocError: Error, Debug, Display);
assert_impl_all!(CapacityError: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(aio_safe::fs::Error: Error, Debug, Display, Into<std::io::Error>, Send, Sync);
assert_impl_all!(Misalignment: Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(Misaligned<AlignedBuf>: Error, Debug, Display, Into<std::io::Error>, Send, Sync);
assert_impl_all!(File: Debug, From<std::fs::File>);
assert_impl_all!(File: std::os::fd::AsFd, std::os::fd::AsRawFd);
assert_impl_all!(OpenOptions: Debug, Clone);
assert_impl_all!(Transferring<'static, AlignedBuf>: Debug, Future);
assert_impl_all!(VectoredTransferring<'static, AlignedBuf>: Debug, Future);
assert_impl_all!(Syncing<'static>: Debug, Future);
assert_impl_all!(Take<'static>: Debug, Future);
assert_impl_all!(Errno: Error, Debug, Display, Into<std::io::Error>);
// A buffer of the program's own may box another one.
assert_obj_safe!(IoBuf, IoBufMut);
assert_obj_safe!(Kernel);

// Handles are small: a pointer and a slot's number.
const_assert!(size_of::<Pending<Bytes>>() <= 2 * size_of::<usize>());
assert_eq_size!(Pending<Bytes>, Pending<FileSync>);
assert_eq_size!(Queue, usize);

#[test]
fn errors_say_what_to_do() {
    let full = std::io::Error::from(QueueError::QueueFull);
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    assert!(full.to_string().contains("take results or reap"));
    let failed = std::io::Error::from(OpError::Failed(Errno::EIO));
    assert_eq!(failed.raw_os_error(), Some(Errno::EIO.raw()));
    let limit = SetupError::Limit {
        depth: 1000,
        used: Some(65000),
        limit: Some(65536),
    };
    let text = limit.to_string();
    assert!(text.contains("65000 of fs.aio-max-nr = 65536"), "{text}");
    assert!(text.contains("sysctl -w fs.aio-max-nr="), "{text}");
}

#[test]
fn failed_operations_say_what_the_usual_cause_is() {
    for (error, hint) in [
        (OpError::Failed(Errno::EINVAL), "O_DIRECT"),
        (OpError::Refused(Errno::EINVAL), "can't do this operation"),
        (OpError::Refused(Errno::EBADF), "isn't open"),
    ] {
        let text = error.to_string();
        // As a possibility, after what is certain.
        let (certain, usual) = text.split_once("; usually ").unwrap_or_default();
        assert!(certain.ends_with(&error.errno().to_string()), "{text}");
        assert!(usual.contains(hint), "{text}");
    }
    let plain = OpError::Failed(Errno::EIO).to_string();
    assert_eq!(plain, format!("failed: {}", Errno::EIO));
}

#[test]
fn depths_that_cannot_be_are_refused() {
    for depth in [0, Queue::MAX_DEPTH + 1, u32::MAX] {
        assert_eq!(
            Queue::new(depth).unwrap_err(),
            SetupError::Depth {
                depth,
                max: Queue::MAX_DEPTH
            }
        );
    }
}
