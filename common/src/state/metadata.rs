//! What indices are like at a cluster state: read when the state moved, remembered while it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    cluster::{CallError, ClusterClient, path_part},
    observe::Terms,
    shard::ShardLayout,
};
use hyper::Method;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Blocks, IndexLookup, IndexState, Sight, StateId,
    aliases::{AliasesBody, alias_state},
};

/// Why the states of indices are not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MetadataError {
    /// The cluster did not say.
    #[error(transparent)]
    Call(#[from] Arc<CallError>),
    /// It moved on at every try.
    #[error("the cluster state kept moving while it was read")]
    Restless,
}

/// Reads and remembers the states of indices.
pub struct Metadata {
    cluster: ClusterClient,
    timeout: Duration,
    known: Mutex<Option<Sight>>,
    terms: Arc<Terms>,
}

/// Elasticsearch takes request lines of up to 4 KiB (`http.max_initial_line_length`).
const NAMES_IN_A_PATH: usize = 2_500;
const TRIES: usize = 5;
/// Names that are remembered for one state.
const REMEMBERED: usize = 10_000;

const FILTER: &str = "cluster_uuid,version,state_uuid,blocks.global,metadata.indices.*.version,\
metadata.indices.*.mapping_version,metadata.indices.*.settings_version,metadata.indices.*.aliases_version,\
metadata.indices.*.routing_num_shards,metadata.indices.*.aliases,metadata.indices.*.settings.index.uuid,\
metadata.indices.*.settings.index.default_pipeline,metadata.indices.*.settings.index.final_pipeline,\
metadata.indices.*.settings.index.number_of_shards,metadata.indices.*.settings.index.routing_partition_size,\
metadata.indices.*.primary_terms";

#[derive(Deserialize)]
struct StateBody {
    #[serde(flatten)]
    id: StateId,
    #[serde(default)]
    blocks: Blocks,
    #[serde(default)]
    metadata: MetadataBody,
}

#[derive(Deserialize, Default)]
struct MetadataBody {
    #[serde(default)]
    indices: BTreeMap<String, IndexBody>,
}

/// An index in the metadata of a cluster state.
#[derive(Deserialize)]
pub(crate) struct IndexBody {
    version: u64,
    mapping_version: u64,
    settings_version: u64,
    aliases_version: u64,
    routing_num_shards: u32,
    #[serde(default)]
    aliases: Vec<String>,
    settings: SettingsBody,
    #[serde(default)]
    primary_terms: BTreeMap<u32, u64>,
}

#[derive(Deserialize)]
struct SettingsBody {
    index: IndexSettingsBody,
}

#[derive(Deserialize)]
struct IndexSettingsBody {
    number_of_replicas: Option<String>,
    auto_expand_replicas: Option<String>,
    uuid: Arc<str>,
    default_pipeline: Option<String>,
    final_pipeline: Option<String>,
    number_of_shards: String,
    routing_partition_size: Option<String>,
}

impl Metadata {
    /// Reads from `cluster`, and notes in `terms` what it sees of shards.
    #[must_use]
    pub fn new(cluster: ClusterClient, timeout: Duration, terms: Arc<Terms>) -> Self {
        Self { cluster, timeout, known: Mutex::new(None), terms }
    }

