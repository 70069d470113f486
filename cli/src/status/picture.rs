//! What `understudy status` has seen. Its serialization is the JSON that is promised to stay.

use std::collections::BTreeMap;

use serde::Serialize;

/// A part of the picture, or why it is not known.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(untagged)]
pub enum Part<T> {
    /// It was seen.
    Known(T),
    /// It was not.
    Unknown {
        /// Why.
        error: String,
    },
}

impl<T> Part<T> {
    /// It was not seen.
    pub fn unknown(error: impl std::fmt::Display) -> Self {
        Self::Unknown { error: error.to_string() }
    }

    /// What was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(seen) => Some(seen),
            Self::Unknown { .. } => None,
        }
    }
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Part<T> {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(Self::unknown, Self::Known)
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// What Kafka says of roles.
    pub kafka: Part<KafkaSeen>,
    /// Where Kafka is.
    pub brokers: Vec<String>,
    /// Each placement.
    pub placements: Vec<PlacementSeen>,
    /// Each cluster of these placements.
    pub clusters: Vec<ClusterSeen>,
    /// Writes that nobody has settled.
    pub intents: Part<IntentsSeen>,
    /// Gateways and consumers whose admin ports are known.
    pub processes: Vec<ProcessSeen>,
}

/// What Kafka says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KafkaSeen {
    /// Whether replication has begun: the control topic is there.
    pub begun: bool,
    /// `cluster_uuid` of each cluster as it was recorded.
    pub recorded_clusters: BTreeMap<String, String>,
}

/// A placement.
#[derive(Clone, Debug, Serialize)]
pub struct PlacementSeen {
    /// Its name.
    pub placement: String,
    /// Its primary: as Kafka records it, else as the configuration says.
    pub primary: String,
    /// Its epoch; `None` where Kafka does not say who is the primary.
    pub epoch: Option<u64>,
    /// The clusters that follow.
    pub targets: Vec<TargetSeen>,
}

/// A cluster that follows, as Kafka shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TargetSeen {
    /// Its name.
    pub target: String,
    /// How far it is behind.
    pub lag: Part<LagSeen>,
    /// Names of the members of its group.
    pub consumers: Part<Vec<String>>,
    /// Writes that it refused for good, and that nobody has decided upon.
    pub dead_letters: Part<u64>,
    /// Seconds until Kafka may delete something that it has not applied; `None` where nothing is ever deleted.
    pub headroom_seconds: Part<Option<f64>>,
    /// How long Kafka keeps its topic, in seconds; `None`: for ever.
    pub retention_seconds: Option<f64>,
}

/// How far a target is behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LagSeen {
    /// Records that are not applied.
    pub records: u64,
    /// Age of the oldest of them.
    pub seconds: f64,
    /// Partitions whose log lost records that were never applied.
    pub gaps: Vec<i32>,
    /// Partitions whose log ends before what was applied: their topic was made anew.
    pub anew: Vec<i32>,
}

/// A cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterSeen {
    /// Its name.
    pub cluster: String,
    /// Where it is.
    pub urls: Vec<String>,
    /// The user of its service account.
    pub service_account: Option<String>,
    /// What it says.
    pub seen: Part<ClusterState>,
    /// Why it may not be used; `None` where it may, or nobody could tell.
    pub refused_version: Option<String>,
    /// That it is used although it was not tested.
    pub untested_version: Option<String>,
}

/// What a cluster says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterState {
    /// Which cluster it is; `None` where the service account may not ask.
    pub cluster_uuid: Option<String>,
    /// `green`, `yellow`, `red`; `None` where the service account may not ask.
    pub health: Option<String>,
    /// Its nodes.
    pub nodes: Option<u64>,
    /// Shard copies that are assigned nowhere.
    pub unassigned_shards: Option<u64>,
    /// Products and versions of its nodes.
    pub versions: Vec<String>,
    /// What the service account was refused.
    pub denied: Option<String>,
}

/// Writes that nobody has settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IntentsSeen {
    /// How many; `None` when there was no time to read them all.
    pub open: Option<u64>,
    /// Age of the oldest, 0 where there is none.
    pub oldest_seconds: f64,
}

/// A gateway or consumer.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessSeen {
    /// Its admin port.
    pub address: String,
    /// What it says.
    pub seen: Part<ProcessState>,
}

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProcessState {
    /// `gateway`, `consumer`, or `other`.
    pub kind: &'static str,
    /// Whether it is ready; the reason why not.
    pub not_ready: Option<String>,
    /// Of a gateway: whether it takes writes.
    pub takes_writes: Option<bool>,
    /// Of a gateway: requests under way.
    pub requests_in_flight: Option<u64>,
    /// Of a consumer: its target.
    pub target: Option<String>,
    /// Of a consumer: partitions that it has.
    pub partitions: Option<u64>,
    /// Of a consumer: partitions that stopped, by reason.
    pub stopped: BTreeMap<String, u64>,
    /// Of a consumer: partitions that commit nothing for now.
    pub unsettled: Option<u64>,
    /// Of a consumer: indices whose effects wait.
    pub indices_waiting: Option<u64>,
    /// Of a consumer: whether its target is the primary itself.
    pub target_is_primary: bool,
    /// Of a consumer: whether it can write to its target.
    pub target_up: Option<bool>,
    /// Of a consumer: effects that its target does not take for now, since it was started.
    pub blocked: Option<u64>,
    /// Of a consumer: open intents that stay open until somebody acts.
    pub unreadable_intents: u64,
}
