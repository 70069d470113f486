//! What aliases stand for. The cluster state names them, `GET /_alias` says where writes go.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{AliasState, AliasWrite, IndexState};

/// `GET /_alias/{names}`: by index.
pub(super) type AliasesBody = BTreeMap<String, IndexAliases>;

#[derive(Deserialize)]
pub(super) struct IndexAliases {
    aliases: BTreeMap<String, AliasBody>,
}

#[derive(Deserialize)]
struct AliasBody {
    is_write_index: Option<bool>,
    index_routing: Option<String>,
}

/// Where a write through `alias` goes: to the index that is marked as its write index, or to its only index where that is
/// not marked as none (`AliasOrIndex.Alias` of Elasticsearch 7, `IndexAbstraction.Alias` of 8). `None` when an index behind
/// it is not among `states`: then the two answers are of two cluster states.
pub(super) fn alias_state(
    alias: &str,
    body: &AliasesBody,
    states: &BTreeMap<String, Arc<IndexState>>,
) -> Option<AliasState> {
    let members: Vec<(&String, &AliasBody)> =
        body.iter().filter_map(|(index, aliases)| Some((index, aliases.aliases.get(alias)?))).collect();
    if members.is_empty() || members.iter().any(|(index, _)| !states.contains_key(*index)) {
        return None;
    }
    let marked = members.iter().find(|(_, member)| member.is_write_index == Some(true));
    let only = || members.first().filter(|(_, member)| members.len() == 1 && member.is_write_index != Some(false));
    let write = marked.or_else(only).and_then(|(index, member)| {
        Some(AliasWrite {
            index: index.as_str().into(),
            routing: member.index_routing.as_deref().map(Into::into),
            state: states.get(*index)?.clone(),
        })
    });
    Some(AliasState { write })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::ShardLayout;

    fn write(body: &str) -> Option<Option<(String, Option<String>)>> {
        let state = Arc::new(IndexState {
            uuid: "u".into(),
            metadata_version: 1,
            mapping_version: 1,
            settings_version: 1,
            aliases_version: 1,
            shards: ShardLayout { number: 1, routing: 1, partition: 1 },
            has_pipeline: false,
            terms: BTreeMap::new(),
        });
        let states = BTreeMap::from([("a".to_owned(), state.clone()), ("b".to_owned(), state)]);
        alias_state("x", &serde_json::from_str(body).unwrap(), &states).map(|alias| {
            alias.write.map(|write| (write.index.to_string(), write.routing.map(|routing| routing.to_string())))
        })
    }

    #[test]
    fn a_write_goes_to_the_write_index_or_to_the_only_one() {
        let a = Some(Some(("a".to_owned(), None)));
        assert_eq!(write(r#"{"a":{"aliases":{"x":{}}}}"#), a);
        assert_eq!(write(r#"{"a":{"aliases":{"x":{"is_write_index":true}}},"b":{"aliases":{"x":{}}}}"#), a);
        assert_eq!(
            write(r#"{"a":{"aliases":{"x":{"index_routing":"r","search_routing":"s"}}}}"#),
            Some(Some(("a".to_owned(), Some("r".to_owned()))))
        );
        assert_eq!(write(r#"{"a":{"aliases":{"x":{}}},"b":{"aliases":{"x":{}}}}"#), Some(None), "no write index");
        assert_eq!(write(r#"{"a":{"aliases":{"x":{"is_write_index":false}}}}"#), Some(None));
        assert_eq!(write(r#"{"c":{"aliases":{"x":{}}}}"#), None, "of another state");
        assert_eq!(write("{}"), None);
    }
}
