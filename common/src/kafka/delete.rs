//! Deleting the oldest records of a topic.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    error::KafkaError,
};

use super::client_config;
use crate::config::KafkaConfig;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Deletes, in each of these partitions, the records below an offset. They are gone when this returns.
///
/// # Errors
/// When Kafka does not say of every partition that they are; some may be.
pub async fn delete_records(kafka: &KafkaConfig, topic: &str, below: &BTreeMap<i32, i64>) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = client_config(kafka, "understudy-admin").create()?;
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in below {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    for element in admin.delete_records(&offsets, &options).await?.elements() {
        element.error()?;
    }
    Ok(())
}
