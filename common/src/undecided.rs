//! How many dead letters of a target nobody has decided upon, without reading more than is needed.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::KafkaConfig,
    control::{DeadLetterRecord, key},
    kafka::{LogRecord, RangeReader, ReadError},
    topics::Topics,
};

/// How long Kafka may take to say what there is.
const ANSWER: Duration = Duration::from_secs(5);

/// First and next offset of each partition.
type Offsets = BTreeMap<i32, (i64, i64)>;

/// Counts them, again and again: nothing is read while nothing was appended or deleted.
#[derive(Debug, Default)]
pub struct Undecided {
    /// What was there when they were counted: of the letters, and of the control topic.
    counted: Option<((Offsets, Offsets), u64)>,
}

/// Append times of the letters upon which somebody has decided, by partition and offset.
#[derive(Debug, Default)]
struct Marks(BTreeMap<(i32, i64), i64>);

impl Undecided {
    /// The letters of a target upon which nobody has decided. Blocks.
    ///
    /// # Errors
    /// When Kafka fails or does not answer, or there is no such topic.
    pub fn count(&mut self, kafka: &KafkaConfig, topics: &Topics, target: &str) -> Result<u64, ReadError> {
        let (letters, control) = (topics.dead(target), topics.control());
        let reader = RangeReader::new(kafka)?;
        let offsets = reader.watermarks(&letters, ANSWER)?;
        if offsets.values().all(|(first, next)| first == next) {
            return Ok(0);
        }
        let there = (offsets, reader.watermarks(&control, ANSWER)?);
        if let Some((known, count)) = &self.counted
            && *known == there
        {
            return Ok(*count);
        }
        let count = count(&reader, &letters, &control, &there)?;
        self.counted = Some((there, count));
        Ok(count)
    }
}

fn count(
    reader: &RangeReader,
    letters: &str,
    control: &str,
    (offsets, decided): &(Offsets, Offsets),
) -> Result<u64, ReadError> {
    let mut marks = Marks::default();
    for (partition, (first, next)) in decided {
        reader.read(control, *partition, *first, *next, |record| marks.learn(letters, &record))?;
    }
    let mut undecided = 0;
    for (&partition, &(first, next)) in offsets {
        // Nothing but letters stands there, and nothing in between is deleted.
        if !marks.are_from(partition, first) {
            undecided += u64::try_from(next - first).unwrap_or_default();
            continue;
        }
        reader.read(letters, partition, first, next, |record| {
            undecided += u64::from(!marks.is_decided(partition, &record));
        })?;
    }
    Ok(undecided)
}

impl Marks {
    /// Learns a record of the control topic, in their order: of several the last counts.
    fn learn(&mut self, letters: &str, record: &LogRecord) {
        let name = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        let Some(place) = key::read_dead_letter(letters, &name) else { return };
        match record.value.as_ref().and_then(|value| serde_json::from_slice::<DeadLetterRecord>(value).ok()) {
            Some(mark) => self.0.insert(place, mark.letter_ms),
            None => self.0.remove(&place),
        };
    }

    /// Whether there are any of a partition, from an offset on.
    fn are_from(&self, partition: i32, first: i64) -> bool {
        self.0.range((partition, first)..=(partition, i64::MAX)).next().is_some()
    }

    /// A mark of another letter, that stood at this offset before its topic was made anew, is none.
    fn is_decided(&self, partition: i32, letter: &LogRecord) -> bool {
        self.0.get(&(partition, letter.offset)) == Some(&letter.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Became;

    fn record(offset: i64, at_ms: i64, key: &str, value: Option<&str>) -> LogRecord {
        LogRecord {
            partition: 0,
            offset,
            at_ms,
            key: Some(key.to_owned().into()),
            value: value.map(|value| value.to_owned().into()),
            headers: BTreeMap::new(),
        }
    }

    #[test]
    fn marks_are_of_one_letter_of_one_topic() {
        let mark = |letter_ms| {
            serde_json::to_string(&DeadLetterRecord { became: Became::Dropped, at_ms: 1, letter_ms }).unwrap()
        };
        let letter = record(7, 5, "", None);
        let mut marks = Marks::default();
        marks.learn("t", &record(0, 1, "dead/t2/0/7", Some(&mark(5))));
        assert!(!marks.are_from(0, 0), "of another topic");
        marks.learn("t", &record(1, 1, "dead/t/0/7", Some(&mark(3))));
        assert!(marks.are_from(0, 7) && !marks.is_decided(0, &letter), "of one that stood there before");
        marks.learn("t", &record(2, 1, "dead/t/0/7", Some(&mark(5))));
        assert!(marks.is_decided(0, &letter) && !marks.is_decided(1, &letter));
        assert!(!marks.are_from(0, 8) && !marks.are_from(1, 0));
        marks.learn("t", &record(3, 1, "dead/t/0/7", None));
        assert!(!marks.are_from(0, 0));
    }
}
