//! Topics: created where missing, checked where not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};

use super::{
    client::{client_config, why_unreachable},
    read_all,
};
use crate::{
    config::KafkaConfig,
    control::key,
    topics::{TopicSpec, Topics},
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to learn why there is no connection.
const WHY: Duration = Duration::from_secs(3);

/// Why the topics cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kafka could not be asked; it may be asked again.
    #[error("cannot reach Kafka: {0}")]
    Unreachable(#[from] KafkaError),
    /// Connections to Kafka fail, and it is known why; it may be asked again.
    #[error("cannot reach Kafka: {reason} ({error})")]
    NoConnection {
        /// What the call ended with.
        error: KafkaError,
        /// What the client says of its connections.
        reason: String,
    },
    /// A topic was created a moment ago and is not known everywhere yet; it may be asked again.
    #[error("topic {0} is not known to every broker yet")]
    NotYetKnown(String),
    /// Topics are not what they must be; each line says what would be right.
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
}

/// Makes sure that every topic is there and is as `specs` says; creates what is missing where the configuration allows it.
///
/// # Errors
/// When Kafka cannot be reached, or a topic is not what it must be.
pub async fn ensure_topics(kafka: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), TopicError> {
    let error = match ensure(kafka, specs).await {
        Err(TopicError::Unreachable(error)) => error,
        ensured => return ensured,
    };
    let kafka = kafka.clone();
    let why = tokio::task::spawn_blocking(move || why_unreachable(&kafka, WHY)).await;
    Err(match why {
        Ok(Some(reason)) => TopicError::NoConnection { error, reason },
        _ => TopicError::Unreachable(error),
    })
}

fn admin_client(kafka: &KafkaConfig) -> KafkaResult<AdminClient<DefaultClientContext>> {
    client_config(kafka, "understudy-admin").create()
}

/// The settings of a topic, as texts.
///
/// # Errors
/// When Kafka does not tell.
pub async fn topic_settings(kafka: &KafkaConfig, topic: &str) -> Result<BTreeMap<String, String>, TopicError> {
    let admin = admin_client(kafka)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await?;
    let resource = described.into_iter().next().ok_or_else(|| TopicError::NotYetKnown(topic.to_owned()))?;
    let resource = resource.map_err(|code| TopicError::Unreachable(KafkaError::AdminOp(code)))?;
    Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
}

async fn ensure(kafka: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), TopicError> {
    let admin = Arc::new(admin_client(kafka)?);
    // What was recorded was created before: so the record is read first, and the look at what is there comes later.
    let recorded = recorded(kafka, &Seen::look(&admin).await?).await?;
    let mut seen = Seen::look(&admin).await?;
    let gone = specs.iter().filter(|spec| !seen.topics.contains_key(&spec.name) && recorded.contains(&spec.name));
    let gone: Vec<String> = gone
        .map(|spec| {
            format!(
                "topic {} was there and is gone, with what was not applied yet: compare the clusters (understudy verify) and repair them, then append a tombstone for [{}] to the control topic to begin anew",
                spec.name,
                key::topic(&spec.name)
            )
        })
        .collect();
    if !gone.is_empty() {
        return Err(TopicError::Wrong(gone));
    }
    let missing: Vec<&TopicSpec> = specs.iter().filter(|spec| !seen.topics.contains_key(&spec.name)).collect();
    if !missing.is_empty() {
        if !kafka.create_topics {
            let names: Vec<_> = missing.iter().map(|spec| spec.name.as_str()).collect();
            return Err(TopicError::Wrong(vec![format!(
                "missing topics {} and kafka.create_topics is false: create them, or allow it",
                names.join(", ")
            )]));
        }
        create(&admin, &missing).await?;
        // Another process may have been faster, with another idea of them.
        seen = Seen::look(&admin).await?;
    }
    let mut wrong = Vec::new();
    for spec in specs {
        let partitions = seen.topics.get(&spec.name).ok_or_else(|| TopicError::NotYetKnown(spec.name.clone()))?;
        check_shape(spec, partitions, &mut wrong);
        if seen.brokers > 1 && spec.replication_factor < 2 {
            wrong.push(format!(
                "kafka.replication_factor is {} and the cluster has {} brokers: a record would be lost with one of them; it must be at least 2",
                spec.replication_factor, seen.brokers
            ));
        }
    }
    check_settings(&admin, specs, seen.brokers, &mut wrong).await?;
    wrong.dedup();
    if wrong.is_empty() { Ok(()) } else { Err(TopicError::Wrong(wrong)) }
}

/// The topics that the control topic says were made.
async fn recorded(kafka: &KafkaConfig, seen: &Seen) -> Result<BTreeSet<String>, TopicError> {
    let (kafka, control) = (kafka.clone(), Topics::new(&kafka.topic_prefix).control());
    if !seen.topics.contains_key(&control) {
        return Ok(BTreeSet::new());
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut recorded = BTreeSet::new();
        read_all(&kafka, &control, |record| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let Some(topic) = key.strip_prefix("topic/") else { return };
            match record.value {
                Some(_) => recorded.insert(topic.to_owned()),
                None => recorded.remove(topic),
            };
        })
        .map(|()| recorded)
    });
    let read = read.await.map_err(|error| TopicError::NotYetKnown(error.to_string()))?;
    read.map_err(|error| TopicError::NotYetKnown(format!("control: {error}")))
}

