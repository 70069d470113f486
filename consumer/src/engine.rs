//! The consumer's decisions: what is sent, dropped, sent again, put aside, committed. Pure: time, randomness and answers
//! come in, commands go out.
//!
//! ```text
//! records ─► queue of a partition ─► void? ─► window ─► index ready? ─► batch ─┐ one a partition
//!                                                                             ├─► bulk ─► target
//!                                                       batches of others ────┘     │
//!            commit ◄─ offsets ◄─ batch done ◄─ every item done ◄─ verdicts ◄────────┘
//!                └── held back, and deletes applied again, while a late bulk may arrive (`settling`)
//! ```
//!
//! A partition gets new work when every item of its batch is done, not before. So at most one of its effects of one
//! document is under way at a time, and its effects reach the target in the order in which the window lets them pass.

mod answer;
mod bulk;
mod command;
mod indices;
mod item;
mod partition;
mod queued;
mod settling;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

pub use command::{
    Bulk, Command, DeadLetter, IndexId, LetterTicket, Limits, Moment, Origin, PartitionStatus, Received, Reference,
    ReferenceTicket, Sighting, StopReason, Tally, Way,
};
use indices::Indices;
use partition::{Around, Compared, Partition, Phase};

use crate::{
    backoff::Backoff,
    batcher::ActionLimit,
    offsets::{Commit, Offsets, Start},
    window::{DocumentHasher, Window},
};

/// Bulks under way at once, for different partitions: while a target works on one, the next one is being made. More
/// would only queue in the target.
pub const BULKS: usize = 2;

/// After it stood still, the process sends nothing for so long: the group may have given its partitions to others, and
/// is about to tell it.
const CAUTION: Duration = Duration::from_secs(2);

/// Why a log is read anew.
const JUMPED: &str = "the log jumped";

/// One item of a bulk: where its verdict belongs.
#[derive(Clone, Copy, Debug)]
struct Slot {
    partition: i32,
    generation: u64,
    item: usize,
}

/// The state machine of one consumer.
pub struct Engine {
    limits: Limits,
    hasher: DocumentHasher,
    partitions: BTreeMap<i32, Partition>,
    indices: Indices,
    /// Whether the target may be written at all.
    open: bool,
    limit: ActionLimit,
    bulks: HashMap<u64, Vec<Slot>>,
    /// Partitions with items in a bulk under way, also after they were lost: nothing more is sent for them.
    flying: HashSet<i32>,
    /// Records of lost partitions of which something is in a bulk: by partition and generation, as [`Command::Report`].
    lost: HashMap<(i32, u64), (i64, i64)>,
    next_bulk: u64,
    /// The partition that is served first next time.
    first: i32,
    target_backoff: Backoff,
    target_retry_at: Duration,
    /// Nothing is sent before, after the process stood still.
    cautious_until: Duration,
    target_up: bool,
    tally: Tally,
    out: Vec<Command>,
}

impl Engine {
    /// One without partitions, whose target may not be written yet.
    #[must_use]
    pub fn new(limits: Limits, hasher: DocumentHasher) -> Self {
        Self {
            hasher,
            partitions: BTreeMap::new(),
            indices: Indices::default(),
            open: false,
            limit: ActionLimit::new(limits.batch_actions),
            bulks: HashMap::new(),
            flying: HashSet::new(),
            lost: HashMap::new(),
            next_bulk: 0,
            first: 0,
            target_backoff: Backoff::new(limits.max_backoff),
            target_retry_at: Duration::ZERO,
            cautious_until: Duration::ZERO,
            target_up: true,
            tally: Tally::default(),
            out: Vec::new(),
            limits,
        }
    }

    /// A partition was assigned; its start is being prepared.
    pub fn assigned(&mut self, partition: i32, generation: u64) {
        self.partitions.insert(partition, Partition::preparing(generation, &self.limits));
    }

    /// A partition begins, with its window. Everything that the schema topic said when it was assigned was told before
    /// ([`Engine::client_versions`]).
    pub fn started(&mut self, now: Moment, partition: i32, generation: u64, start: Start, window: Window) {
        let until = now.at + self.limits.lingers;
        let Some(state) = self.partitions.get_mut(&partition).filter(|state| state.generation == generation) else {
            return;
        };
        if state.phase == Phase::Preparing {
            state.start(&start, window);
            if !start.clean {
                state.disturb(partition, until, true, &mut self.out);
            }
        }
    }

    /// Clients of the indices with these UUIDs gave versions of their own.
    pub fn client_versions(&mut self, uuids: &[Arc<str>]) {
        uuids.iter().for_each(|uuid| self.indices.learn_client_versions(uuid));
    }

