//! What every request of a gateway shares.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use understudy_common::{
    cluster::{BoxError, ClusterClient},
    config::{Config, GatewayConfig, IndexPattern, Unplaced},
    kafka::Publisher,
    log::{Log, LogTimes, Ticket},
    observe::{Observer, Terms},
    record,
    schema::Schemas,
    state::{Looks, Metadata},
};

use crate::{
    body::Budget, document_id::IdGenerator, gate::Gate, metrics::Metrics, refusal::Refusal, write::plan::Limits,
};

/// What every request of a gateway shares.
pub struct Gateway {
    /// Its part of the configuration.
    pub config: GatewayConfig,
    /// The indices that are replicated.
    pub pattern: IndexPattern,
    /// What a write outside of them gets.
    pub unplaced: Unplaced,
    /// The primary cluster.
    pub primary: ClusterClient,
    /// The log.
    pub log: Log,
    /// Whether writes are taken.
    pub gate: Gate,
    /// Looks at the primary's cluster state.
    pub looks: Looks,
    /// What indices are like.
    pub metadata: Arc<Metadata>,
    /// What the log knows of indices.
    pub schemas: Schemas,
    /// Reads documents back.
    pub observer: Observer,
    /// Makes ids.
    pub ids: IdGenerator,
    /// What fits into a record.
    pub limits: Limits,
    /// Bytes that writes may take.
    pub budget: Budget,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Writes under way, which outlive their clients.
    pub tasks: TaskTracker,
}

/// Looks and metadata are small: a primary that takes longer is not well.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

impl Gateway {
    /// Puts the parts together; nothing is connected yet.
    ///
    /// # Errors
    /// When librdkafka refuses an option.
    pub fn new(config: &Config) -> Result<Self, BoxError> {
        let placement = &config.placements[0];
        let metrics = Arc::new(Metrics::new());
        let primary = ClusterClient::new(&placement.primary, &config.clusters[&placement.primary]);
        let publisher = Publisher::new(&config.kafka, &config.gateway.name, config.gateway.publish_timeout)?;
        let times = LogTimes {
            intent_timeout: config.gateway.intent_timeout,
            publish_timeout: config.gateway.publish_timeout,
            ticket_lifetime: config.protocol.ticket_lifetime,
            clock_skew: config.protocol.clock_skew,
        };
        let log = Log::new(publisher, &config.kafka, times, metrics.log.clone());
        let terms = Arc::new(Terms::new(config.protocol.stale_primary));
        let metadata = Arc::new(Metadata::new(primary.clone(), METADATA_TIMEOUT, terms.clone()));
        let record_bytes = record::largest_source(&config.kafka);
        Ok(Self {
            config: config.gateway.clone(),
            pattern: placement.indices.clone(),
            unplaced: config.unplaced,
            gate: Gate::default(),
            looks: Looks::new(primary.clone(), METADATA_TIMEOUT),
            schemas: Schemas::new(primary.clone(), log.clone(), metadata.clone(), METADATA_TIMEOUT),
            metadata,
            observer: Observer::new(primary.clone(), terms, config.gateway.primary_timeout, record_bytes),
            ids: IdGenerator::new(),
            limits: Limits { record_bytes },
            budget: Budget::new(config.gateway.max_bytes_in_flight, metrics.bytes_in_flight.clone()),
            primary,
            log,
            metrics,
            tasks: TaskTracker::new(),
        })
    }

    /// Opens the gate as soon as it may be.
    pub async fn open(&self, config: &Config, stop: &CancellationToken) {
        self.gate.open(config, &self.log, &self.primary, &self.metrics, stop).await;
    }

    /// Settles an intent, off the reply's path.
    pub fn settle(&self, ticket: Ticket) {
        let log = self.log.clone();
        self.tasks.spawn(async move { log.settle(&ticket).await });
    }

    /// Leaves an intent open: whoever settles open intents looks at the documents.
    pub fn leave_open(&self, ticket: &Ticket, refusal: Refusal) -> Refusal {
        self.metrics.intents_left_open.inc();
        tracing::warn!(request = &*ticket.request, reason = refusal.reason, "an intent stays open");
        refusal
    }
}
