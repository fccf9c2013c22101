//! A caller of each call holds the system call's instruction itself: nothing returns between the
//! instruction and the caller. What a `ret` there costs is on the crate's front page.
//!
//! The tests look for the instruction in their own executable.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![allow(unsafe_code, reason = "the calls are unsafe")]

use std::{
    hint::black_box,
    ptr::{null, null_mut},
};

use aio_sys::{
    abi::AioContext, io_cancel, io_destroy, io_getevents, io_pgetevents, io_setup, io_submit,
};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// `syscall`.
#[cfg(target_arch = "x86_64")]
const INSTRUCTION: &[u8] = &[0x0f, 0x05];
/// `svc #0`.
#[cfg(target_arch = "aarch64")]
const INSTRUCTION: &[u8] = &[0x01, 0x00, 0x00, 0xd4];

#[inline(never)]
fn calls_io_setup() -> bool {
    // SAFETY: nothing is mapped at address 0, so the kernel stores nothing.
    unsafe { io_setup(black_box(1), null_mut()) }.is_ok()
}

#[inline(never)]
fn calls_io_destroy() -> bool {
    // SAFETY: no context has the handle 0, so none ends.
    unsafe { io_destroy(black_box(AioContext::NONE)) }.is_ok()
}

#[inline(never)]
fn calls_io_submit() -> bool {
    // SAFETY: no context has the handle 0, so nothing is submitted.
    unsafe { io_submit(black_box(AioContext::NONE), 0, null()) }.is_ok()
}

#[inline(never)]
fn calls_io_cancel() -> bool {
    // SAFETY: nothing is mapped at address 0, so the kernel reads and stores nothing.
    unsafe { io_cancel(black_box(AioContext::NONE), null_mut(), null_mut()) }.is_ok()
}

#[inline(never)]
fn calls_io_getevents() -> bool {
    // SAFETY: no context has the handle 0, so no event is stored.
    unsafe { io_getevents(black_box(AioContext::NONE), 0, 0, null_mut(), null()) }.is_ok()
}

#[inline(never)]
fn calls_io_pgetevents() -> bool {
    let none = black_box(AioContext::NONE);
    // SAFETY: no context has the handle 0, so no event is stored.
    unsafe { io_pgetevents(none, 0, 0, null_mut(), null(), null()) }.is_ok()
}

/// A caller of a function that isn't inlined: it doesn't hold the instruction.
#[inline(never)]
fn leaves_it_to_another() -> bool {
    !black_box(calls_io_submit())
}

/// The machine code of this executable's function whose mangled name holds `name`.
fn code_of(name: &str) -> Vec<u8> {
    let executable = std::fs::read("/proc/self/exe").unwrap();
    let file = object::File::parse(&*executable).unwrap();
    let found: Vec<_> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .filter(|symbol| symbol.name().is_ok_and(|mangled| mangled.contains(name)))
        .collect();
    assert_eq!(found.len(), 1, "{name} should be one function");
    let (symbol, section) = (&found[0], found[0].section_index().unwrap());
    let section = file.section_by_index(section).unwrap();
    let code = section.data_range(symbol.address(), symbol.size());
    code.unwrap().unwrap().to_vec()
}

fn holds_the_instruction(name: &str) -> bool {
    let code = code_of(name);
    assert!(!code.is_empty(), "{name} has no code");
    code.windows(INSTRUCTION.len())
        .any(|bytes| bytes == INSTRUCTION)
}

#[test]
fn each_call_is_the_instruction_in_its_caller() {
    type Caller = fn() -> bool;
    let callers: [(&str, Caller); 6] = [
        ("calls_io_setup", calls_io_setup),
        ("calls_io_destroy", calls_io_destroy),
        ("calls_io_submit", calls_io_submit),
        ("calls_io_cancel", calls_io_cancel),
        ("calls_io_getevents", calls_io_getevents),
        ("calls_io_pgetevents", calls_io_pgetevents),
    ];
    for (name, call) in callers {
        assert!(!call(), "{name}: the kernel refuses it");
        assert!(
            holds_the_instruction(name),
            "{name} calls a function for it"
        );
    }
}

#[test]
fn a_function_that_is_not_inlined_is_seen() {
    assert!(leaves_it_to_another());
    assert!(!holds_the_instruction("leaves_it_to_another"));
}