    /// Records are missing where a partition would begin: it stays behind at its committed offset.
    pub fn cannot_begin(&mut self, partition: i32, generation: u64, committed: Option<i64>, detail: String) {
        if let Some(state) = self.current(partition, generation).filter(|state| state.phase == Phase::Preparing) {
            // Nothing is ever sent for it, so Kafka may keep what it says.
            let start = Start { offset: committed.unwrap_or(0), last_ms: None, clean: true, sealed: false };
            state.offsets = Some(Offsets::new(&start));
            self.stop(partition, generation, StopReason::Gap, detail);
        }
    }

    /// A partition cannot go on: it stays assigned, and nothing of it is applied.
    pub fn stop(&mut self, partition: i32, generation: u64, reason: StopReason, detail: String) {
        if let Some(state) = self.current(partition, generation).filter(|state| state.phase != Phase::Stopped(reason)) {
            state.stop(reason);
            self.out.push(Command::Stopped { partition, generation, reason, detail });
        }
    }

    /// A record was read.
    pub fn record(&mut self, now: Moment, partition: i32, generation: u64, received: Received) {
        let Some(state) = self.current(partition, generation) else { return };
        match state.accept(now.at, received) {
            partition::Accepted::Yes | partition::Accepted::Ignored => {}
            partition::Accepted::Jumped { expected } => {
                self.out.push(Command::ReadFrom { partition, generation, offset: expected, reason: JUMPED });
            }
        }
    }

    /// Logs that jumped are read anew, and stop where that does not help.
    fn mend_jumps(&mut self, now: Duration) {
        let jumped: Vec<(i32, u64, partition::Jumped)> = self
            .partitions
            .iter_mut()
            .filter_map(|(partition, state)| Some((*partition, state.generation, state.after_jump(now)?)))
            .collect();
        for (partition, generation, jumped) in jumped {
            match jumped {
                partition::Jumped::Again { expected } => {
                    self.out.push(Command::ReadFrom { partition, generation, offset: expected, reason: JUMPED });
                }
                partition::Jumped::Gap { expected, found } => {
                    let detail = format!(
                        "the log goes on at offset {found}, and {expected} was expected: records are gone, or a producer that is not ours wrote transactions"
                    );
                    self.stop(partition, generation, StopReason::Gap, detail);
                }
            }
        }
    }

    /// What the log of a partition spans now.
    pub fn watermarks(&mut self, partition: i32, generation: u64, low: i64, high: i64) {
        let Some(state) = self.current(partition, generation) else { return };
        match state.compare(low, high) {
            Compared::Fine => {}
            Compared::Gap(detail) => self.stop(partition, generation, StopReason::Gap, detail),
            Compared::Still { next } => {
                self.out.push(Command::ReadFrom {
                    partition,
                    generation,
                    offset: next,
                    reason: "nothing is read of a log that goes on",
                });
            }
        }
    }

    /// Whether the target may be written: it is known to be another cluster than the primary.
    pub fn permit(&mut self, open: bool) {
        self.open = open;
    }

    /// The target answers (again): what waits for it need not wait any longer.
    pub fn target_answers(&mut self) {
        self.target_retry_at = Duration::ZERO;
    }

    /// Another cluster stands behind the target's address: what was known of its indices is void.
    pub fn target_changed(&mut self) {
        self.indices.forget_all();
    }

    /// An index of the target is as the primary had it at this mapping version.
    pub fn index_ready(&mut self, index: &IndexId, sequence: u64, mapping: u64) {
        self.indices.prepared(index, sequence, mapping, &mut self.out);
        for state in self.partitions.values_mut() {
            state.index_ready(index, sequence);
        }
    }

    /// An index of the target was made from another incarnation than its effects.
    pub fn index_differs(&mut self, index: &IndexId, label: &str) {
        self.indices.differs(index, label);
        let waiting: Vec<(i32, u64)> = self
            .partitions
            .iter()
            .filter(|(_, state)| state.waits_for(index))
            .map(|(partition, state)| (*partition, state.generation))
            .collect();
        for (partition, generation) in waiting {
            self.stop(partition, generation, StopReason::Incarnation, indices::differs_text(index, label));
        }
    }

    /// A dead letter is in Kafka.
    pub fn letter_kept(&mut self, ticket: LetterTicket) {
        self.tally.dead_letter += 1;
        let LetterTicket { partition, generation, item } = ticket;
        if let Some(state) = self.partitions.get_mut(&partition).filter(|state| state.generation == generation) {
            state.letter_kept(partition, item, &mut self.out);
        }
    }

    /// A reference was read from the primary.
    pub fn was_read(&mut self, ticket: ReferenceTicket, sighting: Sighting) {
        let ReferenceTicket { partition, generation, item } = ticket;
        if let Some(state) = self.partitions.get_mut(&partition).filter(|state| state.generation == generation) {
            state.was_read(item, sighting, &mut self.indices, &mut self.out);
        }
    }

    /// Kafka has a commit.
    pub fn committed(&mut self, commit: &Commit) {
        if let Some(offsets) =
            self.current(commit.partition, commit.generation).and_then(|state| state.offsets.as_mut())
        {
            offsets.confirm(commit.offset);
        }
    }

