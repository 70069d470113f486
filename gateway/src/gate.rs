//! Whether the gateway may take writes: topics are as they must be, roles are what Kafka says they are, and the primary is of
//! a version that was tested.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use understudy_common::{
    cluster::ClusterClient,
    config::{Config, PlacementConfig},
    control::{self, ClusterRecord, Facts, PlacementRecord, TopicRecord, key},
    kafka::ensure_topics,
    log::Log,
    servers::{Judgement, Part, Versions},
    state::StateId,
    topics::{TopicSpec, Topics},
};

use crate::{metrics::Metrics, refusal::Refusal};

/// Roles as Kafka has them: one snapshot serves a write from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Epoch.
    pub epoch: u64,
    /// Name of the primary.
    pub primary: Arc<str>,
    /// The primary's own id.
    pub cluster_uuid: Arc<str>,
    /// Names of the targets.
    pub targets: Vec<Arc<str>>,
    /// Partitions of the topic of each target.
    pub partitions: i32,
}

impl Placement {
    /// Refuses when another cluster stands behind the primary's address than when replication began.
    ///
    /// # Errors
    /// 503; nothing was written.
    pub fn check_cluster(&self, seen: &StateId) -> Result<(), Refusal> {
        control::check_cluster(&self.primary, &self.cluster_uuid, &seen.cluster_uuid)
            .map_err(|reason| Refusal::primary_unavailable(format!("nothing was written: {reason}")))
    }
}

/// Opens once everything is checked; says why while it is closed.
pub struct Gate {
    state: RwLock<Result<Arc<Placement>, String>>,
}

const RETRY: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the primary is asked for the versions of its nodes: one may be upgraded.
const VERSIONS: Duration = Duration::from_secs(5);

impl Default for Gate {
    fn default() -> Self {
        Self { state: RwLock::new(Err("the gateway has not reached Kafka yet".to_owned())) }
    }
}

impl Gate {
    /// The placement, or why there is none.
    ///
    /// # Errors
    /// The reason for which writes are refused.
    pub fn placement(&self) -> Result<Arc<Placement>, String> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: Result<Arc<Placement>, String>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Tries until everything is as it must be, and opens. From then on it is closed while the primary has nodes of an
    /// untested version. Ends with `stop`.
    pub async fn keep(
        &self,
        config: &Config,
        log: &Log,
        primary: &ClusterClient,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) {
        let mut said = String::new();
        let versions = Versions::new(primary.clone(), &config.clusters[primary.name()], Part::Primary);
        while !stop.is_cancelled() {
            match prepare(config, log, primary, &versions, metrics).await {
                Ok(None) => continue,
                Ok(Some(placement)) => {
                    tracing::info!(
                        primary = &*placement.primary,
                        targets = placement.targets.join(","),
                        epoch = placement.epoch,
                        "writes are open"
                    );
                    let placement = Arc::new(placement);
                    self.set(Ok(placement.clone()));
                    metrics.writes_open.set(1);
                    self.watch_versions(&placement, &versions, metrics, stop).await;
                    return;
                }
                Err(reason) => {
                    if reason != said {
                        tracing::warn!(reason, "writes are refused");
                        said.clone_from(&reason);
                    }
                    self.set(Err(reason));
                }
            }
            pause(RETRY, stop).await;
        }
    }

