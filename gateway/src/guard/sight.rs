//! What was seen of a cluster's state.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use understudy_common::shard::ShardLayout;

/// Which cluster state it was.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StateId {
    /// The cluster's own id.
    pub cluster_uuid: Arc<str>,
    /// Rises with every change.
    pub version: u64,
    /// Differs for two states of one version, which two masters may have made.
    pub state_uuid: Arc<str>,
}

/// An index as one cluster state has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexState {
    /// Its UUID.
    pub uuid: Arc<str>,
    /// Rises with every change of its metadata.
    pub metadata_version: u64,
    /// Rises with every change of its mapping.
    pub mapping_version: u64,
    /// Rises with every change of its settings; 1 when it is created.
    pub settings_version: u64,
    /// Rises with every change of its aliases.
    pub aliases_version: u64,
    /// How it spreads its documents.
    pub shards: ShardLayout,
    /// Whether `index.default_pipeline` or `index.final_pipeline` names one.
    pub has_pipeline: bool,
}

/// What stands behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexLookup {
    /// An index.
    Concrete(Arc<IndexState>),
    /// Nothing.
    Absent,
    /// An alias or a data stream.
    Other,
}

/// Some indices as one cluster state has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which state.
    pub state: StateId,
    /// By name; each index that was asked for is in it.
    pub indices: BTreeMap<Arc<str>, IndexLookup>,
}

impl Sight {
    /// What stands behind a name.
    #[must_use]
    pub fn lookup(&self, index: &str) -> &IndexLookup {
        self.indices.get(index).unwrap_or(&IndexLookup::Other)
    }
}
