//! Storage engines with known flaws, which `aio-sim` has to find, and good ones, which it must not
//! accuse.
//!
//! There are two engines, each with a handful of keys. [`log`] appends records to a log, and writes
//! a snapshot when it is opened. [`slots`] has two places for each key, and overwrites the older
//! one. Both are good without a [`Flaw`]. A flaw is one mistake that real engines have made.

mod flaw;
mod io;
pub mod log;
pub mod slots;
mod trial;

pub use flaw::{Flaw, Subject};
pub use io::Failed;
pub use trial::trial;

/// How many keys an engine has.
pub const KEYS: u8 = 6;

/// A store of a number for each key.
pub trait Engine {
    /// Sets a key to a number, which isn't 0. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// Something went wrong. The number may be stored or not.
    fn put(&mut self, key: u8, value: u64) -> Result<(), Failed>;

    /// The number of a key. 0: it has none.
    fn get(&self, key: u8) -> u64;

    /// Whether it can be used after an error. Otherwise it has to be opened again.
    fn goes_on(&self) -> bool {
        false
    }
}
