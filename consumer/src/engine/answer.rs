//! What follows from a target's answer.

use super::{
    Command, DeadLetter, Engine, LetterTicket, Moment, Slot,
    partition::{Item, Progress},
};
use crate::verdict::{BulkVerdict, Reason, Verdict};

impl Engine {
    /// A bulk was answered, or will not be.
    pub fn answered(&mut self, now: Moment, bulk: u64, verdict: BulkVerdict) {
        let Some(slots) = self.bulks.remove(&bulk) else { return };
        for slot in &slots {
            self.flying.remove(&slot.partition);
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
                if std::mem::replace(&mut self.target_up, false) {
                    self.out.push(Command::TargetDown(reason));
                }
                self.send_again(&slots);
                self.wait_for_target(now);
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
        state.finish();
        if state.is_idle() && state.blocked.take().is_some() {
            self.out.push(Command::Unblocked { partition });
        }
    }

    fn judge(&mut self, now: Moment, slot: Slot, verdict: Verdict) {
        match verdict {
            Verdict::Applied => {
                self.tally.applied += 1;
                self.with_item(slot, |item| item.progress = Progress::Done);
                // It makes headway.
                if let Some(state) = self.current(slot.partition, slot.generation) {
                    state.backoff.reset();
                }
            }
            Verdict::AppliedFirst => {
                // It goes once more after a look at the index: where all is well it is found there already.
                self.await_index(slot, false);
            }
            Verdict::Superseded => {
                self.tally.superseded += 1;
                self.with_item(slot, |item| item.progress = Progress::Done);
            }
            Verdict::Retry { .. } => {
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