/// What the cluster says of itself.
struct Seen {
    brokers: usize,
    /// Every topic, with the number of copies of each of its partitions.
    topics: BTreeMap<String, Vec<usize>>,
}

impl Seen {
    async fn look(admin: &Arc<AdminClient<DefaultClientContext>>) -> Result<Self, TopicError> {
        let admin = admin.clone();
        let look = tokio::task::spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
            let copies = |topic: &rdkafka::metadata::MetadataTopic| {
                topic.partitions().iter().map(|partition| partition.replicas().len()).collect()
            };
            let whole = metadata.topics().iter().filter(|topic| topic.error().is_none());
            let topics = whole.map(|topic| (topic.name().to_owned(), copies(topic))).collect();
            Ok(Self { brokers: metadata.brokers().len(), topics })
        });
        look.await.map_err(|error| TopicError::NotYetKnown(error.to_string()))?
    }
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
    brokers: usize,
    wrong: &mut Vec<String>,
) -> Result<(), TopicError> {
    let topics: Vec<_> = specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = admin.describe_configs(&topics, &options).await?;
    for (spec, resource) in specs.iter().zip(described) {
        let resource = match resource {
            Ok(resource) => resource,
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(TopicError::NotYetKnown(spec.name.clone())),
            Err(code) => return Err(TopicError::Unreachable(KafkaError::AdminOp(code))),
        };
        if resource.entries.is_empty() {
            return Err(TopicError::NotYetKnown(spec.name.clone()));
        }
        let has = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
        for (name, value) in &spec.settings {
            if !setting_holds(name, has(name), value, brokers) {
                wrong.push(format!("topic {} has {name}={}, and must have {value}", spec.name, has(name)));
            }
        }
    }
    Ok(())
}

/// Whether a topic's setting is as good as the wanted one.
fn setting_holds(name: &str, has: &str, wanted: &str, brokers: usize) -> bool {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    match name {
        "max.message.bytes" => number(has) >= number(wanted),
        "min.insync.replicas" => number(has) >= number(wanted) && (brokers == 1 || number(has) >= 2),
        // Operators may keep more or less; the partition stops at a gap, it never skips one.
        "retention.ms" | "retention.bytes" | "min.compaction.lag.ms" => true,
        // With one broker there is nobody else to elect.
        "unclean.leader.election.enable" => has == wanted || brokers == 1,
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
        assert!(!setting_holds("min.insync.replicas", "1", "1", 3), "with several brokers");
        assert!(setting_holds("min.insync.replicas", "1", "1", 1));
        assert!(setting_holds("retention.ms", "1", "2", 3));
        assert!(!setting_holds("cleanup.policy", "delete", "compact", 3));
        assert!(!setting_holds("unclean.leader.election.enable", "true", "false", 3));
        assert!(setting_holds("unclean.leader.election.enable", "true", "false", 1));
    }
}
