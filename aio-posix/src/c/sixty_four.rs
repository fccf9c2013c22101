//! The names that programs use which were compiled for large files. On 64-bit architectures the
//! functions are the same.

#![allow(unsafe_code, reason = "exports symbols that C programs look for")]

use std::ffi::c_int;

use super::{
    aio_cancel, aio_error, aio_fsync, aio_read, aio_return, aio_suspend, aio_write,
    block::{Aiocb, Sigevent},
    lio_listio,
};

macro_rules! forward {
    ($($name:ident = $function:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {$(
        /// # Safety
        ///
        /// As for the function without `64`.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            // SAFETY: the caller promises what the function requires.
            unsafe { $function($($arg),*) }
        }
    )*};
}

forward! {
    aio_read64 = aio_read(aiocbp: *mut Aiocb) -> c_int;
    aio_write64 = aio_write(aiocbp: *mut Aiocb) -> c_int;
    aio_fsync64 = aio_fsync(op: c_int, aiocbp: *mut Aiocb) -> c_int;
    aio_error64 = aio_error(aiocbp: *const Aiocb) -> c_int;
    aio_return64 = aio_return(aiocbp: *mut Aiocb) -> isize;
    aio_suspend64 = aio_suspend(
        list: *const *const Aiocb,
        nent: c_int,
        timeout: *const libc::timespec
    ) -> c_int;
    aio_cancel64 = aio_cancel(fildes: c_int, aiocbp: *mut Aiocb) -> c_int;
    lio_listio64 = lio_listio(
        mode: c_int,
        list: *const *mut Aiocb,
        nent: c_int,
        sig: *mut Sigevent
    ) -> c_int;
}
