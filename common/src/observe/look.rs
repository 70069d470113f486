//! The questions of an observation: the greatest sequence number of each primary copy, and the documents.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ClusterSight, DOCUMENTS, Greatest, Looked, Observer};
use crate::{
    cluster::{CallError, path_part},
    document::DocumentKey,
    state::in_paths,
};

/// The largest answer about several documents; above it fewer are asked for at once.
const ANSWER: usize = 32 << 20;

#[derive(Deserialize)]
struct StatsBody {
    #[serde(default)]
    indices: BTreeMap<String, IndexStats>,
}

#[derive(Deserialize)]
struct IndexStats {
    uuid: Option<Arc<str>>,
    #[serde(default)]
    shards: BTreeMap<u32, Vec<CopyStats>>,
}

#[derive(Deserialize)]
struct CopyStats {
    routing: CopyRouting,
    seq_no: Option<SeqNoStats>,
}

#[derive(Deserialize)]
struct CopyRouting {
    primary: bool,
    node: Arc<str>,
}

#[derive(Deserialize)]
struct SeqNoStats {
    max_seq_no: i64,
}

#[derive(Serialize)]
struct Wanted<'a> {
    _index: &'a str,
    _id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<&'a str>,
}

#[derive(Deserialize)]
struct FoundBody {
    docs: Vec<FoundDocument>,
}

#[derive(Deserialize)]
struct FoundDocument {
    _id: String,
    found: Option<bool>,
    _seq_no: Option<u64>,
    _routing: Option<Arc<str>>,
    _source: Option<Box<RawValue>>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    reason: Option<String>,
}

/// Why there are no documents.
#[derive(Debug, PartialEq, Eq)]
enum NoDocuments {
    /// The answer was too large, an error, or could not be read; about fewer documents there may be a better one.
    TooMuch(String),
    /// Fewer documents would fare no better: nobody answers.
    None(String),
}

impl From<CallError> for NoDocuments {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::TooLarge { .. } => Self::TooMuch(error.to_string()),
            _ => Self::None(error.to_string()),
        }
    }
}

impl NoDocuments {
    fn reason(self) -> String {
        match self {
            Self::TooMuch(reason) | Self::None(reason) => reason,
        }
    }
}

