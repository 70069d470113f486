//! Which indices there are, which of them are compared, and their mappings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use understudy_common::{cluster::path_part, config::IndexPattern};

use super::{
    json_text,
    side::{Failure, MAX_ANSWER, Side, excerpt},
};

/// Whether an index can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexState {
    /// It can.
    Open,
    /// It must be opened first.
    #[serde(rename = "close")]
    Closed,
}

/// An index that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub index: Arc<str>,
    /// On the primary.
    pub primary: Option<IndexState>,
    /// On the target.
    pub target: Option<IndexState>,
}

/// The indices of a cluster by name.
pub type Listing = BTreeMap<String, IndexState>;

/// Which of the indices on either side are compared: those of the placement, and of `only`, that are not hidden behind
/// a dot.
pub fn plan(
    primary: &Listing,
    target: &Listing,
    placement: &IndexPattern,
    only: Option<&IndexPattern>,
) -> Vec<Planned> {
    let names: BTreeSet<&String> = primary.keys().chain(target.keys()).collect();
    names
        .into_iter()
        .filter(|name| !name.starts_with('.') && placement.matches(name) && only.is_none_or(|only| only.matches(name)))
        .map(|name| Planned {
            index: Arc::from(name.as_str()),
            primary: primary.get(name).copied(),
            target: target.get(name).copied(),
        })
        .collect()
}

/// Every index of a cluster, closed and hidden ones too; no shard is asked.
pub async fn list(side: &Side) -> Result<Listing, Failure> {
    #[derive(Default, Deserialize)]
    struct State {
        #[serde(default)]
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(default)]
        indices: BTreeMap<String, Index>,
    }
    #[derive(Deserialize)]
    struct Index {
        state: IndexState,
    }
    let state: State = side.get_json("/_cluster/state/metadata?filter_path=metadata.indices.*.state").await?;
    Ok(state.metadata.indices.into_iter().map(|(name, index)| (name, index.state)).collect())
}

/// The mapping of an index in one order of fields, without our label; `None`: there is no such index.
pub async fn mapping(side: &Side, index: &str) -> Result<Option<String>, Failure> {
    let path = format!("/{}/_mapping", path_part(index));
    let Some(answer) = side.call(Method::GET, &path, None, MAX_ANSWER).await? else {
        return Err(side.index_failure(index, "its mapping is too large"));
    };
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !answer.status.is_success() {
        return Err(side.index_failure(index, format!("{} {}", answer.status, excerpt(&answer.body))));
    }
    read_mapping(&answer.body, index).map_err(|error| side.index_failure(index, format!("its mapping: {error}")))
}

fn read_mapping(body: &[u8], index: &str) -> Result<Option<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Index<'a> {
        #[serde(borrow)]
        mappings: &'a RawValue,
    }
    let indices: BTreeMap<String, Index<'_>> = serde_json::from_slice(body)?;
    // An alias of this name answers with the index behind it.
    indices.get(index).map(|index| without_label(index.mappings)).transpose()
}

/// Targets bear `_meta.understudy`, which the primary has not.
fn without_label(mapping: &RawValue) -> Result<String, serde_json::Error> {
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(mapping.get())?;
    let mut kept = None;
    if let Some(meta) = fields.remove("_meta") {
        let mut labels: BTreeMap<String, &RawValue> = serde_json::from_str(meta.get())?;
        labels.remove("understudy");
        if !labels.is_empty() {
            kept = Some(serde_json::value::to_raw_value(&labels)?);
        }
    }
    if let Some(meta) = &kept {
        fields.insert("_meta".to_owned(), meta);
    }
    Ok(json_text::ordered(&serde_json::to_string(&fields)?))
}

/// Makes what was written visible to scrolls.
pub async fn refresh(side: &Side, index: &str) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Refreshed {
        #[serde(rename = "_shards")]
        shards: super::scan::Shards,
    }
    let path = format!("/{}/_refresh", path_part(index));
    let answer = side.call_index(index, Method::POST, &path, None).await?;
    let refreshed: Refreshed = serde_json::from_slice(&answer.body)
        .map_err(|error| side.index_failure(index, format!("refresh: {error} in {}", excerpt(&answer.body))))?;
    refreshed.shards.check().map_err(|error| side.index_failure(index, format!("refresh: {error}")))
}

