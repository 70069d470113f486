//! Follows `understudy.schema` on a thread of its own.

use std::time::Duration;

use tokio::sync::mpsc;
use understudy_common::{
    config::KafkaConfig,
    kafka::{LogRecord, PublishError, Publisher, tail},
    schema::IndexSchema,
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
    publisher.append(topic, 0, key, Some(value), &[], PUBLISH).await.map(drop)
}
