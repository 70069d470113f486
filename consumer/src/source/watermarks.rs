//! What each assigned partition's log spans, once a second, by a client of its own.

use std::time::Duration;

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    types::RDKafkaErrorCode,
};
use tokio::sync::{mpsc, watch};

use super::{Quiet, SourceConfig};
use understudy_common::kafka::client_config;

const EVERY: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_secs(2);

/// What a log spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Partition.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    /// The first offset.
    pub low: i64,
    /// The offset after the last record.
    pub high: i64,
}

/// Looks at the partitions in `assigned` until the channel closes.
pub async fn watch(
    config: SourceConfig,
    assigned: watch::Receiver<Vec<(i32, u64)>>,
    found: mpsc::Sender<Vec<Watermarks>>,
) {
    let mut reader: Option<BaseConsumer<Quiet>> = None;
    while !found.is_closed() {
        let (partitions, topic, kafka) = (assigned.borrow().clone(), config.topic.clone(), config.kafka.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let reader = match reader
                .map_or_else(|| client_config(&kafka, "understudy-watermarks").create_with_context(Quiet), Ok)
            {
                Ok(reader) => reader,
                Err(_) => return (None, Vec::new()),
            };
            let mut looked = Vec::with_capacity(partitions.len());
            for (partition, generation) in partitions {
                match reader.fetch_watermarks(&topic, partition, ASK) {
                    Ok((low, high)) => looked.push(Watermarks { partition, generation, low, high }),
                    // Kafka is away: the others would not answer either.
                    Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) => break,
                    Err(_) => {}
                }
            }
            (Some(reader), looked)
        });
        let Ok((kept, looked)) = looked.await else { return };
        reader = kept;
        if !looked.is_empty() && found.send(looked).await.is_err() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}
