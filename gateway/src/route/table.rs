//! The routes that write nothing that would have to be replicated, and what is said of all others.

use hyper::Method;

use crate::refusal::Refusal;

/// Paths that only read, or touch what belongs to a cluster alone. `*` is any one part.
const HARMLESS: &[(&[Method], &[&str])] = &[
    (&[Method::POST], &["_search"]),
    (&[Method::POST], &["*", "_search"]),
    (&[Method::POST], &["_search", "template"]),
    (&[Method::POST], &["*", "_search", "template"]),
    (&[Method::POST], &["_msearch"]),
    (&[Method::POST], &["*", "_msearch"]),
    (&[Method::POST], &["_msearch", "template"]),
    (&[Method::POST], &["*", "_msearch", "template"]),
    (&[Method::POST, Method::DELETE], &["_search", "scroll"]),
    (&[Method::POST, Method::DELETE], &["_search", "scroll", "*"]),
    (&[Method::POST], &["*", "_pit"]),
    (&[Method::DELETE], &["_pit"]),
    (&[Method::POST], &["*", "_search", "point_in_time"]),
    (&[Method::DELETE], &["_search", "point_in_time"]),
    (&[Method::POST], &["_async_search"]),
    (&[Method::POST], &["*", "_async_search"]),
    (&[Method::DELETE], &["_async_search", "*"]),
    (&[Method::POST], &["_count"]),
    (&[Method::POST], &["*", "_count"]),
    (&[Method::POST], &["_mget"]),
    (&[Method::POST], &["*", "_mget"]),
    (&[Method::POST], &["*", "_explain", "*"]),
    (&[Method::POST], &["*", "_termvectors"]),
    (&[Method::POST], &["*", "_termvectors", "*"]),
    (&[Method::POST], &["_mtermvectors"]),
    (&[Method::POST], &["*", "_mtermvectors"]),
    (&[Method::POST], &["_field_caps"]),
    (&[Method::POST], &["*", "_field_caps"]),
    (&[Method::POST], &["*", "_terms_enum"]),
    (&[Method::POST], &["_search_shards"]),
    (&[Method::POST], &["*", "_search_shards"]),
    (&[Method::POST], &["_validate", "query"]),
    (&[Method::POST], &["*", "_validate", "query"]),
    (&[Method::POST], &["_analyze"]),
    (&[Method::POST], &["*", "_analyze"]),
    (&[Method::POST], &["_rank_eval"]),
    (&[Method::POST], &["*", "_rank_eval"]),
    (&[Method::POST], &["_render", "template"]),
    (&[Method::POST], &["_render", "template", "*"]),
    (&[Method::POST], &["_scripts", "painless", "_execute"]),
    (&[Method::POST], &["_ingest", "pipeline", "_simulate"]),
    (&[Method::POST], &["_ingest", "pipeline", "*", "_simulate"]),
    (&[Method::POST], &["*", "_eql", "search"]),
    (&[Method::POST], &["_sql"]),
    (&[Method::POST], &["_sql", "translate"]),
    (&[Method::POST], &["_sql", "close"]),
    (&[Method::POST], &["_cluster", "allocation", "explain"]),
    (&[Method::POST], &["_refresh"]),
    (&[Method::POST], &["*", "_refresh"]),
    (&[Method::POST], &["_flush"]),
    (&[Method::POST], &["*", "_flush"]),
    (&[Method::POST], &["_flush", "synced"]),
    (&[Method::POST], &["*", "_flush", "synced"]),
    (&[Method::POST], &["_forcemerge"]),
    (&[Method::POST], &["*", "_forcemerge"]),
    (&[Method::POST], &["_cache", "clear"]),
    (&[Method::POST], &["*", "_cache", "clear"]),
    (&[Method::POST], &["_tasks", "_cancel"]),
    (&[Method::POST], &["_tasks", "*", "_cancel"]),
];

/// Whether a request may be forwarded without replication.
pub(super) fn is_harmless(method: &Method, parts: &[&str]) -> bool {
    // Where a pattern has `*`, a part such as `_all` may stand, but no other word of the API.
    let fits =
        |pattern: &&str, part: &&str| pattern == part || *pattern == "*" && (!part.starts_with('_') || *part == "_all");
    HARMLESS.iter().any(|(methods, pattern)| {
        methods.contains(method)
            && pattern.len() == parts.len()
            && pattern.iter().zip(parts).all(|(pattern, part)| fits(pattern, part))
    })
}

/// What is said of a write that is not replicated: what can be done instead.
pub(super) fn refusal(method: &Method, path: &str, parts: &[&str]) -> Refusal {
    let instead = match parts {
        [_, "_update"] => "an update needs an id: POST /{index}/_update/{id}",
        [_, "_doc", _, "_update"] => "use POST /{index}/_update/{id}",
        [_, "_update_by_query" | "_delete_by_query"] | ["_reindex"] => {
            "by-query writes are not replicated yet; search, and write the documents with _bulk"
        }
        [_, kind, ..] if !kind.starts_with('_') => "types other than _doc are not replicated; use /{index}/_doc/{id}",
        _ => "if it should not be replicated, or is done on each cluster, send it to the clusters themselves",
    };
    Refusal::not_replicated(format!("{method} {path} is not replicated, so it was not executed: {instead}"))
}
