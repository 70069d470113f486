//! Works turns off: reads intents back, looks at their documents under tickets, publishes what is found.
//!
//! ```text
//! records (Kafka) ─► ticket ─► names ─► primary copies ─► schemas ─► effects ─► what is unknown
//!                      ▲                                                            │
//!                      └──────────────── next chunk ◄───────────────────────────────┘
//! ```

mod publish;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use understudy_common::{
    cluster::ClusterClient,
    config::{Config, PlacementConfig},
    control::Roles,
    document::DocumentKey,
    effect::Effect,
    kafka::RangeReader,
    log::{Log, Ticket},
    observe::{DOCUMENTS, Observation, Observed, Observer, Terms},
    record,
    schema::Schemas,
    servers::{Part, Versions},
    state::Metadata,
    topics::Topics,
};

use super::{
    chunk::ChunkSize,
    metrics::{Found, ReconcilerMetrics},
    open::Confirmation,
    resolve::{named, names, reached},
    turn::{Place, Turn},
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
        let failure = self.work_off(&mut turn, &mut ticket_ms, stop).await.err();
        Ended { turn, failure, ticket_ms }
    }

    async fn work_off(
        &self,
        turn: &mut Turn,
        ticket_ms: &mut Option<i64>,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        self.read_back(turn).await?;
        let roles = self.roles().await?;
        while !turn.is_over() && !stop.is_cancelled() {
            // What a version answers that was not tried is not believed.
            self.versions.check(ASK).await?;
            // `ticket_first`: what is seen is dated before it is seen.
            let ticket = self.log.look_ticket(&self.name, turn.partition).await;
            let ticket = ticket.map_err(|error| format!("no ticket for a look: {error}"))?;
            *ticket_ms = Some(ticket.at_ms);
            let limit = self.size.lock().unwrap_or_else(PoisonError::into_inner).documents();
            let places = turn.chunk(ticket.at_ms, limit);
            if places.is_empty() {
                continue;
            }
            self.metrics.looks.inc();
            match self.look(&roles, &ticket, turn, &places).await {
                Ok(found) => self.learn(turn, &places, &found),
                Err(reason) => {
                    self.learn(turn, &places, &vec![Found::Unknown; places.len()]);
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    fn learn(&self, turn: &mut Turn, places: &[Place], found: &[Found]) {
        for (place, found) in places.iter().zip(found) {
            self.metrics.found(*found, 1);
            if *found == Found::Unknown {
                turn.unknown(*place);
            }
        }
    }

    /// Looks at documents, and publishes those that are found; what became of each, in order.
    async fn look(
        &self,
        roles: &Roles,
        ticket: &Ticket,
        turn: &mut Turn,
        places: &[Place],
    ) -> Result<Vec<Found>, String> {
        let mut found = vec![Found::Nothing; places.len()];
        let asked = self.resolve(roles, turn, places, &mut found).await?;
        for batch in asked.chunks(DOCUMENTS) {
            let keys: Vec<DocumentKey> = batch.iter().map(|(_, key)| key.clone()).collect();
            let mut observation = self.observer.observe(roles.epoch, &keys).await.map_err(|error| error.to_string())?;
            self.check_cluster(roles).await?;
            let effects = sort(batch, places, &mut observation, &mut found);
            self.learn_sizes(batch.len(), &effects);
            let published = self.publish(roles, ticket, turn, &observation, &effects).await?;
            for ((place, intent), is_published) in effects.iter().map(|(at, _)| *at).zip(published) {
                debug_assert_eq!(places[place].intent, intent);
                if !is_published {
                    found[place] = Found::Unknown;
                }
            }
            let mut indices: BTreeMap<usize, BTreeSet<&Arc<str>>> = BTreeMap::new();
            for (place, key) in batch {
                indices.entry(places[*place].intent).or_default().insert(&key.index);
            }
            for (intent, indices) in indices {
                let copies = observation.copies.iter().filter(|copy| indices.contains(&copy.index)).cloned().collect();
                turn.answered(intent, &copies);
            }
        }
        Ok(found)
    }

    /// The documents of concrete indices that these may be by now, each with its place among them.
    async fn resolve(
        &self,
        roles: &Roles,
        turn: &Turn,
        places: &[Place],
        found: &mut [Found],
    ) -> Result<Vec<(usize, DocumentKey)>, String> {
        let mut named_there = Vec::with_capacity(places.len());
        let mut wanted = BTreeSet::new();
        for place in places {
            let (_, intent) = turn.intent(place.intent).ok_or("an intent was not read back")?;
            let key = named(&intent.documents[place.document as usize]);
            wanted.extend(names(&key, &intent.aliases).cloned());
            named_there.push((key, &intent.aliases));
        }
        let sight = self.metadata.read(&wanted).await.map_err(|error| error.to_string())?;
        if sight.state.cluster_uuid != roles.cluster_uuid {
            return Err(other_cluster(roles, &sight.state.cluster_uuid));
        }
        let mut asked = Vec::with_capacity(places.len());
        for (place, (key, aliases)) in named_there.into_iter().enumerate() {
            match reached(&key, aliases, &sight, &self.placement.indices) {
                Ok(keys) => asked.extend(keys.into_iter().map(|key| (place, key))),
                Err(reason) => {
                    tracing::debug!(document = key.record_key(), reason, "a document of an open intent is not known");
                    found[place] = Found::Unknown;
                }
            }
        }
        Ok(asked)
    }

    fn learn_sizes(&self, documents: usize, effects: &[((usize, usize), Effect)]) {
        let bytes = effects.iter().map(|(_, effect)| effect.source_len()).sum();
        self.size.lock().unwrap_or_else(PoisonError::into_inner).learn(documents, bytes);
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

fn other_cluster(roles: &Roles, seen: &str) -> String {
    format!(
        "behind the name {} stands the cluster {seen}, and it was {} when replication began",
        roles.primary, roles.cluster_uuid
    )
}

/// Takes the effects out of an observation, each with its place and the intent there; notes what is known of the others.
fn sort(
    batch: &[(usize, DocumentKey)],
    places: &[Place],
    observation: &mut Observation,
    found: &mut [Found],
) -> Vec<((usize, usize), Effect)> {
    let mut effects = Vec::new();
    for ((place, _), observed) in batch.iter().zip(std::mem::take(&mut observation.found)) {
        match observed {
            Observed::Effect(effect) => {
                effects.push(((*place, places[*place].intent), effect));
                if found[*place] == Found::Nothing {
                    found[*place] = Found::Effect;
                }
            }
            Observed::Nothing => {}
            Observed::Unknown(reason) => {
                tracing::debug!(reason, "a document of an open intent is not known");
                found[*place] = Found::Unknown;
            }
        }
    }
    effects
}
