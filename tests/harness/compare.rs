//! Are an index of the primary and its copy on a target equal? Shares no code with what is tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::Http;

/// Something that is not alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which document (id, and routing), or `mapping`.
    pub what: String,
    /// What the primary has.
    pub primary: String,
    /// What the target has.
    pub target: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(200).collect::<String>();
        write!(f, "{}: primary {}, target {}", self.what, short(&self.primary), short(&self.target))
    }
}

/// Routing and id name a document.
type Name = (Option<String>, String);

struct Document {
    source: String,
    version: u64,
    packed: u64,
}

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

/// The most documents that are held in memory.
const MOST: usize = 1_000_000;

/// Everything that is not alike: documents by routing and id, their sources byte for byte (white space between tokens
/// excepted), the target's version against the primary's sequence number and term (epoch 1), the mapping.
///
/// # Errors
/// When a side does not answer, or has no such index.
pub async fn differences(primary: &Http, target: &Http, index: &str) -> anyhow::Result<Vec<Difference>> {
    let (ours, theirs) = (documents(primary, index).await?, documents(target, index).await?);
    let names: BTreeSet<&Name> = ours.keys().chain(theirs.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let what = match name {
            (None, id) => format!("document {id}"),
            (Some(routing), id) => format!("document {id} (routing {routing})"),
        };
        let (one, other) = (ours.get(name), theirs.get(name));
        let source = |document: Option<&Document>| document.map_or("nothing".to_owned(), |d| d.source.clone());
        if source(one) != source(other) {
            found.push(Difference { what, primary: source(one), target: source(other) });
        } else if let (Some(one), Some(other)) = (one, other)
            && one.packed != other.version
        {
            let (primary, target) = (format!("version {}", one.packed), format!("version {}", other.version));
            found.push(Difference { what, primary, target });
        }
    }
    let (ours, theirs) = (mapping(primary, index).await?, mapping(target, index).await?);
    if ours != theirs {
        found.push(Difference { what: "mapping".to_owned(), primary: ours.to_string(), target: theirs.to_string() });
    }
    Ok(found)
}

async fn documents(side: &Http, index: &str) -> anyhow::Result<BTreeMap<Name, Document>> {
    ask(side, "POST", &format!("/{index}/_refresh"), None).await?;
    let query = json!({
        "size": 2000, "sort": ["_doc"], "version": true, "seq_no_primary_term": true, "query": {"match_all": {}},
    });
    let mut answer = ask(side, "POST", &format!("/{index}/_search?scroll=1m"), Some(query)).await?;
    let mut documents = BTreeMap::new();
    loop {
        let page: Page = serde_json::from_str(&answer).with_context(|| format!("{}: {answer}", side.base()))?;
        ensure!(!page.timed_out, "{}: a search of {index} timed out", side.base());
        if page.hits.hits.is_empty() {
            ask(side, "DELETE", "/_search/scroll", Some(json!({"scroll_id": page.scroll}))).await?;
            return Ok(documents);
        }
        for hit in page.hits.hits {
            let packed = (1 << 53) + (hit.term << 40) + hit.seq_no;
            let document = Document { source: without_space(hit.source.get()), version: hit.version, packed };
            ensure!(documents.len() < MOST, "more than {MOST} documents");
            if documents.insert((hit.routing, hit.id.clone()), document).is_some() {
                bail!("{}: {index} has document {} twice", side.base(), hit.id);
            }
        }
        let next = json!({"scroll": "1m", "scroll_id": page.scroll});
        answer = ask(side, "POST", "/_search/scroll", Some(next)).await?;
    }
}

/// The mapping, without the label that consumers put on their indices.
async fn mapping(side: &Http, index: &str) -> anyhow::Result<Value> {
    let answer: Value = serde_json::from_str(&ask(side, "GET", &format!("/{index}/_mapping"), None).await?)?;
    let mut mapping = answer[index]["mappings"].clone();
    if let Some(meta) = mapping.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.remove("understudy");
        if meta.is_empty() {
            mapping.as_object_mut().map(|fields| fields.remove("_meta"));
        }
    }
    Ok(mapping)
}

async fn ask(side: &Http, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<String> {
    let mut call = side.request(method, path);
    if let Some(body) = body {
        call = call.body(body.to_string());
    }
    let reply = call.send().await.map_err(anyhow::Error::msg)?;
    ensure!(reply.status == 200, "{reply}");
    Ok(reply.text())
}

/// JSON without the white space between its tokens; everything else byte for byte.
fn without_space(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            quoted = c == '"';
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_goes() {
        assert_eq!(without_space("{ \"a b\" :\n 1.10 ,\t\"c\\\" d\\\\\" : [ ] }"), r#"{"a b":1.10,"c\" d\\":[]}"#);
    }
}
