//! How many letters nobody has decided upon, without reading more than is needed.

use understudy_common::{
    config::KafkaConfig,
    kafka::{ReadError, read_all, read_range, watermarks},
    topics::Topics,
};

use super::{facts::Facts, letter::LetterId, topic::ANSWER};

/// Counts the letters of a target upon which nobody has decided. Blocks.
///
/// # Errors
/// When Kafka fails or does not answer, or there is no such topic.
pub fn undecided(kafka: &KafkaConfig, topics: &Topics, target: &str) -> Result<u64, ReadError> {
    let topic = topics.dead(target);
    let offsets = watermarks(kafka, &topic, ANSWER)?;
    if offsets.values().all(|(first, next)| first == next) {
        return Ok(0);
    }
    let mut facts = Facts::default();
    read_all(kafka, &topics.control(), |record| facts.learn(&topic, &record))?;
    let mut undecided = 0;
    for (partition, (first, next)) in offsets {
        // Nothing but letters stands there, and nothing in between is deleted.
        if facts.marked(partition, first) == 0 {
            undecided += u64::try_from(next - first).unwrap_or_default();
            continue;
        }
        read_range(kafka, &topic, partition, first, next, |record| {
            let id = LetterId { partition, offset: record.offset };
            undecided += u64::from(!facts.is_decided(id, record.at_ms));
        })?;
    }
    Ok(undecided)
}
