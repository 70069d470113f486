//! What a partition commits, and what it holds back while a bulk of it may still arrive in the target.

use std::time::Duration;

use understudy_common::planted::{Bug, planted};

use super::{Around, Partition, Phase};
use crate::{
    engine::{
        Command,
        indices::{Indices, Readiness},
        item::{Item, Progress},
        settling::Again,
    },
    offsets::Commit,
};

impl Partition {
    /// A bulk may arrive until then.
    pub(in crate::engine) fn disturb(
        &mut self,
        partition: i32,
        until: Duration,
        taken_over: bool,
        out: &mut Vec<Command>,
    ) {
        if self.settling.disturb(until) {
            out.push(Command::Unsettled { partition, taken_over });
        }
    }

    /// An item of the batch is sent, or was: what a late bulk could undo is remembered.
    pub(in crate::engine) fn note(&mut self, place: usize, indices: &Indices) {
        if let Some(item) = self.batch.get(place) {
            self.settling.note(item, indices.has_client_versions(&item.index));
        }
    }

    /// Once nothing can arrive any more, an idle partition makes a batch of what a late bulk may have undone.
    pub(in crate::engine) fn settle(&mut self, partition: i32, now: Duration, around: Around<'_>) {
        if !self.may_settle() || self.settling.over_at().is_none_or(|at| now < at) {
            return;
        }
        for (name, again) in self.settling.repeat() {
            let Again { effect, index, origin } = again;
            // A greater one is there by now, or on its way.
            if self.window.outranks(name, effect.order()) {
                continue;
            }
            let mut item = Item::new(name, effect, index, origin);
            item.force = around.indices.has_client_versions(&item.index);
            if !matches!(around.indices.readiness(&item.index, 0), Readiness::Ready) {
                item.progress = Progress::AwaitsIndex(around.indices.look_again(&item.index, false, around.out));
            }
            self.batch.push(item);
        }
        self.busy = true;
        if self.settling.is_settled() {
            around.out.push(Command::Settled { partition });
        }
        self.finish(partition, around.out);
    }

    /// Has Kafka told that the partition has an owner, before anything of what waits is sent.
    pub(in crate::engine) fn seal(&mut self) {
        if self.phase == Phase::Running
            && !self.releasing
            && !self.queue.is_empty()
            && let Some(offsets) = &mut self.offsets
        {
            offsets.seal();
        }
    }

    /// What must be committed by now. Nothing is, while a bulk may still arrive.
    pub(in crate::engine) fn commit_due(&mut self, partition: i32, now: Duration) -> Option<Commit> {
        let generation = self.generation;
        let may = self.settling.is_settled() || planted(Bug::CommitBeforeApplying);
        self.offsets.as_mut().filter(|_| may)?.due(partition, generation, now)
    }

    /// When [`Partition::commit_due`] or [`Partition::settle`] has something to do. `flies`: a bulk with something of the
    /// partition is under way.
    pub(in crate::engine) fn settles_at(&self, flies: bool) -> Option<Duration> {
        if !self.settling.is_settled() {
            return self.settling.over_at().filter(|_| !flies && self.may_settle());
        }
        self.offsets.as_ref()?.due_at()
    }

    /// A partition that was stopped sends nothing, so it settles only when there is nothing to be sent.
    fn may_settle(&self) -> bool {
        self.is_idle() && !self.releasing && (self.phase == Phase::Running || self.settling.is_empty())
    }

    /// What is committed when it is let go. `lost`: it goes without having been asked for, or with a bulk under way.
    pub(in crate::engine) fn last_commit(&self, partition: i32, lost: bool) -> Option<Commit> {
        let offsets = self.offsets.as_ref().filter(|_| self.settling.is_settled())?;
        offsets.last(partition, self.generation, !lost)
    }

    /// Records of which something was sent that no commit covers: from the first one to the one behind the last.
    pub(in crate::engine) fn uncovered(&self) -> Option<(i64, i64)> {
        let from = self.offsets.as_ref()?.confirmed();
        (self.sent_to > from).then_some((from, self.sent_to))
    }

    /// Records of which something is in a bulk now.
    pub(in crate::engine) fn flying(&self) -> Option<(i64, i64)> {
        let flying = self.batch.iter().filter(|item| item.progress == Progress::Flying);
        let offsets = flying.map(|item| item.origin.record.offset);
        offsets.fold(None, |range: Option<(i64, i64)>, offset| {
            let (from, to) = range.unwrap_or((offset, offset + 1));
            Some((from.min(offset), to.max(offset + 1)))
        })
    }

    /// An item goes into a bulk.
    pub(in crate::engine) fn takes_off(&mut self, place: usize, indices: &Indices) {
        self.note(place, indices);
        if let Some(item) = self.batch.get_mut(place) {
            item.progress = Progress::Flying;
            self.sent_to = self.sent_to.max(item.origin.record.offset + 1);
        }
    }
}
