//! Methods, paths and queries: what passes unreplicated is harmless.

use hyper::Method;
use understudy_common::cluster::path_part;
use understudy_gateway::route::{
    DocumentOperation, Query, Route, check_index_name, classify, failover_read, may_be_repeated,
};

use crate::input::Input;

const METHODS: [Method; 7] =
    [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::GET, Method::HEAD, Method::OPTIONS];

/// Words of the API that a request may have which is not a read by its method, and passes all the same. Written down here once
/// more, so that a slip in the gateway's table is found.
const HARMLESS: [&str; 30] = [
    "_all",
    "_analyze",
    "_async_search",
    "_cache",
    "_cancel",
    "_cluster",
    "_count",
    "_eql",
    "_execute",
    "_explain",
    "_field_caps",
    "_flush",
    "_forcemerge",
    "_ingest",
    "_mget",
    "_msearch",
    "_mtermvectors",
    "_pit",
    "_rank_eval",
    "_refresh",
    "_render",
    "_scripts",
    "_search",
    "_search_shards",
    "_simulate",
    "_sql",
    "_tasks",
    "_termvectors",
    "_terms_enum",
    "_validate",
];

/// The first byte is a method; then a path, and after a `?` a query.
///
/// # Panics
/// When something does not hold that must.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let method = METHODS[usize::from(input.byte()) % METHODS.len()].clone();
    let text = String::from_utf8_lossy(input.rest()).into_owned();
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    routed(&method, path);
    queried(query);
}

fn routed(method: &Method, path: &str) {
    let route = classify(method, path);
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match &route {
        Ok(Route::Pass) if !is_read => {
            assert!(path.is_ascii() && matches!(*method, Method::POST | Method::DELETE), "{method} {path}");
            for part in path.split('/').filter(|part| part.starts_with('_')) {
                assert!(HARMLESS.contains(&part), "{method} {path} passes");
            }
        }
        Ok(Route::Pass) => {}
        Ok(Route::Bulk(index)) => {
            assert!(!is_read);
            index.iter().for_each(|index| one_index(index));
        }
        Ok(Route::CreateIndex(index) | Route::PutMapping(index)) => {
            assert!(!is_read);
            one_index(index);
        }
        Ok(Route::Document(document)) => {
            assert!(!is_read);
            one_index(&document.index);
            again(method, document.operation, &document.index, document.id.as_deref());
        }
        Err(refusal) => {
            assert!(!is_read || !path.starts_with('/'), "a read is refused: {method} {path}");
            assert!((400..600).contains(&refusal.status.as_u16()) && !refusal.reason.is_empty());
        }
    }
    // What may be sent twice, or to a standby, writes nothing.
    let passes = matches!(route, Ok(Route::Pass));
    if may_be_repeated(method, path) && path.starts_with('/') && path.is_ascii() && !path.contains("//") {
        assert!(passes || route.is_err(), "{method} {path} would be repeated");
        assert!(*method != Method::PUT && *method != Method::DELETE, "{method} {path} would be repeated");
    }
    if let Ok(read) = failover_read(method, path) {
        assert!(passes || route.is_err(), "{method} {path} would be answered by a standby: {read:?}");
    }
}

fn one_index(index: &str) {
    assert!(check_index_name(index).is_ok() && !index.contains([',', '*', '/']), "{index}");
}

/// The path that is written for a document leads to that very document.
fn again(method: &Method, operation: DocumentOperation, index: &str, id: Option<&str>) {
    let api = match operation {
        DocumentOperation::Create => "_create",
        DocumentOperation::Update => "_update",
        DocumentOperation::Index | DocumentOperation::Delete => "_doc",
    };
    let id_part = id.map_or_else(String::new, |id| format!("/{}", path_part(id)));
    let path = format!("/{}/{api}{id_part}", path_part(index));
    match classify(method, &path) {
        Ok(Route::Document(found)) => {
            assert_eq!((&*found.index, found.id.as_deref(), found.operation), (index, id, operation), "{path}");
        }
        other => panic!("{method} {path} is {other:?}"),
    }
}

/// What is written anew says the same.
fn queried(query: &str) {
    let Ok(parsed) = Query::parse(query) else { return };
    let written = parsed.encode();
    assert!(written.is_ascii() && !written.contains([';', '#', ' ', '/']), "{written}");
    let again = Query::parse(written.strip_prefix('?').unwrap_or(&written));
    assert_eq!(again.ok(), Some(parsed), "{query} became {written}");
}
