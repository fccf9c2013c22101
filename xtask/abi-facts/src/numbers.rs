//! The numbers of the system calls.

use aio_sys::nr;

use crate::Fact;

pub(crate) const FACTS: &[Fact] = &[
    Fact::new("__NR_io_setup", nr::IO_SETUP as i64),
    Fact::new("__NR_io_destroy", nr::IO_DESTROY as i64),
    Fact::new("__NR_io_submit", nr::IO_SUBMIT as i64),
    Fact::new("__NR_io_cancel", nr::IO_CANCEL as i64),
    #[cfg(not(target_arch = "riscv32"))]
    Fact::new("__NR_io_getevents", nr::IO_GETEVENTS as i64),
    #[cfg(not(target_arch = "riscv32"))]
    Fact::new("__NR_io_pgetevents", nr::IO_PGETEVENTS as i64),
    #[cfg(all(target_pointer_width = "32", not(target_arch = "x86_64")))]
    Fact::new("__NR_io_pgetevents_time64", nr::IO_PGETEVENTS_TIME64 as i64),
];
