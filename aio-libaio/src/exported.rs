//! The versions of the names that the shared library has twice. The linker's script `libaio.map`
//! gives the others theirs.

#![allow(unsafe_code, reason = "names symbols for the assembler")]

core::arch::global_asm!(
    ".symver io_cancel_0_4, io_cancel@@LIBAIO_0.4",
    ".symver io_getevents_0_4, io_getevents@@LIBAIO_0.4",
    ".symver io_queue_wait_0_4, io_queue_wait@@LIBAIO_0.4",
    ".symver io_cancel_0_1, io_cancel@LIBAIO_0.1",
    ".symver io_getevents_0_1, io_getevents@LIBAIO_0.1",
    ".symver io_queue_wait_0_1, io_queue_wait@LIBAIO_0.1",
);
