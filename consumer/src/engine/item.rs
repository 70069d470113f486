//! One effect of a batch.

use std::sync::Arc;

use understudy_common::effect::Effect;

use super::{IndexId, Origin};

/// How far an item of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To be sent.
    Ready,
    /// In a bulk.
    Flying,
    /// Waits for this preparation of its index, or a later one.
    AwaitsIndex(u64),
    /// A reference whose document is being read from the primary.
    AwaitsRead,
    /// On its way into the dead-letter topic.
    Letter,
    Done,
}

pub(super) struct Item {
    /// The name of its document.
    pub(super) name: u128,
    pub(super) effect: Effect,
    pub(super) index: IndexId,
    pub(super) origin: Arc<Origin>,
    pub(super) progress: Progress,
    /// Whether its index was looked at once more after the target refused it.
    pub(super) synced: bool,
    /// A bulk with it was refused as a whole, or it is large: it goes alone.
    pub(super) alone: bool,
    /// Versions say nothing of it: it is written by compare-and-set.
    pub(super) force: bool,
}

impl Item {
    pub(super) fn new(name: u128, effect: Effect, index: IndexId, origin: Arc<Origin>) -> Self {
        Self { name, effect, index, origin, progress: Progress::Ready, synced: false, alone: false, force: false }
    }
}
