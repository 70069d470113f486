//! What a cluster holds.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use understudy_tests::Http;

use crate::seen::{Document, Side};

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "_scroll_id")]
    scroll: String,
    hits: Hits,
    timed_out: bool,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_routing")]
    routing: Option<String>,
    #[serde(rename = "_version")]
    version: u64,
    #[serde(rename = "_seq_no")]
    seq_no: u64,
    #[serde(rename = "_primary_term")]
    term: u64,
    #[serde(rename = "_source")]
    source: Box<RawValue>,
}

/// Documents and fields of all indices of a pattern.
pub async fn side(cluster: &Http, pattern: &str) -> anyhow::Result<Side> {
    let mut side = Side::default();
    let mappings: Value = serde_json::from_str(&ask(cluster, "GET", &format!("/{pattern}/_mapping"), None).await?)?;
    for (index, mapping) in mappings.as_object().context("mappings are an object")? {
        let fields = side.fields.entry(index.clone()).or_default();
        collect(&mapping["mappings"], "", fields);
    }
    if side.fields.is_empty() {
        return Ok(side);
    }
    // By their own names: an alias that the pattern meets as well may have a routing.
    let names = side.fields.keys().cloned().collect::<Vec<_>>().join(",");
    ask(cluster, "POST", &format!("/{names}/_refresh"), None).await?;
    let query = json!({"size": 1000, "sort": ["_doc"], "version": true, "seq_no_primary_term": true});
    let mut answer = ask(cluster, "POST", &format!("/{names}/_search?scroll=1m"), Some(query)).await?;
    loop {
        let page: Page = serde_json::from_str(&answer).context(answer)?;
        ensure!(!page.timed_out, "{}: a search timed out", cluster.base());
        if page.hits.hits.is_empty() {
            ask(cluster, "DELETE", "/_search/scroll", Some(json!({"scroll_id": page.scroll}))).await?;
            return Ok(side);
        }
        side.documents.extend(page.hits.hits.into_iter().map(|hit| Document {
            index: hit.index,
            id: hit.id,
            routing: hit.routing,
            source: hit.source.get().to_owned(),
            version: hit.version,
            term: hit.term,
            seq_no: hit.seq_no,
        }));
        let next = json!({"scroll": "1m", "scroll_id": page.scroll});
        answer = ask(cluster, "POST", "/_search/scroll", Some(next)).await?;
    }
}

/// How many shards an index has.
pub async fn number_of_shards(cluster: &Http, index: &str) -> anyhow::Result<u32> {
    let reply = cluster.request("GET", &format!("/{index}/_settings")).send().await.map_err(anyhow::Error::msg)?;
    if reply.status == 404 {
        // All writes of it were refused.
        return Ok(0);
    }
    let number = &reply.json()[index]["settings"]["index"]["number_of_shards"];
    number.as_str().and_then(|number| number.parse().ok()).with_context(|| reply.to_string())
}

/// The shard that documents of a routing live in.
pub async fn shard_of(cluster: &Http, index: &str, routing: &str) -> anyhow::Result<u32> {
    let routing: String = routing.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = ask(cluster, "GET", &format!("/{index}/_search_shards?routing={routing}"), None).await?;
    let answer: Value = serde_json::from_str(&answer)?;
    let shard = answer["shards"][0][0]["shard"].as_u64().with_context(|| answer.to_string())?;
    Ok(u32::try_from(shard)?)
}

/// The types of all fields below a part of a mapping; what is no type (`enabled`, `dynamic`) stands beside it.
fn collect(mapping: &Value, path: &str, fields: &mut BTreeMap<String, String>) {
    for group in ["properties", "fields"] {
        for (name, field) in mapping[group].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect(field, &path, fields);
            let own =
                field.as_object().into_iter().flatten().filter(|(key, _)| *key != "properties" && *key != "fields");
            let own: BTreeMap<&String, &Value> = own.collect();
            fields.insert(path, json!(own).to_string());
        }
    }
}

async fn ask(cluster: &Http, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<String> {
    let mut call = cluster.request(method, path);
    if let Some(body) = body {
        call = call.body(body.to_string());
    }
    let reply = call.send().await.map_err(anyhow::Error::msg)?;
    ensure!(reply.status == 200, "{reply}");
    Ok(reply.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_by_their_path() {
        let mapping = json!({"properties": {
            "w": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
            "part": {"properties": {"n": {"type": "long"}}},
        }});
        let mut fields = BTreeMap::new();
        collect(&mapping, "", &mut fields);
        let paths: Vec<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(paths, ["part", "part.n", "w", "w.keyword"]);
        assert_eq!(fields["part.n"], r#"{"type":"long"}"#);
    }
}
