//! What a turn works with: Kafka, the primary, and looks at it. [`super::work`] says what follows what.

mod publish;
mod read;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use understudy_common::{
    cluster::ClusterClient,
    config::{Config, IndexPattern, PlacementConfig},
    control::Roles,
    document::DocumentKey,
    kafka::{PublishError, RangeReader},
    log::{Log, Ticket},
    observe::{Observation, Observer, Terms},
    record,
    schema::Schemas,
    servers::{Part, Versions},
    state::{Metadata, Sight},
    topics::Topics,
};

use super::{
    chunk::ChunkSize,
    metrics::{Found, ReconcilerMetrics},
    open::Confirmation,
    turn::Turn,
    work::{Means, Sighted, other_cluster, work_off},
};

/// How long single questions to the primary may take.
const ASK: Duration = Duration::from_secs(10);

/// Looks at documents of open intents, and publishes what it sees.
pub struct Looker {
    config: Config,
    topics: Topics,
    placement: PlacementConfig,
    name: Arc<str>,
    log: Log,
    cluster: ClusterClient,
    versions: Versions,
    metadata: Arc<Metadata>,
    observer: Observer,
    schemas: Schemas,
    metrics: ReconcilerMetrics,
    reader: Arc<Mutex<Option<RangeReader>>>,
    roles: Mutex<Option<Arc<Roles>>>,
    size: Mutex<ChunkSize>,
}

/// A turn that is over.
pub struct Ended {
    /// With what was seen.
    pub turn: Turn,
    /// Why it ended early.
    pub failure: Option<String>,
    /// The last ticket's time.
    pub ticket_ms: Option<i64>,
}

impl Looker {
    /// Looks at the primary of `placement`.
    #[must_use]
    pub fn new(config: &Config, placement: &PlacementConfig, log: Log, metrics: ReconcilerMetrics) -> Self {
        let settings = &config.clusters[&placement.primary];
        let cluster = ClusterClient::new(&placement.primary, settings);
        tokio::spawn(cluster.watch());
        let terms = Arc::new(Terms::new(config.protocol.stale_primary));
        let metadata = Arc::new(Metadata::new(cluster.clone(), ASK, terms.clone()));
        Self {
            topics: Topics::new(&config.kafka.topic_prefix),
            placement: placement.clone(),
            name: config.consumer.name.as_str().into(),
            observer: Observer::new(cluster.clone(), terms, ASK, record::largest_source(&config.kafka)),
            schemas: Schemas::new(cluster.clone(), log.clone(), metadata.clone(), ASK),
            versions: Versions::new(cluster.clone(), settings, Part::Primary),
            config: config.clone(),
            log,
            cluster,
            metadata,
            metrics,
            reader: Arc::default(),
            roles: Mutex::default(),
            size: Mutex::default(),
        }
    }

    /// Works a turn off, until it is over, or the primary or Kafka does not answer, or `stop`.
    pub async fn work(&self, mut turn: Turn, stop: &CancellationToken) -> Ended {
        let mut ticket_ms = None;
        let means = Stoppable { looker: self, stop };
        let failure = work_off(&means, &mut turn, &mut ticket_ms).await.err();
        Ended { turn, failure, ticket_ms }
    }

    /// The second look: for each, whether the copies that answered are still the primaries of their shards.
    ///
    /// # Errors
    /// When the primary does not answer.
    pub async fn confirm(&self, confirmations: &[Confirmation]) -> Result<Vec<bool>, String> {
        let roles = self.roles().await?;
        self.versions.check(ASK).await?;
        let all = confirmations.iter().flat_map(|confirmation| confirmation.copies.iter().cloned()).collect();
        let mut confirmed = vec![true; confirmations.len()];
        if !self.observer.still(&all).await.map_err(|error| error.to_string())? {
            for (confirmed, confirmation) in confirmed.iter_mut().zip(confirmations) {
                *confirmed = self.observer.still(&confirmation.copies).await.map_err(|error| error.to_string())?;
            }
        }
        self.check_cluster(&roles).await?;
        Ok(confirmed)
    }

    /// Another cluster behind the primary's address would say that nothing is there.
    async fn check_cluster(&self, roles: &Roles) -> Result<(), String> {
        let seen = self.cluster.cluster_uuid(ASK).await.map_err(|error| error.to_string())?;
        if *seen == *roles.cluster_uuid { Ok(()) } else { Err(other_cluster(roles, &seen)) }
    }
}

/// The means of one turn, which may be stopped.
struct Stoppable<'a> {
    looker: &'a Looker,
    stop: &'a CancellationToken,
}

impl Means for Stoppable<'_> {
    fn placed(&self) -> &IndexPattern {
        &self.looker.placement.indices
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn documents(&self) -> usize {
        self.looker.size.lock().unwrap_or_else(PoisonError::into_inner).documents()
    }

    fn learn(&self, documents: usize, bytes: usize) {
        self.looker.size.lock().unwrap_or_else(PoisonError::into_inner).learn(documents, bytes);
    }

    fn looks(&self) {
        self.looker.metrics.looks.inc();
    }

    fn found(&self, found: Found) {
        self.looker.metrics.found(found, 1);
    }

    async fn read_back(&self, turn: &mut Turn) -> Result<(), String> {
        self.looker.read_back(turn).await
    }

    async fn roles(&self) -> Result<Arc<Roles>, String> {
        self.looker.roles().await
    }

    async fn ticket(&self, partition: i32) -> Result<Ticket, PublishError> {
        self.looker.log.look_ticket(&self.looker.name, partition).await
    }

    async fn sight(&self, names: &BTreeSet<Arc<str>>) -> Result<Sight, String> {
        // What a version answers that was not tried is not believed.
        self.looker.versions.check(ASK).await?;
        self.looker.metadata.read(names).await.map_err(|error| error.to_string())
    }

    async fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> Result<Observation, String> {
        self.looker.versions.check(ASK).await?;
        self.looker.observer.observe(epoch, keys).await.map_err(|error| error.to_string())
    }

    async fn check_cluster(&self, roles: &Roles) -> Result<(), String> {
        self.looker.check_cluster(roles).await
    }

    async fn publish(
        &self,
        roles: &Roles,
        ticket: &Ticket,
        turn: &Turn,
        observation: &Observation,
        effects: &[Sighted],
    ) -> Result<Vec<bool>, String> {
        self.looker.publish(roles, ticket, turn, observation, effects).await
    }
}
