//! What a request is, by its method and path alone. What is not known to be harmless is refused.

mod failover;
mod query;
mod repeat;
mod table;

pub use failover::{FailoverRead, ReadKind, failover_read};
use hyper::{Method, StatusCode};
pub use query::Query;
pub use repeat::may_be_repeated;

use crate::refusal::Refusal;

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// It writes nothing that would have to be replicated: forwarded as it is.
    Pass,
    /// `_bulk`, with the index of the URL.
    Bulk(Option<String>),
    /// A write of one document.
    Document(DocumentRoute),
    /// `PUT /{index}`.
    CreateIndex(String),
    /// `PUT /{index}/_mapping`.
    PutMapping(String),
}

/// A write of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRoute {
    /// As the URL names it.
    pub index: String,
    /// As the URL names it; `None` where the id is to be assigned.
    pub id: Option<String>,
    /// What is done.
    pub operation: DocumentOperation,
}

/// What a write of one document does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentOperation {
    /// Puts it.
    Index,
    /// Puts it where it does not exist.
    Create,
    /// Changes it from what it holds.
    Update,
    /// Deletes it.
    Delete,
}

/// Finds out what a request is.
///
/// Elasticsearch matches literal parts of a path undecoded (`PathTrie`), so `/_%62ulk` is no bulk there, and none here.
///
/// # Errors
/// For whatever is neither known to be harmless nor replicated.
pub fn classify(method: &Method, path: &str) -> Result<Route, Refusal> {
    if !path.starts_with('/') {
        return Err(Refusal::malformed(format!("[{path}] is no path of an API")));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(Route::Pass);
    }
    if !path.is_ascii() {
        // Elasticsearch takes such bytes for Latin-1, others for UTF-8.
        return Err(Refusal::malformed("the path of a write must be percent-encoded"));
    }
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Refusal::malformed(format!("[{path}] has an empty part")));
    }
    let writes = matches!(*method, Method::POST | Method::PUT);
    match parts.as_slice() {
        ["_bulk"] if writes => return Ok(Route::Bulk(None)),
        [index, "_bulk"] if writes && !index.starts_with('_') => {
            return Ok(Route::Bulk(Some(index_name(index)?)));
        }
        [index, "_doc"] if *method == Method::POST && !index.starts_with('_') => {
            return document(index, None, DocumentOperation::Index);
        }
        [index, "_doc", id] if !index.starts_with('_') => {
            let operation =
                if *method == Method::DELETE { DocumentOperation::Delete } else { DocumentOperation::Index };
            if writes || *method == Method::DELETE {
                return document(index, Some(id), operation);
            }
        }
        [index, "_create", id] if writes && !index.starts_with('_') => {
            return document(index, Some(id), DocumentOperation::Create);
        }
        [index, "_update", id] if *method == Method::POST && !index.starts_with('_') => {
            return document(index, Some(id), DocumentOperation::Update);
        }
        [index, "_update", _] if *method == Method::PUT && !index.starts_with('_') => {
            let reason = format!("Incorrect HTTP method for uri [{path}] and method [PUT], allowed: [POST]");
            return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, ..Refusal::malformed(reason) });
        }
        [index, "_mapping" | "_mappings"] if writes && !index.starts_with('_') => {
            return Ok(Route::PutMapping(index_name(index)?));
        }
        [index] if *method == Method::PUT && !index.starts_with('_') => {
            return Ok(Route::CreateIndex(index_name(index)?));
        }
        _ => {}
    }
    if table::is_harmless(method, &parts) { Ok(Route::Pass) } else { Err(table::refusal(method, path, &parts)) }
}

fn document(index: &str, id: Option<&str>, operation: DocumentOperation) -> Result<Route, Refusal> {
    if let Some(id) = id.filter(|id| id.starts_with('_')) {
        // `/i/_doc/_search` is a search of a type in some versions and a document in others.
        return Err(Refusal::not_replicated(format!(
            "an id that begins with an underscore [{id}] is ambiguous in a URL; write it with _bulk"
        )));
    }
    let id = id.map(query::decode_path_part).transpose()?;
    Ok(Route::Document(DocumentRoute { index: index_name(index)?, id, operation }))
}

/// The name of one concrete index as a URL has it.
fn index_name(raw: &str) -> Result<String, Refusal> {
    let name = query::decode_path_part(raw)?;
    check_index_name(&name)?;
    Ok(name)
}

