//! The log, as it is written: tickets, effects, schemas, settlements.

mod metrics;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::KafkaConfig,
    document::partition_of,
    intent,
    kafka::{PublishError, Publisher},
    planted::{Bug, planted},
    process::now_ms,
    record::{OutgoingRecord, is_void},
    schema::{ClientVersions, IndexSchema},
    topics::{INTENT_PARTITIONS, Topics},
};
use futures::future::try_join_all;
pub use metrics::{LogMetrics, OpenIntent, OpenIntents};

use metrics::Entry;

/// Appends what the gateway has to say. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    publisher: Publisher,
    topics: Topics,
    times: LogTimes,
    metrics: LogMetrics,
}

/// How long whoever writes the log waits for it.
#[derive(Clone, Copy, Debug)]
pub struct LogTimes {
    /// For the acknowledgement of a ticket.
    pub intent_timeout: Duration,
    /// For the acknowledgements of effects, schemas and settlements.
    pub publish_timeout: Duration,
    /// `L`: an effect that is appended this long after its ticket, or later, is void.
    pub ticket_lifetime: Duration,
    /// How much the clocks of two brokers may differ.
    pub clock_skew: Duration,
}

/// An acknowledged intent: the permission to write.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Id of the request, and key of the intent.
    pub request: Arc<str>,
    /// Append time by the broker's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// When it was asked for, which is before it was appended.
    pub begun: Instant,
    /// Counts its intent as open for as long as somebody holds it; `None` where it opened none.
    pub open: Option<Arc<OpenIntent>>,
}

impl Ticket {
    /// Whether its intent may have been settled by others by now, who believed that nothing of it was under way any more
    /// (`reopen`): who leaves it open now opens another one.
    #[must_use]
    pub fn is_late(&self, times: LogTimes, now: Instant) -> bool {
        now.duration_since(self.begun) + 2 * times.clock_skew >= times.ticket_lifetime
    }
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

/// Whether records of effects that were appended at these times count (`void_check`).
///
/// # Errors
/// When one of them came too late after its ticket.
pub fn in_time(
    ticket_ms: i64,
    appended_ms: impl IntoIterator<Item = i64>,
    limit: Duration,
) -> Result<(), EffectsError> {
    match appended_ms.into_iter().find(|at_ms| is_void(*at_ms, ticket_ms, limit)) {
        Some(at_ms) => {
            let after = Duration::from_millis(u64::try_from(at_ms - ticket_ms).unwrap_or(0));
            Err(EffectsError::Void { after, limit })
        }
        None => Ok(()),
    }
}

impl Log {
    /// Writes through `publisher`.
    #[must_use]
    pub fn new(publisher: Publisher, kafka: &KafkaConfig, times: LogTimes, metrics: LogMetrics) -> Self {
        metrics.watch(publisher.down());
        Self { publisher, topics: Topics::new(&kafka.topic_prefix), times, metrics }
    }

