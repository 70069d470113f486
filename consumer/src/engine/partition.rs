//! One partition: its queue, its window, its batch.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use understudy_common::{effect::Effect, record::is_void};

use super::{
    Command, DeadLetter, IndexId, LetterTicket, Limits, Origin, PartitionStatus, Received, StopReason, Tally,
    indices::{Indices, Readiness, differs_text},
    queued::{Content, Needed, Queued, queued},
};
use crate::{
    backoff::Backoff,
    batcher::Room,
    offsets::{Commit, Offsets},
    request::effect_len,
    verdict::Reason,
    window::{DocumentHasher, Window},
};

/// A log that ends before what was read of it is believed after this many looks: one may be older than the reading.
const LOOKS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Preparing,
    Running,
    Stopped(StopReason),
}

pub(super) enum Accepted {
    Yes,
    Ignored,
    /// The log jumps. `again`: also after reading it once more.
    Jumped {
        expected: i64,
        found: i64,
        again: bool,
    },
}

/// How far an item of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To be sent.
    Ready,
    /// In a bulk.
    Flying,
    /// Waits for this preparation of its index, or a later one.
    AwaitsIndex(u64),
    /// On its way into the dead-letter topic.
    Letter,
    Done,
}

pub(super) struct Item {
    pub(super) effect: Effect,
    pub(super) index: IndexId,
    pub(super) origin: Arc<Origin>,
    pub(super) progress: Progress,
    /// Whether its index was looked at once more after the target refused it.
    pub(super) synced: bool,
    /// A bulk with it was refused as a whole: it goes alone.
    pub(super) alone: bool,
}

/// What a partition needs of the engine to fill its batch.
pub(super) struct Around<'a> {
    pub(super) hasher: &'a DocumentHasher,
    pub(super) limits: &'a Limits,
    pub(super) indices: &'a mut Indices,
    pub(super) tally: &'a mut Tally,
    pub(super) out: &'a mut Vec<Command>,
}

pub(super) struct Partition {
    pub(super) generation: u64,
    pub(super) phase: Phase,
    pub(super) offsets: Option<Offsets>,
    pub(super) releasing: bool,
    pub(super) batch: Vec<Item>,
    pub(super) backoff: Backoff,
    pub(super) retry_at: Duration,
    pub(super) blocked: Option<Reason>,
    window: Window,
    next_offset: i64,
    reread_at: Option<i64>,
    behind: u32,
    queue: VecDeque<Queued>,
    queued_effects: usize,
    queued_bytes: usize,
    batch_bytes: usize,
    /// A batch is open: not everything that was taken is done.
    busy: bool,
    /// Records in the dead-letter topic, or on their way there, that could not be read.
    open_letters: usize,
    oldest_ms: Option<i64>,
    last_ms: Option<i64>,
    waits: Option<(IndexId, u64)>,
    paused: bool,
}

impl Partition {
    pub(super) fn preparing(generation: u64, limits: &Limits) -> Self {
        Self {
            generation,
            phase: Phase::Preparing,
            offsets: None,
            releasing: false,
            batch: Vec::new(),
            backoff: Backoff::new(limits.max_backoff),
            retry_at: Duration::ZERO,
            blocked: None,
            window: Window::new(limits.window),
            next_offset: 0,
            reread_at: None,
            behind: 0,
            queue: VecDeque::new(),
            queued_effects: 0,
            queued_bytes: 0,
            batch_bytes: 0,
            busy: false,
            open_letters: 0,
            oldest_ms: None,
            last_ms: None,
            waits: None,
            paused: false,
        }
    }

    pub(super) fn start(&mut self, offset: i64, last_ms: Option<i64>, window: Window) {
        self.phase = Phase::Running;
        self.next_offset = offset;
        self.window = window;
        self.last_ms = last_ms;
        self.offsets = Some(Offsets::new(offset, last_ms));
    }

    /// What was read is given up; what is under way is left to its answer.
    pub(super) fn stop(&mut self, reason: StopReason) {
        self.oldest_ms = self.oldest_unapplied();
        self.phase = Phase::Stopped(reason);
        self.queue.clear();
        (self.queued_effects, self.queued_bytes) = (0, 0);
        self.waits = None;
    }

    pub(super) fn accept(&mut self, now: Duration, received: Received) -> Accepted {
        let offset = received.record.offset;
        if self.phase != Phase::Running || offset < self.next_offset {
            return Accepted::Ignored;
        }
        if offset > self.next_offset {
            let again = self.reread_at.replace(self.next_offset) == Some(self.next_offset);
            return Accepted::Jumped { expected: self.next_offset, found: offset, again };
        }
        self.next_offset += 1;
        self.reread_at = None;
        let queued = queued(now, received);
        self.queued_bytes += queued.bytes;
        self.queued_effects += queued.len();
        self.queue.push_back(queued);
        Accepted::Yes
    }

