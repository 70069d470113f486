//! The cluster state as an observation needs it: indices, and where the primary copy of each shard is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use crate::{
    cluster::{CallError, ClusterClient, path_part},
    state::{Blocks, IndexBody, IndexState, in_paths},
};

/// Some indices of one cluster state; those that do not exist are not in it.
#[derive(Clone, Debug, Default)]
pub struct ClusterSight {
    /// By name.
    pub indices: BTreeMap<Arc<str>, IndexSight>,
}

/// An index.
#[derive(Clone, Debug)]
pub struct IndexSight {
    /// What it is like.
    pub state: Arc<IndexState>,
    /// Whether no shard has a second copy that could take the place of its primary.
    pub single_copies: bool,
    /// The primary copy of each shard, where there is one that serves.
    pub primaries: BTreeMap<u32, PrimaryCopy>,
}

/// A primary copy that serves and does not move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryCopy {
    /// Id of its node.
    pub node: Arc<str>,
    /// Its allocation: another one is another copy, also on the same node.
    pub allocation: Arc<str>,
}

const FILTER: &str = "blocks.global,metadata.indices.*.version,metadata.indices.*.mapping_version,\
metadata.indices.*.settings_version,metadata.indices.*.aliases_version,metadata.indices.*.routing_num_shards,\
metadata.indices.*.settings.index.uuid,metadata.indices.*.settings.index.default_pipeline,\
metadata.indices.*.settings.index.final_pipeline,metadata.indices.*.settings.index.number_of_shards,\
metadata.indices.*.settings.index.routing_partition_size,metadata.indices.*.settings.index.number_of_replicas,\
metadata.indices.*.settings.index.auto_expand_replicas,metadata.indices.*.primary_terms,\
routing_table.indices.*.shards.*.state,routing_table.indices.*.shards.*.primary,\
routing_table.indices.*.shards.*.node,routing_table.indices.*.shards.*.allocation_id.id";

#[derive(Deserialize, Default)]
struct StateBody {
    #[serde(default)]
    blocks: Blocks,
    #[serde(default)]
    metadata: Indices<IndexBody>,
    #[serde(default)]
    routing_table: Indices<RoutingBody>,
}

#[derive(Deserialize)]
struct Indices<T> {
    #[serde(default = "BTreeMap::new")]
    indices: BTreeMap<String, T>,
}

impl<T> Default for Indices<T> {
    fn default() -> Self {
        Self { indices: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
struct RoutingBody {
    #[serde(default)]
    shards: BTreeMap<u32, Vec<CopyBody>>,
}

#[derive(Deserialize)]
struct CopyBody {
    state: String,
    primary: bool,
    node: Option<Arc<str>>,
    allocation_id: Option<AllocationBody>,
}

#[derive(Deserialize)]
struct AllocationBody {
    id: Arc<str>,
}

/// Asks the master; a name that stands for something else than an index is as good as one that does not exist. Names that
/// do not fit into one path are asked for in several: each index is compared only with itself.
pub(super) async fn read(
    cluster: &ClusterClient,
    names: &BTreeSet<Arc<str>>,
    timeout: Duration,
) -> Result<ClusterSight, CallError> {
    let mut found = ClusterSight::default();
    for part in in_paths(names) {
        let list = part.iter().map(|name| path_part(name)).collect::<Vec<_>>().join(",");
        let path = format!(
            "/_cluster/state/metadata,routing_table,blocks/{list}?expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true&filter_path={FILTER}"
        );
        let body: StateBody = cluster.get_json(&path, timeout).await?;
        body.blocks.check(cluster.name())?;
        found.indices.extend(sight(body, names).indices);
    }
    Ok(found)
}

fn sight(body: StateBody, names: &BTreeSet<Arc<str>>) -> ClusterSight {
    let StateBody { metadata, mut routing_table, .. } = body;
    let indices = metadata.indices.into_iter().filter_map(|(name, index)| {
        let name = names.get(name.as_str())?.clone();
        let routing = routing_table.indices.remove(&*name).map(|routing| routing.shards).unwrap_or_default();
        let primaries = routing.into_iter().filter_map(|(shard, copies)| {
            let primary = copies.into_iter().find(|copy| copy.primary)?;
            // One that moves to another node hands over before the master shows it.
            (primary.state == "STARTED").then_some(())?;
            Some((shard, PrimaryCopy { node: primary.node?, allocation: primary.allocation_id?.id }))
        });
        let single_copies = index.has_single_copies();
        Some((
            name,
            IndexSight { single_copies, primaries: primaries.collect(), state: Arc::new(IndexState::from(index)) },
        ))
    });
    ClusterSight { indices: indices.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_primary_that_serves_and_stays_is_one() {
        let body = r#"{"metadata":{"indices":{"i":{"version":3,"mapping_version":2,"settings_version":1,"aliases_version":1,
            "routing_num_shards":1024,"primary_terms":{"0":1,"1":4,"2":1},
            "settings":{"index":{"uuid":"u","number_of_shards":"3","number_of_replicas":"0","auto_expand_replicas":"0-1"}}}}},
            "routing_table":{"indices":{"i":{"shards":{
              "0":[{"state":"STARTED","primary":false,"node":"n1","allocation_id":{"id":"a1"}},
                   {"state":"STARTED","primary":true,"node":"n2","allocation_id":{"id":"a2"}}],
              "1":[{"state":"RELOCATING","primary":true,"node":"n2","allocation_id":{"id":"a3"}}],
              "2":[{"state":"UNASSIGNED","primary":true,"node":null}]}}}}}"#;
        let sight = sight(serde_json::from_str(body).unwrap(), &BTreeSet::from(["i".into(), "other".into()]));
        let index = &sight.indices["i"];
        assert_eq!(index.primaries.len(), 1);
        assert_eq!(index.primaries[&0], PrimaryCopy { node: "n2".into(), allocation: "a2".into() });
        assert_eq!(index.state.terms[&1], 4);
        assert!(!index.single_copies, "copies come by themselves");
        assert!(!sight.indices.contains_key("other"));
    }
}
