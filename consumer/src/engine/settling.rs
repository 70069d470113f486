//! What a partition does while a bulk of it may still arrive in the target: one of a former owner that is gone, or one of
//! its own that was not answered.
//!
//! A late bulk can undo a delete that the target has forgotten, and on an index with client versions anything at all. So
//! the partition goes on, remembers what could be undone, commits nothing, and applies that once more when nothing can
//! arrive any more (`zombie_deletes`, `own_timeout`, `zombie_clients`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use understudy_common::effect::{DocumentState, Effect};

use super::{IndexId, Origin, item::Item};
use crate::request::effect_len;

/// Documents that are remembered. Beyond that the partition takes nothing new until it is settled.
const DOCUMENTS: usize = 100_000;
/// Bytes of them.
const BYTES: usize = 32 << 20;

/// An effect to be applied once more.
#[derive(Clone)]
pub(super) struct Again {
    pub(super) effect: Effect,
    pub(super) index: IndexId,
    pub(super) origin: Arc<Origin>,
}

impl Again {
    fn len(&self) -> usize {
        /// What an entry takes beside its effect, about.
        const FIXED: usize = 128;
        FIXED + effect_len(&self.effect)
    }
}

#[derive(Default)]
pub(super) struct Settling {
    /// Something may arrive until then.
    until: Option<Duration>,
    /// The newest effects of documents that could be undone.
    again: BTreeMap<u128, Again>,
    bytes: usize,
    /// They are being applied once more, since nothing could arrive after this time.
    repeating: Option<Duration>,
}

impl Settling {
    /// Something may arrive until `until`. Whether that is news.
    pub(super) fn disturb(&mut self, until: Duration) -> bool {
        let news = self.until.is_none();
        self.until = self.until.max(Some(until));
        news
    }

    /// Nothing can arrive, and everything was applied again.
    pub(super) fn is_settled(&self) -> bool {
        self.until.is_none()
    }

    /// When the time is over, for one that does not repeat already.
    pub(super) fn over_at(&self) -> Option<Duration> {
        self.until.filter(|_| self.repeating.is_none())
    }

    /// Whether there is nothing to be applied once more.
    pub(super) fn is_empty(&self) -> bool {
        self.again.is_empty()
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        !self.is_settled() && (self.again.len() >= DOCUMENTS || self.bytes >= BYTES)
    }

    /// An effect is sent, or was. `any`: also a put could be undone, for its index has client versions.
    pub(super) fn note(&mut self, item: &Item, any: bool) {
        if self.is_settled() || self.repeating.is_some() {
            return;
        }
        if self.again.get(&item.name).is_some_and(|known| known.effect.order() > item.effect.order()) {
            return;
        }
        // What came before of its document is not the newest any more.
        self.forget(item.name);
        if any || item.effect.state == DocumentState::Deleted {
            let mut effect = item.effect.clone();
            if let DocumentState::Put(source) = &mut effect.state {
                // A copy, so that the rest of its record can go.
                *source = Bytes::copy_from_slice(source);
            }
            let again = Again { effect, index: item.index.clone(), origin: item.origin.clone() };
            self.bytes += again.len();
            self.again.insert(item.name, again);
        }
    }

    /// A document's effect is in the dead-letter topic.
    pub(super) fn forget(&mut self, name: u128) {
        if let Some(gone) = self.again.remove(&name) {
            self.bytes -= gone.len();
        }
    }

    /// What is to be applied once more, now that the time is over; nothing where it is settled by that.
    pub(super) fn repeat(&mut self) -> Vec<(u128, Again)> {
        if self.again.is_empty() {
            self.until = None;
            return Vec::new();
        }
        self.repeating = self.until;
        self.again.iter().map(|(name, again)| (*name, again.clone())).collect()
    }

    /// Everything that was to be applied once more is. Whether it is settled now: not when one of those bulks was not
    /// answered at first, for then another round follows.
    pub(super) fn repeated(&mut self) -> bool {
        let Some(since) = self.repeating.take() else { return false };
        if self.until != Some(since) {
            return false;
        }
        *self = Self::default();
        true
    }
}
