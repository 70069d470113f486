//! Kafka as Kafka itself tells it. Independent of what gateways and consumers believe.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value;

use crate::eventually;

/// A Kafka cluster.
#[derive(Clone, Debug)]
pub struct Kafka {
    bootstrap: String,
    /// Options of librdkafka.
    more: Vec<(String, String)>,
}

/// A record as it stands in a topic.
#[derive(Clone, Debug)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, as texts.
    pub headers: BTreeMap<String, String>,
}

const CALL: Duration = Duration::from_secs(10);
/// Between two looks while leaders move.
const AGAIN: Duration = Duration::from_millis(100);
/// How long all records of a topic may take to come.
const READ: Duration = Duration::from_secs(60);

impl Record {
    /// The key as text, empty where there is none.
    #[must_use]
    pub fn key_text(&self) -> String {
        self.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
    }

    /// The value as text, empty where there is none.
    #[must_use]
    pub fn text(&self) -> String {
        self.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
    }

    /// The value as lines of JSON.
    ///
    /// # Panics
    /// When a line is none.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        self.text().lines().map(parse).collect()
    }

    /// The value as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: headers.unwrap_or_default(),
        }
    }
}

impl Kafka {
    /// The cluster of a broker, `host:port`.
    #[must_use]
    pub fn new(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned(), more: Vec::new() }
    }

    /// With more options of librdkafka: how it is reached over TLS.
    #[must_use]
    pub fn with(mut self, options: &[(&str, &str)]) -> Self {
        self.more.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The names of all topics.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn topics(&self) -> anyhow::Result<Vec<String>> {
        let look = |consumer: &BaseConsumer| {
            let metadata = consumer.fetch_metadata(None, CALL)?;
            Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
        };
        self.blocking("harness", look).await
    }

    /// Its broker.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Everything that stands in a topic now, partition by partition, in the order of offsets.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no such topic.
    pub async fn records(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        let topic = topic.to_owned();
        self.blocking("harness", move |consumer| read(consumer, &topic)).await
    }

    /// The first and the next offset of each partition.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no such topic.
    pub async fn offsets(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
        let topic = topic.to_owned();
        self.blocking("harness", move |consumer| offsets(consumer, &topic)).await
    }

    /// What a group has committed, for the partitions where it has.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no such topic.
    pub async fn committed(&self, group: &str, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let topic = topic.to_owned();
        self.blocking(group, move |consumer| committed(consumer, &topic)).await
    }

    /// Has a group begin a topic at its beginning again, as an operator does with Kafka's own tools: without a word beside the
    /// offsets. All members of the group must have left.
    ///
    /// # Errors
    /// When Kafka does not, or the group has members.
    pub async fn begin_again(&self, group: &str, topic: &str) -> anyhow::Result<()> {
        let topic = topic.to_owned();
        let commit = move |consumer: &BaseConsumer| {
            let mut wanted = TopicPartitionList::new();
            for (partition, (first, _)) in offsets(consumer, &topic)? {
                wanted.add_partition_offset(&topic, partition, Offset::Offset(first))?;
            }
            Ok(consumer.commit(&wanted, CommitMode::Sync)?)
        };
        self.blocking(group, commit).await
    }

    /// Records of a topic that a group has not committed.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no such topic.
    pub async fn lag(&self, group: &str, topic: &str) -> anyhow::Result<u64> {
        let topic = topic.to_owned();
        let lag = move |consumer: &BaseConsumer| {
            let committed = committed(consumer, &topic)?;
            let lag_of = |(partition, (first, next)): (i32, (i64, i64))| {
                next - committed.get(&partition).copied().unwrap_or(first).max(first)
            };
            Ok(offsets(consumer, &topic)?.into_iter().map(lag_of).sum::<i64>())
        };
        Ok(u64::try_from(self.blocking(group, lag).await?)?)
    }

    /// Appends a record as it is, to the partition of its key or to one that is named; answers partition and offset.
    ///
    /// # Errors
    /// When Kafka does not acknowledge it.
    pub async fn append(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(i32, i64)> {
        let producer: FutureProducer = self
            .options("harness")
            .set("acks", "all")
            .set("message.max.bytes", (64 << 20).to_string())
            .set("message.timeout.ms", CALL.as_millis().to_string())
            .set("partitioner", "murmur2_random")
            .create()?;
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |owned, (key, value)| owned.insert(Header { key, value: Some(*value) }));
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).key(key).headers(headers);
        record.partition = partition;
        record.payload = value;
        let delivery = producer.send(record, CALL).await.map_err(|(error, _)| error)?;
        Ok((delivery.partition, delivery.offset))
    }

    /// Deletes the records of a partition below an offset, as retention does.
    ///
    /// # Errors
    /// When Kafka does not.
    pub async fn delete_records(&self, topic: &str, partition: i32, below: i64) -> anyhow::Result<()> {
        let admin: AdminClient<_> = self.options("harness").create()?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(below))?;
        let options = AdminOptions::new().operation_timeout(Some(CALL));
        for element in admin.delete_records(&offsets, &options).await?.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// Deletes a topic; it is gone when this returns.
    ///
    /// # Errors
    /// When Kafka does not.
    pub async fn delete_topic(&self, topic: &str) -> anyhow::Result<()> {
        let admin: AdminClient<_> = self.options("harness").create()?;
        for result in admin.delete_topics(&[topic], &AdminOptions::new().operation_timeout(Some(CALL))).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        eventually(CALL, "the topic is gone", async || self.offsets(topic).await.is_err()).await;
        Ok(())
    }

    /// Creates a topic as ours are, with one copy.
    ///
    /// # Errors
    /// When Kafka does not.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let admin: AdminClient<_> = self.options("harness").create()?;
        let ours = NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime")
            .set("max.message.bytes", "33554432");
        for result in admin.create_topics(&[ours], &AdminOptions::new().operation_timeout(Some(CALL))).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    pub(crate) fn options(&self, group: &str) -> ClientConfig {
        let mut options = ClientConfig::new();
        options
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.message.max.bytes", (64 << 20).to_string())
            .set("log_level", "0");
        for (name, value) in &self.more {
            options.set(name, value);
        }
        options
    }

    async fn blocking<T: Send + 'static>(
        &self,
        group: &str,
        look: impl Fn(&BaseConsumer) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<T> {
        let consumer = Arc::new(self.options(group).create::<BaseConsumer>()?);
        let look = Arc::new(look);
        let end = Instant::now() + CALL;
        loop {
            let (consumer, look) = (Arc::clone(&consumer), Arc::clone(&look));
            match tokio::task::spawn_blocking(move || look(&consumer)).await? {
                Err(error) if leaders_move(&error) && Instant::now() < end => tokio::time::sleep(AGAIN).await,
                looked => return looked,
            }
        }
    }
}

