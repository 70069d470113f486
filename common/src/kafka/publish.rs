//! Appending records: `acks=all`, idempotent, with a deadline of our own and the broker's append time.

use std::{
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Timestamp,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer, future_producer::Delivery},
    types::RDKafkaErrorCode,
};
use tokio::time::Instant;

use super::{client_config, log_line};
use crate::config::KafkaConfig;

/// An acknowledged record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was appended, by the broker's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No broker answers; nothing was sent.
    #[error("no Kafka broker can be reached")]
    Down,
    /// No acknowledgement in time: the record may be in the log, or may still arrive.
    #[error("Kafka did not acknowledge within {0:?}")]
    TimedOut(Duration),
    /// The record is larger than the topic takes.
    #[error("the record is larger than Kafka takes")]
    TooLarge,
    /// Anything else that Kafka or the client library says.
    #[error("{0}")]
    Failed(String),
}

/// A producer. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    config: ClientConfig,
    producer: Arc<RwLock<FutureProducer<Watch>>>,
    down: Arc<AtomicBool>,
}

/// Notes that all brokers are down, which librdkafka reports at once.
#[derive(Clone)]
struct Watch {
    down: Arc<AtomicBool>,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            if !self.down.swap(true, Ordering::AcqRel) {
                tracing::warn!(reason, "no Kafka broker can be reached");
            }
        } else {
            tracing::debug!(%error, reason, "Kafka client");
        }
    }
}

/// How often a broker is looked for while none answers.
const PROBE: Duration = Duration::from_millis(250);

/// How often a record is appended again because nobody says since when it is there. Where it is always so, its topic is not as
/// it must be.
const REPEATS: usize = 2;

impl Publisher {
    /// A producer whose records are given up after `message_timeout`. Must be called within a runtime: a task of it
    /// looks for brokers while none answers.
    ///
    /// # Errors
    /// When librdkafka refuses an option.
    pub fn new(kafka: &KafkaConfig, client_id: &str, message_timeout: Duration) -> Result<Self, KafkaError> {
        let down = Arc::new(AtomicBool::new(false));
        let mut config = client_config(kafka, client_id);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", message_timeout.as_millis().to_string())
            .set("partitioner", "murmur2_random");
        // The user's options count where they are set.
        for (name, value) in [
            ("compression.type", "lz4"),
            // Requests wait for each acknowledgement, so lingering is latency.
            ("linger.ms", "0"),
            ("queue.buffering.max.kbytes", "262144"),
        ] {
            if !kafka.options.contains_key(name) {
                config.set(name, value);
            }
        }
        let producer = Arc::new(RwLock::new(config.create_with_context(Watch { down: down.clone() })?));
        let publisher = Self { config, producer, down };
        publisher.watch_recovery();
        Ok(publisher)
    }

    /// Whether brokers are known to be down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// True while brokers are known to be down, for as long as there is a producer.
    #[must_use]
    pub fn down(&self) -> Weak<AtomicBool> {
        Arc::downgrade(&self.down)
    }

    /// Appends one record to a partition and waits for the acknowledgement of all in-sync replicas.
    ///
    /// A `value` of `None` is a tombstone. Past `timeout` the outcome is unknown.
    ///
    /// # Errors
    /// When it was not acknowledged.
    pub async fn append(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: &[(&str, String)],
        timeout: Duration,
    ) -> Result<(), PublishError> {
        let deadline = Instant::now() + timeout;
        self.append_once(topic, partition, key, value, headers, (timeout, deadline)).await.map(drop)
    }

    /// As [`Publisher::append`], and says when it was appended.
    ///
    /// A record whose acknowledgement was lost is sent again, and a broker that knows it too well says "I have it" and neither
    /// where nor since when (`DUPLICATE_SEQUENCE_NUMBER`, which librdkafka takes for success; it is seen when a partition's
    /// leader is killed). Such a record is appended once more: one more effect of the same version changes nothing, and one
    /// more intent under the same key replaces the one before.
    ///
    /// # Errors
    /// When no acknowledgement with a time arrives in time.
    pub async fn append_dated(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: &[(&str, String)],
        timeout: Duration,
    ) -> Result<Appended, PublishError> {
        let deadline = Instant::now() + timeout;
        for _ in 0..=REPEATS {
            let delivery = self.append_once(topic, partition, key, value, headers, (timeout, deadline)).await?;
            // Tickets and the window live by the broker's clock; our own would make a frozen gateway look punctual.
            if let Timestamp::LogAppendTime(at_ms) = delivery.timestamp {
                return Ok(Appended { partition: delivery.partition, offset: delivery.offset, at_ms });
            }
            tracing::debug!(topic, key, "a record is in the log, and nobody says since when");
        }
        Err(PublishError::Failed(format!(
            "topic {topic} gives no append time: its message.timestamp.type must be LogAppendTime"
        )))
    }

