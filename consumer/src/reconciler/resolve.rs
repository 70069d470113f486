//! Which documents of concrete indices a document of an intent may be by now. Pure.
//!
//! An intent names indices as they were before the write, which may have arrived later: an alias may have turned to another
//! index, or have become one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use understudy_common::{
    config::IndexPattern,
    document::DocumentKey,
    state::{IndexLookup, Sight},
};

/// By concrete index: the aliases through which it was named.
pub type Aliases = BTreeMap<Arc<str>, Vec<Arc<str>>>;

/// Names whose meaning must be known to find a document.
pub fn names<'a>(key: &'a DocumentKey, aliases: &'a Aliases) -> impl Iterator<Item = &'a Arc<str>> {
    std::iter::once(&key.index).chain(aliases.get(&key.index).into_iter().flatten())
}

/// The documents that a write to `key` may have reached; none where no index takes it.
///
/// # Errors
/// When that cannot be told.
pub fn reached(
    key: &DocumentKey,
    aliases: &Aliases,
    sight: &Sight,
    placed: &IndexPattern,
) -> Result<BTreeSet<DocumentKey>, String> {
    let mut reached = BTreeSet::new();
    for name in names(key, aliases) {
        let through = DocumentKey { index: name.clone(), ..key.clone() };
        match sight.lookup(name) {
            IndexLookup::Concrete(_) => {
                reached.insert(through);
            }
            // A write through an alias that leads out of the placement is not replicated.
            IndexLookup::Alias(alias) if alias.write.as_ref().is_some_and(|write| placed.matches(&write.index)) => {
                // The routing that the intent names has what this alias gave where it was resolved already.
                let led_here = alias.write.as_ref().is_some_and(|write| write.index == key.index);
                reached.insert(if led_here { key.clone() } else { sight.resolve(&through) });
            }
            IndexLookup::Alias(_) | IndexLookup::Absent => {}
            IndexLookup::Other => return Err(format!("[{name}] is a data stream, or nothing that is known")),
        }
    }
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_common::{
        shard::ShardLayout,
        state::{AliasState, AliasWrite, IndexState, StateId},
    };

    fn state() -> Arc<IndexState> {
        Arc::new(IndexState {
            uuid: "u".into(),
            metadata_version: 1,
            mapping_version: 1,
            settings_version: 1,
            aliases_version: 1,
            shards: ShardLayout { number: 1, routing: 1, partition: 1 },
            has_pipeline: false,
            terms: BTreeMap::new(),
        })
    }

    fn alias(write: Option<(&str, Option<&str>)>) -> IndexLookup {
        let write = write.map(|(index, routing)| AliasWrite {
            index: index.into(),
            routing: routing.map(Into::into),
            state: state(),
        });
        IndexLookup::Alias(Arc::new(AliasState { write }))
    }

    fn find(index: &str, aliases: &[(&str, &str)], seen: &[(&str, IndexLookup)]) -> Result<Vec<String>, String> {
        let key = DocumentKey { index: index.into(), id: "1".into(), routing: Some("r".into()) };
        let mut known = Aliases::new();
        for (concrete, alias) in aliases {
            known.entry(Arc::from(*concrete)).or_default().push(Arc::from(*alias));
        }
        let id = StateId { cluster_uuid: "c".into(), version: 1, state_uuid: "s".into() };
        let indices = seen.iter().map(|(name, lookup)| (Arc::from(*name), lookup.clone())).collect();
        let sight = Sight { state: id, indices };
        let reached = reached(&key, &known, &sight, &IndexPattern::new("i*"))?;
        Ok(reached.iter().map(|key| format!("{}?{}", key.index, key.routing.as_deref().unwrap_or("-"))).collect())
    }

    #[test]
    fn an_index_is_itself_and_an_alias_its_write_index() {
        let concrete = || IndexLookup::Concrete(state());
        assert_eq!(find("i1", &[], &[("i1", concrete())]).unwrap(), ["i1?r"]);
        assert_eq!(find("i", &[], &[("i", alias(Some(("i1", None))))]).unwrap(), ["i1?r"]);
        assert_eq!(find("i", &[], &[("i", alias(Some(("i1", Some("a")))))]).unwrap(), ["i1?a"]);
        assert!(find("i", &[], &[("i", alias(None))]).unwrap().is_empty(), "no write index");
        assert!(find("i", &[], &[("i", alias(Some(("x", None))))]).unwrap().is_empty(), "out of the placement");
        assert!(find("i", &[], &[("i", IndexLookup::Absent)]).unwrap().is_empty());
        assert!(find("i", &[], &[("i", IndexLookup::Other)]).is_err(), "a data stream");
        assert!(find("i", &[], &[]).is_err(), "never asked for");
    }

    #[test]
    fn an_alias_that_turned_leads_to_both() {
        let concrete = || IndexLookup::Concrete(state());
        let aliases = [("i1", "ia")];
        let turned = [("i1", concrete()), ("ia", alias(Some(("i2", None))))];
        assert_eq!(find("i1", &aliases, &turned).unwrap(), ["i1?r", "i2?r"]);
        let same = [("i1", concrete()), ("ia", alias(Some(("i1", Some("a")))))];
        assert_eq!(find("i1", &aliases, &same).unwrap(), ["i1?r"], "the routing that it was written with");
        let gone = [("i1", IndexLookup::Absent), ("ia", concrete())];
        assert_eq!(find("i1", &aliases, &gone).unwrap(), ["ia?r"], "an index took the name of the alias");
    }
}
