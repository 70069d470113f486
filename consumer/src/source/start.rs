//! Where a partition begins: after its committed offset, if the log before it is still the one that was committed.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use understudy_common::{
    control::key,
    kafka::{ReadError, read_all, read_range},
    record::{self, EffectsRecord, is_void},
};

use super::{ASK, Quiet, SourceConfig, member_config};
use crate::{
    offsets::{CommitMetadata, Start},
    window::{DocumentHasher, Window},
};

/// Records are missing, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap(pub String);

/// How a partition begins.
#[derive(Debug)]
pub enum Beginning {
    /// Here, with this window, once what the schema topic held below this offset is known.
    At(Start, Box<Window>, i64),
    /// Not at all. With the committed offset, where there is one.
    Gap(Gap, Option<i64>),
}

/// What a log and its group say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The committed offset, and what stands beside it.
    pub committed: Option<(i64, Option<CommitMetadata>)>,
    /// The first offset of the log.
    pub low: i64,
    /// The offset after its last record.
    pub high: i64,
    /// Append time of the record before the committed one, where the log still has it.
    pub before_ms: Option<i64>,
    /// Whether the control topic says that an offset was committed before.
    pub begun: bool,
}

/// Decides where to begin. Nothing is ever reset silently.
///
/// # Errors
/// When records are missing.
pub fn decide(found: &Found) -> Result<Start, Gap> {
    let Found { low, high, .. } = *found;
    let Some((offset, metadata)) = &found.committed else {
        return if found.begun {
            Err(Gap(
                "the group has no offset, and it had one: the topic was deleted and made anew, or the group's offsets expired".into(),
            ))
        } else if low == 0 {
            // Nobody ever began here, so nothing of anybody can be under way.
            Ok(Start { offset: 0, last_ms: None, clean: true, sealed: false })
        } else {
            Err(Gap(format!(
                "the group has no offset, and the log begins at {low}: what stood before it was never applied"
            )))
        };
    };
    let offset = *offset;
    if offset < low {
        return Err(Gap(format!("offset {offset} is committed, and the log begins at {low} by now")));
    }
    if offset > high {
        return Err(Gap(format!(
            "offset {offset} is committed, and the log ends at {high}: it lost records or was created anew"
        )));
    }
    let metadata = metadata.unwrap_or_default();
    if let (Some(last_ms), Some(before_ms)) = (metadata.last_ms, found.before_ms)
        && last_ms != before_ms
    {
        return Err(Gap(format!(
            "the record before the committed offset {offset} was appended at {before_ms}, and the one that was applied at {last_ms}: the topic was created anew"
        )));
    }
    let CommitMetadata { last_ms, clean } = metadata;
    Ok(Start { offset, last_ms: found.before_ms.or(last_ms), clean, sealed: !clean })
}

/// Whether an offset of a partition was ever committed, by the control topic.
fn has_begun(config: &SourceConfig, partition: i32) -> Result<bool, ReadError> {
    let wanted = key::begun(&config.topic, partition);
    let mut begun = false;
    read_all(&config.kafka, &config.control, |record| {
        if record.key.as_deref() == Some(wanted.as_bytes()) {
            begun = record.value.is_some();
        }
    })?;
    Ok(begun)
}

/// Finds out where a partition begins, and reads its window. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub fn begin(
    config: &SourceConfig,
    partition: i32,
    hasher: &DocumentHasher,
    ticket_lifetime: Duration,
    width: Duration,
) -> Result<Beginning, ReadError> {
    let reader: BaseConsumer<Quiet> =
        member_config(&config.kafka, &config.name, &config.group).create_with_context(Quiet)?;
    let topic = &config.topic;
    let committed = committed(&reader, topic, partition)?;
    let (low, high) = reader.fetch_watermarks(topic, partition, ASK)?;
    let (_, schemas) = reader.fetch_watermarks(&config.schema, 0, ASK)?;
    let begun = committed.is_none() && has_begun(config, partition)?;
    let mut before_ms = None;
    if let Some((offset, _)) = committed.as_ref().filter(|(offset, _)| (low + 1..=high).contains(offset)) {
        read_range(&config.kafka, topic, partition, offset - 1, *offset, |record| before_ms = Some(record.at_ms))?;
    }
    let found = Found { committed, low, high, before_ms, begun };
    let start = match decide(&found) {
        Ok(start) => start,
        Err(gap) => return Ok(Beginning::Gap(gap, found.committed.map(|(offset, _)| offset))),
    };
    let mut window = Window::new(width);
    if let Some(before_ms) = before_ms {
        let since = before_ms.saturating_sub(i64::try_from(width.as_millis()).unwrap_or(i64::MAX));
        let from = offset_at(&reader, topic, partition, since.max(0))?.unwrap_or(low).max(low);
        read_range(&config.kafka, topic, partition, from, start.offset, |record| {
            let Some(value) = &record.value else { return };
            let Ok(effects) = record::decode(&record.headers, value) else { return };
            learn(&mut window, record.at_ms, &effects, hasher, ticket_lifetime);
        })?;
        tracing::debug!(partition, from, to = start.offset, documents = window.len(), "read the window");
    } else if start.offset > 0 {
        tracing::warn!(
            partition,
            offset = start.offset,
            "the log before the committed offset is gone, and the window with it"
        );
    }
    Ok(Beginning::At(start, Box::new(window), schemas))
}

