//! From a gateway to the backup, on real Kafka and real clusters.

mod applied;
mod converge;
mod late;
mod mapping;
mod observed;
mod refused;
mod target;
mod versions;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use understudy_common::{
    document::DocumentKey,
    effect::{DocumentState, Effect},
    process::{now_ms, random_id},
    record::{IndexNeed, Provenance, encode},
    shard::ShardLayout,
    version::PackedVersion,
};
use understudy_tests::{Http, Stage};

const SOON: Duration = Duration::from_secs(30);

/// The UUID of an index on its cluster.
async fn uuid(cluster: &Http, index: &str) -> String {
    let settings = cluster.get(&format!("/{index}/_settings")).await.expect(200).json();
    settings[index]["settings"]["index"]["uuid"].as_str().expect("an index has a UUID").to_owned()
}

/// An effect of a document as a record holds it.
fn effect(index: &str, id: &str, seq_no: u64, source: Option<&str>) -> Effect {
    Effect {
        client_version: None,
        observed: false,
        key: DocumentKey { index: index.into(), id: id.into(), routing: None },
        version: PackedVersion::pack(1, 1, seq_no).expect("it fits"),
        state: source.map_or(DocumentState::Deleted, |s| DocumentState::Put(Bytes::copy_from_slice(s.as_bytes()))),
    }
}

/// Publishes effects as a gateway does, with a ticket of some age.
async fn publish(stage: &Stage, uuid: &str, mapping: u64, effects: &[Effect], ticket_age: Duration) {
    let age = i64::try_from(ticket_age.as_millis()).expect("it fits");
    let provenance = Provenance {
        request: random_id().into(),
        ticket_ms: now_ms() - age,
        answered_ms: now_ms(),
        epoch: 1,
        gateway: "test".into(),
    };
    let need = IndexNeed { uuid: uuid.into(), mapping, shards: ShardLayout { number: 1, routing: 1024, partition: 1 } };
    let needs: BTreeMap<Arc<str>, IndexNeed> =
        effects.iter().map(|effect| (effect.key.index.clone(), need.clone())).collect();
    let topic = stage.topic("target.backup");
    for record in encode(&provenance, &needs, effects, 3, 1 << 20) {
        let headers: Vec<(&str, &str)> = record.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let key = record.key.as_bytes();
        let appended = stage.kafka().append(&topic, Some(record.partition), key, Some(&record.value), &headers);
        appended.await.expect("Kafka takes it");
    }
}