    /// What is wrong when the log spans `low..high` now.
    pub(super) fn compare(&mut self, low: i64, high: i64) -> Option<String> {
        if self.phase != Phase::Running {
            return None;
        }
        let next = self.next_offset;
        if low > next {
            return Some(format!("the log begins at offset {low} by now, and {next} was to be read next"));
        }
        self.behind = if high < next { self.behind + 1 } else { 0 };
        (self.behind >= LOOKS).then(|| {
            format!(
                "the log ends at offset {high}, and was read up to {next} before: it lost records or is another log"
            )
        })
    }

    /// Fills the batch of an idle partition, as far as there is room.
    pub(super) fn take(&mut self, partition: i32, mut room: Room, around: Around<'_>) {
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
                        self.finish();
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
                        if self.window.is_older(name, effect.version, at_ms) {
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
                                    self.finish();
                                    self.stop(StopReason::Incarnation);
                                    let (generation, reason) = (self.generation, StopReason::Incarnation);
                                    out.push(Command::Stopped { partition, generation, reason, detail });
                                    return;
                                }
                                room.close();
                                break;
                            }
                        }
                        self.window.pass(name, effect.version, at_ms);
                        room.put(effect);
                        let index = index.clone();
                        let Some(effect) = effects.pop_front() else { break };
                        self.queued_effects -= 1;
                        self.batch_bytes += effect_len(&effect);
                        let (origin, progress) = (origin.clone(), Progress::Ready);
                        let item = Item { effect, index, origin, progress, synced: false, alone: false };
                        match places.get(&name) {
                            Some(&place) => {
                                tally.collapsed += 1;
                                if item.effect.version >= self.batch[place].effect.version {
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
        self.finish();
    }

    /// Closes the batch once everything in it is done.
    pub(super) fn finish(&mut self) {
        let open = self.open_letters > 0 || self.batch.iter().any(|item| item.progress != Progress::Done);
        if !self.busy || open {
            return;
        }
        self.busy = false;
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

    pub(super) fn letter_kept(&mut self, item: Option<usize>) {
        match item {
            None => self.open_letters = self.open_letters.saturating_sub(1),
            Some(item) => {
                if let Some(item) = self.batch.get_mut(item).filter(|item| item.progress == Progress::Letter) {
                    item.progress = Progress::Done;
                }
            }
        }
        self.finish();
    }

    pub(super) fn index_ready(&mut self, index: &IndexId, sequence: u64) {
        for item in self.batch.iter_mut().filter(|item| item.index == *index) {
            if matches!(item.progress, Progress::AwaitsIndex(awaited) if awaited <= sequence) {
                item.progress = Progress::Ready;
            }
        }
    }

    pub(super) fn waits_for(&self, index: &IndexId) -> bool {
        let awaits = |item: &Item| matches!(item.progress, Progress::AwaitsIndex(_)) && item.index == *index;
        self.batch.iter().any(awaits)
    }

    /// Whether it may contribute to a bulk now.
    pub(super) fn is_served(&self, now: Duration) -> bool {
        self.phase == Phase::Running && !self.releasing && now >= self.retry_at
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.busy
    }

    /// Effects and bytes that wait for a batch, and since when; `None` when nothing can be taken now.
    pub(super) fn waiting(&self, indices: &Indices) -> Option<(usize, usize, Duration)> {
        let front = self.queue.front().filter(|_| !self.busy)?;
        if let Some((index, mapping)) = &self.waits
            && matches!(indices.readiness(index, *mapping), Readiness::Wait)
        {
            return None;
        }
        Some((self.queued_effects, self.queued_bytes, front.arrived))
    }

    pub(super) fn has_work_at(&self, linger: Duration, indices: &Indices) -> Option<Duration> {
        if self.phase != Phase::Running || self.releasing {
            return None;
        }
        if self.batch.iter().any(|item| item.progress == Progress::Ready) {
            return Some(self.retry_at);
        }
        self.waiting(indices).map(|(_, _, since)| (since + linger).max(self.retry_at))
    }

    /// `Some(true)`: pause it now; `Some(false)`: resume it.
    pub(super) fn hold_back(&mut self, share: usize) -> Option<bool> {
        if self.phase != Phase::Running {
            return None;
        }
        let held = self.queued_bytes + self.batch_bytes;
        let pause = if self.paused { held > share / 2 } else { held > share };
        (std::mem::replace(&mut self.paused, pause) != pause).then_some(pause)
    }

    pub(super) fn last_commit(&self, partition: i32) -> Option<Commit> {
        self.offsets.as_ref().filter(|offsets| offsets.done() > offsets.confirmed()).map(|o| o.last(partition))
    }

    fn oldest_unapplied(&self) -> Option<i64> {
        self.oldest_ms.or_else(|| self.queue.front().map(|queued| queued.origin.record.at_ms))
    }

    pub(super) fn status(&self, partition: i32) -> PartitionStatus {
        PartitionStatus {
            partition,
            generation: self.generation,
            done: self.offsets.as_ref().map(Offsets::done),
            committed: self.offsets.as_ref().map(Offsets::confirmed),
            oldest_ms: self.oldest_unapplied(),
            window: self.window.len(),
            stopped: match self.phase {
                Phase::Stopped(reason) => Some(reason),
                _ => None,
            },
        }
    }
}
