//! What happened in a world, line by line.

use std::fmt;

use aio_safe::{Errno, kernel::Iocb};

use crate::{Fault, open::OpenId};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum What {
    Setup {
        context: usize,
        requests: u32,
    },
    Submit {
        context: usize,
        request: u64,
        file: OpenId,
        iocb: Box<Iocb>,
    },
    Refuse(Errno),
    Fault(Fault),
    Event {
        request: u64,
        res: i64,
    },
    Destroy {
        context: usize,
    },
    PowerCut {
        disk: usize,
    },
    PowerOn {
        disk: usize,
    },
    Open {
        file: OpenId,
        name: String,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup { context, requests } => {
                write!(f, "io_setup: context {context} for {requests} requests")
            }
            Self::Submit {
                context,
                request,
                file,
                iocb,
            } => write!(
                f,
                "io_submit: context {context}, request {request}: {:?} of {} bytes at {} of file \
                 {file}",
                iocb.aio_lio_opcode, iocb.aio_nbytes, iocb.aio_offset
            ),
            Self::Refuse(errno) => write!(f, "io_submit: {errno}"),
            Self::Fault(fault) => write!(f, "fault: {}", fault.name()),
            Self::Event { request, res } => match Errno::from_result(*res) {
                Some(Err(errno)) => write!(f, "request {request}: {errno}"),
                _ => write!(f, "request {request}: {res}"),
            },
            Self::Destroy { context } => write!(f, "io_destroy: context {context}"),
            Self::PowerCut { disk } => write!(f, "power cut: disk {disk}"),
            Self::PowerOn { disk } => write!(f, "power on: disk {disk}"),
            Self::Open { file, name } => write!(f, "open {name:?}: file {file}"),
        }
    }
}

/// See the [module](self). It is off until somebody asks for it.
#[derive(Default)]
pub(crate) struct Trace {
    on: bool,
    lines: Vec<(u64, What)>,
}

impl Trace {
    pub(crate) fn turn_on(&mut self) {
        self.on = true;
    }

    pub(crate) fn add(&mut self, now: u64, what: impl FnOnce() -> What) {
        if self.on {
            self.lines.push((now, what()));
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, what) in &self.lines {
            let (micros, nanos) = (at / 1000, at % 1000);
            writeln!(f, "{micros:>10}.{nanos:03} µs  {what}")?;
        }
        Ok(())
    }
}