    /// The states of `names` at `state`, or at a later one.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn at(&self, state: &StateId, names: &BTreeSet<Arc<str>>) -> Result<Sight, MetadataError> {
        if let Some(known) = self.remembered(state, names) {
            return Ok(known);
        }
        self.read(names).await
    }

    /// The states of `names` as they are now.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn read(&self, names: &BTreeSet<Arc<str>>) -> Result<Sight, MetadataError> {
        'tries: for _ in 0..TRIES {
            let mut sight: Option<Sight> = None;
            for names in in_paths(names) {
                let part = self.read_part(&names).await?;
                match &mut sight {
                    None => sight = Some(part),
                    // All parts must be of one state.
                    Some(sight) if sight.state != part.state => continue 'tries,
                    Some(sight) => sight.indices.extend(part.indices),
                }
            }
            let sight = sight.ok_or(MetadataError::Restless)?;
            self.remember(&sight);
            let now = Instant::now();
            for lookup in sight.indices.keys().filter_map(|name| sight.written(name)) {
                self.terms.note(&lookup.uuid, &lookup.terms, now);
            }
            return Ok(sight);
        }
        Err(MetadataError::Restless)
    }

    async fn read_part(&self, names: &[Arc<str>]) -> Result<Sight, MetadataError> {
        let list = names.iter().map(|name| path_part(name)).collect::<Vec<_>>().join(",");
        let path = format!(
            "/_cluster/state/version,metadata,blocks/{list}?expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true&filter_path={FILTER}"
        );
        for _ in 0..TRIES {
            let body: StateBody = self.cluster.get_json(&path, self.timeout).await.map_err(Arc::new)?;
            body.blocks.check(self.cluster.name()).map_err(Arc::new)?;
            let aliases = body.aliases(names);
            if aliases.is_empty() {
                return Ok(sight(body, names, &AliasesBody::new()));
            }
            // Where writes through an alias go is not in the cluster state's text: it is asked between two looks at one
            // state.
            let list = aliases.iter().map(|name| path_part(name)).collect::<Vec<_>>().join(",");
            let path = format!("/_alias/{list}?expand_wildcards=all");
            let answer = self.cluster.call(Method::GET, &path, None, self.timeout).await.map_err(Arc::new)?;
            let found: AliasesBody = answer.json().map_err(|reason| {
                Arc::new(CallError::Unanswered { cluster: self.cluster.name().to_owned(), reason })
            })?;
            let after: StateId =
                self.cluster.get_json("/_cluster/state/version", self.timeout).await.map_err(Arc::new)?;
            if after == body.id {
                return Ok(sight(body, names, &found));
            }
        }
        Err(MetadataError::Restless)
    }

    fn remembered(&self, state: &StateId, names: &BTreeSet<Arc<str>>) -> Option<Sight> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.state == *state)?;
        let indices = names
            .iter()
            .map(|name| known.indices.get(name).map(|lookup| (name.clone(), lookup.clone())))
            .collect::<Option<_>>()?;
        Some(Sight { state: state.clone(), indices })
    }

    fn remember(&self, sight: &Sight) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut() {
            Some(known) if known.state == sight.state && known.indices.len() < REMEMBERED => {
                known.indices.extend(sight.indices.clone());
            }
            // Two readers may come back in any order: the later state stays.
            Some(known)
                if known.state.version > sight.state.version
                    && known.state.cluster_uuid == sight.state.cluster_uuid => {}
            _ => *known = Some(sight.clone()),
        }
    }
}

/// Lists of names, each short enough for a path.
pub(crate) fn in_paths(names: &BTreeSet<Arc<str>>) -> Vec<Vec<Arc<str>>> {
    let mut lists: Vec<Vec<Arc<str>>> = Vec::new();
    let mut length = usize::MAX;
    for name in names {
        let more = 3 * name.len() + 1;
        if length.saturating_add(more) > NAMES_IN_A_PATH {
            lists.push(Vec::new());
            length = 0;
        }
        length += more;
        lists.last_mut().expect("one was pushed").push(name.clone());
    }
    lists
}

impl StateBody {
    /// The names among those that were asked for that are aliases.
    fn aliases<'a>(&self, names: &'a [Arc<str>]) -> BTreeSet<&'a Arc<str>> {
        let aliases: BTreeSet<&str> =
            self.metadata.indices.values().flat_map(|index| index.aliases.iter().map(String::as_str)).collect();
        names.iter().filter(|name| aliases.contains(&***name)).collect()
    }
}

fn sight(body: StateBody, names: &[Arc<str>], found: &AliasesBody) -> Sight {
    // An alias is answered with the indices behind it, and a data stream with its backing indices, which do not name it:
    // when an index came that nothing explains, a name that is missing is taken for a stream. That refuses, it never
    // lets through.
    let asked = |found: &str| names.iter().any(|name| **name == *found);
    let aliases: BTreeSet<Arc<str>> = body.aliases(names).into_iter().cloned().collect();
    let stranger = body
        .metadata
        .indices
        .iter()
        .any(|(found, index)| !asked(found) && !index.aliases.iter().any(|alias| asked(alias)));
    let states: BTreeMap<String, Arc<IndexState>> =
        body.metadata.indices.into_iter().map(|(name, index)| (name, Arc::new(state(index)))).collect();
    let indices = names
        .iter()
        .map(|name| {
            let lookup = match states.get(&**name) {
                Some(state) => IndexLookup::Concrete(state.clone()),
                None if aliases.contains(name) => match alias_state(name, found, &states) {
                    Some(alias) => IndexLookup::Alias(Arc::new(alias)),
                    None => IndexLookup::Other,
                },
                None if stranger => IndexLookup::Other,
                None => IndexLookup::Absent,
            };
            (name.clone(), lookup)
        })
        .collect();
    Sight { state: body.id, indices }
}

