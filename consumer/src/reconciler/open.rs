//! The open intents of the partitions that this process has: what happens to them comes in, what is to be done goes out.
//! Pure.
//!
//! Of an intent only its place and its progress are held, never its list of documents: thousands are open for a moment while
//! much is written. A record is read back when its turn comes.

mod partition;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use partition::Partition;
use understudy_common::{intent::LOOK_PREFIX, observe::SeenCopy};

pub use super::progress::Times;
use super::{
    progress::Doing,
    turn::{Outcome, Seen, Turn, Wanted},
};
use crate::backoff::Backoff;

/// What is known of a record of the intents topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRecord {
    /// Its offset.
    pub offset: i64,
    /// Append time.
    pub at_ms: i64,
    /// Its key.
    pub request: Arc<str>,
    /// Bytes of its value; `None` is a tombstone.
    pub size: Option<usize>,
}

/// Names an open intent: another record under its key, or another assignment of its partition, is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId {
    /// Partition.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    /// Offset.
    pub offset: i64,
}

/// An intent of which everything was seen, and that is settled when the second look sees the same copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Which one.
    pub id: IntentId,
    /// Its request.
    pub request: Arc<str>,
    /// The copies that answered.
    pub copies: BTreeSet<SeenCopy>,
}

/// What the second look, or the settlement behind it, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The tombstone is in the log.
    Settled,
    /// Other copies are primaries now.
    Moved,
    /// The primary did not answer, or Kafka did not take the tombstone.
    Failed,
}

/// What is known of an intent that is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Who wrote it.
    pub gateway: Arc<str>,
    /// How many documents it has.
    pub documents: usize,
    /// Its age.
    pub age: Duration,
}

/// Something to be told about an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It stays open until somebody acts.
    SetAside(Arc<str>, String),
    /// Everything of it was seen once.
    Fresh(Arc<str>),
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open intents.
    pub open: usize,
    /// Those that are set aside.
    pub set_aside: usize,
    /// Age of the oldest one.
    pub oldest: Duration,
}

/// Intents whose records are read back together: what they take, about.
const TURN_BYTES: usize = 256 << 10;
/// And how many.
const TURN_INTENTS: usize = 500;
/// Intents of one second look.
const CONFIRMED_TOGETHER: usize = 100;

/// All open intents of this process.
pub struct Open {
    times: Times,
    partitions: BTreeMap<i32, Partition>,
    /// No turn before this time: the primary or Kafka is away.
    resumes: Duration,
    backoff: Backoff,
}

impl Open {
    /// None yet.
    #[must_use]
    pub fn new(times: Times) -> Self {
        let backoff = Backoff::new(times.max_pause);
        Self { times, partitions: BTreeMap::new(), resumes: Duration::ZERO, backoff }
    }

    /// A partition is ours. Nothing of it is looked at before [`Open::reached_end`].
    pub fn assigned(&mut self, partition: i32, generation: u64) {
        self.partitions.insert(partition, Partition::new(generation));
    }