    /// The process stood still for a while.
    pub fn stood_still(&mut self, now: Moment) {
        self.cautious_until = now.at + CAUTION;
    }

    /// Partitions are taken away. Each is released ([`Command::Released`]) as soon as nothing of it is under way.
    pub fn revoke(&mut self, partitions: &[i32]) {
        for partition in partitions {
            match self.partitions.get_mut(partition) {
                Some(state) => state.releasing = true,
                None => self.out.push(Command::Released { partition: *partition, commit: None }),
            }
        }
        self.release();
    }

    /// Partitions are gone, without having been released: what was sent of them and is covered by no commit is reported
    /// ([`Command::Report`]), and what is in a bulk once more when that is answered. Answers count for nothing else.
    pub fn let_go(&mut self, partitions: &[i32]) -> Vec<Commit> {
        let mut commits = Vec::new();
        for &partition in partitions {
            let Some(state) = self.partitions.remove(&partition) else { continue };
            if let Some((from, to)) = state.uncovered() {
                self.out.push(Command::Report { partition, from, to });
            }
            if let Some(flying) = state.flying().filter(|_| self.flying.contains(&partition)) {
                self.lost.insert((partition, state.generation), flying);
            }
            commits.extend(state.last_commit(partition, true));
        }
        commits
    }

    /// What is to be done now.
    pub fn step(&mut self, now: Moment) -> Vec<Command> {
        self.release();
        self.mend_jumps(now.at);
        self.settle(now);
        self.compose(now);
        let due = |(partition, state): (&i32, &mut Partition)| state.commit_due(*partition, now.at);
        let commits: Vec<Commit> = self.partitions.iter_mut().filter_map(due).collect();
        if !commits.is_empty() {
            self.out.push(Command::Commit(commits));
        }
        self.hold_back();
        std::mem::take(&mut self.out)
    }

    /// When [`Engine::step`] has something to do although nothing happens.
    #[must_use]
    pub fn wakes_at(&self, now: Duration) -> Option<Duration> {
        let flies = |partition| self.flying.contains(partition);
        let commits = self.partitions.iter().filter_map(|(partition, state)| state.settles_at(flies(partition)));
        let work = self.open && self.bulks.len() < BULKS;
        let sends = self
            .partitions
            .iter()
            .filter(|(partition, _)| work && !self.flying.contains(partition))
            .filter_map(|(_, state)| state.has_work_at(self.limits.linger, &self.indices))
            .map(|at| at.max(self.sends_from()));
        let jumps = self.partitions.values().filter_map(Partition::jump_at);
        commits.chain(sends).chain(jumps).min().map(|at| at.max(now))
    }

    /// Counts since the beginning.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The most actions of a bulk, as it is now.
    #[must_use]
    pub fn action_limit(&self) -> usize {
        self.limit.get()
    }

    /// How each partition is doing.
    pub fn status(&self) -> impl Iterator<Item = PartitionStatus> + '_ {
        self.partitions.iter().map(|(partition, state)| state.status(*partition))
    }

    /// Whether bulks are under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.bulks.is_empty()
    }

    fn current(&mut self, partition: i32, generation: u64) -> Option<&mut Partition> {
        self.partitions.get_mut(&partition).filter(|state| state.generation == generation)
    }

    /// When something may be sent (again).
    fn sends_from(&self) -> Duration {
        self.target_retry_at.max(self.cautious_until)
    }

    /// Partitions with work are sealed, and those settle whose time is over.
    fn settle(&mut self, now: Moment) {
        for (partition, state) in &mut self.partitions {
            if self.open {
                state.seal();
            }
            if !self.flying.contains(partition) {
                let around = Around {
                    hasher: &self.hasher,
                    limits: &self.limits,
                    indices: &mut self.indices,
                    tally: &mut self.tally,
                    out: &mut self.out,
                };
                state.settle(*partition, now.at, around);
            }
        }
    }

    fn release(&mut self) {
        let flying = &self.flying;
        let ready: Vec<i32> = self
            .partitions
            .iter()
            .filter(|(partition, state)| state.releasing && !flying.contains(partition))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in ready {
            let commit = self.partitions.remove(&partition).and_then(|state| state.last_commit(partition, false));
            self.out.push(Command::Released { partition, commit });
        }
    }

    /// Each partition may hold its share of the buffer, so that one that is stuck does not starve the others.
    fn hold_back(&mut self) {
        let share = self.limits.max_buffered_bytes / self.partitions.len().max(1);
        for (partition, state) in &mut self.partitions {
            let generation = state.generation;
            if let Some(pause) = state.hold_back(share) {
                let partition = *partition;
                self.out.push(if pause {
                    Command::Pause { partition, generation }
                } else {
                    Command::Resume { partition, generation }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
