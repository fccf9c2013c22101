//! What every public type is to other types: which marker traits it has, and how it varies.
//!
//! The table below is compared with what the compiler finds, and its names with those that the
//! crate exports: a new public type fails here until it has a row. Variance is proven in
//! `src/variance.rs`.

use std::{
    any::type_name,
    cell::Cell,
    collections::BTreeSet,
    marker::PhantomData,
    panic::{RefUnwindSafe, UnwindSafe},
    path::Path,
};

use aio_safe::{buf::*, error::*, fs::*, kernel::*, lane::*, op::*, queue::*};

/// What a buffer may be like: sent, and not shared.
type Unshared = Cell<u8>;

struct Row {
    name: &'static str,
    type_name: &'static str,
    expected: &'static str,
    found: String,
    variance: &'static str,
}

/// Whether a type implements a trait. The constant of the type itself is preferred to the trait's,
/// and is there only if its bounds are met.
macro_rules! has {
    ($type:ty: $marker:ident) => {{
        #[allow(dead_code, reason = "there only for types that don't have it")]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Of<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "there only for types that do")]
        impl<T: ?Sized + $marker> Of<T> {
            const HAS: bool = true;
        }
        <Of<$type>>::HAS.then_some(stringify!($marker))
    }};
}

macro_rules! table {
    ($($name:ident $type:ty, $expected:expr, $variance:expr;)*) => {
        vec![$(Row {
            name: stringify!($name),
            type_name: type_name::<$type>(),
            expected: $expected,
            found: [
                has!($type: Send),
                has!($type: Sync),
                has!($type: Unpin),
                has!($type: UnwindSafe),
                has!($type: RefUnwindSafe),
                has!($type: Clone),
                has!($type: Copy),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
            variance: $variance,
        }),*]
    };
}

/// Numbers and names: every trait there is.
const PLAIN: &str = "Send Sync Unpin UnwindSafe RefUnwindSafe Clone Copy";
/// What one owner has: every trait but the two that make a second one.
const OWNED: &str = "Send Sync Unpin UnwindSafe RefUnwindSafe";

// What is owned is neither Clone nor Copy: there is one handle for one operation, one lane for its
// slots, one buffer for one address.
#[rustfmt::skip]
fn table() -> Vec<Row> {
    table! {
        // Handles. What they stand for is in slots, and is Send; only the owner gets at it.
        Queue Queue, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        Pending Pending<Transfer<Unshared>>, OWNED, "P invariant";
        Pending Pending<VectoredTransfer<Unshared>>, OWNED, "P invariant";
        Pending Pending<FileSync>, OWNED, "P invariant";
        Pending Pending<FilePoll>, OWNED, "P invariant";
        // It borrows slots, whose cells no unwinding may cross.
        Batch Batch<'static, Transfer<Unshared>>,
            "Send Sync Unpin", "'a shortens, P invariant";
        Lane Lane<Transfer<Unshared>, Unshared>, OWNED, "P invariant, T invariant";
        Lane Lane<VectoredTransfer<Unshared>, Unshared>, OWNED, "P invariant, T invariant";
        // It borrows the lane as `&mut`, which no unwinding may cross.
        LaneBatch LaneBatch<'static, Transfer<Unshared>, Unshared>,
            "Send Sync Unpin RefUnwindSafe", "'l shortens, P invariant, T invariant";
        EventQueue EventQueue, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        Callback Callback<Transfer<Unshared>>, OWNED, "P invariant";
        Closing Closing, OWNED, "";
        CompletionPool CompletionPool, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        // It borrows slots, as a batch does.
        CompletionBatch CompletionBatch<'static>, "Send Sync Unpin", "'a shortens";
        CompletionPermit CompletionPermit<'static>, OWNED, "'p shortens";
        Signal Signal, PLAIN, "";
        Stats Stats, PLAIN, "";
        SystemCalls SystemCalls, PLAIN, "";
        Builder Builder, PLAIN, "";
        Driver Driver, PLAIN, "";
        Reaper Reaper, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        Reserve Reserve<'static>, OWNED, "'q shortens";
        Permit Permit<'static>, OWNED, "'q shortens";

        // Operations own their buffers, and give nobody a reference to them.
        Op Op<Transfer<Vec<u8>>>, OWNED, "P covariant";
        Transfer Transfer<Vec<u8>>, OWNED, "B invariant";
        Transfer Transfer<Unshared>, "Send Sync Unpin UnwindSafe", "B invariant";
        VectoredTransfer VectoredTransfer<Vec<u8>>, OWNED, "B invariant";
        VectoredTransfer VectoredTransfer<Unshared>,
            "Send Sync Unpin UnwindSafe", "B invariant";
        FileSync FileSync, OWNED, "";
        FilePoll FilePoll, OWNED, "";
        PollEvents PollEvents, PLAIN, "";

        // Buffers and results are as what they hold.
        AlignedBuf AlignedBuf, OWNED, "";
        Pool Pool, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        PoolBuf PoolBuf, OWNED, "";
        Take Take<'static>, OWNED, "'p shortens";
        Slice Slice<Vec<u8>>, OWNED, "B invariant";
        Slice Slice<Unshared>, "Send Unpin UnwindSafe", "B invariant";
        BufResult BufResult<usize, Vec<u8>>, OWNED, "T covariant, B covariant, E covariant";
        BufResult BufResult<usize, Unshared>,
            "Send Unpin UnwindSafe", "T covariant, B covariant, E covariant";

        // Files. What is under way has the buffer in a slot, or holds it itself.
        File File, OWNED, "";
        OpenOptions OpenOptions, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        Transferring Transferring<'static, Vec<u8>>, OWNED, "'a shortens, B invariant";
        Transferring Transferring<'static, Unshared>,
            "Send Unpin UnwindSafe", "'a shortens, B invariant";
        VectoredTransferring VectoredTransferring<'static, Vec<u8>>,
            OWNED, "'a shortens, B invariant";
        VectoredTransferring VectoredTransferring<'static, Unshared>,
            "Send Unpin UnwindSafe", "'a shortens, B invariant";
        Syncing Syncing<'static>, OWNED, "'a shortens";
        Direct Direct, PLAIN, "";
        Alignment Alignment, PLAIN, "";
        AlignmentSource AlignmentSource, PLAIN, "";
        Asynchrony Asynchrony, PLAIN, "";
        Storage Storage, PLAIN, "";

        // Errors. One that hands something back is as that is.
        Error Error, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "";
        Misalignment Misalignment, PLAIN, "";
        Misaligned Misaligned<Vec<u8>>,
            "Send Sync Unpin UnwindSafe RefUnwindSafe Clone", "B covariant";
        CapacityError CapacityError, PLAIN, "";
        SubmitError SubmitError<Op<Transfer<Vec<u8>>>>, OWNED, "T covariant";
        SubmitError SubmitError<()>, PLAIN, "T covariant";
        QueueError QueueError, PLAIN, "";
        SetupError SetupError, PLAIN, "";
        OpError OpError, PLAIN, "";
        ReapError ReapError, PLAIN, "";
        CloseError CloseError, PLAIN, "";
        AllocError AllocError, PLAIN, "";
        Errno Errno, PLAIN, "";

        // Answers and numbers.
        CancelOutcome CancelOutcome, PLAIN, "";
        IoPrio IoPrio, PLAIN, "";
        IoPrioClass IoPrioClass, PLAIN, "";
        RwFlags RwFlags, PLAIN, "";

        // The kernel.
        Linux Linux, PLAIN, "";
        Hybrid Hybrid, "Send Sync Unpin UnwindSafe RefUnwindSafe", "";
        Ways Ways, PLAIN, "";
        Threads Threads, "Send Sync Unpin UnwindSafe RefUnwindSafe", "";
        Ring Ring, "Send Sync Unpin", "";
        AioContext AioContext, PLAIN, "";
        IoEvent IoEvent, PLAIN, "";
        Iocb Iocb, PLAIN, "";
        IocbFlags IocbFlags, PLAIN, "";
        Iovec Iovec, "Unpin UnwindSafe RefUnwindSafe Clone Copy", "";
        Opcode Opcode, PLAIN, "";
        RingHeader RingHeader, PLAIN, "";
    }
}

/// Traits and constants are exported as well, and aren't types.
const NO_TYPES: [&str; 9] = [
    "IoBuf",
    "IoBufExt",
    "IoBufMut",
    "Kernel",
    "Payload",
    "RING_COMPAT_FEATURES",
    "RING_INCOMPAT_FEATURES",
    "RING_MAGIC",
    "ReadWrite",
];

#[test]
fn every_type_has_the_marker_traits_that_the_table_says() {
    let table = table();
    let wrong: Vec<_> = table
        .iter()
        .filter(|row| row.found != row.expected)
        .map(|row| (row.type_name, &row.found))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_public_type_is_in_the_table() {
    let exported = exported();
    let known: BTreeSet<_> = table()
        .iter()
        .map(|row| row.name)
        .chain(NO_TYPES)
        .map(str::to_owned)
        .collect();
    assert_eq!(exported, known);
}

#[test]
fn every_parameter_has_a_variance_and_its_proof() {
    let proofs = source("variance.rs");
    for row in table() {
        let generic = row.type_name.contains('<') || row.variance.starts_with('\'');
        assert_eq!(generic, !row.variance.is_empty(), "{}", row.type_name);
        for (parameter, kind) in row
            .variance
            .split(", ")
            .filter_map(|part| part.split_once(' '))
        {
            let kind = match kind {
                "shortens" => "shortens! {",
                "covariant" => "covariant! {",
                _ => "invariant! {",
            };
            let parameter = parameter.trim_start_matches('\'').to_uppercase();
            let proof = format!("\n    {}{parameter}: \"", row.name);
            let section_start = format!("\n{kind}");
            let mut sections = proofs.split(&section_start).skip(1);
            let proven = sections.any(|section| {
                let section = section.split("\n}\n").next().unwrap_or_default();
                section.contains(&proof)
            });
            assert!(proven, "{} {parameter}: {kind}", row.name);
        }
    }
}

/// A task that waits for a lane may move from thread to thread.
#[test]
fn what_an_async_method_returns_is_send() {
    fn is_send<T: Send>(_: &T) {}

    let queue = Queue::new(1).unwrap();
    let mut lane: Lane<Transfer<Vec<u8>>, Unshared> = queue.lane(1).unwrap();
    is_send(&lane.next());
}

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names that `lib.rs` and the public modules export.
fn exported() -> BTreeSet<String> {
    let root = code("lib.rs");
    let mut names = reexported(&root);
    for module in root
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        let folder = format!("{module}/mod.rs");
        let there = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(&folder);
        let text = match there.exists() {
            true => code(&folder),
            false => code(&format!("{module}.rs")),
        };
        names.append(&mut reexported(&text));
        names.append(&mut declared(&text));
    }
    names.append(&mut declared(&root));
    names
}

/// A file without its comments.
fn code(path: &str) -> String {
    let text = source(path);
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The names at the ends of the paths in `pub use`.
fn reexported(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for tree in code.split("\npub use ").skip(1) {
        let tree = tree.split(';').next().unwrap_or_default();
        for path in tree.split(['{', '}', ',']) {
            assert!(!path.contains(" as ") && !path.contains('*'), "{path}");
            let name = path.rsplit("::").next().unwrap_or_default().trim();
            if !name.is_empty() {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// The names of the items that are declared public at the left margin.
fn declared(code: &str) -> BTreeSet<String> {
    let kinds = ["struct", "enum", "union", "trait", "unsafe trait", "type"];
    let items = kinds.iter().flat_map(|kind| {
        let start = format!("\npub {kind} ");
        let names = code.split(&start).skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        names.collect::<Vec<_>>()
    });
    items.collect()
}
