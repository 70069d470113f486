//! How far behind each partition is, in records and in seconds, and how long until Kafka deletes what is not applied.

use std::collections::BTreeMap;

use crate::{
    engine::PartitionStatus,
    metrics::Lag,
    source::{Retention, Watermarks},
};

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    generation: u64,
    high: i64,
    /// Since when there is something that was not read yet, by this machine's clock.
    behind_since: Option<i64>,
    seen: bool,
}

/// What is known of the ends of logs.
#[derive(Debug, Default)]
pub(super) struct Lags {
    known: BTreeMap<i32, Known>,
    /// How long the topic keeps records, where that is known.
    pub(super) retention: Option<Retention>,
}

impl Lags {
    pub(super) fn learn(&mut self, marks: Watermarks) {
        let known = self.known.entry(marks.partition).or_default();
        if known.generation != marks.generation {
            *known = Known { generation: marks.generation, ..Known::default() };
        }
        known.high = marks.high;
        known.seen = true;
    }

    /// The lags of the partitions that are there, and those that no longer are.
    pub(super) fn of(&mut self, statuses: &[PartitionStatus], now_ms: i64) -> (BTreeMap<i32, Lag>, Vec<i32>) {
        let here: BTreeMap<i32, &PartitionStatus> = statuses.iter().map(|status| (status.partition, status)).collect();
        let gone: Vec<i32> = self.known.keys().copied().filter(|partition| !here.contains_key(partition)).collect();
        for partition in &gone {
            self.known.remove(partition);
        }
        let mut lags = BTreeMap::new();
        for (partition, status) in here {
            let known = self.known.entry(partition).or_default();
            if known.generation != status.generation {
                *known = Known { generation: status.generation, ..Known::default() };
            }
            // Before its beginning is known, nothing can be said of a partition but that it is not at its end.
            let Some(done) = status.done else { continue };
            let end = known.high.max(done);
            let records = end - done;
            let since = match (records, status.oldest_ms) {
                (_, Some(oldest)) => Some(oldest),
                (0, None) => None,
                (_, None) => Some(known.behind_since.unwrap_or(now_ms)),
            };
            known.behind_since = since;
            let records = records.max(i64::from(status.oldest_ms.is_some()));
            if known.seen {
                let seconds = since.map_or(0.0, |since| (now_ms - since).max(0) as f64 / 1_000.0);
                // Kafka deletes whole segments by their newest record: never sooner.
                let headroom = self.retention.map(|retention| match retention {
                    Retention::Forever => f64::INFINITY,
                    Retention::Millis(kept) => (since.unwrap_or(now_ms) + kept - now_ms) as f64 / 1_000.0,
                });
                lags.insert(partition, Lag { records, seconds, end, headroom });
            }
        }
        (lags, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(done: Option<i64>, oldest_ms: Option<i64>) -> PartitionStatus {
        PartitionStatus {
            partition: 3,
            generation: 1,
            done,
            committed: done,
            oldest_ms,
            window: 0,
            stopped: None,
            unsettled: false,
        }
    }

    #[test]
    fn seconds_rise_until_everything_is_applied() {
        let mut lags = Lags::default();
        let marks = |high| Watermarks { partition: 3, generation: 1, low: 0, high };
        lags.learn(marks(10));
        let mut of = |high: i64, status, now| {
            lags.learn(marks(high));
            let (lags, _) = lags.of(&[status], now);
            lags.get(&3).map(|lag| (lag.records, lag.seconds))
        };
        assert_eq!(of(10, status(None, None), 0), None);
        assert_eq!(of(10, status(Some(4), None), 1_000), Some((6, 0.0)), "not read yet");
        assert_eq!(of(12, status(Some(4), None), 3_000), Some((8, 2.0)));
        assert_eq!(of(12, status(Some(4), Some(500)), 4_000), Some((8, 3.5)), "read: its own time");
        assert_eq!(of(12, status(Some(12), None), 5_000), Some((0, 0.0)));
        assert_eq!(of(13, status(Some(12), None), 6_000), Some((1, 0.0)));
    }

    #[test]
    fn headroom_shrinks_with_the_age_of_what_is_not_applied() {
        let mut lags = Lags::default();
        lags.learn(Watermarks { partition: 3, generation: 1, low: 0, high: 10 });
        let mut of = |retention, oldest, now| {
            lags.retention = retention;
            lags.of(&[status(Some(10), oldest)], now).0[&3].headroom
        };
        assert_eq!(of(None, None, 5_000), None, "not known yet");
        assert_eq!(of(Some(Retention::Forever), Some(1), 5_000), Some(f64::INFINITY));
        assert_eq!(of(Some(Retention::Millis(60_000)), None, 5_000), Some(60.0), "nothing waits");
        assert_eq!(of(Some(Retention::Millis(60_000)), Some(5_000), 25_000), Some(40.0));
        assert_eq!(of(Some(Retention::Millis(60_000)), Some(5_000), 75_000), Some(-10.0), "too late");
    }

    #[test]
    fn what_is_gone_is_named_once() {
        let mut lags = Lags::default();
        lags.of(&[status(Some(1), None)], 0);
        assert_eq!(lags.of(&[], 0).1, [3]);
        assert!(lags.of(&[], 0).1.is_empty());
    }
}
