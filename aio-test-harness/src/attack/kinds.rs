//! The kinds of operations: how each is made, and what has to come of it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use aio_safe::{
    AlignedBuf, Errno, Op, OpError,
    buf::{IoBuf, IoBufExt, IoBufMut, Slice},
    op::{FilePoll, FileSync, Payload, PollEvents, ReadWrite, Transfer, VectoredTransfer},
};

use super::files::{BLOCK, Files, LENGTH, Target, byte_at};

/// What is in memory that nothing was read into.
const UNREAD: u8 = 0xee;

/// What comes of an operation that a worker would have carried out, and that was cancelled.
const CANCELLED: OpError = OpError::Failed(Errno::ECANCELED);

/// What chooses.
pub(super) struct Draw<'a> {
    pub(super) rng: &'a mut fastrand::Rng,
    pub(super) files: &'a Files,
    /// Whether `O_DIRECT` may be used.
    pub(super) direct: bool,
    /// Whether a poll may be one that is never ready.
    pub(super) never: bool,
}

/// What has happened to an operation besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// Its end may be that it was cancelled.
    pub(super) cancelled: bool,
    /// It was cancelled: the queue has said so.
    pub(super) surely: bool,
}

/// A payload of an operation.
pub(super) trait Kind: Payload<Output: Send> + Sized {
    /// What is known of one operation.
    type Expect: Send + 'static;

    /// Whether the real kernel can cancel it. Workers can cancel what they haven't begun.
    const CAN_CANCEL: bool = false;

    /// Makes an operation.
    fn make(draw: &mut Draw<'_>) -> (Target, Op<Self>, Self::Expect);

    /// Checks what came of it.
    fn check(expect: &Self::Expect, fate: Fate, output: Self::Output) -> Result<(), String>;

    /// How many references to a shared block it holds.
    const SHARES: usize = 0;

    /// Whether it ends by itself.
    fn ends(_: &Self::Expect) -> bool {
        true
    }
}

/// What a lane does.
pub(super) trait LaneKind: Kind + ReadWrite {}

impl<K: Kind + ReadWrite> LaneKind for K {}

/// What is done with one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Read(Target),
    Write(Target),
    /// A read that is refused.
    Refused,
}

/// What is known of a transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expect {
    work: Work,
    offset: usize,
    length: usize,
    /// Where the buffer is.
    place: usize,
}

impl Work {
    fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..16) {
            0..=6 => Self::Read(Target::File),
            7..=9 => Self::Read(Target::Zero),
            10..=12 => Self::Write(Target::File),
            13 | 14 => Self::Write(Target::Null),
            _ => Self::Refused,
        }
    }

    fn target(self) -> Target {
        match self {
            Self::Read(target) | Self::Write(target) => target,
            Self::Refused => Target::Null,
        }
    }

    /// What a buffer has to hold before.
    fn before(self, offset: usize) -> impl Fn(usize) -> u8 {
        move |n| match self {
            Self::Write(_) => byte_at(offset + n),
            _ => UNREAD,
        }
    }

    /// What a buffer has to hold afterwards.
    fn after(self, offset: usize) -> impl Fn(usize) -> u8 {
        move |n| match self {
            Self::Read(Target::Zero) => 0,
            Self::Read(_) | Self::Write(_) => byte_at(offset + n),
            Self::Refused => UNREAD,
        }
    }

    /// Checks how many bytes the kernel said. Returns whether they were transferred.
    fn check_result(
        self,
        result: Result<usize, OpError>,
        length: usize,
        fate: Fate,
    ) -> Result<bool, String> {
        let right = match self {
            _ if fate.surely => result == Err(CANCELLED),
            Self::Refused => result == Err(OpError::Refused(Errno::EBADF)),
            _ => result == Ok(length),
        };
        if right {
            Ok(!fate.surely)
        } else {
            Err(format!("{self:?} of {length} bytes, {fate:?}: {result:?}"))
        }
    }
}

fn check_bytes(
    bytes: &[u8],
    expected: impl Fn(usize) -> u8,
    what: impl std::fmt::Debug,
) -> Result<(), String> {
    let wrong = bytes
        .iter()
        .enumerate()
        .find(|(n, byte)| **byte != expected(*n));
    match wrong {
        None => Ok(()),
        Some((n, byte)) => Err(format!(
            "{what:?}: byte {n} of {} is {byte:#x}, not {:#x}",
            bytes.len(),
            expected(n)
        )),
    }
}

fn check_place(place: usize, expected: usize) -> Result<(), String> {
    if place == expected {
        Ok(())
    } else {
        Err("another buffer came back".to_owned())
    }
}