impl Observer {
    /// Reads `max_seq_no` of the primary copies first (`max_seq_before`), the documents then.
    pub(super) async fn look(&self, before: &ClusterSight, keys: &[DocumentKey]) -> (Greatest, Vec<Looked>) {
        let greatest = self.greatest(before).await;
        let mut looked: Vec<Looked> =
            keys.iter().map(|_| Looked::Failed("no primary copy serves its shard".to_owned())).collect();
        let mut by_node: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            let Some(index) = before.indices.get(&key.index) else { continue };
            if let Some(copy) = index.primaries.get(&index.state.shards.shard_of(key)) {
                by_node.entry(&copy.node).or_default().push(place);
            }
        }
        for (node, places) in by_node {
            let mut waiting = vec![places];
            while let Some(places) = waiting.pop() {
                match self.get(node, places.iter().map(|place| &keys[*place])).await {
                    Ok(found) => places.iter().zip(found).for_each(|(place, found)| looked[*place] = found),
                    Err(NoDocuments::TooMuch(_)) if places.len() > 1 => {
                        let (one, other) = places.split_at(places.len() / 2);
                        waiting.extend([other.to_vec(), one.to_vec()]);
                    }
                    Err(NoDocuments::TooMuch(reason)) => looked[places[0]] = Looked::Failed(reason),
                    // Also what still waits: each call may last as long as this one.
                    Err(NoDocuments::None(reason)) => {
                        for place in places.into_iter().chain(waiting.drain(..).flatten()) {
                            looked[place] = Looked::Failed(reason.clone());
                        }
                    }
                }
            }
        }
        (greatest, looked)
    }

    /// The `max_seq_no` of each primary copy, by the node where the cluster state has it; what cannot be read is not there.
    async fn greatest(&self, before: &ClusterSight) -> Greatest {
        let mut indices = BTreeMap::new();
        for names in in_paths(&before.indices.keys().cloned().collect()) {
            let list = names.iter().map(|name| path_part(name)).collect::<Vec<_>>().join(",");
            let path = format!(
                "/{list}/_stats/docs?level=shards&expand_wildcards=all&ignore_unavailable=true&filter_path=indices.*.uuid,indices.*.shards.*.routing.primary,indices.*.shards.*.routing.node,indices.*.shards.*.seq_no.max_seq_no"
            );
            match self.cluster.get_json::<StatsBody>(&path, self.timeout).await {
                Ok(stats) => indices.extend(stats.indices),
                Err(error) => tracing::debug!(%error, "no statistics of shards"),
            }
        }
        let mut greatest = Greatest::new();
        for (name, stats) in indices {
            let Some(index) = before.indices.get(name.as_str()) else { continue };
            if stats.uuid.is_some_and(|uuid| uuid != index.state.uuid) {
                continue;
            }
            for (shard, copies) in stats.shards {
                let Some(primary) = index.primaries.get(&shard) else { continue };
                let copy = copies.iter().find(|copy| copy.routing.primary && copy.routing.node == primary.node);
                if let Some(seq_no) = copy.and_then(|copy| copy.seq_no.as_ref()) {
                    greatest.insert((index.state.uuid.clone(), shard), seq_no.max_seq_no);
                }
            }
        }
        greatest
    }

    /// The routing of documents, with the sequence numbers under which they have it; `None` for those that are not there.
    /// Any copy may answer: who knows the sequence number of a write sees whether it is of that write.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn routings(&self, keys: &[&DocumentKey]) -> Result<Vec<Option<(u64, Option<Arc<str>>)>>, String> {
        let mut routings = Vec::with_capacity(keys.len());
        for keys in keys.chunks(DOCUMENTS) {
            let path = "/_mget?realtime=true&_source=false&stored_fields=_routing";
            let found = self.documents(path, keys, usize::MAX).await.map_err(NoDocuments::reason)?;
            for (found, key) in found.into_iter().zip(keys) {
                let is_it = found._id == *key.id && found.error.is_none() && found.found == Some(true);
                routings.push(found._seq_no.filter(|_| is_it).map(|seq_no| (seq_no, found._routing)));
            }
        }
        Ok(routings)
    }

    async fn get(
        &self,
        node: &str,
        keys: impl ExactSizeIterator<Item = &DocumentKey>,
    ) -> Result<Vec<Looked>, NoDocuments> {
        let limit = if keys.len() > 1 { ANSWER } else { usize::MAX };
        let keys: Vec<&DocumentKey> = keys.collect();
        let path = format!("/_mget?realtime=true&preference=_only_nodes:{}", path_part(node));
        let found = self.documents(&path, &keys, limit).await?;
        let looked = found.into_iter().zip(keys).map(|(found, key)| looked(found, &key.id));
        looked.collect::<Result<_, _>>().map_err(NoDocuments::TooMuch)
    }

    async fn documents(
        &self,
        path: &str,
        keys: &[&DocumentKey],
        limit: usize,
    ) -> Result<Vec<FoundDocument>, NoDocuments> {
        let wanted =
            keys.iter().map(|key| Wanted { _index: &key.index, _id: &key.id, routing: key.routing.as_deref() });
        let docs: Vec<Wanted<'_>> = wanted.collect();
        let body = serde_json::to_vec(&serde_json::json!({ "docs": docs }))
            .map_err(|error| NoDocuments::None(error.to_string()))?;
        let answer = self.cluster.ask(Method::POST, path, Some(body.into()), self.timeout, limit).await;
        let answer = answer?;
        if !answer.status.is_success() {
            return Err(NoDocuments::TooMuch(format!("{} {}", answer.status, answer.excerpt())));
        }
        let found: FoundBody = answer.json().map_err(NoDocuments::TooMuch)?;
        if found.docs.len() != keys.len() {
            let reason = format!("{} documents in the answer to {}", found.docs.len(), keys.len());
            return Err(NoDocuments::None(reason));
        }
        Ok(found.docs)
    }
}

fn looked(found: FoundDocument, id: &str) -> Result<Looked, String> {
    if found._id != *id {
        return Err(format!("[{}] in the place of [{id}]", found._id));
    }
    Ok(match (found.error, found.found) {
        (Some(error), _) => Looked::Failed(error.reason.unwrap_or_else(|| "the shard failed".to_owned())),
        // Only "missing" is absent.
        (None, Some(false)) => Looked::Missing,
        (None, Some(true)) => match (found._source, found._seq_no) {
            (Some(source), Some(seq_no)) => {
                Looked::Found { source: one_line(source.get()), seq_no, routing: found._routing }
            }
            _ => Looked::Failed("the index keeps no sources".to_owned()),
        },
        (None, None) => Looked::Failed("neither found nor missing".to_owned()),
    })
}

/// A source on one line: within JSON a line break can only stand between tokens, where a space means the same.
fn one_line(source: &str) -> Bytes {
    let bytes: Vec<u8> = source.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<Looked, String> {
        looked(serde_json::from_str(document).unwrap(), "1")
    }

    #[test]
    fn only_missing_is_absent() {
        assert_eq!(read(r#"{"_index":"i","_id":"1","found":false}"#), Ok(Looked::Missing));
        let found = read(
            r#"{"_id":"1","_seq_no":7,"_primary_term":1,"_routing":"r","found":true,"_source":{
  "n": 1.10}}"#,
        );
        let source = Bytes::from_static(b"{   \"n\": 1.10}");
        assert_eq!(found, Ok(Looked::Found { source, seq_no: 7, routing: Some("r".into()) }));
        for unknown in [
            r#"{"_index":"i","_id":"1","error":{"type":"no_shard_available_action_exception","reason":"gone"}}"#,
            r#"{"_index":"i","_id":"1","found":true,"_seq_no":7}"#,
            r#"{"_index":"i","_id":"1"}"#,
        ] {
            assert!(matches!(read(unknown), Ok(Looked::Failed(_))), "{unknown}");
        }
        assert!(read(r#"{"_id":"2","found":false}"#).is_err());
    }
}
