//! What was seen of a cluster's state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{document::DocumentKey, shard::ShardLayout};
use serde::Deserialize;

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
    /// The primary term of each shard; rises whenever another copy becomes its primary.
    pub terms: BTreeMap<u32, u64>,
}

/// What stands behind an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasState {
    /// Where a write through it goes; `None` when the primary refuses it, because no index behind it takes writes.
    pub write: Option<AliasWrite>,
}

/// Where a write through an alias goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasWrite {
    /// The index.
    pub index: Arc<str>,
    /// The routing that the alias gives to every document.
    pub routing: Option<Arc<str>>,
    /// The index, as the same cluster state has it.
    pub state: Arc<IndexState>,
}

/// What stands behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexLookup {
    /// An index.
    Concrete(Arc<IndexState>),
    /// An alias.
    Alias(Arc<AliasState>),
    /// Nothing.
    Absent,
    /// A data stream, or something that is not known.
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

    /// The document that a write to `key` reaches: of the concrete index behind an alias, with the routing that the alias
    /// gives. The same key where there is nothing to resolve.
    #[must_use]
    pub fn resolve(&self, key: &DocumentKey) -> DocumentKey {
        match self.lookup(&key.index) {
            IndexLookup::Alias(alias) => match &alias.write {
                Some(write) => DocumentKey {
                    index: write.index.clone(),
                    id: key.id.clone(),
                    routing: write.routing.clone().or_else(|| key.routing.clone()),
                },
                None => key.clone(),
            },
            _ => key.clone(),
        }
    }

    /// The state of the index that a write to this name reaches; `None` where there is none (yet).
    #[must_use]
    pub fn written(&self, name: &str) -> Option<&Arc<IndexState>> {
        match self.lookup(name) {
            IndexLookup::Concrete(state) => Some(state),
            IndexLookup::Alias(alias) => alias.write.as_ref().map(|write| &write.state),
            IndexLookup::Absent | IndexLookup::Other => None,
        }
    }

    /// The aliases among the names that were asked for.
    #[must_use]
    pub fn aliases(&self) -> BTreeSet<&Arc<str>> {
        self.indices
            .iter()
            .filter(|(_, lookup)| matches!(lookup, IndexLookup::Alias(_)))
            .map(|(name, _)| name)
            .collect()
    }
}
