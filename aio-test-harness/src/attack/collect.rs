//! A collector. The only place that knows of it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use aio_safe::{Collector, Payload, Pending};

use super::acts::{Act, did};
use super::round::Info;

/// A collector, and whose places may be in it.
#[derive(Default)]
pub(super) struct Basket {
    collector: Collector,
    infos: Vec<Arc<Info>>,
}

impl Basket {
    pub(super) fn collect<P: Payload>(
        &mut self,
        pending: Pending<P>,
        info: &Arc<Info>,
        wait: bool,
    ) -> Result<P::Output, Pending<P>> {
        self.infos.push(Arc::clone(info));
        if wait {
            did(Act::CollectWait);
            Ok(self.collector.wait(pending))
        } else {
            did(Act::CollectTake);
            self.collector.try_take(pending)
        }
    }

    pub(super) fn give_back(&mut self) {
        did(Act::CollectGive);
        self.collector.give_back();
    }

    /// Forgets the places that are in it.
    pub(super) fn forget(self) {
        did(Act::CollectForget);
        for info in &self.infos {
            info.forget();
        }
        std::mem::forget(self.collector);
    }

    pub(super) fn drop(self) {
        did(Act::CollectDrop);
        drop(self.collector);
    }
}
