//! Records of `understudy.control`: facts that all processes share. Compacted, one partition.

mod facts;

pub use facts::{FactError, Facts, Roles, check_cluster};
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

/// `dead/<topic>/<partition>/<offset>`: what became of a dead letter. It stands until the letter itself is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRecord {
    /// What became of it.
    pub became: Became,
    /// When, in milliseconds since 1970, by the clock of whoever decided.
    pub at_ms: i64,
    /// Append time of the letter: a topic that was made anew has another letter at that offset.
    pub letter_ms: i64,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Became {
    /// Its document was published once more, as it was on the primary by then.
    Redriven,
    /// Somebody decided that it is of no use.
    Dropped,
}

/// Keys of control records.
pub mod key {
    /// Whether it is that of a placement, a cluster or a topic.
    pub(super) fn is_fact(key: &str) -> bool {
        ["placement/", "cluster/", "topic/"].iter().any(|kind| key.starts_with(kind))
    }

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

    /// Of what became of a dead letter.
    #[must_use]
    pub fn dead_letter(topic: &str, partition: i32, offset: i64) -> String {
        format!("dead/{topic}/{partition}/{offset}")
    }

    /// Partition and offset of the dead letter of `topic` that a key is about; `None` where it is about something else.
    #[must_use]
    pub fn read_dead_letter(topic: &str, key: &str) -> Option<(i32, i64)> {
        let place = key.strip_prefix("dead/")?.strip_prefix(topic)?.strip_prefix('/')?;
        let (partition, offset) = place.split_once('/')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_dead_letters_are_read_back() {
        let key = key::dead_letter("understudy.dead.backup", 3, 17);
        assert_eq!(key, "dead/understudy.dead.backup/3/17");
        assert_eq!(key::read_dead_letter("understudy.dead.backup", &key), Some((3, 17)));
        for other in
            ["dead/understudy.dead.backup2/3/17", "dead/understudy.dead.backup/3", "topic/understudy.dead.backup"]
        {
            assert_eq!(key::read_dead_letter("understudy.dead.backup", other), None, "{other}");
        }
        let record = DeadLetterRecord { became: Became::Redriven, at_ms: 2, letter_ms: 1 };
        assert_eq!(serde_json::to_string(&record).unwrap(), r#"{"became":"redriven","at_ms":2,"letter_ms":1}"#);
    }
}
