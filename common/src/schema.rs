//! Records of `understudy.schema`: what a target must know to build an index while the primary is dead.
//!
//! Key `index/UUID`; of two records of one key the greater `metadata_version` counts, not the later.

mod published;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

pub use published::{SchemaError, Schemas};

/// An index as its primary has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSchema {
    /// Format version of this record.
    pub format: u32,
    /// The cluster it was read from.
    pub cluster: Arc<str>,
    /// Epoch of the placement when it was read.
    pub epoch: u64,
    /// Concrete index.
    pub index: Arc<str>,
    /// Its UUID on the primary.
    pub uuid: Arc<str>,
    /// `version` of its metadata: rises with every change to it.
    pub metadata_version: u64,
    /// `mapping_version`; `mappings` are at least as new.
    pub mapping_version: u64,
    /// `settings_version`.
    pub settings_version: u64,
    /// `aliases_version`.
    pub aliases_version: u64,
    /// What ids are hashed over, so that a target's shards fall apart alike.
    pub routing_num_shards: u64,
    /// Flat settings (`index.number_of_shards`, …), unfiltered.
    pub settings: BTreeMap<String, Value>,
    /// The mapping's own fields (`properties`, `dynamic`, `_meta`, …), each as the primary printed it.
    pub mappings: BTreeMap<String, Box<RawValue>>,
    /// Aliases as the primary printed them.
    pub aliases: Box<RawValue>,
}

impl IndexSchema {
    /// The format that this build writes.
    pub const FORMAT: u32 = 1;

    /// The key of its record.
    #[must_use]
    pub fn record_key(&self) -> String {
        record_key(&self.index, &self.uuid)
    }
}

/// A record under `client-versions/index/UUID`: clients gave versions of their own to documents of this index. It is
/// never taken back, so it has a key of its own, apart from what the index is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientVersions {
    /// Format version of this record.
    pub format: u32,
    /// Concrete index.
    pub index: Arc<str>,
    /// Its UUID on the primary.
    pub uuid: Arc<str>,
}

impl ClientVersions {
    /// The format that this build writes.
    pub const FORMAT: u32 = 1;
    /// What its keys begin with; no name of an index holds a slash.
    pub const KEY_PREFIX: &str = "client-versions/";

    /// The key of its record.
    #[must_use]
    pub fn record_key(&self) -> String {
        format!("{}{}/{}", Self::KEY_PREFIX, self.index, self.uuid)
    }
}

/// The key of the record of an index: `index/UUID`.
#[must_use]
pub fn record_key(index: &str, uuid: &str) -> String {
    format!("{index}/{uuid}")
}
