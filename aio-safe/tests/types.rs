//! What every public type promises of itself: sending, sharing, sizes.

use aio_safe::{
    AlignedBuf, AllocError, Batch, BufResult, Cancel, CloseError, Collector, Errno, Features,
    FileSync, IoBuf, IoBufMut, IoPrio, Lane, LaneBatch, Op, OpError, Pending, Permit, Poll,
    PollEvents, Queue, ReapError, Reserve, RwFlags, SetupError, Slice, SubmitError,
    SubmitErrorKind, Transfer, VectoredTransfer,
    kernel::{Kernel, Linux, Ring},
};
use static_assertions::{
    assert_eq_size, assert_impl_all, assert_not_impl_any, assert_obj_safe, const_assert,
};
use std::{
    error::Error,
    fmt::{Debug, Display},
    panic::{RefUnwindSafe, UnwindSafe},
};

#[allow(dead_code, reason = "assertions alone use it, which 1.85 misses")]
type Bytes = Transfer<Vec<u8>>;
#[allow(dead_code, reason = "assertions alone use it, which 1.85 misses")]
type Parts = VectoredTransfer<Vec<u8>>;

assert_impl_all!(Queue: Send, Sync, Clone, Debug, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Batch<'static, Bytes>: Send, Sync, Debug);
assert_impl_all!(Batch<'static, Parts>: Send, Sync, Debug);
assert_impl_all!(Lane<Bytes>: Send, Sync, Debug, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Lane<Parts, String>: Send, Sync, Debug, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(LaneBatch<'static, Bytes>: Send, Sync, Debug, Unpin);
assert_impl_all!(LaneBatch<'static, Parts, String>: Send, Sync, Debug, Unpin);
// Values needn't be shared, and nor need buffers: only who has the lane gets at them.
assert_impl_all!(Lane<Bytes, std::cell::Cell<u8>>: Send, Sync);
assert_impl_all!(Lane<Bytes, std::sync::mpsc::Receiver<u8>>: Send, Sync);
assert_impl_all!(Lane<Bytes, std::cell::Cell<u8>>: UnwindSafe, RefUnwindSafe);
assert_impl_all!(LaneBatch<'static, Bytes, std::cell::Cell<u8>>: Send, Sync);
assert_impl_all!(Reserve<'static>: Send, Sync, Debug, Future, Unpin);
assert_impl_all!(Collector: Send, Sync, Debug, Default, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Permit<'static>: Send, Sync, Debug);
assert_impl_all!(Pending<Bytes>: Send, Sync, Debug, Future, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Pending<Parts>: Send, Sync, Debug, Future, Unpin);
assert_impl_all!(Pending<FileSync>: Send, Sync, Debug, Future, Unpin);
assert_impl_all!(Pending<Poll>: Send, Sync, Debug, Future, Unpin);
assert_impl_all!(Op<Bytes>: Send, Sync, Debug);
assert_impl_all!(Op<Parts>: Send, Sync, Debug);
assert_impl_all!(Op<FileSync>: Send, Sync, Debug);
assert_impl_all!(Op<Poll>: Send, Sync, Debug);
assert_impl_all!(AlignedBuf: Send, Sync, Debug);
assert_impl_all!(Slice<AlignedBuf>: Send, Sync, Debug);
assert_impl_all!(BufResult<usize, Vec<u8>>: Send, Sync, Debug);
assert_impl_all!(Linux: Kernel, Send, Sync, Debug);
assert_impl_all!(Ring: Send, Sync, Debug);
assert_impl_all!(Cancel: Send, Sync, Copy, Debug);
assert_impl_all!(Features: Send, Sync, Copy, Debug);
assert_impl_all!(PollEvents: Send, Sync, Copy, Debug);
assert_impl_all!(RwFlags: Send, Sync, Copy, Debug);
assert_impl_all!(IoPrio: Send, Sync, Copy, Debug);
assert_impl_all!(SetupError: Send, Sync, Copy, Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(SubmitError<Op<Bytes>>: Send, Sync, Error, Debug, Display, Into<std::io::Error>);
/// Of every payload, so that `?` makes an error of any kind of it: those want Send, Sync and 'static.
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
    Poll,
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
assert_impl_all!(SubmitErrorKind: Send, Sync, Copy, Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(OpError: Send, Sync, Copy, Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(ReapError: Send, Sync, Copy, Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(CloseError: Send, Sync, Copy, Error, Debug, Display, Into<std::io::Error>);
assert_impl_all!(AllocError: Send, Sync, Copy, Error, Debug, Display);
assert_impl_all!(Errno: Send, Sync, Copy, Error, Debug, Display, Into<std::io::Error>);
// A buffer of the program's own may box another one.
assert_obj_safe!(IoBuf, IoBufMut);
assert_obj_safe!(Kernel);

// One handle for one operation, and one buffer for one address.
assert_not_impl_any!(Pending<Bytes>: Clone, Copy);
assert_not_impl_any!(Op<Bytes>: Clone, Copy);
assert_not_impl_any!(Op<Parts>: Clone, Copy);
assert_not_impl_any!(Permit<'static>: Clone, Copy);
assert_not_impl_any!(Lane<Bytes>: Clone, Copy);
assert_not_impl_any!(LaneBatch<'static, Bytes>: Clone, Copy);
assert_not_impl_any!(AlignedBuf: Copy);

// Handles are small: a pointer and a slot's number.
const_assert!(size_of::<Pending<Bytes>>() <= 2 * size_of::<usize>());
assert_eq_size!(Pending<Bytes>, Pending<FileSync>);
assert_eq_size!(Queue, usize);

#[test]
fn errors_say_what_to_do() {
    let full = std::io::Error::from(SubmitErrorKind::QueueFull);
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    assert!(full.to_string().contains("take completed operations"));
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
        assert_eq!(Queue::new(depth).unwrap_err(), SetupError::Depth(depth));
    }
}