/// Refuses what names no single index.
///
/// # Errors
/// For lists, patterns, date math and names that Elasticsearch reads as something else.
pub fn check_index_name(name: &str) -> Result<(), Refusal> {
    if name.starts_with('<') {
        return Err(Refusal::not_replicated(format!(
            "date math in an index name [{name}] is not replicated; write to the index it stands for"
        )));
    }
    if name.starts_with(".ds-") {
        return Err(Refusal::not_replicated(format!(
            "[{name}] is a backing index of a data stream, and data streams are not replicated yet"
        )));
    }
    // `cluster:index` belongs to another cluster.
    if name.contains([',', '*', '?', ':', '/', '\\']) || name.starts_with(['_', '-', '+']) || name.is_empty() {
        return Err(Refusal::malformed(format!("[{name}] is not the name of one index")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Result<Route, u16> {
        classify(&method.parse().unwrap(), path).map_err(|refusal| refusal.status.as_u16())
    }

    fn doc(id: Option<&str>, operation: DocumentOperation) -> Result<Route, u16> {
        Ok(Route::Document(DocumentRoute { index: "i".into(), id: id.map(str::to_owned), operation }))
    }

    #[test]
    fn writes_of_documents() {
        assert_eq!(route("POST", "/_bulk"), Ok(Route::Bulk(None)));
        assert_eq!(route("PUT", "/i/_bulk/"), Ok(Route::Bulk(Some("i".into()))));
        assert_eq!(route("PUT", "/i/_doc/a%2Fb+c"), doc(Some("a/b+c"), DocumentOperation::Index));
        assert_eq!(route("POST", "/i/_doc"), doc(None, DocumentOperation::Index));
        assert_eq!(route("POST", "/i/_create/1"), doc(Some("1"), DocumentOperation::Create));
        assert_eq!(route("DELETE", "/i/_doc/1"), doc(Some("1"), DocumentOperation::Delete));
        assert_eq!(route("POST", "/i/_update/a%2Fb"), doc(Some("a/b"), DocumentOperation::Update));
        assert_eq!(route("PUT", "/i/_update/1"), Err(405));
        assert_eq!(route("PUT", "/i"), Ok(Route::CreateIndex("i".into())));
        assert_eq!(route("POST", "/i/_mapping"), Ok(Route::PutMapping("i".into())));
    }

    #[test]
    fn what_only_reads_passes() {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/i/_doc/1"),
            ("HEAD", "/i"),
            ("GET", "/_anything/new"),
            ("POST", "/_search"),
            ("POST", "/a,b*/_search"),
            ("POST", "/_all/_count"),
            ("POST", "/_msearch/template"),
            ("POST", "/i/_explain/1"),
            ("POST", "/_search/scroll"),
            ("DELETE", "/_search/scroll/abc"),
            ("POST", "/i/_refresh"),
            ("PUT", "/_search/scroll"),
            ("POST", "/_ingest/pipeline/p/_simulate"),
        ]
        .into_iter()
        .filter(|(method, _)| *method != "PUT")
        {
            assert_eq!(route(method, path), Ok(Route::Pass), "{method} {path}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (method, path) in [
            ("POST", "/i/_update"),
            ("POST", "/i/_update/_search"),
            ("POST", "/i/_doc/1/_update"),
            ("DELETE", "/i/_update/1"),
            ("POST", "/i/_update_by_query"),
            ("POST", "/_reindex"),
            ("DELETE", "/i"),
            ("POST", "/_aliases"),
            ("PUT", "/_template/t"),
            ("PUT", "/i/_settings"),
            ("PUT", "/i/mytype/1"),
            ("POST", "/i/mytype/_bulk"),
            ("POST", "/_%62ulk"),
            ("PUT", "/i/_doc"),
            ("POST", "/i/_doc/_search"),
            ("POST", "/i/_rollover"),
            ("PUT", "/_cluster/settings"),
            ("PATCH", "/i/_doc/1"),
            ("POST", "/_something/new"),
            ("POST", "/%3Clogs-%7Bnow%7D%3E/_doc"),
            ("POST", "/.ds-logs-000001/_doc"),
        ] {
            assert_eq!(route(method, path), Err(501), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "//_bulk"),
            ("PUT", "/a,b/_doc/1"),
            ("POST", "/i*/_bulk"),
            ("PUT", "/i/_doc/%ff"),
            ("OPTIONS", "*"),
            ("PUT", "/i/_doc/é"),
        ] {
            assert_eq!(route(method, path), Err(400), "{method} {path}");
        }
    }
}
