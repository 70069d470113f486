//! Which offset of a partition may be committed, and when; and whether the next owner finds it let go in good order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often offsets are committed while they move.
const PACE: Duration = Duration::from_millis(200);
/// After this long without a word a commit is sent again.
const UNANSWERED: Duration = Duration::from_secs(2);

/// A commit: every record before `offset` is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Partition.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    /// The first offset that is not done.
    pub offset: i64,
    /// Append time of the record before it.
    pub last_ms: Option<i64>,
    /// Whether its owner lets the partition go with this, and nothing of it is under way or unanswered.
    pub clean: bool,
}

/// What is kept beside a committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMetadata {
    /// Append time of the record before the committed offset, the last one that was done. A topic that was created anew
    /// has another record there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<i64>,
    /// Whether the owner let the partition go with nothing of it under way. Whoever finds something else took over from
    /// one that is gone, whose last bulk may still arrive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clean: bool,
}

impl Commit {
    /// The text that Kafka keeps beside the offset.
    #[must_use]
    pub fn metadata(&self) -> String {
        let Self { last_ms, clean, .. } = *self;
        serde_json::to_string(&CommitMetadata { last_ms, clean }).unwrap_or_default()
    }
}

/// Where a partition begins, and how it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first offset to be applied.
    pub offset: i64,
    /// Append time of the record before it, where there is one.
    pub last_ms: Option<i64>,
    /// Whether no bulk of another owner can still arrive.
    pub clean: bool,
    /// Whether Kafka already says that the partition has an owner: who begins after a crash finds it unclean.
    pub sealed: bool,
}

/// Whether Kafka says that the partition has an owner who may have bulks under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seal {
    /// It says what it said when the partition began: nothing may be sent.
    Absent,
    /// It is to be said.
    Wanted,
    /// It says so.
    Kept,
}

/// The offsets of one partition. They only rise.
#[derive(Clone, Debug)]
pub struct Offsets {
    done: i64,
    last_ms: Option<i64>,
    confirmed: i64,
    sent: Option<(i64, Duration)>,
    seal: Seal,
}

impl Offsets {
    /// Everything before `start` was done and committed by others.
    #[must_use]
    pub fn new(start: &Start) -> Self {
        let Start { offset, last_ms, sealed, .. } = *start;
        let seal = if sealed { Seal::Kept } else { Seal::Absent };
        Self { done: offset, last_ms, confirmed: offset, sent: None, seal }
    }

    /// The first offset that is not done.
    #[must_use]
    pub fn done(&self) -> i64 {
        self.done
    }

    /// The offset that Kafka confirmed.
    #[must_use]
    pub fn confirmed(&self) -> i64 {
        self.confirmed
    }

    /// Every record before `offset` is done; the last one was appended at `last_ms`.
    pub fn advance(&mut self, offset: i64, last_ms: Option<i64>) {
        if offset > self.done {
            self.done = offset;
            self.last_ms = last_ms.or(self.last_ms);
        }
    }

    /// Kafka has this offset. What is committed before the end takes the seal along.
    pub fn confirm(&mut self, offset: i64) {
        self.confirmed = self.confirmed.max(offset.min(self.done));
        self.seal = Seal::Kept;
    }

    /// Something is to be sent: Kafka must know before that the partition is not as it was left, or else a crash before the
    /// first commit would look like an orderly end.
    pub fn seal(&mut self) {
        if self.seal == Seal::Absent {
            self.seal = Seal::Wanted;
        }
    }

    /// Whether Kafka knows that the partition has an owner.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.seal == Seal::Kept
    }

    /// What must be committed by now, at the pace of commits.
    pub fn due(&mut self, partition: i32, generation: u64, now: Duration) -> Option<Commit> {
        if self.due_at()? > now {
            return None;
        }
        self.sent = Some((self.done, now));
        Some(self.commit(partition, generation, false))
    }

    /// When [`Offsets::due`] has something.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        if self.done <= self.confirmed && self.seal != Seal::Wanted {
            return None;
        }
        Some(match self.sent {
            None => Duration::ZERO,
            Some((offset, at)) => at + if offset < self.done { PACE } else { UNANSWERED },
        })
    }

    /// What is committed when the partition is let go: nothing where Kafka says it already.
    #[must_use]
    pub fn last(&self, partition: i32, generation: u64, clean: bool) -> Option<Commit> {
        let told = if clean { self.seal == Seal::Absent } else { true };
        (self.done > self.confirmed || !told).then(|| self.commit(partition, generation, clean))
    }

    fn commit(&self, partition: i32, generation: u64, clean: bool) -> Commit {
        Commit { partition, generation, offset: self.done, last_ms: self.last_ms, clean }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn from(offset: i64, last_ms: Option<i64>, sealed: bool) -> Offsets {
        Offsets::new(&Start { offset, last_ms, clean: !sealed, sealed })
    }

    #[test]
    fn commits_keep_their_pace_and_are_repeated_until_confirmed() {
        let mut offsets = from(10, None, true);
        assert_eq!(offsets.due(3, 1, ms(0)), None);
        offsets.advance(12, Some(77));
        let commit = Commit { partition: 3, generation: 1, offset: 12, last_ms: Some(77), clean: false };
        assert_eq!(offsets.due(3, 1, ms(1)), Some(commit));
        assert_eq!(offsets.due(3, 1, ms(2)), None, "sent already");
        offsets.advance(15, Some(80));
        assert_eq!(offsets.due(3, 1, ms(100)), None, "too soon");
        assert_eq!(offsets.due(3, 1, ms(201)).unwrap().offset, 15);
        offsets.confirm(12);
        assert_eq!(offsets.due(3, 1, ms(2_200)), None);
        assert_eq!(offsets.due(3, 1, ms(2_201)).unwrap().offset, 15, "no answer");
        offsets.confirm(15);
        assert_eq!(offsets.due_at(), None);
    }

    #[test]
    fn offsets_never_fall() {
        let mut offsets = from(10, Some(1), true);
        offsets.advance(9, Some(2));
        offsets.confirm(50);
        assert_eq!(offsets.confirmed(), 10);
        assert_eq!(offsets.last(0, 1, true).unwrap().metadata(), r#"{"last_ms":1,"clean":true}"#);
    }

    #[test]
    fn a_partition_is_sealed_before_it_is_touched_and_opened_in_the_end() {
        let mut offsets = from(0, None, false);
        assert_eq!(offsets.last(0, 1, true), None, "it is as it was");
        offsets.seal();
        assert!(!offsets.is_sealed());
        let seal = offsets.due(0, 1, ms(5)).unwrap();
        assert_eq!((seal.offset, seal.metadata().as_str()), (0, "{}"));
        assert_eq!(offsets.due(0, 1, ms(6)), None);
        assert!(!offsets.is_sealed(), "not confirmed yet");
        offsets.confirm(0);
        assert!(offsets.is_sealed());
        assert_eq!(offsets.due_at(), None);
        assert_eq!(offsets.last(0, 1, false), None, "nothing is new");
        assert_eq!(offsets.last(0, 1, true).unwrap().metadata(), r#"{"clean":true}"#);
        assert!(from(7, Some(1), true).is_sealed(), "it was left so");
    }

    #[test]
    fn metadata_of_former_builds_and_of_operators_is_not_clean() {
        let read = |text: &str| serde_json::from_str::<CommitMetadata>(text).ok();
        assert_eq!(read("{\"last_ms\":1}"), Some(CommitMetadata { last_ms: Some(1), clean: false }));
        assert_eq!(read(""), None);
    }
}
