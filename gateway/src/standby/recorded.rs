//! Which cluster stands behind each name, as the control topic has it. A target is recorded when it is seen first, so that
//! another one that takes its address is told apart.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use understudy_common::{
    control::{ClusterRecord, Facts, key},
    log::Log,
    topics::Topics,
};

use super::{PoisonError, Standby, lock};

const PACE: Duration = Duration::from_secs(2);

/// Reads the records until every cluster has one, and writes those of targets that have none; again, when a cluster is
/// another one than recorded.
pub(super) async fn follow(standby: Arc<Standby>, log: Log) {
    loop {
        if !is_settled(&standby) {
            match read(&standby).await {
                Ok(recorded) => learn(&standby, &log, recorded).await,
                Err(error) => tracing::debug!(error, "the control topic cannot be read"),
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether every cluster is recorded, and none was seen as another one.
fn is_settled(standby: &Standby) -> bool {
    standby.clusters().all(|watched| {
        let seen = lock(&watched.uuid).clone();
        let recorded = standby.recorded(watched.client.name());
        recorded.is_some() && seen.is_none_or(|seen| recorded == Some(seen))
    })
}

async fn read(standby: &Standby) -> Result<BTreeMap<String, String>, String> {
    let (kafka, control) = (standby.kafka.clone(), Topics::new(&standby.kafka.topic_prefix).control());
    let read = tokio::task::spawn_blocking(move || Facts::read(&kafka, &control)).await;
    let facts = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let mut recorded = BTreeMap::new();
    for watched in standby.clusters() {
        let name = watched.client.name();
        if let Some(uuid) = facts.cluster_uuid(name).map_err(|error| error.to_string())? {
            recorded.insert(name.to_owned(), uuid);
        }
    }
    Ok(recorded)
}

async fn learn(standby: &Standby, log: &Log, recorded: BTreeMap<String, String>) {
    // The gate records the primary; before that it is not known who is no target.
    if recorded.contains_key(standby.primary.client.name()) {
        for target in &standby.targets {
            let (name, seen) = (target.client.name(), lock(&target.uuid).clone());
            let Some(seen) = first_record(&recorded, name, seen) else { continue };
            let value = serde_json::to_vec(&ClusterRecord { cluster_uuid: seen }).unwrap_or_default();
            // It counts when it is read back.
            if let Err(error) = log.control(&key::cluster(name), &value).await {
                tracing::debug!(%error, cluster = name, "it cannot be recorded which cluster it is");
            }
        }
    }
    *standby.recorded.write().unwrap_or_else(PoisonError::into_inner) = recorded;
}

/// What is to be recorded of a target: what was seen of it, where nothing is recorded yet and it is no other cluster of ours.
fn first_record(recorded: &BTreeMap<String, String>, name: &str, seen: Option<String>) -> Option<String> {
    seen.filter(|seen| !recorded.contains_key(name) && !recorded.values().any(|other| other == seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_recorded_once_and_never_as_another_cluster_of_ours() {
        let recorded = BTreeMap::from([("primary".to_owned(), "p".to_owned()), ("old".to_owned(), "o".to_owned())]);
        let first = |name: &str, seen: Option<&str>| first_record(&recorded, name, seen.map(str::to_owned));
        assert_eq!(first("backup", Some("b")).as_deref(), Some("b"));
        assert_eq!(first("backup", None), None);
        assert_eq!(first("old", Some("b")), None);
        assert_eq!(first("backup", Some("p")), None, "it is the primary itself");
    }
}
