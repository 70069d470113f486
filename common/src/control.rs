//! Records of `understudy.control`: facts that all processes share. Compacted, one partition.

use serde::{Deserialize, Serialize};

/// `placement/<name>`: who is primary for which indices, since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// Pattern of indices.
    pub indices: String,
    /// The cluster that is written.
    pub primary: String,
    /// The clusters that follow.
    pub targets: Vec<String>,
    /// Raised whenever another cluster becomes primary; begins at 1.
    pub epoch: u64,
}

/// `cluster/<name>`: which cluster stands behind a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Its `cluster_uuid`.
    pub cluster_uuid: String,
}

/// `topic/<topic>`: how many partitions it was made with. Another number would move keys behind their newer effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// Number of partitions.
    pub partitions: i32,
}

/// Keys of control records.
pub mod key {
    /// Of a placement.
    #[must_use]
    pub fn placement(name: &str) -> String {
        format!("placement/{name}")
    }

    /// Of a cluster.
    #[must_use]
    pub fn cluster(name: &str) -> String {
        format!("cluster/{name}")
    }

    /// Of a partition of a target's topic whose consumers have committed an offset. The group's own offsets go with the
    /// topic; this stays, and tells a topic that was made anew from one that nobody has begun to read.
    #[must_use]
    pub fn begun(topic: &str, partition: i32) -> String {
        format!("begun/{topic}/{partition}")
    }

    /// Of a topic.
    #[must_use]
    pub fn topic(name: &str) -> String {
        format!("topic/{name}")
    }
}