/// Puts a record that was appended at `at_ms` into a window that is rebuilt (`rebuild`). What was void or unreadable is not
/// remembered: it was never applied.
pub fn learn(
    window: &mut Window,
    at_ms: i64,
    effects: &EffectsRecord,
    hasher: &DocumentHasher,
    ticket_lifetime: Duration,
) {
    if is_void(at_ms, effects.provenance.ticket_ms, ticket_lifetime) {
        return;
    }
    for effect in &effects.effects {
        if let Some(need) = effects.indices.get(&effect.key.index) {
            window.pass(hasher.name(&need.uuid, need.shards, &effect.key), effect.order(), at_ms);
        }
    }
}

fn committed(
    reader: &BaseConsumer<Quiet>,
    topic: &str,
    partition: i32,
) -> Result<Option<(i64, Option<CommitMetadata>)>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    let answer = reader.committed_offsets(list, ASK)?;
    let Some(element) = answer.find_partition(topic, partition) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        // Without metadata somebody else committed it, an operator with Kafka's own tools: he decided.
        Offset::Offset(offset) => Some((offset, serde_json::from_str(element.metadata()).ok())),
        _ => None,
    })
}

fn offset_at(reader: &BaseConsumer<Quiet>, topic: &str, partition: i32, at_ms: i64) -> Result<Option<i64>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(at_ms))?;
    let answer = reader.offsets_for_times(list, ASK)?;
    let Some(element) = answer.find_partition(topic, partition) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(committed: Option<(i64, Option<i64>)>, low: i64, high: i64, before_ms: Option<i64>) -> Found {
        let metadata = |last_ms: i64| CommitMetadata { last_ms: Some(last_ms), clean: false };
        let committed = committed.map(|(offset, last)| (offset, last.map(metadata)));
        Found { committed, low, high, before_ms, begun: false }
    }

    #[test]
    fn a_whole_log_is_begun_or_gone_on_with() {
        let at = |offset, last_ms| Ok(Start { offset, last_ms, clean: false, sealed: true });
        assert_eq!(decide(&found(Some((5, Some(7))), 0, 9, Some(7))), at(5, Some(7)));
        assert_eq!(decide(&found(Some((5, Some(7))), 5, 9, None)), at(5, Some(7)));
        assert_eq!(decide(&found(Some((9, Some(7))), 0, 9, Some(7))), at(9, Some(7)));
        assert_eq!(decide(&found(Some((0, None)), 0, 0, None)), at(0, None));
        assert_eq!(decide(&found(Some((5, None)), 0, 9, Some(7))), at(5, Some(7)), "an operator's own commit");
    }

    #[test]
    fn only_what_nobody_began_or_what_was_let_go_in_good_order_is_clean() {
        let first = decide(&found(None, 0, 9, None)).unwrap();
        assert_eq!(first, Start { offset: 0, last_ms: None, clean: true, sealed: false });
        let mut left = found(Some((5, Some(7))), 0, 9, Some(7));
        assert!(!decide(&left).unwrap().clean, "its owner went on");
        left.committed = Some((5, Some(CommitMetadata { last_ms: Some(7), clean: true })));
        assert_eq!(decide(&left).unwrap(), Start { offset: 5, last_ms: Some(7), clean: true, sealed: false });
        let sealed = found(Some((0, None)), 0, 9, None);
        assert!(!decide(&sealed).unwrap().clean, "its first owner died before it committed anything");
    }

    #[test]
    fn whatever_is_missing_is_a_gap() {
        for (what, found) in [
            ("no offsets, old log", found(None, 3, 9, None)),
            ("below the log", found(Some((5, Some(7))), 6, 9, None)),
            ("above the log", found(Some((10, Some(7))), 0, 9, None)),
            ("another topic", found(Some((5, Some(7))), 0, 9, Some(8))),
            ("a topic made anew, whose group went with it", Found { begun: true, ..found(None, 0, 9, None) }),
        ] {
            assert!(decide(&found).is_err(), "{what}");
        }
    }
}
