//! What is said of the requests of a program before the first one.

use std::num::NonZero;

use aio_safe::op::{IoPrio, IoPrioClass};

/// How POSIX AIO is set up. The default is right for most programs.
///
/// [`workers`](Self::workers) and [`priority`](Self::priority) are what `VxWorks` takes in
/// `aioSysInit`, and [`lists`](Self::lists) is what it takes in `aioPxLibInit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How many requests the kernel and the workers have at a time. Others wait in user space, and
    /// go on by priority. 1024 at first. The kernel counts them against `fs.aio-max-nr`; if that
    /// leaves no room, workers carry all requests out.
    pub depth: u32,
    /// How many worker threads carry out what the kernel can't do without blocking. `None`: at most
    /// 64, which the process's other queues use as well.
    pub workers: Option<NonZero<usize>>,
    /// The I/O priority of requests whose `aio_reqprio` is 0: the level within the best-effort
    /// class, from 0 (first) to 7 (last). `None`: that of the thread that carries a request out.
    pub priority: Option<u8>,
    /// How many lists may be in flight at a time. `None`: any number. `VxWorks` has 100.
    pub lists: Option<NonZero<usize>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            depth: 1024,
            workers: None,
            priority: None,
            lists: None,
        }
    }
}

/// The greatest `aio_reqprio`, which goes last: `AIO_PRIO_DELTA_MAX` of `sysconf`.
pub const PRIO_DELTA_MAX: u8 = 20;

/// The level that a thread has without a priority of its own.
const USUAL: u8 = 4;
const LAST: u8 = 7;

impl Config {
    /// The I/O priority of a request.
    pub(crate) fn ioprio(&self, reqprio: u8) -> Option<IoPrio> {
        if reqprio == 0 && self.priority.is_none() {
            return None;
        }
        let first = self.priority.unwrap_or(USUAL).min(LAST);
        // From the first level for 0 to the last one for the greatest, each of them used.
        let span = LAST - first;
        let level = first + (reqprio.min(PRIO_DELTA_MAX) * span).div_ceil(PRIO_DELTA_MAX);
        Some(IoPrio::new(IoPrioClass::BE, level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_priority_has_a_higher_level() {
        let config = Config::default();
        let level = |reqprio| config.ioprio(reqprio).map(IoPrio::level);
        assert_eq!(level(0), None);
        assert_eq!(level(1), Some(5));
        assert_eq!(level(20), Some(7));
        let first = Config {
            priority: Some(0),
            ..config
        };
        let level = |reqprio| first.ioprio(reqprio).map(IoPrio::level);
        assert_eq!(
            [level(0), level(10), level(20)],
            [Some(0), Some(4), Some(7)]
        );
    }
}
