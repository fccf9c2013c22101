//! Buffers that tell when the queue has dropped them.

#![allow(unsafe_code, reason = "IoBuf and IoBufMut are promises about memory")]

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aio_safe::{
    AlignedBuf,
    buf::{IoBuf, IoBufMut},
};

use crate::stress::pattern::BLOCK;

/// The number of blocks for which a buffer has room.
pub(super) const MOST: usize = 4;

/// Whether an abandoned buffer was dropped. It is dropped when the kernel is done with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Token(Arc<AtomicBool>);

impl Token {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// An aligned buffer for some blocks, on pages of its own.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: AlignedBuf,
    /// The buffer's length, which is at most the memory's.
    len: usize,
    token: Option<Token>,
}

impl Buffer {
    /// Makes a buffer with room for [`MOST`] blocks.
    pub(super) fn new() -> Self {
        // While a child shares our pages, a write to one of them gives us a copy of it. What the
        // kernel transfers to the page at that time is lost to us (open(2), on O_DIRECT and fork).
        // So its pages hold nothing else. The largest page of these architectures has 64 KiB.
        const PAGE: usize = if cfg!(any(target_arch = "powerpc64", target_arch = "aarch64")) {
            65536
        } else {
            4096
        };
        let len = (MOST * BLOCK).next_multiple_of(PAGE);
        Self {
            memory: AlignedBuf::zeroed(len, PAGE).expect("memory for a buffer"),
            len: 0,
            token: None,
        }
    }

    /// Sets the length in bytes.
    pub(super) fn resize(&mut self, len: usize) {
        assert!(len <= MOST * BLOCK);
        self.len = len;
    }

    /// Attaches a token. Dropping the buffer sets it, until [`release`](Self::release).
    pub(super) fn attach(&mut self, token: &Token) {
        self.token = Some(token.clone());
    }

    /// Detaches the token, because the buffer is back.
    pub(super) fn release(&mut self) {
        self.token = None;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.0.store(true, Ordering::Release);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

// SAFETY: the bytes are the first `len` of an `AlignedBuf`, whose `IoBuf` makes the same promises.
// `len` only changes in methods that take `&mut self`.
unsafe impl IoBuf for Buffer {
    fn io_ptr(&self) -> *const u8 {
        self.memory.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.len
    }
}

// SAFETY: the bytes are the first `len` of an `AlignedBuf`, whose `IoBufMut` makes the same
// promises. `len` only changes in methods that take `&mut self`.
unsafe impl IoBufMut for Buffer {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.memory.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.len
    }

    // All bytes are always initialised.
    unsafe fn set_init(&mut self, _len: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_set_by_a_drop_elsewhere_only() {
        let token = Token::default();
        let mut buffer = Buffer::new();
        buffer.attach(&token);
        buffer.release();
        drop(buffer);
        assert!(!token.is_set());
        let mut buffer = Buffer::new();
        buffer.attach(&token);
        drop(buffer);
        assert!(token.is_set());
    }
}
