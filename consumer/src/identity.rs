//! Which cluster stands behind the target's address. A target that is the primary itself is never written.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use understudy_common::{
    cluster::ClusterClient,
    config::KafkaConfig,
    control::{ClusterRecord, key},
    kafka::{LogRecord, read_all},
};

/// What a look at the target says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Another cluster than the primary: it may be written.
    Target(String),
    /// The primary itself.
    Primary(String),
    /// The primary's identity is not recorded yet; no gateway has run, so there is nothing to apply.
    Unrecorded,
    /// The target does not say who it is.
    Silent(String),
}

const EVERY: Duration = Duration::from_secs(2);
const ASK: Duration = Duration::from_secs(5);

/// Says what a target is, from what was found.
#[must_use]
pub fn judge(primary: Option<&str>, target: Result<String, String>) -> Identity {
    match (primary, target) {
        (_, Err(reason)) => Identity::Silent(reason),
        (None, Ok(_)) => Identity::Unrecorded,
        (Some(primary), Ok(target)) if primary == target => Identity::Primary(target),
        (Some(_), Ok(target)) => Identity::Target(target),
    }
}

/// Looks at the target every now and then, until nobody listens.
pub async fn watch(
    kafka: KafkaConfig,
    control: String,
    primary: String,
    client: ClusterClient,
    found: mpsc::Sender<Identity>,
) {
    let mut recorded = None;
    let mut last = None;
    while !found.is_closed() {
        // The record is read anew for as long as it keeps the target from being written.
        if !matches!(last, Some(Identity::Target(_) | Identity::Silent(_))) || recorded.is_none() {
            let (kafka, control, key) = (kafka.clone(), control.clone(), key::cluster(&primary));
            let read = tokio::task::spawn_blocking(move || read(&kafka, &control, &key)).await;
            if let Ok(Some(uuid)) = read {
                recorded = Some(uuid);
            }
        }
        let target = client.cluster_uuid(ASK).await.map_err(|error| error.to_string());
        let identity = judge(recorded.as_deref(), target);
        last = Some(identity.clone());
        if found.send(identity).await.is_err() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Which cluster is recorded under a key of the control topic. Blocks.
pub(crate) fn read(kafka: &KafkaConfig, control: &str, key: &str) -> Option<String> {
    let mut first = None;
    let read = read_all(kafka, control, |record| learn(&mut first, key, record));
    if let Err(error) = read {
        tracing::debug!(%error, control, "the control topic cannot be read");
        return None;
    }
    serde_json::from_slice::<ClusterRecord>(&first?).ok().map(|record| record.cluster_uuid)
}

/// Of several records under one key the first counts, as for gateways.
fn learn(first: &mut Option<Bytes>, key: &str, record: LogRecord) {
    if record.key.as_deref() == Some(key.as_bytes()) {
        *first = record.value.map(|value| first.take().unwrap_or(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_records_the_first_counts() {
        let record = |key: &str, value: Option<&str>| LogRecord {
            partition: 0,
            offset: 0,
            at_ms: 0,
            key: Some(key.to_owned().into()),
            value: value.map(|value| value.to_owned().into()),
            headers: std::collections::BTreeMap::new(),
        };
        let mut first = None;
        for (key, value) in [("cluster/b", "other"), ("cluster/a", "first"), ("cluster/a", "later")] {
            learn(&mut first, "cluster/a", record(key, Some(value)));
        }
        assert_eq!(first.as_deref(), Some(b"first".as_slice()));
        learn(&mut first, "cluster/a", record("cluster/a", None));
        assert_eq!(first, None);
    }

    #[test]
    fn only_another_cluster_is_a_target() {
        assert_eq!(judge(Some("a"), Ok("b".into())), Identity::Target("b".into()));
        assert_eq!(judge(Some("a"), Ok("a".into())), Identity::Primary("a".into()));
        assert_eq!(judge(None, Ok("b".into())), Identity::Unrecorded);
        assert_eq!(judge(Some("a"), Err("x".into())), Identity::Silent("x".into()));
    }
}
