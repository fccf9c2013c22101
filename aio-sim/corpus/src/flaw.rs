//! What is wrong with an engine.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// A write is acknowledged without a sync.
    SyncForgotten,
    /// The sync is submitted together with the write, so it doesn't cover it.
    SyncBeforeCompletion,
    /// A new snapshot is renamed over the old one, and the old log is removed, without a sync of
    /// the directory between.
    RenameWithoutDirectorySync,
    /// A record is believed because of its head, whatever its body is.
    TornHeaderTrusted,
    /// A sync that fails is made again until it succeeds.
    SyncErrorRetried,
    /// A short write is taken for a whole one.
    ShortWriteIgnored,
    /// A write that was interrupted is taken for done.
    EintrDropped,
    /// A record's body and head are written at the same time, and the head is believed to come
    /// last.
    WritesAssumedOrdered,
    /// A write takes too long and is dropped. The next record is written to the same place, and the
    /// dropped one lands after it.
    DroppedWrite,
    /// The log's length is kept in a file of its own, which isn't synced.
    LengthNotSynced,
    /// After EAGAIN, all parts of a record are appended again, those that were accepted included.
    DoubleSubmission,
    /// The log is used again from its start, and old records behind the new ones are believed.
    StaleBlockAccepted,
    /// Of the two places of a key, the newer one is overwritten.
    NewestOverwritten,
    /// When the store is opened, the newer place of a key is read and taken for durable, although
    /// its sync has failed. It is copied over the older place, which is the one that is.
    UnsyncedReadTrusted,
    /// A place is read without a look at its checksum.
    ChecksumIgnored,
}

impl Flaw {
    /// Each flaw.
    pub const ALL: [Self; 15] = [
        Self::SyncForgotten,
        Self::SyncBeforeCompletion,
        Self::RenameWithoutDirectorySync,
        Self::TornHeaderTrusted,
        Self::SyncErrorRetried,
        Self::ShortWriteIgnored,
        Self::EintrDropped,
        Self::WritesAssumedOrdered,
        Self::DroppedWrite,
        Self::LengthNotSynced,
        Self::DoubleSubmission,
        Self::StaleBlockAccepted,
        Self::NewestOverwritten,
        Self::UnsyncedReadTrusted,
        Self::ChecksumIgnored,
    ];
}

/// An engine, good or with a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The [log](crate::log).
    Log(Option<Flaw>),
    /// The [slots](crate::slots).
    Slots(Option<Flaw>),
}

impl Subject {
    /// The engines without a flaw.
    pub const GOOD: [Self; 2] = [Self::Log(None), Self::Slots(None)];

    /// The engine that has a flaw.
    #[must_use]
    pub fn with(flaw: Flaw) -> Self {
        match flaw {
            Flaw::NewestOverwritten | Flaw::UnsyncedReadTrusted | Flaw::ChecksumIgnored => {
                Self::Slots(Some(flaw))
            }
            _ => Self::Log(Some(flaw)),
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Log(None) => "log".to_owned(),
            Self::Slots(None) => "slots".to_owned(),
            Self::Log(Some(flaw)) | Self::Slots(Some(flaw)) => format!("{flaw:?}"),
        }
    }
}
