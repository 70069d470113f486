//! Writes that nobody has settled.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use understudy_common::{
    config::KafkaConfig,
    intent::LOOK_PREFIX,
    kafka::{LogRecord, RangeReader, ReadError},
    process::now_ms,
    topics::Topics,
};

use super::ASK;
use crate::status::picture::IntentsSeen;

/// Records that are read between two looks at the clock.
const CHUNK: i64 = 5_000;

/// Counts open intents, as far as there is time. Blocks.
///
/// The reconciler commits the place of the oldest open intent of each partition, so what stands before it is settled.
pub fn open(kafka: &KafkaConfig, topics: &Topics, until: Instant) -> Result<IntentsSeen, ReadError> {
    let (topic, group) = (topics.intents(), topics.reconciler_group());
    let reader = RangeReader::of_group(kafka, &group)?;
    let ends = reader.watermarks(&topic, ASK)?;
    let committed = reader.committed(&topic, ends.keys().copied(), ASK)?;
    let mut left: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for (partition, (low, high)) in ends {
        let from = committed.get(&partition).copied().unwrap_or(low).max(low);
        if from < high {
            left.insert(partition, (from, high));
        }
    }
    let mut found = Found::default();
    for (partition, (mut from, high)) in left {
        while from < high {
            if Instant::now() >= until {
                found.whole = false;
                break;
            }
            let to = (from + CHUNK).min(high);
            reader.read(&topic, partition, from, to, |record| found.learn(&record))?;
            from = to;
        }
    }
    Ok(found.seen(now_ms()))
}

struct Found {
    open: BTreeMap<Vec<u8>, i64>,
    whole: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self { open: BTreeMap::new(), whole: true }
    }
}

impl Found {
    fn learn(&mut self, record: &LogRecord) {
        let Some(key) = record.key.as_deref().filter(|key| !key.starts_with(LOOK_PREFIX.as_bytes())) else { return };
        if record.value.is_some() {
            self.open.insert(key.to_vec(), record.at_ms);
        } else {
            self.open.remove(key);
        }
    }

    /// What was not read to its end may be settled behind it: then the number is not known.
    fn seen(&self, now_ms: i64) -> IntentsSeen {
        let oldest =
            self.open.values().min().map_or(Duration::ZERO, |oldest| {
                Duration::from_millis(u64::try_from(now_ms - oldest).unwrap_or_default())
            });
        IntentsSeen { open: self.whole.then_some(self.open.len() as u64), oldest_seconds: oldest.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, at_ms: i64, value: Option<&str>) -> LogRecord {
        let value = value.map(|text| text.to_owned().into());
        LogRecord { partition: 0, offset: 0, at_ms, key: Some(key.to_owned().into()), value, headers: BTreeMap::new() }
    }

    #[test]
    fn what_has_no_tombstone_is_open() {
        let mut found = Found::default();
        for (key, at_ms, value) in [
            ("a", 1_000, Some("{}")),
            ("b", 2_000, Some("{}")),
            ("look/r/0", 500, Some("{}")),
            ("a", 3_000, None),
            ("c", 2_500, Some("{}")),
        ] {
            found.learn(&record(key, at_ms, value));
        }
        assert_eq!(found.seen(4_000), IntentsSeen { open: Some(2), oldest_seconds: 2.0 });
        found.whole = false;
        assert_eq!(found.seen(1_000), IntentsSeen { open: None, oldest_seconds: 0.0 }, "clocks differ");
    }
}
