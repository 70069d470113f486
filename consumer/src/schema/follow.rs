//! Follows `understudy.schema` on a thread of its own.

use std::time::Duration;

use tokio::sync::mpsc;
use understudy_common::{
    config::KafkaConfig,
    kafka::{LogRecord, PublishError, Publisher, ReadError, read_range, tail},
    schema::{ClientVersions, IndexSchema},
};

use super::SchemaStore;

const PUBLISH: Duration = Duration::from_secs(10);

/// Begins to follow the topic, until the receiver of what must be appended again is dropped.
///
/// # Errors
/// When there can be no thread.
pub fn follow(
    kafka: &KafkaConfig,
    topic: &str,
    store: SchemaStore,
) -> std::io::Result<mpsc::Receiver<Vec<(String, bytes::Bytes)>>> {
    let (send, receive) = mpsc::channel(1);
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    std::thread::Builder::new().name("kafka-schema".into()).spawn(move || {
        let ended = tail(&kafka, &topic, |record| {
            match record {
                Some(record) => learn(&store, &record),
                // At the end of the log: what came later is known, so what was overtaken is known too.
                None => {
                    store.loaded();
                    if let Ok(place) = send.try_reserve() {
                        let overtaken = store.overtaken();
                        if !overtaken.is_empty() {
                            place.send(overtaken);
                        }
                    }
                }
            }
            !send.is_closed()
        });
        if let Err(error) = ended {
            tracing::error!(%error, topic, "the schema topic cannot be followed");
        }
    })?;
    Ok(receive)
}

fn learn(store: &SchemaStore, record: &LogRecord) {
    if !learn_client_versions(store, record) {
        learn_schema(store, record);
    }
    store.read_to(record.offset + 1);
}

/// Whether the record is one of those that say that clients gave versions of their own. Its key says all of it.
fn learn_client_versions(store: &SchemaStore, record: &LogRecord) -> bool {
    let key = std::str::from_utf8(record.key.as_deref().unwrap_or_default()).unwrap_or_default();
    let Some(index) = key.strip_prefix(ClientVersions::KEY_PREFIX) else { return false };
    match index.rsplit_once('/') {
        Some((_, uuid)) => store.learn_client_versions(uuid.into()),
        None => tracing::error!(offset = record.offset, key, "a record of client versions that names no index"),
    }
    true
}

/// Reads what the topic says below `end` of client versions, once, for whoever cannot wait for the one that follows. Blocks.
///
/// # Errors
/// When Kafka fails or falls silent.
pub fn read_client_versions(kafka: &KafkaConfig, topic: &str, end: i64, store: &SchemaStore) -> Result<(), ReadError> {
    read_range(kafka, topic, 0, 0, end, |record| {
        learn_client_versions(store, &record);
    })
}

fn learn_schema(store: &SchemaStore, record: &LogRecord) {
    let Some(value) = &record.value else { return };
    match serde_json::from_slice::<IndexSchema>(value) {
        Ok(schema) if schema.format == IndexSchema::FORMAT => store.learn(schema, value.clone()),
        Ok(schema) => {
            tracing::error!(
                offset = record.offset,
                format = schema.format,
                "a schema record of a newer format: this build is too old"
            );
        }
        Err(error) => tracing::error!(offset = record.offset, %error, "a schema record that cannot be read"),
    }
}

/// Appends records again that a lower version stands behind, so that compaction keeps them.
pub async fn append_again(
    publisher: Publisher,
    topic: String,
    mut overtaken: mpsc::Receiver<Vec<(String, bytes::Bytes)>>,
) {
    while let Some(records) = overtaken.recv().await {
        for (key, value) in records {
            while let Err(error) = append(&publisher, &topic, &key, &value).await {
                tracing::debug!(%error, key, "a schema record was not appended again; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tracing::info!(key, "appended a schema record again that a lower version stood behind");
        }
    }
}

async fn append(publisher: &Publisher, topic: &str, key: &str, value: &[u8]) -> Result<(), PublishError> {
    publisher.append(topic, 0, key, Some(value), &[], PUBLISH).await
}
