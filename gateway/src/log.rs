//! The log, as the gateway writes it: tickets, effects, schemas, settlements. The only module here that knows Kafka.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use understudy_common::{
    config::{GatewayConfig, KafkaConfig, ProtocolConfig},
    document::partition_of,
    kafka::{PublishError, Publisher},
    record::{OutgoingRecord, is_void},
    schema::IndexSchema,
    topics::{INTENT_PARTITIONS, Topics},
};

use crate::metrics::Metrics;

/// Appends what the gateway has to say. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    publisher: Publisher,
    topics: Topics,
    intent_timeout: Duration,
    publish_timeout: Duration,
    ticket_lifetime: Duration,
    metrics: Arc<Metrics>,
}

/// An acknowledged intent: the permission to write.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Id of the request, and key of the intent.
    pub request: Arc<str>,
    /// Append time by the broker's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Why effects are not durable in the log.
#[derive(Debug, thiserror::Error)]
pub enum EffectsError {
    /// Not acknowledged in time.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Acknowledged, and too late after the ticket: every consumer drops it.
    #[error("an effect was appended {after:?} after its ticket, and counts only below {limit:?}")]
    Void {
        /// How late.
        after: Duration,
        /// The limit.
        limit: Duration,
    },
}

impl Log {
    /// Writes through `publisher`.
    #[must_use]
    pub fn new(
        publisher: Publisher,
        kafka: &KafkaConfig,
        gateway: &GatewayConfig,
        protocol: ProtocolConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            publisher,
            topics: Topics::new(&kafka.topic_prefix),
            intent_timeout: gateway.intent_timeout,
            publish_timeout: gateway.publish_timeout,
            ticket_lifetime: protocol.ticket_lifetime,
            metrics,
        }
    }

    /// Whether brokers are known to be down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.publisher.is_down()
    }

    /// Opens an intent and waits for its acknowledgement.
    ///
    /// # Errors
    /// When there is none within `intent_timeout`: nothing may be written. (The intent may still arrive; a tombstone
    /// follows it.)
    pub async fn ticket(&self, request: Arc<str>, intent: &[u8]) -> Result<Ticket, PublishError> {
        if self.is_down() {
            return Err(PublishError::Down);
        }
        let begun = Instant::now();
        let topic = self.topics.intents();
        let partition = partition_of(request.as_bytes(), INTENT_PARTITIONS);
        let appended = self.publisher.append(&topic, partition, &request, Some(intent), &[], self.intent_timeout).await;
        self.metrics.ticket_seconds.observe(begun.elapsed().as_secs_f64());
        match appended {
            Ok(appended) => {
                self.metrics.open_intents.inc();
                Ok(Ticket { request, at_ms: appended.at_ms })
            }
            Err(error) => {
                // The record may be in the log or on its way: one producer keeps its order, so this comes behind it.
                let log = self.clone();
                tokio::spawn(async move { log.tombstone(&request).await });
                Err(error)
            }
        }
    }

    /// Appends records of effects to a target's topic, all at once, and waits for all acknowledgements.
    ///
    /// # Errors
    /// When one is missing after `publish_timeout`, or came too late to count.
    pub async fn effects(&self, target: &str, ticket: &Ticket, records: &[OutgoingRecord]) -> Result<(), EffectsError> {
        let begun = Instant::now();
        let topic = self.topics.target(target);
        let appended = try_join_all(records.iter().map(|record| {
            self.publisher.append(
                &topic,
                record.partition,
                &record.key,
                Some(&record.value),
                &record.headers,
                self.publish_timeout,
            )
        }))
        .await;
        self.metrics.publish_seconds.observe(begun.elapsed().as_secs_f64());
        let limit = self.ticket_lifetime;
        for record in appended? {
            if is_void(record.at_ms, ticket.at_ms, limit) {
                let after = Duration::from_millis(u64::try_from(record.at_ms - ticket.at_ms).unwrap_or(0));
                self.metrics.void_effects.inc();
                return Err(EffectsError::Void { after, limit });
            }
        }
        Ok(())
    }

    /// Appends what an index is like.
    ///
    /// # Errors
    /// When it is not acknowledged within `publish_timeout`.
    pub async fn schema(&self, schema: &IndexSchema) -> Result<(), PublishError> {
        let value = serde_json::to_vec(schema).map_err(|error| PublishError::Failed(error.to_string()))?;
        let topic = self.topics.schema();
        self.publisher.append(&topic, 0, &schema.record_key(), Some(&value), &[], self.publish_timeout).await?;
        self.metrics.schemas.inc();
        Ok(())
    }

    /// Appends a fact that all processes share.
    ///
    /// # Errors
    /// When it is not acknowledged within `publish_timeout`.
    pub async fn control(&self, key: &str, value: &[u8]) -> Result<(), PublishError> {
        self.publisher.append(&self.topics.control(), 0, key, Some(value), &[], self.publish_timeout).await?;
        Ok(())
    }

    /// Settles an intent. What cannot be settled now stays open, which is always right.
    pub async fn settle(&self, ticket: &Ticket) {
        if self.tombstone(&ticket.request).await {
            self.metrics.open_intents.dec();
        }
    }

    async fn tombstone(&self, request: &str) -> bool {
        let topic = self.topics.intents();
        let partition = partition_of(request.as_bytes(), INTENT_PARTITIONS);
        let appended = self.publisher.append(&topic, partition, request, None, &[], self.publish_timeout).await;
        if let Err(error) = &appended {
            tracing::warn!(request, %error, "an intent could not be settled and stays open");
        }
        appended.is_ok()
    }

    /// Waits until everything that was sent is acknowledged or given up.
    pub async fn flush(&self) {
        if self.is_down() {
            return;
        }
        self.publisher.flush(self.publish_timeout).await;
    }
}
