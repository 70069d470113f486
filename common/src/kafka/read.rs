//! Reading without a group: a range of a partition, or a compacted topic from its beginning on.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};

use super::client_config;
use crate::config::KafkaConfig;

/// A record as it stands in the log.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Append time by the broker's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers whose values are texts; of two with one name the later.
    pub headers: BTreeMap<String, String>,
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Kafka said so.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// There is no such topic.
    #[error("there is no topic {0}")]
    Missing(String),
    /// No record for too long.
    #[error("no answer from {topic}/{partition} for {waited:?}")]
    Silent {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// How long.
        waited: Duration,
    },
}

impl LogRecord {
    /// Copies a message out of librdkafka's memory.
    #[must_use]
    pub fn from_message(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            at_ms: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: headers_of(message),
        }
    }
}

/// Headers whose values are texts; of two with one name the later. None at all when a name is no text: rdkafka panics at such
/// a name, and no record of ours has one.
#[must_use]
pub fn headers_of(message: &BorrowedMessage<'_>) -> BTreeMap<String, String> {
    let read = std::panic::AssertUnwindSafe(|| text_headers(message));
    std::panic::catch_unwind(read).unwrap_or_else(|_| {
        let (partition, offset) = (message.partition(), message.offset());
        tracing::warn!(partition, offset, "a record whose header names are no text; it is none of ours");
        BTreeMap::new()
    })
}

fn text_headers(message: &BorrowedMessage<'_>) -> BTreeMap<String, String> {
    let text = |header: rdkafka::message::Header<'_, &[u8]>| {
        let value = std::str::from_utf8(header.value.unwrap_or_default()).ok()?;
        Some((header.key.to_owned(), value.to_owned()))
    };
    message.headers().map(|headers| headers.iter().filter_map(text).collect()).unwrap_or_default()
}

/// Longest silence in the middle of a range.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads ranges of partitions, one after the other, by one connection.
pub struct RangeReader {
    consumer: BaseConsumer<Quiet>,
}

impl RangeReader {
    /// A reader without a group.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(kafka: &KafkaConfig) -> Result<Self, ReadError> {
        Self::of_group(kafka, READER)
    }

    /// A reader that may ask what `group` has committed. It never joins it.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn of_group(kafka: &KafkaConfig, group: &str) -> Result<Self, ReadError> {
        Ok(Self { consumer: reader(kafka, group)? })
    }

    /// The first and the next offset of each partition of a topic, as [`watermarks`].
    ///
    /// # Errors
    /// When Kafka fails or does not answer, or there is no such topic.
    pub fn watermarks(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<i32, (i64, i64)>, ReadError> {
        use rdkafka::types::RDKafkaErrorCode as Code;
        let metadata = self.consumer.fetch_metadata(Some(topic), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or_else(|| ReadError::Missing(topic.to_owned()))?;
        match found.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                return Err(ReadError::Missing(topic.to_owned()));
            }
            Some(code) => return Err(KafkaError::MetadataFetch(code).into()),
        }
        let one = |partition: i32| Ok((partition, self.consumer.fetch_watermarks(topic, partition, timeout)?));
        found.partitions().iter().map(|partition| one(partition.id())).collect()
    }

    /// What the group of [`RangeReader::of_group`] has committed: the first offset that is not done of each of these
    /// partitions, where it ever committed one.
    ///
    /// # Errors
    /// When Kafka fails or does not answer.
    pub fn committed(
        &self,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
        timeout: Duration,
    ) -> Result<BTreeMap<i32, i64>, ReadError> {
        let mut wanted = TopicPartitionList::new();
        for partition in partitions {
            wanted.add_partition(topic, partition);
        }
        let mut committed = BTreeMap::new();
        for element in self.consumer.committed_offsets(wanted, timeout)?.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                committed.insert(element.partition(), offset);
            }
        }
        Ok(committed)
    }

    /// As [`read_range`].
    ///
    /// # Errors
    /// When Kafka fails or falls silent before `to`.
    pub fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        to: i64,
        each: impl FnMut(LogRecord),
    ) -> Result<(), ReadError> {
        if from >= to {
            return Ok(());
        }
        self.assign(topic, partition, from)?;
        let read = self.read_assigned(topic, partition, from, to, each);
        // Nothing is fetched ahead between two ranges.
        let left = self.consumer.unassign();
        read.and_then(|()| Ok(left?))
    }

    fn assign(&self, topic: &str, partition: i32, from: i64) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Offset(from))?;
        self.consumer.assign(&assignment)
    }

    fn read_assigned(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        to: i64,
        mut each: impl FnMut(LogRecord),
    ) -> Result<(), ReadError> {
        let mut heard = Instant::now();
        let mut next = from;
        // Whether this assignment began after the log was seen to reach `to`.
        let mut reaches = false;
        loop {
            match self.consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if message.offset() >= to {
                        return Ok(());
                    }
                    each(LogRecord::from_message(&message));
                    next = message.offset() + 1;
                    if next >= to {
                        return Ok(());
                    }
                }
                // The end of what this broker shows. A new leader may show less than `to` for a moment; a compacted log may
                // have nothing at its last offsets. An end from before the log was seen to reach `to` says nothing of what
                // stands there: it is read once more from here on, and the end that comes then counts.
                Some(Err(KafkaError::PartitionEOF(_))) if reaches => return Ok(()),
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let (_, high) = self.consumer.fetch_watermarks(topic, partition, Duration::from_secs(10))?;
                    if high >= to {
                        self.assign(topic, partition, next)?;
                        reaches = true;
                        heard = Instant::now();
                    }
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
            if heard.elapsed() > SILENCE {
                return Err(ReadError::Silent { topic: topic.to_owned(), partition, waited: SILENCE });
            }
        }
    }
}

