//! What every request of a gateway shares.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use understudy_common::{
    cluster::{BoxError, ClusterClient},
    config::{Config, GatewayConfig, IndexPattern, Unplaced},
    kafka::Publisher,
    log::{Log, LogTimes, Ticket},
    observe::{Observer, Terms},
    process::random_id,
    record,
    schema::Schemas,
    state::{Looks, Metadata},
};

use crate::{
    admission::Admission,
    budget::Budget,
    document_id::IdGenerator,
    gate::Gate,
    metrics::Metrics,
    settle::{self, Settling, Waiting},
    standby::Standby,
    write::plan::Limits,
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
    /// Intents that wait for the second look.
    pub settling: Settling,
    /// Makes ids.
    pub ids: IdGenerator,
    /// What fits into a record.
    pub limits: Limits,
    /// How long a write may wait inside the primary for its shard.
    pub longest_wait: Duration,
    /// Bytes that writes may take.
    pub budget: Budget,
    /// Who answers reads while the primary is down.
    pub standby: Arc<Standby>,
    /// Who may come in.
    pub admission: Admission,
    /// How many copies of a write's sources are made until Kafka has them: the records, and librdkafka's for each target.
    pub copies: usize,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Writes under way, which outlive their clients.
    pub tasks: TaskTracker,
    /// The time to end is over: what still runs is answered by what is known of it.
    pub over: CancellationToken,
}

/// Between two tries to open an intent again.
const REOPEN: Duration = Duration::from_millis(500);
/// Documents of one look may be many.
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks and metadata are small: a primary that takes longer is not well.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

impl Gateway {
    /// Puts the parts together; nothing is connected yet. What waits for its second look is served by [`settle::run`].
    ///
    /// # Errors
    /// When librdkafka refuses an option.
    pub fn new(config: &Config) -> Result<(Self, Waiting), BoxError> {
        let (settling, waiting) = Settling::new();
        let placement = &config.placements[0];
        let metrics = Arc::new(Metrics::new());
        metrics.show_targets(&placement.targets);
        let primary = ClusterClient::new(&placement.primary, &config.clusters[&placement.primary]);
        tokio::spawn(primary.watch());
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
        let gateway = Self {
            settling,
            // What waits in there when nobody waits for it any more must be over before an intent is settled.
            longest_wait: config.gateway.primary_timeout.min(config.protocol.linger / 2),
            config: config.gateway.clone(),
            pattern: placement.indices.clone(),
            unplaced: config.unplaced,
            gate: Gate::default(),
            looks: Looks::new(primary.clone(), METADATA_TIMEOUT),
            schemas: Schemas::new(primary.clone(), log.clone(), metadata.clone(), METADATA_TIMEOUT),
            metadata,
            observer: Observer::new(primary.clone(), terms, OBSERVE_TIMEOUT, record_bytes),
            ids: IdGenerator::new(),
            limits: Limits { record_bytes },
            budget: Budget::new(config.gateway.max_bytes_in_flight, metrics.bytes_in_flight.clone()),
            standby: Arc::new(Standby::new(config, primary.clone(), metrics.cluster_up.clone())),
            admission: Admission::new(&config.gateway),
            copies: 1 + placement.targets.len(),
            primary,
            log,
            metrics,
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
        };
        Ok((gateway, waiting))
    }

    /// Opens the gate as soon as it may be, and closes it while it must be. Ends with `stop`.
    pub async fn open(&self, config: &Config, stop: &CancellationToken) {
        self.gate.keep(config, &self.log, &self.primary, &self.metrics, stop).await;
    }

    /// Settles an intent, off the reply's path.
    pub fn settle(&self, ticket: Ticket) {
        let log = self.log.clone();
        self.tasks.spawn(async move { log.settle(&ticket).await });
    }

    /// Settles an intent after the second look.
    pub fn settle_later(&self, done: settle::Done) {
        if let Err(done) = self.settling.put(done) {
            tracing::debug!(request = &*done.ticket.request, "too many intents wait for the second look");
            self.stays_open(&done.ticket, done.intent, false);
        }
    }

    /// An intent stays open. When others may have settled it by now, because this gateway was frozen or slow, another one
    /// is opened in its place (`reopen`). `late`: its effects came too late to count, or it may have been sent too late.
    pub fn stays_open(&self, ticket: &Ticket, intent: Bytes, late: bool) {
        self.metrics.intents_left_open.inc();
        if !settle::reopens(ticket, late, self.log.times(), Instant::now()) {
            return;
        }
        let log = self.log.clone();
        let late = ticket.request.clone();
        self.metrics.intents_reopened.inc();
        self.tasks.spawn(async move {
            loop {
                // A try that timed out is followed by its own tombstone: each has an id of its own.
                let request: Arc<str> = random_id().into();
                match log.ticket(request.clone(), &intent).await {
                    Ok(_) => {
                        tracing::warn!(
                            request = &*late,
                            again = &*request,
                            "a write ended late: another intent is open"
                        );
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "an intent could not be opened again; trying again"),
                }
                tokio::time::sleep(REOPEN).await;
            }
        });
    }
}
