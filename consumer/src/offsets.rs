//! Which offset of a partition may be committed, and when.

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
    /// The first offset that is not done.
    pub offset: i64,
    /// Append time of the record before it.
    pub last_ms: Option<i64>,
}

/// What is kept beside a committed offset: the append time of the last record that was done. A topic that was created
/// anew has another record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMetadata {
    /// Append time of the record before the committed offset.
    pub last_ms: i64,
}

impl Commit {
    /// The text that Kafka keeps beside the offset.
    #[must_use]
    pub fn metadata(&self) -> String {
        self.last_ms.and_then(|last_ms| serde_json::to_string(&CommitMetadata { last_ms }).ok()).unwrap_or_default()
    }
}

/// The offsets of one partition. They only rise.
#[derive(Clone, Debug)]
pub struct Offsets {
    done: i64,
    last_ms: Option<i64>,
    confirmed: i64,
    sent: Option<(i64, Duration)>,
}

impl Offsets {
    /// Everything before `start` was done and committed by others.
    #[must_use]
    pub fn new(start: i64, last_ms: Option<i64>) -> Self {
        Self { done: start, last_ms, confirmed: start, sent: None }
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

    /// Kafka has this offset.
    pub fn confirm(&mut self, offset: i64) {
        self.confirmed = self.confirmed.max(offset.min(self.done));
    }

    /// What must be committed by now, at the pace of commits.
    pub fn due(&mut self, partition: i32, now: Duration) -> Option<Commit> {
        if self.due_at()? > now {
            return None;
        }
        self.sent = Some((self.done, now));
        Some(self.last(partition))
    }

    /// When [`Offsets::due`] has something.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        if self.done <= self.confirmed {
            return None;
        }
        Some(match self.sent {
            None => Duration::ZERO,
            Some((offset, at)) => at + if offset < self.done { PACE } else { UNANSWERED },
        })
    }

    /// What is committed when the partition is let go.
    #[must_use]
    pub fn last(&self, partition: i32) -> Commit {
        Commit { partition, offset: self.done, last_ms: self.last_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn commits_keep_their_pace_and_are_repeated_until_confirmed() {
        let mut offsets = Offsets::new(10, None);
        assert_eq!(offsets.due(3, ms(0)), None);
        offsets.advance(12, Some(77));
        assert_eq!(offsets.due(3, ms(1)), Some(Commit { partition: 3, offset: 12, last_ms: Some(77) }));
        assert_eq!(offsets.due(3, ms(2)), None, "sent already");
        offsets.advance(15, Some(80));
        assert_eq!(offsets.due(3, ms(100)), None, "too soon");
        assert_eq!(offsets.due(3, ms(201)).unwrap().offset, 15);
        offsets.confirm(12);
        assert_eq!(offsets.due(3, ms(2_200)), None);
        assert_eq!(offsets.due(3, ms(2_201)).unwrap().offset, 15, "no answer");
        offsets.confirm(15);
        assert_eq!(offsets.due_at(), None);
    }

    #[test]
    fn offsets_never_fall() {
        let mut offsets = Offsets::new(10, Some(1));
        offsets.advance(9, Some(2));
        assert_eq!(offsets.last(0), Commit { partition: 0, offset: 10, last_ms: Some(1) });
        offsets.confirm(50);
        assert_eq!(offsets.confirmed(), 10);
        assert_eq!(offsets.last(0).metadata(), "{\"last_ms\":1}");
    }
}
