//! Who is the primary, by Kafka's account.

use std::{collections::BTreeMap, sync::Arc};

use understudy_common::{
    config::{KafkaConfig, PlacementConfig},
    control::{ClusterRecord, PlacementRecord, key},
    intent::Intent,
    kafka::{LogRecord, ReadError, read_all},
};

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

/// What a control topic says. Of several records under one key the first counts, as for gateways; a placement of a greater
/// epoch counts more.
#[derive(Default)]
struct Facts(BTreeMap<String, Vec<u8>>);

impl Facts {
    fn learn(&mut self, record: LogRecord) {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let Some(value) = record.value else {
            self.0.remove(&key);
            return;
        };
        let epoch = |value: &[u8]| serde_json::from_slice::<PlacementRecord>(value).map_or(0, |record| record.epoch);
        if self.0.get(&key).is_none_or(|first| epoch(&value) > epoch(first)) {
            self.0.insert(key, value.to_vec());
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(self.0.get(key)?).ok()
    }

    fn roles(&self, placement: &PlacementConfig) -> Option<Roles> {
        let record: PlacementRecord = self.read(&key::placement(&placement.name))?;
        let cluster: ClusterRecord = self.read(&key::cluster(&record.primary))?;
        Some(Roles { epoch: record.epoch, primary: record.primary.into(), cluster_uuid: cluster.cluster_uuid.into() })
    }
}

/// Reads them; `None` while no gateway has recorded any. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub fn read(kafka: &KafkaConfig, control: &str, placement: &PlacementConfig) -> Result<Option<Roles>, ReadError> {
    let mut facts = Facts::default();
    read_all(kafka, control, |record| facts.learn(record))?;
    Ok(facts.roles(placement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_common::config::IndexPattern;

    fn learn(facts: &mut Facts, key: &str, value: Option<serde_json::Value>) {
        facts.learn(LogRecord {
            partition: 0,
            offset: 0,
            at_ms: 0,
            key: Some(key.to_owned().into()),
            value: value.map(|value| value.to_string().into()),
            headers: BTreeMap::new(),
        });
    }

    #[test]
    fn the_first_record_counts_and_a_greater_epoch_more() {
        let placement = PlacementConfig {
            name: "p".into(),
            indices: IndexPattern::new("*"),
            primary: "a".into(),
            targets: vec!["b".into()],
        };
        let record = |primary: &str, epoch: u64| {
            Some(serde_json::json!({"indices": "*", "primary": primary, "targets": [], "epoch": epoch}))
        };
        let cluster = |uuid: &str| Some(serde_json::json!({"cluster_uuid": uuid}));
        let mut facts = Facts::default();
        assert_eq!(facts.roles(&placement), None, "no gateway has run");
        learn(&mut facts, "placement/p", record("a", 1));
        assert_eq!(facts.roles(&placement), None, "which cluster it is is not known");
        for (key, value) in [
            ("cluster/a", cluster("first")),
            ("cluster/a", cluster("later")),
            ("cluster/b", cluster("other")),
            ("placement/p", record("b", 1)),
        ] {
            learn(&mut facts, key, value);
        }
        let roles = facts.roles(&placement).unwrap();
        assert_eq!((roles.epoch, &*roles.primary, &*roles.cluster_uuid), (1, "a", "first"));
        learn(&mut facts, "placement/p", record("b", 2));
        let roles = facts.roles(&placement).unwrap();
        assert_eq!((roles.epoch, &*roles.primary, &*roles.cluster_uuid), (2, "b", "other"));
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
