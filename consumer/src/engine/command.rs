//! What goes into the engine and what comes out.

use std::{sync::Arc, time::Duration};

use understudy_common::{
    effect::Effect,
    kafka::LogRecord,
    record::{EffectsRecord, Unreadable},
};

use crate::{offsets::Commit, verdict::Reason};

/// A moment, and a number from 0 to 1 by chance.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time since the process began.
    pub at: Duration,
    /// Chance.
    pub dice: f64,
}

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest bulk, in bytes.
    pub batch_bytes: usize,
    /// The most actions of a bulk.
    pub batch_actions: usize,
    /// How long a bulk that is not full waits for more.
    pub linger: Duration,
    /// The longest pause between two tries.
    pub max_backoff: Duration,
    /// Records that were read and not applied, in bytes.
    pub max_buffered_bytes: usize,
    /// `L`: an effect that was appended this long after its ticket, or later, is void.
    pub ticket_lifetime: Duration,
    /// `W`: the width of the window.
    pub window: Duration,
    /// The longest time that a request may linger in the target after whoever sent it is gone.
    pub lingers: Duration,
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Received {
    /// As it stands in the log.
    pub record: LogRecord,
    /// What it says.
    pub content: Result<EffectsRecord, Unreadable>,
}

/// The record that an effect came from.
#[derive(Debug)]
pub struct Origin {
    /// As it stands in the log.
    pub record: LogRecord,
    /// Id of the client's request.
    pub request: Arc<str>,
    /// Append time of its ticket.
    pub ticket_ms: i64,
}

/// An index of the primary: its name and UUID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexId {
    /// Name.
    pub index: Arc<str>,
    /// UUID.
    pub uuid: Arc<str>,
}

impl std::fmt::Display for IndexId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.uuid)
    }
}

/// How effects get to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With external versions: the target decides which effect is newer.
    Versions,
    /// By compare-and-set against the copy that is there: it is known that these are the newest.
    Force,
}

/// A bulk to be sent.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Comes back with the answer.
    pub id: u64,
    /// How its effects get there.
    pub way: Way,
    /// Its effects, in order.
    pub effects: Vec<Effect>,
    /// The requests that they came from.
    pub requests: Vec<Arc<str>>,
}

/// Whose place in its batch a dead letter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterTicket {
    /// Partition.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    /// The item; `None` for a record that could not be read.
    pub item: Option<usize>,
}

/// Whose place in its batch a reference has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceTicket {
    /// Partition.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    /// The item.
    pub item: usize,
}

/// An effect whose source is to be read from the primary.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Comes back with what was read.
    pub ticket: ReferenceTicket,
    /// The effect without its source.
    pub effect: Effect,
    /// The index that it belongs to.
    pub index: IndexId,
}

/// What was read from the primary in the place of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The document as it is, not older than the reference.
    pub effect: Effect,
    /// The mapping version that it needs.
    pub mapping: u64,
}

/// Something that the target will never take.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Comes back when it is kept.
    pub ticket: LetterTicket,
    /// The record it stands in.
    pub origin: Arc<Origin>,
    /// The effect; `None`: the whole record.
    pub effect: Option<Effect>,
    /// Why.
    pub reason: Reason,
}

/// Why a partition does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Records are missing from its log.
    Gap,
    /// An effect is of another incarnation of its index than the target's.
    Incarnation,
    /// A record that this build cannot read.
    Newer,
}

impl StopReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Gap, Self::Incarnation, Self::Newer];

    /// As it stands in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Incarnation => "incarnation",
            Self::Newer => "newer",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send a bulk.
    Send(Bulk),
    /// Make an index of the target ready for effects that need this mapping version.
    Prepare {
        /// Which.
        index: IndexId,
        /// Mapping version that is needed.
        mapping: u64,
        /// Comes back with the answer.
        sequence: u64,
    },
    /// Keep a dead letter.
    DeadLetter(DeadLetter),
    /// Commit offsets.
    Commit(Vec<Commit>),
    /// Stop reading a partition for a while.
    Pause {
        /// Partition.
        partition: i32,
        /// Generation of its assignment.
        generation: u64,
    },
    /// Read it again.
    Resume {
        /// Partition.
        partition: i32,
        /// Generation of its assignment.
        generation: u64,
    },
    /// Read a partition from this offset on.
    ReadFrom {
        /// Partition.
        partition: i32,
        /// Generation of its assignment.
        generation: u64,
        /// Offset.
        offset: i64,
        /// Why.
        reason: &'static str,
    },
    /// A partition does not go on.
    Stopped {
        /// Partition.
        partition: i32,
        /// Generation of its assignment.
        generation: u64,
        /// Why.
        reason: StopReason,
        /// In words.
        detail: String,
    },
    /// A partition that is taken away can go.
    Released {
        /// Partition.
        partition: i32,
        /// What is done.
        commit: Option<Commit>,
    },
    /// The target does not answer as it should.
    TargetDown(Reason),
    /// It does again.
    TargetUp,
    /// The target refuses effects of a partition for now.
    Blocked {
        /// Partition.
        partition: i32,
        /// Why.
        reason: Reason,
    },
    /// It takes them again.
    Unblocked {
        /// Partition.
        partition: i32,
    },
    /// A bulk of a partition may still arrive in the target, of a former owner or unanswered: it goes on, and commits
    /// nothing.
    Unsettled {
        /// Partition.
        partition: i32,
        /// Whether it is of a former owner.
        taken_over: bool,
    },
    /// Nothing can arrive any more, and what it might have undone was applied again.
    Settled {
        /// Partition.
        partition: i32,
    },
    /// A partition was lost with effects under way that no commit covers: others must look at their documents.
    Report {
        /// Partition.
        partition: i32,
        /// The first record that is not covered.
        from: i64,
        /// The record after the last one of which something was sent.
        to: i64,
    },
    /// Read a document from the primary.
    Read(Reference),
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Effects that the target took.
    pub applied: u64,
    /// Effects that it had already, or newer ones.
    pub superseded: u64,
    /// Sent again.
    pub retried: u64,
    /// Refused for the time being.
    pub blocked: u64,
    /// Put into the dead-letter topic.
    pub dead_letter: u64,
    /// Appended too late after their ticket.
    pub void: u64,
    /// Older than what the window knew.
    pub stale: u64,
    /// Replaced by a later effect of the same batch.
    pub collapsed: u64,
    /// Effects that the target has by compare-and-set, because versions said nothing.
    pub forced: u64,
}

/// How a partition is doing.
#[derive(Clone, Copy, Debug)]
pub struct PartitionStatus {
    /// Partition.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    /// The first offset that is not done, once known.
    pub done: Option<i64>,
    /// The committed offset, once known.
    pub committed: Option<i64>,
    /// Append time of the first record that is not done, once it was read.
    pub oldest_ms: Option<i64>,
    /// Documents in its window.
    pub window: usize,
    /// Why it does not go on.
    pub stopped: Option<StopReason>,
    /// Whether it commits nothing for now, because a bulk may still arrive in the target.
    pub unsettled: bool,
}
