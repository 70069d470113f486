//! What is known of the target's indices.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use understudy_common::planted::{Bug, planted};

use super::{Command, IndexId};

#[derive(Default)]
struct Known {
    /// The mapping version that it has at least.
    ready: Option<u64>,
    /// The preparation under way.
    running: Option<u64>,
    /// The mapping version that somebody waits for.
    wanted: u64,
    /// The preparation that somebody waits for.
    awaited: u64,
    /// The label of another incarnation.
    differs: Option<String>,
}

/// Whether effects may be sent to an index.
pub(super) enum Readiness<'a> {
    Ready,
    Wait,
    Differs(&'a str),
}

/// The target's indices, by what they are on the primary.
#[derive(Default)]
pub(super) struct Indices {
    known: HashMap<IndexId, Known>,
    /// UUIDs of indices whose clients gave versions of their own. What is in it stays.
    client_versions: HashSet<Arc<str>>,
    last: u64,
}

pub(super) fn differs_text(index: &IndexId, label: &str) -> String {
    format!(
        "the target's index {} was made from UUID {label}, and effects of UUID {} follow: it was deleted and created anew on the primary. Delete it on the target (it is made again, from then on) and restart the consumer",
        index.index, index.uuid
    )
}

impl Indices {
    pub(super) fn readiness(&self, index: &IndexId, mapping: u64) -> Readiness<'_> {
        match self.known.get(index) {
            Some(Known { differs: Some(label), .. }) => Readiness::Differs(label),
            Some(Known { ready: Some(ready), .. }) if *ready >= mapping => Readiness::Ready,
            _ if planted(Bug::GuessedMapping) => Readiness::Ready,
            _ => Readiness::Wait,
        }
    }

    /// Clients of an index gave versions of their own.
    pub(super) fn learn_client_versions(&mut self, uuid: &Arc<str>) {
        if !self.client_versions.contains(uuid) {
            self.client_versions.insert(uuid.clone());
        }
    }

    /// Whether clients of an index gave versions of their own. There versions on the target do not compare.
    pub(super) fn has_client_versions(&self, index: &IndexId) -> bool {
        self.client_versions.contains(&index.uuid)
    }

    /// Has an index prepared, unless that is under way.
    pub(super) fn want(&mut self, index: &IndexId, mapping: u64, out: &mut Vec<Command>) {
        let known = self.known.entry(index.clone()).or_default();
        known.wanted = known.wanted.max(mapping);
        self.begin(index, out);
    }

    /// Has an index looked at once more, because the target said something unexpected of it. The answer that counts is
    /// that of the preparation with the returned number, which begins after now.
    pub(super) fn look_again(&mut self, index: &IndexId, missing: bool, out: &mut Vec<Command>) -> u64 {
        let last = self.last;
        let known = self.known.entry(index.clone()).or_default();
        if missing {
            known.ready = None;
        }
        if known.running.is_none() || known.awaited <= known.running.unwrap_or_default() {
            known.awaited = last + 1;
        }
        let awaited = known.awaited;
        self.begin(index, out);
        awaited
    }

    /// Has an index brought to a mapping version, for an item that is in a batch already. Answers as
    /// [`Indices::look_again`] does; `None` where it is at that version.
    pub(super) fn want_for_item(&mut self, index: &IndexId, mapping: u64, out: &mut Vec<Command>) -> Option<u64> {
        if matches!(self.readiness(index, mapping), Readiness::Ready) {
            return None;
        }
        let known = self.known.entry(index.clone()).or_default();
        known.wanted = known.wanted.max(mapping);
        Some(self.look_again(index, false, out))
    }

    pub(super) fn prepared(&mut self, index: &IndexId, sequence: u64, mapping: u64, out: &mut Vec<Command>) {
        let Some(known) = self.known.get_mut(index).filter(|known| known.running == Some(sequence)) else { return };
        known.running = None;
        // What was looked at before the target said that the index is gone says nothing.
        if known.awaited <= sequence || known.ready.is_some() {
            known.ready = known.ready.max(Some(mapping));
        }
        if known.wanted > mapping || known.awaited > sequence {
            self.begin(index, out);
        }
    }

    pub(super) fn differs(&mut self, index: &IndexId, label: &str) {
        let known = self.known.entry(index.clone()).or_default();
        known.running = None;
        known.differs = Some(label.to_owned());
    }

    pub(super) fn forget_all(&mut self) {
        for known in self.known.values_mut() {
            known.ready = None;
            known.differs = None;
        }
    }

    fn begin(&mut self, index: &IndexId, out: &mut Vec<Command>) {
        let Some(known) = self.known.get_mut(index).filter(|known| known.running.is_none()) else { return };
        self.last += 1;
        known.running = Some(self.last);
        out.push(Command::Prepare { index: index.clone(), mapping: known.wanted, sequence: self.last });
    }
}
