//! Making bulks of what the partitions have.

use std::sync::Arc;

use super::{BULKS, Bulk, Command, Engine, Moment, Slot, Way, item::Progress, partition::Around};
use crate::batcher::Room;

impl Engine {
    /// Sends as much as may be under way.
    pub(super) fn compose(&mut self, now: Moment) {
        if !self.open || now.at < self.sends_from() {
            return;
        }
        while self.bulks.len() < BULKS {
            let (mut slots, mut bulk) = self.collect(now, Way::Force);
            if slots.is_empty() {
                (slots, bulk) = self.collect(now, Way::Versions);
            }
            if slots.is_empty() {
                return;
            }
            self.flying.extend(slots.iter().map(|slot| slot.partition));
            self.bulks.insert(bulk.id, slots);
            self.out.push(Command::Send(bulk));
        }
    }

    /// Goes round the partitions, beginning after the one that was served first the last time.
    fn collect(&mut self, now: Moment, way: Way) -> (Vec<Slot>, Bulk) {
        let mut room = Room::new(self.limit.get(), self.limits.batch_bytes);
        let mut slots = Vec::new();
        let mut bulk = Bulk { id: self.next_bulk, way, effects: Vec::new(), requests: Vec::new() };
        let ripe = way == Way::Versions && self.is_ripe(now);
        let first = self.first;
        let mut order: Vec<i32> = self.partitions.keys().copied().collect();
        order.sort_by_key(|partition| (*partition < first, *partition));
        for partition in order {
            if room.is_full() {
                break;
            }
            let Some(state) = self.partitions.get_mut(&partition) else { continue };
            if self.flying.contains(&partition) || !state.is_served(now.at) {
                continue;
            }
            if ripe && state.waiting(&self.indices).is_some() {
                let around = Around {
                    hasher: &self.hasher,
                    limits: &self.limits,
                    indices: &mut self.indices,
                    tally: &mut self.tally,
                    out: &mut self.out,
                };
                state.take(partition, room, around);
            }
            for item in 0..state.batch.len() {
                let work = &state.batch[item];
                if work.progress != Progress::Ready || work.force != (way == Way::Force) {
                    continue;
                }
                if !room.fits(&work.effect) || (work.alone && !room.is_empty()) {
                    break;
                }
                room.put(&work.effect);
                if work.alone {
                    room.close();
                }
                slots.push(Slot { partition, generation: state.generation, item });
                bulk.effects.push(work.effect.clone());
                note(&mut bulk.requests, &work.origin.request);
                state.takes_off(item, &self.indices);
            }
        }
        if let Some(slot) = slots.first() {
            self.first = slot.partition + 1;
            self.next_bulk += 1;
        }
        (slots, bulk)
    }

    /// Whether new work is worth a bulk: enough of it, or old enough.
    fn is_ripe(&self, now: Moment) -> bool {
        let (mut effects, mut bytes) = (0, 0);
        for (partition, state) in &self.partitions {
            if self.flying.contains(partition) || !state.is_served(now.at) || !state.is_idle() {
                continue;
            }
            if let Some((waiting, waiting_bytes, since)) = state.waiting(&self.indices) {
                if now.at >= since + self.limits.linger {
                    return true;
                }
                effects += waiting;
                bytes += waiting_bytes;
            }
        }
        effects >= self.limit.get() || bytes >= self.limits.batch_bytes
    }
}

/// Neighbours are mostly of one request.
fn note(requests: &mut Vec<Arc<str>>, request: &Arc<str>) {
    if requests.last() != Some(request) {
        requests.push(request.clone());
    }
}
