//! What follows from a target's answer.

use super::{
    Command, DeadLetter, Engine, LetterTicket, Moment, Slot,
    item::{Item, Progress},
};
use crate::verdict::{BulkVerdict, Reason, Verdict};

impl Engine {
    /// A bulk was answered, or will not be.
    pub fn answered(&mut self, now: Moment, bulk: u64, verdict: BulkVerdict) {
        let Some(slots) = self.bulks.remove(&bulk) else { return };
        for slot in &slots {
            self.flying.remove(&slot.partition);
            // The partition was lost in between, and what was sent of it then may have come behind its next owner's.
            if let Some((from, to)) = self.lost.remove(&(slot.partition, slot.generation)) {
                self.out.push(Command::Report { partition: slot.partition, from, to });
            }
        }
        match verdict {
            BulkVerdict::Items(verdicts) => {
                self.target_works();
                let overloaded =
                    verdicts.iter().any(|verdict| matches!(verdict, Verdict::Retry { overloaded: true, .. }));
                if overloaded {
                    self.limit.shrink(slots.len())
                } else {
                    self.limit.grow()
                }
                for (slot, verdict) in slots.iter().zip(verdicts) {
                    self.judge(now, *slot, verdict);
                }
            }
            BulkVerdict::TooLarge(reason) => {
                self.target_works();
                if let [slot] = slots[..] {
                    // Alone, and still too large: it will not become smaller.
                    self.bury(slot, reason);
                } else {
                    self.limit.shrink(slots.len());
                    self.send_again(&slots);
                }
            }
            BulkVerdict::Refused(reason) => {
                self.target_works();
                if let [slot] = slots[..] {
                    self.judge(now, slot, Verdict::Refused(reason));
                } else {
                    for slot in &slots {
                        self.with_item(*slot, |item| item.alone = true);
                    }
                    self.send_again(&slots);
                }
            }
            BulkVerdict::Blocked(reason) => {
                self.target_works();
                for slot in &slots {
                    self.judge(now, *slot, Verdict::Blocked(reason.clone()));
                }
            }
            BulkVerdict::Overloaded(_) => {
                // It is there, it has too much to do.
                self.limit.shrink(slots.len());
                self.send_again(&slots);
                self.wait_for_target(now);
            }
            BulkVerdict::Unknown(reason) => {
                slots.iter().for_each(|slot| self.lingers(now, *slot));
                self.target_fails(now, reason, &slots);
            }
            BulkVerdict::NotSent(reason) => self.target_fails(now, reason, &slots),
            BulkVerdict::Withdrawn => {
                self.send_again(&slots);
                self.stood_still(now);
            }
        }
        let mut partitions: Vec<i32> = slots.iter().map(|slot| slot.partition).collect();
        partitions.dedup();
        for partition in partitions {
            self.close_batch(partition);
        }
    }

    fn close_batch(&mut self, partition: i32) {
        let Some(state) = self.partitions.get_mut(&partition) else { return };
        state.finish(partition, &mut self.out);
        if state.is_idle() && state.blocked.take().is_some() {
            self.out.push(Command::Unblocked { partition });
        }
    }

    fn judge(&mut self, now: Moment, slot: Slot, verdict: Verdict) {
        match verdict {
            Verdict::Applied => {
                let mut forced = false;
                self.with_item(slot, |item| {
                    item.progress = Progress::Done;
                    forced = item.force;
                });
                *(if forced { &mut self.tally.forced } else { &mut self.tally.applied }) += 1;
                // It makes headway.
                if let Some(state) = self.current(slot.partition, slot.generation) {
                    state.backoff.reset();
                }
            }
            Verdict::AppliedFirst => {
                // It goes once more after a look at the index: where all is well it is found there already.
                self.await_index(slot, false);
            }
            Verdict::Superseded if self.says_nothing(slot) => {
                self.with_item(slot, |item| {
                    item.force = true;
                    item.progress = Progress::Ready;
                });
            }
            Verdict::Superseded => {
                self.tally.superseded += 1;
                self.with_item(slot, |item| item.progress = Progress::Done);
            }
            Verdict::Retry { lingers, .. } => {
                if lingers {
                    self.lingers(now, slot);
                }
                self.send_again(&[slot]);
                self.hold(now, slot);
            }
            Verdict::Blocked(reason) => {
                self.tally.blocked += 1;
                self.with_item(slot, |item| item.progress = Progress::Ready);
                self.hold(now, slot);
                self.note_blocked(slot, reason);
            }
            Verdict::IndexMissing => {
                self.tally.retried += 1;
                self.await_index(slot, true);
                self.hold(now, slot);
            }
            Verdict::Refused(reason) => {
                let mut synced = false;
                self.with_item(slot, |item| synced = item.synced);
                if synced {
                    self.bury(slot, reason);
                } else {
                    self.with_item(slot, |item| item.synced = true);
                    self.tally.retried += 1;
                    self.await_index(slot, false);
                }
            }
        }
    }