    /// How long it waits.
    #[must_use]
    pub fn times(&self) -> LogTimes {
        self.times
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
            return self.metrics.counted(Entry::Ticket, Err(PublishError::Down));
        }
        let begun = Instant::now();
        if planted(Bug::NoTicket) {
            return Ok(Ticket { request, at_ms: now_ms(), begun, open: None });
        }
        let topic = self.topics.intents();
        let partition = partition_of(request.as_bytes(), INTENT_PARTITIONS);
        let appended = self
            .publisher
            .append_dated(&topic, partition, &request, Some(intent), &[], self.times.intent_timeout)
            .await;
        self.metrics.ticket_seconds.observe(begun.elapsed().as_secs_f64());
        match self.metrics.counted(Entry::Ticket, appended) {
            Ok(appended) => {
                let open = Some(Arc::new(self.metrics.open_intents.opened(begun)));
                Ok(Ticket { request, at_ms: appended.at_ms, begun, open })
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
        let appended = try_join_all(records.iter().map(async |record| {
            let appended = self.publisher.append_dated(
                &topic,
                record.partition,
                &record.key,
                Some(&record.value),
                &record.headers,
                self.times.publish_timeout,
            );
            self.metrics.counted(Entry::Effects, appended.await)
        }))
        .await;
        self.metrics.published(target, begun);
        let appended = appended?;
        let (limit, times) = (self.times.ticket_lifetime, || appended.iter().map(|record| record.at_ms));
        self.metrics.void(target, times().filter(|at_ms| is_void(*at_ms, ticket.at_ms, limit)).count());
        in_time(ticket.at_ms, times(), limit)
    }

    /// Appends what an index is like.
    ///
    /// # Errors
    /// When it is not acknowledged within `publish_timeout`.
    pub async fn schema(&self, schema: &IndexSchema) -> Result<(), PublishError> {
        let value = serde_json::to_vec(schema).map_err(|error| PublishError::Failed(error.to_string()))?;
        let topic = self.topics.schema();
        let appended =
            self.publisher.append(&topic, 0, &schema.record_key(), Some(&value), &[], self.times.publish_timeout).await;
        self.metrics.counted(Entry::Schema, appended)?;
        self.metrics.schemas.inc();
        Ok(())
    }

    /// Appends that an index has documents with versions of its clients.
    ///
    /// # Errors
    /// When it is not acknowledged within `publish_timeout`.
    pub async fn client_versions(&self, record: &ClientVersions) -> Result<(), PublishError> {
        let value = serde_json::to_vec(record).map_err(|error| PublishError::Failed(error.to_string()))?;
        let topic = self.topics.schema();
        let appended =
            self.publisher.append(&topic, 0, &record.record_key(), Some(&value), &[], self.times.publish_timeout).await;
        self.metrics.counted(Entry::Schema, appended)?;
        Ok(())
    }

    /// Appends a fact that all processes share.
    ///
    /// # Errors
    /// When it is not acknowledged within `publish_timeout`.
    pub async fn control(&self, key: &str, value: &[u8]) -> Result<(), PublishError> {
        let appended =
            self.publisher.append(&self.topics.control(), 0, key, Some(value), &[], self.times.publish_timeout).await;
        self.metrics.counted(Entry::Control, appended)?;
        Ok(())
    }

    /// Replaces what an open intent says, under the same request id; the ticket is dated anew.
    ///
    /// # Errors
    /// When it is not acknowledged within `intent_timeout`: nothing may be written.
    pub async fn replace_ticket(&self, ticket: &Ticket, intent: &[u8]) -> Result<Ticket, PublishError> {
        let (topic, request) = (self.topics.intents(), ticket.request.clone());
        let partition = partition_of(request.as_bytes(), INTENT_PARTITIONS);
        let (timeout, begun) = (self.times.intent_timeout, Instant::now());
        let appended = self.publisher.append_dated(&topic, partition, &request, Some(intent), &[], timeout).await;
        self.metrics.ticket_seconds.observe(begun.elapsed().as_secs_f64());
        let appended = self.metrics.counted(Entry::Ticket, appended)?;
        Ok(Ticket { request, at_ms: appended.at_ms, begun, open: ticket.open.clone() })
    }

    /// A ticket for a look at documents whose intents are others' (`ticket_first`): dated by the broker's clock of one
    /// partition of the intents topic, and nothing that would have to be settled. `name` is that of whoever looks.
    ///
    /// # Errors
    /// When it is not acknowledged within `intent_timeout`.
    pub async fn look_ticket(&self, name: &str, partition: i32) -> Result<Ticket, PublishError> {
        let key: Arc<str> = intent::look_key(name, partition).into();
        let topic = self.topics.intents();
        let (value, begun): (&[u8], _) = (b"{}", Instant::now());
        let appended =
            self.publisher.append_dated(&topic, partition, &key, Some(value), &[], self.times.intent_timeout).await;
        self.metrics.ticket_seconds.observe(begun.elapsed().as_secs_f64());
        let appended = self.metrics.counted(Entry::Look, appended)?;
        Ok(Ticket { request: key, at_ms: appended.at_ms, begun, open: None })
    }

    /// Settles an intent. What cannot be settled now stays open, which is always right.
    pub async fn settle(&self, ticket: &Ticket) {
        self.tombstone(&ticket.request).await;
    }

    /// Settles an intent that another process opened, in the partition where it stands.
    ///
    /// # Errors
    /// When the tombstone is not acknowledged within `publish_timeout`: the intent counts as open.
    pub async fn settle_for_another(&self, partition: i32, request: &str) -> Result<(), PublishError> {
        let topic = self.topics.intents();
        let appended = self.publisher.append(&topic, partition, request, None, &[], self.times.publish_timeout).await;
        self.metrics.counted(Entry::Settlement, appended)?;
        Ok(())
    }

    async fn tombstone(&self, request: &str) {
        let topic = self.topics.intents();
        let partition = partition_of(request.as_bytes(), INTENT_PARTITIONS);
        let appended = self.publisher.append(&topic, partition, request, None, &[], self.times.publish_timeout).await;
        if let Err(error) = self.metrics.counted(Entry::Settlement, appended) {
            tracing::warn!(request, %error, "an intent could not be settled and stays open");
        }
    }

    /// Waits until everything that was sent is acknowledged or given up.
    pub async fn flush(&self) {
        if self.is_down() {
            return;
        }
        self.publisher.flush(self.times.publish_timeout).await;
    }
}
