//! The constants: opcodes, flags, I/O priorities.

use aio_abi::{IoPrio, IoPrioClass, IocbFlags, Iovec, Opcode, RwFlags};

use crate::Fact;

const fn class(class: IoPrioClass) -> i64 {
    class.raw() as i64
}

const fn hint(descriptor: u16) -> i64 {
    match IoPrio::hint_duration_limit(descriptor) {
        Some(hint) => hint as i64,
        None => -1,
    }
}

pub(crate) const FACTS: &[Fact] = &[
    Fact::new("IOCB_CMD_PREAD", Opcode::PREAD.0 as i64),
    Fact::new("IOCB_CMD_PWRITE", Opcode::PWRITE.0 as i64),
    Fact::new("IOCB_CMD_FSYNC", Opcode::FSYNC.0 as i64),
    Fact::new("IOCB_CMD_FDSYNC", Opcode::FDSYNC.0 as i64),
    Fact::new("IOCB_CMD_POLL", Opcode::POLL.0 as i64),
    Fact::new("IOCB_CMD_NOOP", Opcode::NOOP.0 as i64),
    Fact::new("IOCB_CMD_PREADV", Opcode::PREADV.0 as i64),
    Fact::new("IOCB_CMD_PWRITEV", Opcode::PWRITEV.0 as i64),
    Fact::new("IOCB_FLAG_RESFD", IocbFlags::RESFD.bits() as i64),
    Fact::new("IOCB_FLAG_IOPRIO", IocbFlags::IOPRIO.bits() as i64),
    Fact::new("RWF_HIPRI", RwFlags::HIPRI.bits() as i64),
    Fact::new("RWF_DSYNC", RwFlags::DSYNC.bits() as i64),
    Fact::new("RWF_SYNC", RwFlags::SYNC.bits() as i64),
    Fact::new("RWF_NOWAIT", RwFlags::NOWAIT.bits() as i64),
    Fact::new("RWF_APPEND", RwFlags::APPEND.bits() as i64),
    Fact::since("RWF_NOAPPEND", 6, 9, RwFlags::NOAPPEND.bits() as i64),
    Fact::since("RWF_ATOMIC", 6, 11, RwFlags::ATOMIC.bits() as i64),
    Fact::since("RWF_DONTCACHE", 6, 14, RwFlags::DONTCACHE.bits() as i64),
    Fact::since("RWF_NOSIGNAL", 6, 18, RwFlags::NOSIGNAL.bits() as i64),
    Fact::new("IOPRIO_CLASS_NONE", class(IoPrioClass::NONE)),
    Fact::new("IOPRIO_CLASS_RT", class(IoPrioClass::RT)),
    Fact::new("IOPRIO_CLASS_BE", class(IoPrioClass::BE)),
    Fact::new("IOPRIO_CLASS_IDLE", class(IoPrioClass::IDLE)),
    Fact::since("IOPRIO_CLASS_INVALID", 6, 5, class(IoPrioClass::INVALID)),
    Fact::since("IOPRIO_NR_CLASSES", 6, 5, IoPrioClass::COUNT as i64),
    Fact::new("IOPRIO_CLASS_SHIFT", IoPrio::CLASS_SHIFT as i64),
    Fact::new("IOPRIO_CLASS_MASK", IoPrio::CLASS_MASK as i64),
    Fact::new("IOPRIO_PRIO_MASK", IoPrio::DATA_MASK as i64),
    Fact::new("IOPRIO_NR_LEVELS", IoPrio::LEVELS as i64),
    Fact::new("IOPRIO_BE_NR", IoPrio::LEVELS as i64),
    Fact::new("IOPRIO_NORM", IoPrio::NORM_LEVEL as i64),
    Fact::new("IOPRIO_BE_NORM", IoPrio::NORM_LEVEL as i64),
    Fact::since("IOPRIO_LEVEL_NR_BITS", 6, 5, IoPrio::LEVEL_BITS as i64),
    Fact::since("IOPRIO_LEVEL_MASK", 6, 5, IoPrio::LEVEL_MASK as i64),
    Fact::since("IOPRIO_HINT_SHIFT", 6, 5, IoPrio::HINT_SHIFT as i64),
    Fact::since("IOPRIO_HINT_NR_BITS", 6, 5, IoPrio::HINT_BITS as i64),
    Fact::since("IOPRIO_NR_HINTS", 6, 5, IoPrio::HINTS as i64),
    Fact::since("IOPRIO_HINT_MASK", 6, 5, IoPrio::HINT_MASK as i64),
    Fact::since("IOPRIO_HINT_NONE", 6, 5, IoPrio::HINT_NONE as i64),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_1", 6, 5, hint(1)),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_2", 6, 5, hint(2)),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_3", 6, 5, hint(3)),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_4", 6, 5, hint(4)),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_5", 6, 5, hint(5)),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_6", 6, 5, hint(6)),
    Fact::since("IOPRIO_HINT_DEV_DURATION_LIMIT_7", 6, 5, hint(7)),
    Fact::new("UIO_MAXIOV", Iovec::MAX_COUNT as i64),
];
