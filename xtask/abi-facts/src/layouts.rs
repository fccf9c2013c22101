//! Sizes, alignments, offsets and signs. The names that aren't C's are macros of the C file.

use core::{ffi::c_void, mem::offset_of};

use aio_abi::{
    AioContext, IoEvent, IoPrio, Iocb, IocbFlags, Iovec, Opcode, RwFlags, Timespec, Timespec64,
};

use crate::Fact;

/// What a field holds, for a C compiler: whether -1 is less than 0 in it.
trait Number {
    const SIGNED: bool;
}

macro_rules! numbers {
    ($($name:ty: $signed:literal,)*) => {
        $(impl Number for $name {
            const SIGNED: bool = $signed;
        })*
    };
}

numbers! {
    u16: false,
    u32: false,
    u64: false,
    usize: false,
    i16: true,
    i32: true,
    i64: true,
    isize: true,
    Opcode: false,
    IocbFlags: false,
    RwFlags: true,
    IoPrio: true,
    AioContext: false,
    *mut c_void: false,
}

const fn size_of_field<T, F>(_: fn(&T) -> &F) -> i64 {
    size_of::<F>() as i64
}

const fn is_signed<T, F: Number>(_: fn(&T) -> &F) -> i64 {
    F::SIGNED as i64
}

macro_rules! layouts {
    ($($c:literal $rust:ty { $($field:ident)* })*) => {
        &[$(
            Fact::new(concat!("sizeof(", $c, ")"), size_of::<$rust>() as i64),
            Fact::new(concat!("_Alignof(", $c, ")"), align_of::<$rust>() as i64),
            $(
                Fact::new(
                    concat!("offsetof(", $c, ", ", stringify!($field), ")"),
                    offset_of!($rust, $field) as i64,
                ),
                Fact::new(
                    concat!("size_of(", $c, ", ", stringify!($field), ")"),
                    size_of_field(|whole: &$rust| &whole.$field),
                ),
                Fact::new(
                    concat!("is_signed(", $c, ", ", stringify!($field), ")"),
                    is_signed(|whole: &$rust| &whole.$field),
                ),
            )*
        )*]
    };
}

pub(crate) const FACTS: &[Fact] = layouts! {
    "struct iocb" Iocb {
        aio_data aio_key aio_rw_flags aio_lio_opcode aio_reqprio aio_fildes aio_buf aio_nbytes
        aio_offset aio_reserved2 aio_flags aio_resfd
    }
    "struct io_event" IoEvent { data obj res res2 }
    "aio_context_t" AioContext {}
    "__kernel_rwf_t" RwFlags {}
    "struct __kernel_old_timespec" Timespec { tv_sec tv_nsec }
    "struct __kernel_timespec" Timespec64 { tv_sec tv_nsec }
    "struct iovec" Iovec { iov_base iov_len }
};