    /// A partition is no longer ours.
    pub fn revoked(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Everything that stood in a partition when it was assigned was read.
    pub fn reached_end(&mut self, partition: i32, generation: u64) {
        if let Some(partition) = self.of(partition, generation) {
            partition.reached_end = true;
        }
    }

    /// A record was read. A later one takes the place of an earlier one under the same key.
    pub fn record(&mut self, partition: i32, generation: u64, record: IntentRecord, now: Duration) {
        let times = self.times;
        let Some(partition) = self.of(partition, generation) else { return };
        partition.clock.read(record.at_ms, now);
        partition.next = Some(record.offset + 1);
        if !record.request.starts_with(LOOK_PREFIX) {
            partition.replace(record, &times);
        }
    }

    /// A ticket was acknowledged in a partition.
    pub fn ticket(&mut self, partition: i32, at_ms: i64, now: Duration) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.clock.ticket(at_ms, now);
        }
    }

    /// The next turn: the intent that is due for the longest time, and others of its partition that are due. At most one
    /// turn is under way at a time.
    pub fn turn(&mut self, now: Duration) -> Option<Turn> {
        if now < self.resumes {
            return None;
        }
        let times = self.times;
        let due = |(number, partition): (&i32, &Partition)| Some((partition.due(&times, now).next()?.0, *number));
        let (_, number) = self.partitions.iter().filter_map(due).min()?;
        let partition = self.partitions.get_mut(&number)?;
        let (mut bytes, mut taken) = (0, Vec::new());
        for (_, offset, needs, size) in partition.due(&times, now).take(TURN_INTENTS) {
            bytes += size;
            if bytes > TURN_BYTES && !taken.is_empty() {
                break;
            }
            taken.push((offset, needs));
        }
        let generation = partition.generation;
        let wanted = taken.into_iter().filter_map(|(offset, needs)| {
            let intent = partition.intents.get_mut(&offset)?;
            let remaining = intent.progress.look(&times, intent.at_ms, needs);
            Some(Wanted { request: intent.request.clone(), offset, at_ms: intent.at_ms, needs, remaining })
        });
        Some(Turn::new(number, generation, wanted.collect()))
    }

    /// A turn is over. `failed`: it ended early, because the primary or Kafka did not answer.
    pub fn turned(&mut self, turn: Turn, failed: bool, now: Duration, dice: f64) -> Vec<Told> {
        if failed {
            self.resumes = now + self.backoff.next(dice);
        } else {
            self.backoff.reset();
        }
        let (times, number, generation) = (self.times, turn.partition, turn.generation);
        let outcomes = turn.end();
        // It failed before its first look. Others get their turn first: what failed may be about this partition alone.
        let taken = |outcome: &Outcome| {
            matches!(outcome, Outcome::Looked(seen) if seen.pass.oldest_ticket_ms.is_some())
                || matches!(outcome, Outcome::TooEarly)
        };
        let pauses = failed && !outcomes.iter().any(|(_, outcome)| taken(outcome));
        let Some(partition) = self.of(number, generation) else { return Vec::new() };
        let mut told = Vec::new();
        for (offset, outcome) in outcomes {
            let Some(intent) = partition.intents.get_mut(&offset) else { continue };
            let progress = &mut intent.progress;
            match outcome {
                Outcome::Gone => progress.pause(now, dice),
                Outcome::TooEarly => progress.doing = Doing::Waiting,
                Outcome::SetAside(reason) => {
                    progress.doing = Doing::SetAside;
                    told.push(Told::SetAside(intent.request.clone(), reason));
                }
                Outcome::Looked(seen) => {
                    let Seen { pass, whole, gateway, documents } = *seen;
                    intent.facts = Some((gateway, documents));
                    progress.looked(&times, intent.at_ms, pass, whole, now, dice);
                    if pauses {
                        progress.pause(now, dice);
                    }
                    if whole {
                        told.push(Told::Fresh(intent.request.clone()));
                    }
                }
            }
        }
        told
    }

    /// Intents whose second look is due.
    pub fn confirm(&mut self, now: Duration) -> Vec<Confirmation> {
        let mut confirmations = Vec::new();
        for (number, partition) in &mut self.partitions {
            let generation = partition.generation;
            for (offset, intent) in &mut partition.intents {
                match intent.progress.doing {
                    Doing::Settling(at) if at <= now && confirmations.len() < CONFIRMED_TOGETHER => {
                        intent.progress.doing = Doing::Confirming;
                        confirmations.push(Confirmation {
                            id: IntentId { partition: *number, generation, offset: *offset },
                            request: intent.request.clone(),
                            copies: intent.progress.copies(),
                        });
                    }
                    _ => {}
                }
            }
        }
        confirmations
    }

    /// What is known of an intent that was confirmed, when it may be settled: it is still ours, open, and the same.
    #[must_use]
    pub fn settle(&self, id: IntentId, now: Duration) -> Option<Settled> {
        let partition = self.partitions.get(&id.partition).filter(|partition| partition.generation == id.generation)?;
        let intent = partition.intents.get(&id.offset).filter(|intent| intent.progress.doing == Doing::Confirming)?;
        let (gateway, documents) = intent.facts.clone().unwrap_or_default();
        Some(Settled { gateway, documents, age: partition.clock.age(intent.at_ms, now) })
    }

    /// What became of a confirmation. Its tombstone may have been read before.
    pub fn confirmed(&mut self, id: IntentId, confirmed: Confirmed, now: Duration, dice: f64) {
        let Some(partition) = self.of(id.partition, id.generation) else { return };
        let intent = partition.intents.get_mut(&id.offset).filter(|intent| intent.progress.doing == Doing::Confirming);
        let Some(intent) = intent else { return };
        match confirmed {
            Confirmed::Moved => intent.progress.moved(now, dice),
            Confirmed::Failed => intent.progress.not_confirmed(now, dice),
            Confirmed::Settled => partition.remove(id.offset),
        }
    }

    /// For each partition the offset of the oldest open intent, or its end when none is open.
    #[must_use]
    pub fn commits(&self) -> BTreeMap<i32, i64> {
        let ready = self.partitions.iter().filter(|(_, partition)| partition.reached_end);
        ready.filter_map(|(number, partition)| Some((*number, partition.commit()?))).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self, now: Duration) -> Counts {
        let mut counts = Counts::default();
        for partition in self.partitions.values() {
            counts.open += partition.intents.len();
            for intent in partition.intents.values() {
                counts.set_aside += usize::from(intent.progress.doing == Doing::SetAside);
                counts.oldest = counts.oldest.max(partition.clock.age(intent.at_ms, now));
            }
        }
        counts
    }

    fn of(&mut self, partition: i32, generation: u64) -> Option<&mut Partition> {
        self.partitions.get_mut(&partition).filter(|partition| partition.generation == generation)
    }
}

#[cfg(test)]
mod tests;
