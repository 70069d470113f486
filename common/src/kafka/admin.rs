//! Topics: created where missing, checked where not.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};

use super::client_config;
use crate::{config::KafkaConfig, topics::TopicSpec};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the topics cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kafka could not be asked; it may be asked again.
    #[error("cannot reach Kafka: {0}")]
    Unreachable(#[from] rdkafka::error::KafkaError),
    /// Topics are not what they must be; each line says what would be right.
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
}

/// Makes sure that every topic is there and is as `specs` says; creates what is missing where the configuration allows it.
///
/// # Errors
/// When Kafka cannot be reached, or a topic is not what it must be.
pub async fn ensure_topics(kafka: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), TopicError> {
    let admin: AdminClient<DefaultClientContext> = client_config(kafka, "understudy-admin").create()?;
    let existing = existing(&admin).await?;
    let missing: Vec<&TopicSpec> = specs.iter().filter(|spec| !existing.contains_key(&spec.name)).collect();
    if !missing.is_empty() && !kafka.create_topics {
        let names: Vec<_> = missing.iter().map(|spec| spec.name.as_str()).collect();
        return Err(TopicError::Wrong(vec![format!(
            "missing topics {} and kafka.create_topics is false: create them, or allow it",
            names.join(", ")
        )]));
    }
    create(&admin, &missing).await?;
    let mut wrong = Vec::new();
    for spec in specs {
        if let Some(partitions) = existing.get(&spec.name) {
            check_shape(spec, partitions, &mut wrong);
        }
    }
    check_settings(&admin, specs, &mut wrong).await?;
    if wrong.is_empty() { Ok(()) } else { Err(TopicError::Wrong(wrong)) }
}

/// Every topic, with the number of copies of each of its partitions.
async fn existing(admin: &AdminClient<DefaultClientContext>) -> Result<BTreeMap<String, Vec<usize>>, TopicError> {
    // The call blocks; a thread of its own client would outlive nothing, so the runtime's blocking threads do.
    tokio::task::block_in_place(|| {
        let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
        Ok(metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .map(|topic| {
                let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).collect();
                (topic.name().to_owned(), copies)
            })
            .collect())
    })
}

async fn create(admin: &AdminClient<DefaultClientContext>, missing: &[&TopicSpec]) -> Result<(), TopicError> {
    if missing.is_empty() {
        return Ok(());
    }
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|spec| {
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.replication_factor));
            spec.settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let mut wrong = Vec::new();
    for result in admin.create_topics(&topics, &options).await? {
        match result {
            Ok(name) => tracing::info!(topic = name, "created a topic"),
            // Another process was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => wrong.push(format!("topic {name} cannot be created: {code}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(TopicError::Wrong(wrong)) }
}

fn check_shape(spec: &TopicSpec, partitions: &[usize], wrong: &mut Vec<String>) {
    let name = &spec.name;
    if partitions.len() != spec.partitions as usize {
        wrong.push(format!(
            "topic {name} has {} partitions and {} are configured: another number would move documents behind their own newer effects",
            partitions.len(),
            spec.partitions
        ));
    }
    let copies = partitions.iter().min().copied().unwrap_or(0);
    if copies < spec.replication_factor as usize {
        wrong.push(format!(
            "topic {name} has a replication factor of {copies}, below kafka.replication_factor = {}: raise it (kafka-reassign-partitions), or say what is wanted",
            spec.replication_factor
        ));
    }
}

async fn check_settings(
    admin: &AdminClient<DefaultClientContext>,
    specs: &[TopicSpec],
    wrong: &mut Vec<String>,
) -> Result<(), TopicError> {
    let topics: Vec<_> = specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = admin.describe_configs(&topics, &options).await?;
    for (spec, resource) in specs.iter().zip(described) {
        let resource = match resource {
            Ok(resource) => resource,
            // A topic that was created a moment ago may not be known to the broker that is asked.
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => continue,
            Err(code) => return Err(TopicError::Unreachable(rdkafka::error::KafkaError::AdminOp(code))),
        };
        let has = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
        for (name, value) in &spec.settings {
            if !setting_holds(name, has(name), value, spec.replication_factor) {
                wrong.push(format!("topic {} has {name}={}, and must have {value}", spec.name, has(name)));
            }
        }
    }
    Ok(())
}

/// Whether a topic's setting is as good as the wanted one.
fn setting_holds(name: &str, has: &str, wanted: &str, replication_factor: i32) -> bool {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    match name {
        "max.message.bytes" | "min.insync.replicas" => number(has) >= number(wanted),
        // Operators may keep more or less; the partition stops at a gap, it never skips one.
        "retention.ms" | "retention.bytes" | "min.compaction.lag.ms" => true,
        "unclean.leader.election.enable" => has == wanted || replication_factor == 1,
        "cleanup.policy" => has == wanted,
        _ => has == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_decide_are_checked_and_others_are_the_operators() {
        assert!(setting_holds("message.timestamp.type", "LogAppendTime", "LogAppendTime", 3));
        assert!(!setting_holds("message.timestamp.type", "CreateTime", "LogAppendTime", 3));
        assert!(
            setting_holds("max.message.bytes", "40", "32", 3) && !setting_holds("max.message.bytes", "31", "32", 3)
        );
        assert!(!setting_holds("min.insync.replicas", "1", "2", 3));
        assert!(setting_holds("retention.ms", "1", "2", 3));
        assert!(!setting_holds("cleanup.policy", "delete", "compact", 3));
        assert!(!setting_holds("unclean.leader.election.enable", "true", "false", 3));
        assert!(setting_holds("unclean.leader.election.enable", "true", "false", 1));
    }
}
