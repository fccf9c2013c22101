//! What every public type is to other types: which marker traits it has.

use std::{
    any::type_name,
    cell::Cell,
    marker::PhantomData,
    panic::{RefUnwindSafe, UnwindSafe},
    rc::Rc,
};

use aio_posix::*;

/// What a buffer may be like: sent, and not shared.
type Unshared = Cell<u8>;
/// What no buffer is like, and what a type without bounds may have all the same.
type Local = Rc<u8>;

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
    ($($type:ty, $expected:expr;)*) => {
        [$((type_name::<$type>(), $expected, [
            has!($type: Send),
            has!($type: Sync),
            has!($type: Unpin),
            has!($type: UnwindSafe),
            has!($type: RefUnwindSafe),
            has!($type: Clone),
            has!($type: Copy),
        ].into_iter().flatten().collect::<Vec<_>>().join(" "))),*]
    };
}

/// Numbers and names: every trait there is.
const PLAIN: &str = "Send Sync Unpin UnwindSafe RefUnwindSafe Clone Copy";

#[test]
fn every_type_has_the_marker_traits_that_the_table_says() {
    let table = table! {
        Aio, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone";
        // The buffer is behind a lock.
        Aiocb<Vec<u8>>, "Send Sync Unpin UnwindSafe RefUnwindSafe";
        Aiocb<Unshared>, "Send Sync Unpin UnwindSafe RefUnwindSafe";
        Aiocb<Local>, "Unpin UnwindSafe RefUnwindSafe";
        Done<Vec<u8>>, "Send Sync Unpin UnwindSafe RefUnwindSafe";
        Done<Unshared>, "Send Unpin UnwindSafe";
        // They have a function of the program, which is sent and not shared.
        Control<Vec<u8>>, "Send Unpin";
        List<'static, Vec<u8>>, "Send Unpin";
        ListError<Vec<u8>>, "Send Unpin";
        Sigevent, "Send Unpin";
        Refused<Vec<u8>>, "Send Sync Unpin UnwindSafe RefUnwindSafe";
        Refused<Unshared>, "Send Unpin UnwindSafe";
        Snapshot, "Send Sync Unpin UnwindSafe RefUnwindSafe Clone";
        Cancel, PLAIN;
        Config, PLAIN;
        Errno, PLAIN;
        Status, PLAIN;
        SyncMode, PLAIN;
    };
    let wrong: Vec<_> = (table.iter())
        .filter(|(_, expected, found)| expected != found)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