/// Reads `from..to` of a partition, one record after the other. Blocks: call it from a thread that may.
///
/// Offsets that the log no longer has (compaction) are passed over; a range that begins before the log does begins with it.
///
/// # Errors
/// When Kafka fails or falls silent before `to`.
pub fn read_range(
    kafka: &KafkaConfig,
    topic: &str,
    partition: i32,
    from: i64,
    to: i64,
    each: impl FnMut(LogRecord),
) -> Result<(), ReadError> {
    if from >= to {
        return Ok(());
    }
    RangeReader::new(kafka)?.read(topic, partition, from, to, each)
}

/// The first and the next offset of each partition of a topic. Blocks, for at most about `timeout` while nobody answers.
///
/// # Errors
/// When Kafka fails or does not answer, or there is no such topic.
pub fn watermarks(kafka: &KafkaConfig, topic: &str, timeout: Duration) -> Result<BTreeMap<i32, (i64, i64)>, ReadError> {
    RangeReader::new(kafka)?.watermarks(topic, timeout)
}

/// Reads a whole topic of one partition as it is now. Blocks.
///
/// # Errors
/// When Kafka fails or falls silent.
pub fn read_all(kafka: &KafkaConfig, topic: &str, each: impl FnMut(LogRecord)) -> Result<(), ReadError> {
    let (low, high) = reader(kafka, READER)?.fetch_watermarks(topic, 0, Duration::from_secs(10))?;
    read_range(kafka, topic, 0, low, high, each)
}

/// Follows partition 0 of a topic from its beginning until `each` answers `false`. Blocks.
///
/// `each` is called with `None` whenever the end is reached, and at least every 500 ms.
///
/// # Errors
/// When librdkafka refuses the configuration.
pub fn tail(
    kafka: &KafkaConfig,
    topic: &str,
    mut each: impl FnMut(Option<LogRecord>) -> bool,
) -> Result<(), ReadError> {
    let consumer = reader(kafka, READER)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    // Silence before the first record or the first end is no end: the log may not have been reached yet.
    let mut reached = false;
    loop {
        let go_on = match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => each(Some(LogRecord::from_message(&message))),
            Some(Err(KafkaError::PartitionEOF(_))) => {
                reached = true;
                each(None)
            }
            Some(Err(error)) => {
                tracing::debug!(%error, topic, "following a topic");
                true
            }
            None => !reached || each(None),
        };
        if !go_on {
            return Ok(());
        }
    }
}

/// Errors that librdkafka mends by itself.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
        )
    )
}

/// The end of a partition is no error to be logged, and brokers that are away are reported by whoever waits for them.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "Kafka reader");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka reader");
    }
}

impl ConsumerContext for Quiet {}

/// librdkafka wants the name of a group; none is joined and nothing is committed.
const READER: &str = "understudy-reader";

fn reader(kafka: &KafkaConfig, group: &str) -> Result<BaseConsumer<Quiet>, KafkaError> {
    client_config(kafka, READER)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        // A stranger's open transaction must not hide what stands behind it.
        .set("isolation.level", "read_uncommitted")
        .set("fetch.wait.max.ms", "100")
        .create_with_context(Quiet)
}