/// How many bytes a document of an index has on disk on the average; 0 where it has none.
pub async fn mean_bytes(side: &Side, index: &str) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Stats {
        #[serde(rename = "_all")]
        all: All,
    }
    #[derive(Deserialize)]
    struct All {
        primaries: Primaries,
    }
    #[derive(Deserialize)]
    struct Primaries {
        docs: Documents,
        store: Store,
    }
    #[derive(Deserialize)]
    struct Documents {
        count: u64,
    }
    #[derive(Deserialize)]
    struct Store {
        size_in_bytes: u64,
    }
    let path = format!("/{}/_stats/docs,store", path_part(index));
    let answer = side.call_index(index, Method::GET, &path, None).await?;
    let stats: Stats = serde_json::from_slice(&answer.body)
        .map_err(|error| side.index_failure(index, format!("stats: {error} in {}", excerpt(&answer.body))))?;
    let Primaries { docs, store } = stats.all.primaries;
    Ok(store.size_in_bytes.checked_div(docs.count).unwrap_or(0))
}

/// How many documents an index has.
pub async fn count(side: &Side, index: &str) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Count {
        count: u64,
    }
    let path = format!("/{}/_count", path_part(index));
    let answer = side.call_index(index, Method::GET, &path, None).await?;
    let count: Count = serde_json::from_slice(&answer.body)
        .map_err(|error| side.index_failure(index, format!("count: {error} in {}", excerpt(&answer.body))))?;
    Ok(count.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_and_both_patterns_choose() {
        let listing = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), IndexState::Open)).collect();
        let primary = listing(&["a-1", "a-2", ".hidden", "b"]);
        let mut target: Listing = listing(&["a-2", "a-3"]);
        target.insert("a-2".to_owned(), IndexState::Closed);
        let names = |pattern: &str, only: Option<&str>| {
            plan(&primary, &target, &IndexPattern::new(pattern), only.map(IndexPattern::new).as_ref())
                .into_iter()
                .map(|planned| (planned.index.to_string(), planned.primary.is_some(), planned.target))
                .collect::<Vec<_>>()
        };
        let row = |name: &str, primary, target| (name.to_owned(), primary, target);
        let (open, closed) = (Some(IndexState::Open), Some(IndexState::Closed));
        assert_eq!(names("a-*", None), [row("a-1", true, None), row("a-2", true, closed), row("a-3", false, open)]);
        assert_eq!(names("*", Some("b,.hidden")), [row("b", true, None)]);
        assert!(names("b", Some("a-*")).is_empty());
    }

    #[test]
    fn the_label_and_the_order_of_fields_are_no_part_of_a_mapping() {
        let read = |mapping: &str| {
            read_mapping(format!("{{\"i\":{{\"mappings\":{mapping}}}}}").as_bytes(), "i").unwrap().unwrap()
        };
        let plain = read(r#"{"dynamic":"strict","properties":{"a":{"type":"long"},"b":{"type":"text"}}}"#);
        assert_eq!(
            plain,
            read(
                r#"{"_meta":{"understudy":{"uuid":"x"}},"properties":{"b":{"type":"text"},"a":{"type":"long"}},"dynamic":"strict"}"#
            )
        );
        assert_ne!(plain, read(r#"{"dynamic":"strict","properties":{"a":{"type":"float"},"b":{"type":"text"}}}"#));
        assert_eq!(read("{}"), read(r#"{"_meta":{"understudy":1}}"#));
        assert_eq!(read(r#"{"_meta":{"mine":1}}"#), read(r#"{"_meta":{"understudy":1,"mine":1}}"#));
        assert_ne!(read("{}"), read(r#"{"_meta":{"mine":1}}"#));
        assert_eq!(read_mapping(br#"{"behind-the-alias":{"mappings":{}}}"#, "i").unwrap(), None);
    }
}