    async fn append_once(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: &[(&str, String)],
        (timeout, deadline): (Duration, Instant),
    ) -> Result<Delivery, PublishError> {
        let producer = self.producer();
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(topic).partition(partition).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        if !headers.is_empty() {
            let owned = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |owned, (key, value)| {
                owned.insert(Header { key, value: Some(value) })
            });
            record = record.headers(owned);
        }
        let sent = tokio::time::timeout_at(deadline, producer.send(record, deadline - Instant::now())).await;
        match sent {
            Err(_) => Err(if self.is_down() { PublishError::Down } else { PublishError::TimedOut(timeout) }),
            Ok(Err((error, _))) => {
                self.renew_after_fatal(&producer);
                Err(match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::MessageSizeTooLarge) => PublishError::TooLarge,
                    Some(RDKafkaErrorCode::MessageTimedOut) => PublishError::TimedOut(timeout),
                    _ => PublishError::Failed(error.to_string()),
                })
            }
            Ok(Ok(delivery)) => {
                self.down.store(false, Ordering::Release);
                Ok(delivery)
            }
        }
    }

    /// Waits until everything that was sent is acknowledged or given up.
    pub async fn flush(&self, timeout: Duration) {
        let producer = self.producer();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(timeout)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("not every record was acknowledged before the producer closed");
        }
    }

    fn producer(&self) -> FutureProducer<Watch> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idempotent producer that met a fatal error (a broker that lost its log, say) never sends again: another one takes
    /// its place. What the old one had not sent fails, and whoever waits for it hears so.
    fn renew_after_fatal(&self, failed: &FutureProducer<Watch>) {
        let Some((code, reason)) = failed.client().fatal_error() else { return };
        let mut current = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if current.client().fatal_error().is_none() {
            return;
        }
        tracing::error!(%code, reason, "the Kafka producer met a fatal error; another one takes its place");
        match self.config.create_with_context(Watch { down: self.down.clone() }) {
            Ok(producer) => *current = producer,
            Err(error) => tracing::error!(%error, "no other Kafka producer can be made"),
        }
    }

    /// While brokers are down nothing is sent, so nothing would notice that they are back: look for them.
    fn watch_recovery(&self) {
        let (producer, down) = (Arc::downgrade(&self.producer), Arc::downgrade(&self.down));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROBE).await;
                let (Some(producer), Some(down)) = (producer.upgrade(), down.upgrade()) else { return };
                if !down.load(Ordering::Acquire) {
                    continue;
                }
                let producer = producer.read().unwrap_or_else(PoisonError::into_inner).clone();
                let met = tokio::task::spawn_blocking(move || {
                    // Any topic will do, also one that is not there.
                    producer.client().fetch_metadata(Some("understudy"), Duration::from_secs(1)).is_ok()
                });
                if met.await.unwrap_or(false) {
                    down.store(false, Ordering::Release);
                    tracing::info!("Kafka is back");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::{
        mocking::MockCluster,
        producer::DefaultProducerContext,
        types::{RDKafkaApiKey, RDKafkaRespErr},
    };

    use super::*;
    use crate::config::Config;

    const TOPIC: &str = "log";

    /// A fake broker (librdkafka's own) that says "I have it" to so many records in a row; others are appended at 1234.
    fn fake_broker(duplicates: usize) -> (MockCluster<'static, DefaultProducerContext>, Publisher) {
        let cluster = MockCluster::new(1).expect("a fake cluster");
        cluster.create_topic(TOPIC, 1, 1).expect("a fake topic");
        let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER; duplicates];
        cluster.request_errors(RDKafkaApiKey::Produce, &errors);
        let text = format!(
            r#"
            clusters.a.urls = ["http://a:9200"]
            clusters.b.urls = ["http://b:9200"]
            placements = [{{name = "p", indices = "*", primary = "a", targets = ["b"]}}]
            kafka.bootstrap_servers = ["{}"]
            "#,
            cluster.bootstrap_servers()
        );
        let config = Config::parse(&text, HashMap::new()).expect("a good configuration");
        let publisher = Publisher::new(&config.kafka, "test", Duration::from_secs(5)).expect("options are known");
        (cluster, publisher)
    }

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_is_there_already_is_appended() {
        let (_cluster, publisher) = fake_broker(1);
        assert_eq!(publisher.append(TOPIC, 0, "k", None, &[], TIMEOUT).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_there_since_nobody_knows_when_is_appended_again() {
        let (_cluster, publisher) = fake_broker(REPEATS);
        let appended = publisher.append_dated(TOPIC, 0, "k", None, &[], TIMEOUT).await;
        assert_eq!(appended, Ok(Appended { partition: 0, offset: 0, at_ms: 1234 }));
    }

    #[tokio::test]
    async fn a_topic_that_never_says_when_is_not_as_it_must_be() {
        let (_cluster, publisher) = fake_broker(REPEATS + 1);
        let appended = publisher.append_dated(TOPIC, 0, "k", None, &[], TIMEOUT).await;
        assert!(matches!(&appended, Err(PublishError::Failed(text)) if text.contains("LogAppendTime")), "{appended:?}");
    }
}
