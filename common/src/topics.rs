//! The topics: their names, and what each must be like.

use crate::config::KafkaConfig;

/// The names of all topics under one prefix.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
}

/// A topic as it is created, and as it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i32,
    /// Settings of the topic.
    pub settings: Vec<(&'static str, String)>,
}

/// Partitions of the intents topic.
pub const INTENT_PARTITIONS: i32 = 8;

impl Topics {
    /// Names under `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Writes in progress.
    #[must_use]
    pub fn intents(&self) -> String {
        format!("{}.intents", self.prefix)
    }

    /// What indices are like on their primary.
    #[must_use]
    pub fn schema(&self) -> String {
        format!("{}.schema", self.prefix)
    }

    /// Facts that all processes share.
    #[must_use]
    pub fn control(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// Effects for a target.
    #[must_use]
    pub fn target(&self, target: &str) -> String {
        format!("{}.target.{target}", self.prefix)
    }

    /// Effects that a target refuses.
    #[must_use]
    pub fn dead(&self, target: &str) -> String {
        format!("{}.dead.{target}", self.prefix)
    }

    /// The consumer group of a target.
    #[must_use]
    pub fn group(&self, target: &str) -> String {
        self.target(target)
    }

    /// The group of all consumers, of whatever target, that look after open intents.
    #[must_use]
    pub fn reconciler_group(&self) -> String {
        format!("{}.reconciler", self.prefix)
    }

    /// Every topic that a placement with these targets needs.
    #[must_use]
    pub fn specs(&self, kafka: &KafkaConfig, targets: &[String]) -> Vec<TopicSpec> {
        let spec = |name: String, partitions: i32, policy: Vec<(&'static str, String)>| {
            let mut settings = vec![
                // Tickets and the window live by the broker's clock.
                ("message.timestamp.type", "LogAppendTime".to_owned()),
                ("max.message.bytes", kafka.max_message_bytes.to_string()),
                ("min.insync.replicas", kafka.min_insync_replicas.to_string()),
                ("unclean.leader.election.enable", "false".to_owned()),
            ];
            settings.extend(policy);
            TopicSpec { name, partitions, replication_factor: kafka.replication_factor, settings }
        };
        let compacted = || {
            vec![
                ("cleanup.policy", "compact".to_owned()),
                // Whoever follows the topic sees every record before it may be compacted away.
                ("min.compaction.lag.ms", (3_600 * 1_000).to_string()),
            ]
        };
        let kept = |millis: String| {
            vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", millis),
                ("retention.bytes", "-1".to_owned()),
            ]
        };
        let mut specs = vec![
            spec(self.intents(), INTENT_PARTITIONS, compacted()),
            spec(self.schema(), 1, compacted()),
            spec(self.control(), 1, compacted()),
        ];
        for target in targets {
            let partitions = kafka.partitions;
            specs.push(spec(self.target(target), partitions, kept(kafka.retention.as_millis().to_string())));
            // Dead letters are the only copy of what a target refused: kept until somebody decides.
            specs.push(spec(self.dead(target), partitions, kept("-1".to_owned())));
        }
        specs
    }
}
