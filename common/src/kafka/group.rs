//! Who is in a group of consumers.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{ReadError, client_config};
use crate::config::KafkaConfig;

/// The names (`client.id`) of the members of a group: none where there is no such group. Blocks, for at most about `timeout`
/// while nobody answers.
///
/// A member that died stays in its group until its session ends (`session.timeout.ms`, 45 s by default).
///
/// # Errors
/// When Kafka fails or does not answer.
pub fn group_members(kafka: &KafkaConfig, group: &str, timeout: Duration) -> Result<Vec<String>, ReadError> {
    let client: BaseConsumer = client_config(kafka, "understudy-reader").create()?;
    let groups = client.fetch_group_list(Some(group), timeout)?;
    let of_group = groups.groups().iter().filter(|found| found.name() == group);
    let mut members: Vec<String> =
        of_group.flat_map(|found| found.members()).map(|member| member.client_id().to_owned()).collect();
    members.sort();
    Ok(members)
}
