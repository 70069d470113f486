//! What stands in Kafka.

mod intents;

use std::time::Duration;

use tokio::time::Instant;
use understudy_common::{
    config::{Config, KafkaConfig, PlacementConfig},
    control::Facts,
    kafka::{ReadError, group_members, topic_settings, watermarks, why_unreachable},
    lag::{self, TargetLag},
    topics::Topics,
    undecided::Undecided,
};

use crate::status::picture::{IntentsSeen, KafkaSeen, LagSeen, Part, PlacementSeen, TargetSeen};

/// How long Kafka may take to say that it is there.
const REACH: Duration = Duration::from_millis(2_500);
/// How long it may take to learn why it is not.
const WHY: Duration = Duration::from_millis(500);
/// How long it may take to answer what is asked later.
const ASK: Duration = Duration::from_secs(3);

/// Roles, targets and intents.
pub async fn look(
    config: &Config,
    placements: &[PlacementConfig],
    deadline: Instant,
) -> (Part<KafkaSeen>, Vec<PlacementSeen>, Part<IntentsSeen>) {
    let topics = Topics::new(&config.kafka.topic_prefix);
    let facts = {
        let (kafka, control) = (config.kafka.clone(), topics.control());
        blocking(deadline, move || facts(&kafka, &control)).await
    };
    let (facts, seen) = match facts {
        Ok(facts) => {
            let begun = facts.is_some();
            (facts.unwrap_or_default(), Ok(begun))
        }
        Err(error) => (Facts::default(), Err(error)),
    };
    let there = seen.as_ref().map(|_| ()).map_err(Clone::clone);
    let one = |placement: &PlacementConfig| {
        let (facts, topics, there, placement) = (&facts, &topics, there.clone(), placement.clone());
        async move {
            let roles = facts.roles(&placement.name).ok().flatten();
            let targets = placement.targets.iter().map(|target| look_at(config, topics, target, &there, deadline));
            PlacementSeen {
                targets: futures::future::join_all(targets).await,
                primary: roles.as_ref().map_or(placement.primary, |roles| roles.primary.to_string()),
                placement: placement.name,
                epoch: roles.map(|roles| roles.epoch),
            }
        }
    };
    let intents = async {
        there.clone()?;
        let (kafka, topics) = (config.kafka.clone(), topics.clone());
        let until = deadline.into_std() - Duration::from_millis(300);
        blocking(deadline, move || intents::open(&kafka, &topics, until)).await
    };
    let (placements, intents) = tokio::join!(futures::future::join_all(placements.iter().map(one)), intents);
    let recorded = || {
        let uuid = |name: &String| facts.cluster_uuid(name).ok().flatten().map(|uuid| (name.clone(), uuid));
        config.clusters.keys().filter_map(uuid).collect()
    };
    let seen = seen.map(|begun| KafkaSeen { begun, recorded_clusters: recorded() });
    (seen.into(), placements, intents.into())
}

/// What the control topic says; `None` where there is none.
fn facts(kafka: &KafkaConfig, control: &str) -> Result<Option<Facts>, String> {
    match watermarks(kafka, control, REACH) {
        Ok(_) => Facts::read(kafka, control).map(Some).map_err(|error| error.to_string()),
        Err(ReadError::Missing(_)) => Ok(None),
        // What librdkafka says of its connections is worth more than that there is none.
        Err(error) => Err(why_unreachable(kafka, WHY).unwrap_or_else(|| error.to_string())),
    }
}

async fn look_at(
    config: &Config,
    topics: &Topics,
    target: &str,
    there: &Result<(), String>,
    deadline: Instant,
) -> TargetSeen {
    let (topic, group) = (topics.target(target), topics.group(target));
    if let Err(error) = there {
        return TargetSeen {
            target: target.to_owned(),
            lag: Part::unknown(error),
            consumers: Part::unknown(error),
            dead_letters: Part::unknown(error),
            headroom_seconds: Part::unknown(error),
            retention_seconds: None,
        };
    }
    let lag = {
        let (kafka, topic, group) = (config.kafka.clone(), topic.clone(), group.clone());
        blocking(deadline, move || lag::measure(&kafka, &topic, &group))
    };
    let consumers = {
        let kafka = config.kafka.clone();
        blocking(deadline, move || group_members(&kafka, &group, ASK))
    };
    let letters = {
        let (kafka, topics, target) = (config.kafka.clone(), topics.clone(), target.to_owned());
        blocking(deadline, move || Undecided::default().count(&kafka, &topics, &target))
    };
    let settings = tokio::time::timeout_at(deadline, topic_settings(&config.kafka, &topic));
    let (lag, consumers, letters, settings) = tokio::join!(lag, consumers, letters, settings);
    let retention: Result<Option<f64>, String> = match settings {
        Err(_) => Err(late()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(settings)) => {
            let millis = settings.get("retention.ms").and_then(|text| text.parse::<i64>().ok());
            millis.map(|millis| (millis >= 0).then_some(millis as f64 / 1_000.0)).ok_or_else(|| "it is not told".into())
        }
    };
    let headroom = match (&lag, &retention) {
        (Ok(lag), Ok(retention)) => Ok(retention.map(|retention| retention - lag.seconds)),
        (Err(error), _) | (_, Err(error)) => Err(error.clone()),
    };
    TargetSeen {
        target: target.to_owned(),
        lag: lag.map(|lag| lag_seen(&lag)).into(),
        consumers: consumers.into(),
        dead_letters: letters.into(),
        headroom_seconds: headroom.into(),
        retention_seconds: retention.ok().flatten(),
    }
}

fn lag_seen(lag: &TargetLag) -> LagSeen {
    let those = |is_one: fn(&lag::PartitionLag) -> bool| {
        lag.partitions.iter().filter(|(_, lag)| is_one(lag)).map(|(partition, _)| *partition).collect()
    };
    LagSeen {
        records: lag.records,
        seconds: lag.seconds,
        // A group that never committed has lost what a log of others has at its beginning.
        gaps: those(|lag| lag.has_gap() || lag.committed.is_none() && lag.low > 0),
        anew: those(|lag| lag.committed.is_some_and(|committed| committed > lag.high)),
    }
}

/// Runs what blocks, and gives it up at the deadline.
async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout_at(deadline, tokio::task::spawn_blocking(work)).await {
        Err(_) => Err(late()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
    }
}

fn late() -> String {
    "Kafka did not answer in time".to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use understudy_common::lag::PartitionLag;

    use super::*;

    #[test]
    fn partitions_that_lost_something_are_told() {
        let partitions = BTreeMap::from([
            (0, PartitionLag::new(0, 5, Some(5))),
            (1, PartitionLag::new(3, 5, Some(1))),
            (2, PartitionLag::new(3, 5, None)),
            (3, PartitionLag::new(0, 5, None)),
            (4, PartitionLag::new(0, 5, Some(9))),
        ]);
        let seen = lag_seen(&TargetLag::new(partitions, 0));
        assert_eq!((seen.gaps, seen.anew), (vec![1, 2], vec![4]));
    }
}