/// A buffer that is the program's alone.
pub(super) trait Backing: IoBuf + IoBufMut + Sized {
    /// How much there is before and behind the part that is used.
    const MARGIN: usize = 0;
    /// Whether it is good for `O_DIRECT`.
    const ALIGNED: bool = false;

    fn make(length: usize, byte: impl Fn(usize) -> u8) -> Self;

    /// Makes it one of which less is initialised, if it can be: a read makes up for that.
    fn shorten(&mut self, _: usize) {}

    /// All of its bytes.
    fn bytes(self) -> Vec<u8>;
}

impl Backing for Vec<u8> {
    fn make(length: usize, byte: impl Fn(usize) -> u8) -> Self {
        (0..length).map(byte).collect()
    }

    fn shorten(&mut self, length: usize) {
        self.truncate(length);
    }

    fn bytes(self) -> Vec<u8> {
        self
    }
}

impl Backing for Box<[u8]> {
    fn make(length: usize, byte: impl Fn(usize) -> u8) -> Self {
        (0..length).map(byte).collect()
    }

    fn bytes(self) -> Vec<u8> {
        self.into_vec()
    }
}

impl Backing for AlignedBuf {
    const ALIGNED: bool = true;

    fn make(length: usize, byte: impl Fn(usize) -> u8) -> Self {
        let mut buffer = Self::zeroed(length, BLOCK).expect("there is memory for some blocks");
        for (n, place) in buffer.iter_mut().enumerate() {
            *place = byte(n);
        }
        buffer
    }

