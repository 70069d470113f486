//! Whether the gateway may take writes: topics are as they must be, and roles are what Kafka says they are.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use understudy_common::{
    cluster::ClusterClient,
    config::{Config, PlacementConfig},
    control::{ClusterRecord, PlacementRecord, TopicRecord, key},
    kafka::{LogRecord, ensure_topics, read_all},
    log::Log,
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
        if seen.cluster_uuid == self.cluster_uuid {
            return Ok(());
        }
        Err(Refusal::primary_unavailable(format!(
            "nothing was written: behind the name {} stands the cluster {}, and it was {} when replication began",
            self.primary, seen.cluster_uuid, self.cluster_uuid
        )))
    }
}

/// Opens once everything is checked; says why while it is closed.
pub struct Gate {
    state: RwLock<Result<Arc<Placement>, String>>,
}

const RETRY: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// Tries until everything is as it must be, then opens.
    pub async fn open(
        &self,
        config: &Config,
        log: &Log,
        primary: &ClusterClient,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) {
        let mut said = String::new();
        while !stop.is_cancelled() {
            match prepare(config, log, primary).await {
                Ok(None) => continue,
                Ok(Some(placement)) => {
                    tracing::info!(
                        primary = &*placement.primary,
                        targets = placement.targets.join(","),
                        epoch = placement.epoch,
                        "writes are open"
                    );
                    self.set(Ok(Arc::new(placement)));
                    metrics.writes_open.set(1);
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
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Checks everything; `None` when something was written for the first time, and has to be read back.
async fn prepare(config: &Config, log: &Log, primary: &ClusterClient) -> Result<Option<Placement>, String> {
    let placement = &config.placements[0];
    let specs = Topics::new(&config.kafka.topic_prefix).specs(&config.kafka, &placement.targets);
    ensure_topics(&config.kafka, &specs).await.map_err(|error| error.to_string())?;
    let facts = read_facts(config).await?;
    check_partitions(log, &facts, &specs).await?;
    let epoch = check_roles(log, &facts, placement).await?;
    let cluster_uuid = check_cluster(log, &facts, primary).await?;
    if facts.wrote.load(Ordering::Relaxed) {
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

/// What the control topic says. Of several records under one key the first counts, for two gateways that start at once
/// may both write what they believe; a placement of a greater epoch counts more.
#[derive(Default)]
struct Facts {
    counting: HashMap<String, Vec<u8>>,
    last: HashMap<String, Vec<u8>>,
    /// Whether this look wrote something: what counts is seen by the next one.
    wrote: AtomicBool,
}

impl Facts {
    fn learn(&mut self, key: String, value: Option<Vec<u8>>) {
        let Some(value) = value else {
            self.counting.remove(&key);
            self.last.remove(&key);
            return;
        };
        let epoch = |value: &[u8]| serde_json::from_slice::<PlacementRecord>(value).map_or(0, |record| record.epoch);
        let counts = self.counting.get(&key).is_none_or(|first| epoch(&value) > epoch(first));
        if counts {
            self.counting.insert(key.clone(), value.clone());
        }
        self.last.insert(key, value);
    }
}

async fn read_facts(config: &Config) -> Result<Facts, String> {
    let (kafka, topic) = (config.kafka.clone(), Topics::new(&config.kafka.topic_prefix).control());
    let read = tokio::task::spawn_blocking(move || {
        let mut facts = Facts::default();
        read_all(&kafka, &topic, |LogRecord { key, value, .. }| {
            let key = String::from_utf8_lossy(&key.unwrap_or_default()).into_owned();
            facts.learn(key, value.map(|value| value.to_vec()));
        })
        .map(|()| facts)
    });
    let read = read.await.map_err(|error| error.to_string())?;
    read.map_err(|error| format!("the control topic cannot be read: {error}"))
}

/// The fact under `key`; `first` is written where there is none.
async fn fact<T>(log: &Log, facts: &Facts, key: &str, first: impl FnOnce() -> T) -> Result<T, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let write = async |value: &[u8]| log.control(key, value).await.map_err(|error| error.to_string());
    let Some(value) = facts.counting.get(key) else {
        let fact = first();
        write(&serde_json::to_vec(&fact).map_err(|error| error.to_string())?).await?;
        facts.wrote.store(true, Ordering::Relaxed);
        return Ok(fact);
    };
    // Compaction keeps the last record: it must be the one that counts.
    if facts.last.get(key) != Some(value) {
        write(value).await?;
    }
    serde_json::from_slice(value)
        .map_err(|error| format!("the record [{key}] of the control topic cannot be read: {error}"))
}

async fn check_partitions(log: &Log, facts: &Facts, specs: &[TopicSpec]) -> Result<(), String> {
    for spec in specs {
        let record = fact(log, facts, &key::topic(&spec.name), || TopicRecord { partitions: spec.partitions }).await?;
        if record.partitions != spec.partitions {
            return Err(format!(
                "topic {} was made with {} partitions and {} are configured: another number would move documents behind their own newer effects",
                spec.name, record.partitions, spec.partitions
            ));
        }
    }
    Ok(())
}

async fn check_roles(log: &Log, facts: &Facts, placement: &PlacementConfig) -> Result<u64, String> {
    let configured = PlacementRecord {
        indices: placement.indices.as_str().to_owned(),
        primary: placement.primary.clone(),
        targets: placement.targets.clone(),
        epoch: 1,
    };
    let record = fact(log, facts, &key::placement(&placement.name), || configured.clone()).await?;
    if record != configured {
        return Err(format!(
            "placement {} is {record:?} in Kafka and {configured:?} in the configuration; roles live in Kafka, and changing them is not supported yet",
            placement.name
        ));
    }
    Ok(record.epoch)
}

async fn check_cluster(log: &Log, facts: &Facts, primary: &ClusterClient) -> Result<Arc<str>, String> {
    let key = key::cluster(primary.name());
    let cluster_uuid = if facts.counting.contains_key(&key) {
        // The primary may be down now; every write compares.
        fact(log, facts, &key, || unreachable!("it is there")).await.map(|record: ClusterRecord| record.cluster_uuid)?
    } else {
        let cluster_uuid = primary.cluster_uuid(PROBE_TIMEOUT).await.map_err(|error| error.to_string())?;
        fact(log, facts, &key, || ClusterRecord { cluster_uuid: cluster_uuid.clone() }).await?;
        cluster_uuid
    };
    Ok(cluster_uuid.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_write_at_once_the_first_counts_and_a_greater_epoch_more() {
        let placement = |primary: &str, epoch| {
            let record = PlacementRecord { indices: "*".into(), primary: primary.into(), targets: vec![], epoch };
            serde_json::to_vec(&record).unwrap()
        };
        let mut facts = Facts::default();
        for (primary, epoch) in [("a", 1), ("b", 1)] {
            facts.learn("placement/p".into(), Some(placement(primary, epoch)));
        }
        assert_eq!(facts.counting["placement/p"], placement("a", 1));
        assert_eq!(facts.last["placement/p"], placement("b", 1), "to be written over");
        facts.learn("placement/p".into(), Some(placement("b", 2)));
        assert_eq!(facts.counting["placement/p"], placement("b", 2));
        facts.learn("placement/p".into(), None);
        assert!(facts.counting.is_empty() && facts.last.is_empty());
    }
}
