//! A partition's batch, from its making to its end.

use std::{collections::HashMap, time::Duration};

use understudy_common::{
    effect::DocumentState,
    planted::{Bug, planted},
    record::is_void,
};

use super::{Around, Partition, Phase};
use crate::{
    batcher::Room,
    engine::{
        Command, DeadLetter, LetterTicket, Reference, ReferenceTicket, Sighting, StopReason,
        indices::{Indices, Readiness, differs_text},
        item::{Item, Progress},
        queued::{Content, Needed},
    },
    request::effect_len,
    verdict::Reason,
};

impl Partition {
    /// Fills the batch of an idle partition, as far as there is room.
    pub(in crate::engine) fn take(&mut self, partition: i32, mut room: Room, around: Around<'_>) {
        let Around { hasher, limits, indices, tally, out } = around;
        let mut places: HashMap<u128, usize> = HashMap::new();
        self.waits = None;
        self.busy = true;
        self.oldest_ms = self.queue.front().map(|queued| queued.origin.record.at_ms);
        while let Some(queued) = self.queue.front_mut() {
            let origin = queued.origin.clone();
            match &mut queued.content {
                Content::Foreign(text) => {
                    if room.is_full() {
                        break;
                    }
                    let ticket = LetterTicket { partition, generation: self.generation, item: None };
                    let reason = Reason { status: 0, kind: "unreadable_record".into(), text: std::mem::take(text) };
                    out.push(Command::DeadLetter(DeadLetter { ticket, origin, effect: None, reason }));
                    self.open_letters += 1;
                    self.batch_bytes += queued.bytes;
                }
                Content::Newer(text) => {
                    // What stands before it is applied and committed first.
                    if self.batch.is_empty() && self.open_letters == 0 {
                        let detail = format!("offset {}: {text}", origin.record.offset);
                        self.finish(partition, out);
                        self.stop(StopReason::Newer);
                        let (generation, reason) = (self.generation, StopReason::Newer);
                        out.push(Command::Stopped { partition, generation, reason, detail });
                        return;
                    }
                    break;
                }
                Content::Effects { indices: needed, effects } => {
                    let at_ms = origin.record.at_ms;
                    let mut waits = None;
                    while let Some(effect) = effects.front() {
                        if is_void(at_ms, origin.ticket_ms, limits.ticket_lifetime) {
                            tally.void += effects.len() as u64;
                            self.queued_effects -= effects.len();
                            effects.clear();
                            break;
                        }
                        let Needed { index, mapping, shards } = &needed[&effect.key.index];
                        let name = hasher.name(&index.uuid, *shards, &effect.key);
                        if self.window.is_older(name, effect.order(), at_ms) {
                            tally.stale += 1;
                            self.queued_effects -= 1;
                            effects.pop_front();
                            continue;
                        }
                        if !room.fits(effect) {
                            room.close();
                            break;
                        }
                        match indices.readiness(index, *mapping) {
                            Readiness::Ready => {}
                            Readiness::Wait => {
                                waits = Some((index.clone(), *mapping));
                                break;
                            }
                            Readiness::Differs(label) => {
                                if self.batch.is_empty() && self.open_letters == 0 {
                                    let detail = differs_text(index, label);
                                    self.finish(partition, out);
                                    self.stop(StopReason::Incarnation);
                                    let (generation, reason) = (self.generation, StopReason::Incarnation);
                                    out.push(Command::Stopped { partition, generation, reason, detail });
                                    return;
                                }
                                room.close();
                                break;
                            }
                        }
                        if effect.client_version.is_some() {
                            indices.learn_client_versions(&index.uuid);
                        }
                        self.window.pass(name, effect.order(), at_ms);
                        room.put(effect);
                        let index = index.clone();
                        let Some(effect) = effects.pop_front() else { break };
                        self.queued_effects -= 1;
                        self.batch_bytes += effect_len(&effect);
                        let item = Item::new(name, effect, index, origin.clone());
                        match places.get(&name) {
                            Some(&place) => {
                                tally.collapsed += 1;
                                // Of two with one version the observed one stays (`observation_wins`).
                                if item.effect.order() >= self.batch[place].effect.order() {
                                    self.batch[place] = item;
                                }
                            }
                            None => {
                                places.insert(name, self.batch.len());
                                self.batch.push(item);
                            }
                        }
                    }
                    if !effects.is_empty() {
                        if let Some((index, mapping)) = waits {
                            indices.want(&index, mapping, out);
                            self.waits = Some((index, mapping));
                        }
                        break;
                    }
                }
            }
            self.queued_bytes -= queued.bytes;
            self.last_ms = Some(queued.origin.record.at_ms);
            self.queue.pop_front();
        }
        if planted(Bug::CommitBeforeApplying) {
            let done = self.queue.front().map_or(self.next_offset, |queued| queued.origin.record.offset);
            self.offsets.iter_mut().for_each(|offsets| offsets.advance(done, self.last_ms));
        }
        self.read_references(partition, out);
        self.finish(partition, out);
    }

    /// What is left of the references after everything was collapsed is read from the primary.
    fn read_references(&mut self, partition: i32, out: &mut Vec<Command>) {
        for (place, item) in self.batch.iter_mut().enumerate() {
            if item.effect.state == DocumentState::Reference && item.progress == Progress::Ready {
                item.progress = Progress::AwaitsRead;
                let ticket = ReferenceTicket { partition, generation: self.generation, item: place };
                let (effect, index) = (item.effect.clone(), item.index.clone());
                out.push(Command::Read(Reference { ticket, effect, index }));
            }
        }
    }

    /// A reference was read: it is what the primary has now, and counts for as much in the window.
    pub(in crate::engine) fn was_read(
        &mut self,
        place: usize,
        sighting: Sighting,
        indices: &mut Indices,
        out: &mut Vec<Command>,
    ) {
        let Some(item) = self.batch.get_mut(place).filter(|item| item.progress == Progress::AwaitsRead) else { return };
        let Sighting { effect, mapping } = sighting;
        self.window.pass(item.name, effect.order(), item.origin.record.at_ms);
        // The log had no room for it, so it is as large as any.
        item.alone = effect.source_len() > 0;
        item.effect = effect;
        item.progress = match indices.want_for_item(&item.index, mapping, out) {
            Some(awaited) => Progress::AwaitsIndex(awaited),
            None => Progress::Ready,
        };
    }

    /// Closes the batch once everything in it is done.
    pub(in crate::engine) fn finish(&mut self, partition: i32, out: &mut Vec<Command>) {
        let open = self.open_letters > 0 || self.batch.iter().any(|item| item.progress != Progress::Done);
        if !self.busy || open {
            return;
        }
        self.busy = false;
        if self.settling.repeated() {
            out.push(Command::Settled { partition });
        }
        self.batch.clear();
        self.batch_bytes = 0;
        self.oldest_ms = None;
        self.backoff.reset();
        self.retry_at = Duration::ZERO;
        let stopped = matches!(self.phase, Phase::Stopped(_));
        let done = self.queue.front().map_or(self.next_offset, |queued| queued.origin.record.offset);
        // What a stopped partition had read was given up, and its own position with it.
        if let Some(offsets) = self.offsets.as_mut().filter(|_| !stopped) {
            offsets.advance(done, self.last_ms);
        }
    }
}