impl IndexBody {
    /// Whether it has no copy that could become primary in the place of another.
    pub(crate) fn has_single_copies(&self) -> bool {
        let settings = &self.settings.index;
        settings.number_of_replicas.as_deref() == Some("0")
            && settings.auto_expand_replicas.as_deref().is_none_or(|range| range == "false")
    }
}

impl From<IndexBody> for IndexState {
    fn from(index: IndexBody) -> Self {
        state(index)
    }
}

fn state(index: IndexBody) -> IndexState {
    let names_one = |pipeline: &Option<String>| pipeline.as_deref().is_some_and(|name| name != "_none");
    let settings = index.settings.index;
    IndexState {
        terms: index.primary_terms,
        has_pipeline: names_one(&settings.default_pipeline) || names_one(&settings.final_pipeline),
        uuid: settings.uuid,
        metadata_version: index.version,
        mapping_version: index.mapping_version,
        settings_version: index.settings_version,
        aliases_version: index.aliases_version,
        shards: ShardLayout {
            // What is no number makes a layout that is none, and `trust` lets nothing of it through.
            number: settings.number_of_shards.parse().unwrap_or(0),
            routing: index.routing_num_shards,
            partition: settings.routing_partition_size.map_or(Ok(1), |size| size.parse()).unwrap_or(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(indices: &str, names: &[&str]) -> Sight {
        let body = format!(
            "{{\"cluster_uuid\":\"c\",\"version\":1,\"state_uuid\":\"s\",\"metadata\":{{\"indices\":{indices}}}}}"
        );
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let found = serde_json::from_str("{\"a\":{\"aliases\":{\"alias\":{}}}}").unwrap();
        sight(serde_json::from_str(&body).unwrap(), &names, &found)
    }

    fn index(aliases: &str, more: &str) -> String {
        format!(
            "{{\"version\":3,\"mapping_version\":2,\"settings_version\":1,\"aliases_version\":1,\"routing_num_shards\":1024,\"aliases\":{aliases},\"settings\":{{\"index\":{{\"uuid\":\"u\",\"number_of_shards\":\"1\"{more}}}}}}}"
        )
    }

    #[test]
    fn names_are_indices_aliases_streams_or_nothing() {
        let one = format!("{{\"a\":{}}}", index("[\"alias\"]", ""));
        let sight = seen(&one, &["a", "alias", "new"]);
        assert!(
            matches!(sight.lookup("a"), IndexLookup::Concrete(state) if state.mapping_version == 2 && !state.has_pipeline)
        );
        assert!(
            matches!(sight.lookup("alias"), IndexLookup::Alias(alias) if *alias.write.as_ref().unwrap().index == *"a")
        );
        assert_eq!(sight.lookup("new"), &IndexLookup::Absent);
        let stream = format!("{{\".ds-logs-000001\":{}}}", index("[]", ""));
        assert_eq!(seen(&stream, &["logs"]).lookup("logs"), &IndexLookup::Other);
        assert_eq!(seen("{}", &["new"]).lookup("new"), &IndexLookup::Absent);
        assert_eq!(seen("{}", &["new"]).lookup("never asked"), &IndexLookup::Other);
    }

    #[test]
    fn pipelines_are_seen_and_none_is_none() {
        for (more, has) in [
            (",\"default_pipeline\":\"p\"", true),
            (",\"final_pipeline\":\"p\"", true),
            (",\"default_pipeline\":\"_none\"", false),
        ] {
            let sight = seen(&format!("{{\"a\":{}}}", index("[]", more)), &["a"]);
            assert!(matches!(sight.lookup("a"), IndexLookup::Concrete(state) if state.has_pipeline == has), "{more}");
        }
    }

    #[test]
    fn long_lists_of_names_are_parted() {
        let names: BTreeSet<Arc<str>> = (0..100).map(|n| Arc::from(format!("{}-{n}", "x".repeat(200)))).collect();
        let lists = in_paths(&names);
        assert!(lists.iter().all(|list| list.iter().map(|name| 3 * name.len() + 1).sum::<usize>() <= NAMES_IN_A_PATH));
        assert_eq!(lists.concat(), names.into_iter().collect::<Vec<_>>());
    }
}
