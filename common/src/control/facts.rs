//! What the control topic says of topics, clusters and roles.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{ClusterRecord, PlacementRecord, key};
use crate::{
    config::KafkaConfig,
    intent::Intent,
    kafka::{LogRecord, ReadError, read_all},
};

/// What the control topic says of topics, clusters and roles. Of several records under one key the first counts, for two
/// processes that start at once may both write what they believe; a placement of a greater epoch counts more. A record
/// without a value takes back what counts.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    counting: BTreeMap<String, Bytes>,
    last: BTreeMap<String, Bytes>,
}

/// A record that this build cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the record [{key}] of the control topic cannot be read: {source}")]
pub struct FactError {
    key: String,
    source: serde_json::Error,
}

impl Facts {
    /// Reads them from the control topic. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn read(kafka: &KafkaConfig, control: &str) -> Result<Self, ReadError> {
        let mut facts = Self::default();
        read_all(kafka, control, |record| facts.learn(&record))?;
        Ok(facts)
    }

    /// Learns a record, in their order.
    pub fn learn(&mut self, record: &LogRecord) {
        let Some(key) = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) else { return };
        if !key::is_fact(key) {
            return;
        }
        let Some(value) = &record.value else {
            self.counting.remove(key);
            self.last.remove(key);
            return;
        };
        let epoch = |value: &[u8]| serde_json::from_slice::<PlacementRecord>(value).map_or(0, |record| record.epoch);
        if self.counting.get(key).is_none_or(|first| epoch(value) > epoch(first)) {
            self.counting.insert(key.to_owned(), value.clone());
        }
        self.last.insert(key.to_owned(), value.clone());
    }

    /// What counts under a key; `None` where nothing is recorded.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, FactError> {
        let read = |value: &Bytes| serde_json::from_slice(value);
        let fact = self.counting.get(key).map(read).transpose();
        fact.map_err(|source| FactError { key: key.to_owned(), source })
    }

    /// What counts under a key, where compaction would keep another record: it must be written once more.
    #[must_use]
    pub fn hidden(&self, key: &str) -> Option<&Bytes> {
        self.counting.get(key).filter(|counting| self.last.get(key) != Some(counting))
    }

    /// Which cluster stands behind a name, by its `cluster_uuid`.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn cluster_uuid(&self, name: &str) -> Result<Option<String>, FactError> {
        let record: Option<ClusterRecord> = self.get(&key::cluster(name))?;
        Ok(record.map(|record| record.cluster_uuid))
    }

    /// Who is the primary of a placement; `None` while no gateway has recorded it.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn roles(&self, placement: &str) -> Result<Option<Roles>, FactError> {
        let record: Option<PlacementRecord> = self.get(&key::placement(placement))?;
        let Some(PlacementRecord { primary, epoch, .. }) = record else { return Ok(None) };
        let cluster_uuid = self.cluster_uuid(&primary)?;
        Ok(cluster_uuid.map(|uuid| Roles { epoch, primary: primary.into(), cluster_uuid: uuid.into() }))
    }
}

/// Who is the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Epoch of the placement.
    pub epoch: u64,
    /// Name of the primary.
    pub primary: Arc<str>,
    /// The primary's own id.
    pub cluster_uuid: Arc<str>,
}

impl Roles {
    /// Whether an intent is of these roles.
    ///
    /// # Errors
    /// With what is different.
    pub fn check(&self, intent: &Intent) -> Result<(), String> {
        if intent.epoch != self.epoch {
            return Err(format!("it is of epoch {}, and the placement is in epoch {}", intent.epoch, self.epoch));
        }
        if intent.primary != self.primary {
            return Err(format!("its primary is {}, and that of the placement {}", intent.primary, self.primary));
        }
        Ok(())
    }
}

/// Whether the cluster that answers to a name is the one that is recorded.
///
/// # Errors
/// With both.
pub fn check_cluster(name: &str, recorded: &str, seen: &str) -> Result<(), String> {
    if seen == recorded {
        return Ok(());
    }
    Err(format!("behind the name {name} stands the cluster {seen}, and it was {recorded} when replication began"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(records: &[(&str, Option<serde_json::Value>)]) -> Facts {
        let mut facts = Facts::default();
        for (key, value) in records {
            facts.learn(&LogRecord {
                partition: 0,
                offset: 0,
                at_ms: 0,
                key: Some((*key).to_owned().into()),
                value: value.as_ref().map(|value| value.to_string().into()),
                headers: BTreeMap::new(),
            });
        }
        facts
    }

    fn placed(primary: &str, epoch: u64) -> Option<serde_json::Value> {
        Some(serde_json::json!({"indices": "*", "primary": primary, "targets": [], "epoch": epoch}))
    }

    fn cluster(uuid: &str) -> Option<serde_json::Value> {
        Some(serde_json::json!({"cluster_uuid": uuid}))
    }

    #[test]
    fn of_two_that_write_at_once_the_first_counts_and_a_greater_epoch_more() {
        let mut records = vec![
            ("cluster/a", cluster("first")),
            ("cluster/a", cluster("later")),
            ("cluster/b", cluster("other")),
            ("placement/p", placed("a", 1)),
            ("placement/p", placed("b", 1)),
        ];
        let seen = facts(&records);
        let roles = seen.roles("p").unwrap().unwrap();
        assert_eq!((roles.epoch, &*roles.primary, &*roles.cluster_uuid), (1, "a", "first"));
        for (key, hidden) in [("placement/p", true), ("cluster/a", true), ("cluster/b", false)] {
            assert_eq!(seen.hidden(key).is_some(), hidden, "{key}: compaction keeps the last one");
        }
        records.push(("placement/p", placed("b", 2)));
        let seen = facts(&records);
        let roles = seen.roles("p").unwrap().unwrap();
        assert_eq!((roles.epoch, &*roles.primary, &*roles.cluster_uuid), (2, "b", "other"));
        assert_eq!(seen.hidden("placement/p"), None);
        records.push(("placement/p", None));
        assert_eq!(facts(&records).roles("p").unwrap(), None);
    }

    #[test]
    fn without_a_gateway_there_are_no_roles_and_other_records_are_passed_over() {
        assert_eq!(facts(&[]).roles("p").unwrap(), None);
        let seen = facts(&[("placement/p", placed("a", 1)), ("dead/t/0/1", cluster("x"))]);
        assert_eq!(seen.roles("p").unwrap(), None, "which cluster it is is not known");
        assert_eq!(seen.get::<ClusterRecord>("dead/t/0/1").unwrap(), None);
        let error = facts(&[("cluster/a", Some(serde_json::json!(7)))]).cluster_uuid("a").unwrap_err();
        assert!(error.to_string().contains("[cluster/a]"), "{error}");
    }

    #[test]
    fn another_cluster_behind_the_name_of_the_primary_does_not_count() {
        assert!(check_cluster("p", "a", "a").is_ok());
        assert!(check_cluster("p", "a", "b").unwrap_err().contains("the cluster b"));
    }

    #[test]
    fn intents_of_other_roles_are_told() {
        let roles = Roles { epoch: 2, primary: "b".into(), cluster_uuid: "u".into() };
        let intent = |epoch, primary: &str| Intent {
            format: Intent::FORMAT,
            gateway: "g".into(),
            epoch,
            primary: primary.into(),
            targets: vec![],
            documents: vec![],
            aliases: BTreeMap::new(),
        };
        assert!(roles.check(&intent(2, "b")).is_ok());
        assert!(roles.check(&intent(1, "b")).is_err() && roles.check(&intent(2, "a")).is_err());
    }
}
