//! How far a target is behind, from Kafka alone: whoever asks needs no consumer that answers.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::KafkaConfig,
    kafka::{RangeReader, ReadError},
    process::now_ms,
};

/// How far a target is behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetLag {
    /// Each partition of its topic.
    pub partitions: BTreeMap<i32, PartitionLag>,
    /// Records that its consumers have not committed.
    pub records: u64,
    /// Seconds since the oldest of them was appended, by this machine's clock against the broker's; 0 where there is none.
    pub seconds: f64,
}

/// How far one partition is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionLag {
    /// The first offset that is not done; `None` where its consumers never committed one.
    pub committed: Option<i64>,
    /// The first offset of its log. Where it is greater than `committed` there is a gap.
    pub low: i64,
    /// The offset after its last record.
    pub high: i64,
    /// Records that are not committed.
    pub records: u64,
    /// Append time of the oldest of them, in milliseconds since 1970 by the broker's clock.
    pub oldest_ms: Option<i64>,
}

/// How long Kafka may take for each answer.
const ASK: Duration = Duration::from_secs(5);

impl PartitionLag {
    /// What was read of a partition. One that never committed counts from its log's beginning on, and so does one whose
    /// committed records are gone.
    #[must_use]
    pub fn new(low: i64, high: i64, committed: Option<i64>) -> Self {
        let mut lag = Self { committed, low, high, records: 0, oldest_ms: None };
        lag.records = u64::try_from(high - lag.next()).unwrap_or_default();
        lag
    }

    /// Where the oldest record that is not committed stands, if there is one.
    fn next(&self) -> i64 {
        self.committed.unwrap_or(self.low).max(self.low)
    }

    /// Whether records are gone that were never committed.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.committed.is_some_and(|committed| committed < self.low)
    }
}

impl TargetLag {
    /// Adds partitions up, at `now_ms`, in milliseconds since 1970.
    #[must_use]
    pub fn new(partitions: BTreeMap<i32, PartitionLag>, now_ms: i64) -> Self {
        let records = partitions.values().map(|lag| lag.records).sum();
        let oldest = partitions.values().filter_map(|lag| lag.oldest_ms).min();
        // Clocks differ: nothing was appended in the future.
        let seconds = oldest.map_or(0.0, |oldest| (now_ms - oldest).max(0) as f64 / 1_000.0);
        Self { partitions, records, seconds }
    }
}

impl TargetLag {
    /// Whether it tells all that is missing: no record is gone before it was applied, no log was made anew, and of what
    /// waits it is known since when.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.partitions.values().all(|lag| {
            let is_anew = lag.committed.is_some_and(|committed| committed > lag.high);
            !lag.has_gap() && !is_anew && (lag.records == 0 || lag.oldest_ms.is_some())
        })
    }
}

/// Measures a target again and again by one connection.
pub struct LagMeter {
    reader: RangeReader,
    topic: String,
    /// The oldest record of each partition as it was read last: its offset and its append time.
    oldest: BTreeMap<i32, (i64, i64)>,
}

impl LagMeter {
    /// Measures what `group` has not committed of `topic`
    /// ([`Topics::target`](crate::topics::Topics::target), [`Topics::group`](crate::topics::Topics::group)).
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(kafka: &KafkaConfig, topic: &str, group: &str) -> Result<Self, ReadError> {
        let reader = RangeReader::of_group(kafka, group)?;
        Ok(Self { reader, topic: topic.to_owned(), oldest: BTreeMap::new() })
    }

    /// How far the target is behind now. Blocks.
    ///
    /// # Errors
    /// When Kafka fails or does not answer, or there is no such topic.
    pub fn measure(&mut self) -> Result<TargetLag, ReadError> {
        let ends = self.reader.watermarks(&self.topic, ASK)?;
        let committed = self.reader.committed(&self.topic, ends.keys().copied(), ASK)?;
        let mut partitions = BTreeMap::new();
        for (partition, (low, high)) in ends {
            let mut lag = PartitionLag::new(low, high, committed.get(&partition).copied());
            if lag.records > 0 {
                lag.oldest_ms = self.append_time(partition, lag.next())?;
            }
            partitions.insert(partition, lag);
        }
        Ok(TargetLag::new(partitions, now_ms()))
    }

    fn append_time(&mut self, partition: i32, offset: i64) -> Result<Option<i64>, ReadError> {
        if let Some((known, at_ms)) = self.oldest.get(&partition)
            && *known == offset
        {
            return Ok(Some(*at_ms));
        }
        let mut found = None;
        self.reader.read(&self.topic, partition, offset, offset + 1, |record| found = Some(record.at_ms))?;
        if let Some(at_ms) = found {
            self.oldest.insert(partition, (offset, at_ms));
        }
        Ok(found)
    }
}

/// How far the target whose consumers are `group` is behind on `topic`. Blocks, for some seconds while Kafka does not
/// answer.
///
/// # Errors
/// When Kafka fails or does not answer, or there is no such topic.
pub fn measure(kafka: &KafkaConfig, topic: &str, group: &str) -> Result<TargetLag, ReadError> {
    LagMeter::new(kafka, topic, group)?.measure()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(partitions: &[PartitionLag], now_ms: i64) -> (u64, f64) {
        let partitions = (0..).zip(partitions.iter().copied()).collect();
        let lag = TargetLag::new(partitions, now_ms);
        (lag.records, lag.seconds)
    }

    #[test]
    fn what_is_not_committed_is_behind() {
        for (low, high, committed, records, gap) in [
            (0, 0, None, 0, false),
            (0, 7, None, 7, false),
            (3, 7, None, 4, false),
            (0, 7, Some(7), 0, false),
            (0, 7, Some(5), 2, false),
            (5, 7, Some(3), 2, true),
            // A topic made anew, or a look at its end that is older than the commit.
            (0, 2, Some(9), 0, false),
        ] {
            let lag = PartitionLag::new(low, high, committed);
            assert_eq!((lag.records, lag.has_gap()), (records, gap), "{low}..{high} {committed:?}");
        }
        assert_eq!(PartitionLag::new(3, 7, None).next(), 3);
        assert_eq!(PartitionLag::new(5, 7, Some(3)).next(), 5);
    }

    #[test]
    fn seconds_are_those_of_the_oldest_record() {
        let behind = |oldest_ms| PartitionLag { oldest_ms, ..PartitionLag::new(0, 2, Some(1)) };
        let done = PartitionLag::new(0, 9, Some(9));
        assert_eq!(total(&[], 5_000), (0, 0.0));
        assert_eq!(total(&[done, done], 5_000), (0, 0.0), "an old record that is done is no lag");
        assert_eq!(total(&[behind(Some(4_500)), done, behind(Some(3_500))], 5_000), (2, 1.5));
        assert_eq!(total(&[behind(Some(5_200))], 5_000), (1, 0.0), "the broker's clock is ahead");
    }
}