    /// Whether a conflict of versions tells nothing (`client_cas`): on an index with client versions, which may fall after
    /// a delete and do not compare with packed ones. What the window let pass is the newest there.
    fn says_nothing(&self, slot: Slot) -> bool {
        let state = self.partitions.get(&slot.partition).filter(|state| state.generation == slot.generation);
        let item = state.and_then(|state| state.batch.get(slot.item));
        item.is_some_and(|item| self.indices.has_client_versions(&item.index))
    }

    /// An item may still be under way in the target (`own_timeout`). That concerns the partition also when it was lost and
    /// came back since.
    fn lingers(&mut self, now: Moment, slot: Slot) {
        let until = now.at + self.limits.lingers;
        if let Some(state) = self.partitions.get_mut(&slot.partition) {
            state.disturb(slot.partition, until, false, &mut self.out);
            if state.generation == slot.generation {
                state.note(slot.item, &self.indices);
            }
        }
    }

    fn target_fails(&mut self, now: Moment, reason: Reason, slots: &[Slot]) {
        if std::mem::replace(&mut self.target_up, false) {
            self.out.push(Command::TargetDown(reason));
        }
        self.send_again(slots);
        self.wait_for_target(now);
    }

    fn send_again(&mut self, slots: &[Slot]) {
        self.tally.retried += slots.len() as u64;
        for slot in slots {
            self.with_item(*slot, |item| item.progress = Progress::Ready);
        }
    }

    fn await_index(&mut self, slot: Slot, missing: bool) {
        let mut index = None;
        self.with_item(slot, |item| index = Some(item.index.clone()));
        let Some(index) = index else { return };
        let awaited = self.indices.look_again(&index, missing, &mut self.out);
        self.with_item(slot, |item| item.progress = Progress::AwaitsIndex(awaited));
    }

    fn bury(&mut self, slot: Slot, reason: Reason) {
        let mut letter = None;
        self.with_item(slot, |item| {
            item.progress = Progress::Letter;
            letter = Some((item.origin.clone(), item.effect.clone()));
        });
        if let Some((origin, effect)) = letter {
            if let Some(state) = self.current(slot.partition, slot.generation)
                && let Some(item) = state.batch.get(slot.item)
            {
                state.settling.forget(item.name);
            }
            let ticket = LetterTicket { partition: slot.partition, generation: slot.generation, item: Some(slot.item) };
            self.out.push(Command::DeadLetter(DeadLetter { ticket, origin, effect: Some(effect), reason }));
        }
    }

    fn note_blocked(&mut self, slot: Slot, reason: Reason) {
        let partition = slot.partition;
        let Some(state) = self.current(partition, slot.generation) else { return };
        let same =
            state.blocked.as_ref().is_some_and(|known| known.status == reason.status && known.kind == reason.kind);
        if !same {
            state.blocked = Some(reason.clone());
            self.out.push(Command::Blocked { partition, reason });
        }
    }

    /// The partition rests before its next try, once for all items of one answer.
    fn hold(&mut self, now: Moment, slot: Slot) {
        if let Some(state) = self.current(slot.partition, slot.generation).filter(|state| state.retry_at <= now.at) {
            state.retry_at = now.at + state.backoff.next(now.dice);
        }
    }

    fn wait_for_target(&mut self, now: Moment) {
        if self.target_retry_at <= now.at {
            self.target_retry_at = now.at + self.target_backoff.next(now.dice);
        }
    }

    fn target_works(&mut self) {
        self.target_backoff.reset();
        if !std::mem::replace(&mut self.target_up, true) {
            self.out.push(Command::TargetUp);
        }
    }

    fn with_item(&mut self, slot: Slot, change: impl FnOnce(&mut Item)) {
        if let Some(state) = self.current(slot.partition, slot.generation)
            && let Some(item) = state.batch.get_mut(slot.item)
        {
            change(item);
        }
    }
}