/// Whether a broker was asked that no longer leads, or does not lead yet: brokers were killed or restarted just now, and who
/// asks anew is told by the leader.
fn leaders_move(error: &anyhow::Error) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    let code = error.downcast_ref::<KafkaError>().and_then(KafkaError::rdkafka_error_code);
    let moves = [
        Code::NotLeaderForPartition,
        Code::LeaderNotAvailable,
        Code::NotCoordinator,
        Code::CoordinatorNotAvailable,
        Code::CoordinatorLoadInProgress,
    ];
    code.is_some_and(|code| moves.contains(&code))
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), CALL)?;
    let found = metadata.topics().first().context("no metadata")?;
    if let Some(error) = found.error() {
        bail!("topic {topic}: {:?}", rdkafka::types::RDKafkaErrorCode::from(error));
    }
    Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn offsets(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
    let watermarks = |partition| Ok((partition, consumer.fetch_watermarks(topic, partition, CALL)?));
    partitions(consumer, topic)?.into_iter().map(watermarks).collect()
}

fn committed(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
    let mut wanted = TopicPartitionList::new();
    for partition in partitions(consumer, topic)? {
        wanted.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(wanted, CALL)?;
    let offset = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    };
    Ok(committed.elements().into_iter().filter_map(offset).collect())
}

fn read(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<Record>> {
    let offsets = offsets(consumer, topic)?;
    let mut assignment = TopicPartitionList::new();
    let mut unread = BTreeMap::new();
    for (partition, (first, next)) in offsets {
        if first < next {
            assignment.add_partition_offset(topic, partition, Offset::Offset(first))?;
            unread.insert(partition, next);
        }
    }
    if unread.is_empty() {
        return Ok(Vec::new());
    }
    consumer.assign(&assignment)?;
    let end = Instant::now() + READ;
    let mut records = Vec::new();
    while !unread.is_empty() {
        if Instant::now() > end {
            bail!("partitions {:?} of {topic} were not read to their end within {READ:?}", unread.keys());
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let next = unread.get(&message.partition()).copied();
                if next.is_some_and(|next| message.offset() < next) {
                    records.push(Record::of(&message));
                }
                if next.is_some_and(|next| message.offset() + 1 >= next) {
                    unread.remove(&message.partition());
                }
            }
            // What compaction removed leaves no record at the end.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}