    fn bytes(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Backing for Slice<Vec<u8>> {
    const MARGIN: usize = 24;

    fn make(length: usize, byte: impl Fn(usize) -> u8) -> Self {
        let end = Self::MARGIN + length;
        let whole: Vec<u8> = (0..end + Self::MARGIN)
            .map(|n| {
                if (Self::MARGIN..end).contains(&n) {
                    byte(n - Self::MARGIN)
                } else {
                    UNREAD
                }
            })
            .collect();
        whole.slice(Self::MARGIN..end)
    }

    fn bytes(self) -> Vec<u8> {
        self.into_inner()
    }
}

/// A transfer's place in the file.
fn draw_extent(draw: &mut Draw<'_>, aligned: bool) -> (usize, usize) {
    if aligned {
        let blocks = draw.rng.usize(1..=2);
        let block = draw.rng.usize(..=LENGTH / BLOCK - blocks);
        (block * BLOCK, blocks * BLOCK)
    } else {
        let length = draw.rng.usize(1..=400);
        (draw.rng.usize(..=LENGTH - length), length)
    }
}

impl<B: Backing> Kind for Transfer<B> {
    type Expect = Expect;

    fn make(draw: &mut Draw<'_>) -> (Target, Op<Self>, Expect) {
        let mut work = Work::draw(draw.rng);
        let (offset, length) = draw_extent(draw, B::ALIGNED);
        if B::ALIGNED && draw.direct {
            work = match work {
                Work::Read(Target::File) => Work::Read(Target::Direct),
                Work::Write(Target::File) => Work::Write(Target::Direct),
                other => other,
            };
        }
        let mut buffer = B::make(length, work.before(offset));
        if matches!(work, Work::Read(_)) {
            buffer.shorten(draw.rng.usize(..=length));
        }
        let expect = Expect {
            work,
            offset,
            // A vector may have more room than was asked for.
            length: match work {
                Work::Write(_) => buffer.io_len(),
                _ => buffer.io_capacity(),
            },
            place: buffer.io_ptr().addr(),
        };
        let op = match work {
            Work::Write(_) => Op::write(buffer, offset as u64),
            _ => Op::read(buffer, offset as u64),
        };
        (work.target(), op, expect)
    }

    fn check(expect: &Expect, fate: Fate, output: Self::Output) -> Result<(), String> {
        let Expect {
            work,
            offset,
            length,
            place,
        } = *expect;
        let done = work.check_result(output.result, length, fate)?;
        check_place(output.buffer.io_ptr().addr(), place)?;
        let bytes = output.buffer.bytes();
        // What was initialised of a read's buffer may have been less, and was left as it was.
        let is_shorter = !done && matches!(work, Work::Read(_)) && bytes.len() < length;
        if bytes.len() != length + 2 * B::MARGIN && !is_shorter {
            return Err(format!("{work:?} of {length} bytes left {}", bytes.len()));
        }
        let (before, after) = (work.before(offset), work.after(offset));
        let whole = |n: usize| match n.wrapping_sub(B::MARGIN) {
            n if n >= length => UNREAD,
            n if done => after(n),
            n => before(n),
        };
        check_bytes(&bytes, whole, work)
    }
}

/// A write of a block that is shared: how many hold it tells whether it was dropped once.
impl Kind for Transfer<Arc<[u8]>> {
    type Expect = usize;

    const SHARES: usize = 1;

    fn make(draw: &mut Draw<'_>) -> (Target, Op<Self>, usize) {
        let block = draw.rng.usize(..draw.files.blocks.len());
        let shared = Arc::clone(&draw.files.blocks[block]);
        (
            Target::File,
            Op::write(shared, (block * BLOCK) as u64),
            block,
        )
    }

    fn check(block: &usize, fate: Fate, output: Self::Output) -> Result<(), String> {
        Work::Write(Target::File).check_result(output.result, BLOCK, fate)?;
        check_bytes(&output.buffer, |n| byte_at(block * BLOCK + n), "a block")
    }
}

impl Kind for VectoredTransfer<Vec<u8>> {
    /// Of each buffer.
    type Expect = Vec<Expect>;

    fn make(draw: &mut Draw<'_>) -> (Target, Op<Self>, Vec<Expect>) {
        let work = Work::draw(draw.rng);
        let mut offset = draw.rng.usize(..LENGTH / 2);
        let first = offset;
        let mut buffers = Vec::new();
        let mut expects = Vec::new();
        for _ in 0..draw.rng.usize(1..=3) {
            let length = draw.rng.usize(1..=200);
            let buffer = <Vec<u8> as Backing>::make(length, work.before(offset));
            let length = match work {
                Work::Write(_) => buffer.io_len(),
                _ => buffer.io_capacity(),
            };
            expects.push(Expect {
                work,
                offset,
                length,
                place: buffer.io_ptr().addr(),
            });
            offset += length;
            buffers.push(buffer);
        }
        let op = match work {
            Work::Write(_) => Op::write_vectored(buffers, first as u64),
            _ => Op::read_vectored(buffers, first as u64),
        };
        (work.target(), op, expects)
    }

    fn check(expects: &Vec<Expect>, fate: Fate, output: Self::Output) -> Result<(), String> {
        let all = expects.iter().map(|expect| expect.length).sum();
        let work = expects.first().map_or(Work::Refused, |expect| expect.work);
        let done = work.check_result(output.result, all, fate)?;
        if output.buffer.len() != expects.len() {
            return Err(format!("{} buffers came back", output.buffer.len()));
        }
        for (buffer, expect) in output.buffer.iter().zip(expects) {
            check_place(buffer.as_ptr().addr(), expect.place)?;
            let (before, after) = (work.before(expect.offset), work.after(expect.offset));
            check_bytes(buffer, |n| if done { after(n) } else { before(n) }, work)?;
        }
        Ok(())
    }
}

impl Kind for FileSync {
    type Expect = bool;

    fn make(draw: &mut Draw<'_>) -> (Target, Op<Self>, bool) {
        // What can't be synced refuses it, or says EINVAL later.
        match draw.rng.u8(..8) {
            0 => (Target::Zero, Op::fsync(), false),
            1 => (Target::File, Op::fsync(), true),
            _ => (Target::File, Op::fdatasync(), true),
        }
    }

    fn check(good: &bool, fate: Fate, output: Self::Output) -> Result<(), String> {
        match output {
            Err(CANCELLED) if fate.surely => Ok(()),
            Ok(()) if *good => Ok(()),
            Err(error) if !*good && error.errno() == Errno::EINVAL => Ok(()),
            other => Err(format!("a sync, {fate:?}: {other:?}")),
        }
    }
}

impl Kind for FilePoll {
    type Expect = Target;

    const CAN_CANCEL: bool = true;

    fn make(draw: &mut Draw<'_>) -> (Target, Op<Self>, Target) {
        let target = if draw.never && draw.rng.bool() {
            Target::Never
        } else {
            Target::Fed(draw.rng.usize(..8))
        };
        (target, Op::poll(PollEvents::IN), target)
    }

    fn check(target: &Target, fate: Fate, output: Self::Output) -> Result<(), String> {
        match output {
            Ok(events) if events == PollEvents::default() && fate.cancelled => Ok(()),
            Ok(events) if events.contains(PollEvents::IN) && *target != Target::Never => Ok(()),
            other => Err(format!("a poll of {target:?}, {fate:?}: {other:?}")),
        }
    }

    fn ends(target: &Target) -> bool {
        *target != Target::Never
    }
}