    /// Closes while the primary has nodes of an untested version. A primary that does not answer says nothing of itself.
    async fn watch_versions(
        &self,
        placement: &Arc<Placement>,
        versions: &Versions,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) {
        let mut closed = false;
        loop {
            pause(VERSIONS, stop).await;
            if stop.is_cancelled() {
                return;
            }
            match check_version(versions, metrics).await {
                Ok(()) if closed => {
                    tracing::info!("every node of the primary is of a tested version; writes are open");
                    self.set(Ok(placement.clone()));
                }
                Err(Version::Refused(reason)) if !closed => {
                    tracing::error!(reason, "writes are refused");
                    self.set(Err(reason));
                }
                Err(Version::Unknown(_)) => continue,
                _ => {}
            }
            closed = self.placement().is_err();
            metrics.writes_open.set(i64::from(!closed));
        }
    }
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

/// Why the version of the primary lets no write pass.
#[derive(Debug, thiserror::Error)]
enum Version {
    #[error("{0}")]
    Refused(String),
    #[error("which versions the primary's nodes have is not known yet: {0}")]
    Unknown(String),
}

async fn check_version(versions: &Versions, metrics: &Metrics) -> Result<(), Version> {
    let judgement = versions.look(PROBE_TIMEOUT).await.map_err(|error| Version::Unknown(error.to_string()))?;
    let known = metrics.untested_version.get() != 0;
    metrics.untested_version.set(i64::from(judgement != Judgement::Tested));
    match judgement {
        Judgement::Tested => Ok(()),
        Judgement::Allowed(what) => {
            if !known {
                tracing::warn!(what, "an untested version is used, as the configuration allows");
            }
            Ok(())
        }
        Judgement::Refused(reason) => Err(Version::Refused(reason)),
    }
}

/// Checks everything; `None` when something was written for the first time, and has to be read back.
async fn prepare(
    config: &Config,
    log: &Log,
    primary: &ClusterClient,
    versions: &Versions,
    metrics: &Metrics,
) -> Result<Option<Placement>, String> {
    let placement = &config.placements[0];
    let specs = Topics::new(&config.kafka.topic_prefix).specs(&config.kafka, &placement.targets);
    ensure_topics(&config.kafka, &specs).await.map_err(|error| error.to_string())?;
    check_version(versions, metrics).await.map_err(|error| error.to_string())?;
    let mut found = look(config).await?;
    check_partitions(log, &mut found, &specs).await?;
    let epoch = check_roles(log, &mut found, placement).await?;
    let cluster_uuid = check_cluster(log, &mut found, primary).await?;
    if found.wrote {
        return Ok(None);
    }
    Ok(Some(Placement {
        epoch,
        primary: placement.primary.as_str().into(),
        cluster_uuid,
        targets: placement.targets.iter().map(|target| Arc::from(target.as_str())).collect(),
        partitions: config.kafka.partitions,
    }))
}

/// What this look found, and whether it wrote something: what counts is seen by the next one.
struct Found {
    facts: Facts,
    wrote: bool,
}

async fn look(config: &Config) -> Result<Found, String> {
    let (kafka, topic) = (config.kafka.clone(), Topics::new(&config.kafka.topic_prefix).control());
    let read = tokio::task::spawn_blocking(move || Facts::read(&kafka, &topic)).await;
    let read = read.map_err(|error| error.to_string())?;
    let facts = read.map_err(|error| format!("the control topic cannot be read: {error}"))?;
    Ok(Found { facts, wrote: false })
}

/// The fact under `key`; `first` is written where there is none.
async fn fact<T>(log: &Log, found: &mut Found, key: &str, first: impl FnOnce() -> T) -> Result<T, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let write = async |value: &[u8]| log.control(key, value).await.map_err(|error| error.to_string());
    let Some(fact) = found.facts.get(key).map_err(|error| error.to_string())? else {
        let fact = first();
        write(&serde_json::to_vec(&fact).map_err(|error| error.to_string())?).await?;
        found.wrote = true;
        return Ok(fact);
    };
    // Compaction keeps the last record: it must be the one that counts.
    if let Some(hidden) = found.facts.hidden(key) {
        write(hidden).await?;
    }
    Ok(fact)
}

async fn check_partitions(log: &Log, found: &mut Found, specs: &[TopicSpec]) -> Result<(), String> {
    for spec in specs {
        let record = fact(log, found, &key::topic(&spec.name), || TopicRecord { partitions: spec.partitions }).await?;
        if record.partitions != spec.partitions {
            return Err(format!(
                "topic {} was made with {} partitions and {} are configured: another number would move documents behind their own newer effects",
                spec.name, record.partitions, spec.partitions
            ));
        }
    }
    Ok(())
}

async fn check_roles(log: &Log, found: &mut Found, placement: &PlacementConfig) -> Result<u64, String> {
    let configured = PlacementRecord {
        indices: placement.indices.as_str().to_owned(),
        primary: placement.primary.clone(),
        targets: placement.targets.clone(),
        epoch: 1,
    };
    let record = fact(log, found, &key::placement(&placement.name), || configured.clone()).await?;
    if record != configured {
        return Err(format!(
            "placement {} is {record:?} in Kafka and {configured:?} in the configuration; roles live in Kafka, and changing them is not supported yet",
            placement.name
        ));
    }
    Ok(record.epoch)
}

async fn check_cluster(log: &Log, found: &mut Found, primary: &ClusterClient) -> Result<Arc<str>, String> {
    // The primary may be down now, where it is recorded; every write compares.
    let recorded = found.facts.cluster_uuid(primary.name()).map_err(|error| error.to_string())?;
    let cluster_uuid = match recorded {
        Some(cluster_uuid) => cluster_uuid,
        None => primary.cluster_uuid(PROBE_TIMEOUT).await.map_err(|error| error.to_string())?,
    };
    let record = ClusterRecord { cluster_uuid };
    let record = fact(log, found, &key::cluster(primary.name()), || record).await?;
    Ok(record.cluster_uuid.into())
}
