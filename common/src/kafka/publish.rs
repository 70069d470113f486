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
    producer::{FutureProducer, FutureRecord, Producer},
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
    ) -> Result<Appended, PublishError> {
        let begun = Instant::now();
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
        let sent = tokio::time::timeout_at(begun + timeout, producer.send(record, timeout)).await;
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
                // Tickets and the window live by the broker's clock; our own would make a frozen gateway look punctual.
                let Timestamp::LogAppendTime(at_ms) = delivery.timestamp else {
                    return Err(PublishError::Failed(format!(
                        "topic {topic} gives no append time: its message.timestamp.type must be LogAppendTime"
                    )));
                };
                Ok(Appended { partition: delivery.partition, offset: delivery.offset, at_ms })
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
