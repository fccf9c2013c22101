//! Loom's atomics and cells, with two corrections.
//!
//! - Loom checks each access, but doesn't know when the memory is freed. Here, dropping an atomic
//!   or a cell counts as a write by the dropping thread. So a model fails if memory is freed while
//!   another thread may still use it.
//! - Loom decides by the last access to each atomic which orders of threads to try. It remembers
//!   one access only. A load by the same thread therefore hides an earlier access by another
//!   thread, and orders that matter are never tried. Here, each access begins with a Relaxed
//!   exchange on a second atomic, the *turnstile*. That exchange conflicts with all other accesses
//!   to the same atomic, and orders no memory.

use std::{ops::Deref, thread::panicking};

use loom::sync::atomic::{self, Ordering};

macro_rules! checked {
    ($($name:ident: $value:ty,)*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name {
            value: atomic::$name,
            turnstile: atomic::AtomicUsize,
        }

        #[allow(dead_code, reason = "not every type needs every operation")]
        impl $name {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self {
                    value: atomic::$name::new(value),
                    turnstile: atomic::AtomicUsize::new(0),
                }
            }

            fn pass(&self) -> &atomic::$name {
                self.turnstile.fetch_add(1, Ordering::Relaxed);
                &self.value
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.pass().load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.pass().store(value, order);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.pass().swap(value, order)
            }

            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.pass().fetch_add(value, order)
            }

            #[track_caller]
            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.pass().fetch_sub(value, order)
            }

            #[track_caller]
            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                self.pass().fetch_and(value, order)
            }

            #[track_caller]
            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                self.pass().fetch_or(value, order)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.pass().compare_exchange(current, new, success, failure)
            }

            /// Never fails spuriously.
            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if !panicking() {
                    self.value.with_mut(|_| ());
                }
            }
        }
    )*};
}

checked! {
    AtomicU32: u32,
    AtomicUsize: usize,
}

/// An atomic number, because a write at the end of loom's own `AtomicBool` can't be checked.
#[derive(Debug)]
pub(crate) struct AtomicBool(AtomicUsize);

impl AtomicBool {
    #[track_caller]
    pub(crate) fn new(value: bool) -> Self {
        Self(AtomicUsize::new(value.into()))
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order) != 0
    }

    #[track_caller]
    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.store(value.into(), order);
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value.into(), order) != 0
    }
}

#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    #[track_caller]
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }
}

impl<T> Deref for UnsafeCell<T> {
    type Target = loom::cell::UnsafeCell<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Drop for UnsafeCell<T> {
    fn drop(&mut self) {
        if !panicking() {
            self.0.with_mut(|_| ());
        }
    }
}
