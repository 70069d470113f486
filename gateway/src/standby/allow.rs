//! What a read may ask a target for. Decided from the request alone.
//!
//! A target has the indices of the placement and no others. A read of anything else would find too little there and call it
//! an answer, so it is refused; so is one that asks for `_seq_no`, which on a target are others than on the primary.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use understudy_common::config::IndexPattern;

use crate::route::{FailoverRead, Query, ReadKind};

/// Whether a target has everything that a read names in its URL.
///
/// # Errors
/// With what it does not have.
pub fn check_url(pattern: &IndexPattern, read: &FailoverRead, query: &Query) -> Result<(), String> {
    check_positions_in_query(read.kind, query)?;
    // In Elasticsearch `?index=` does what the path does.
    for named in read.indices.as_deref().into_iter().chain(query.get("index")) {
        check_expression(pattern, named)?;
    }
    if pattern.is_everything() {
        return Ok(());
    }
    let in_body = query.get("source").is_some() && matches!(read.kind, ReadKind::Mget | ReadKind::Msearch);
    if in_body {
        return Err("its body stands in the URL, where the indices that it names are not looked for".to_owned());
    }
    let names_all = read.indices.is_none() && query.get("index").is_none();
    match read.kind {
        ReadKind::Search | ReadKind::Count | ReadKind::FieldCaps if names_all => Err(outside(pattern, "every index")),
        _ => Ok(()),
    }
}

/// Whether a target has everything that a read names in its body, which is JSON.
///
/// # Errors
/// With what it does not have.
pub fn check_body(pattern: &IndexPattern, read: &FailoverRead, body: &[u8]) -> Result<(), String> {
    match read.kind {
        ReadKind::Search | ReadKind::Msearch => check_positions(body)?,
        ReadKind::Mget if ["\"version\"", "\"_version\""].iter().any(|word| has(body, word)) => {
            return Err(VERSIONED.to_owned());
        }
        // "_all" in place of an id ends the cursors of everybody.
        ReadKind::Scroll if memmem::find(body, b"\"_all\"").is_some() => return Err("it ends every cursor".to_owned()),
        _ => {}
    }
    if read.kind == ReadKind::Search && read.indices.is_none() && has_pit(body) {
        return Err("its point in time lives there".to_owned());
    }
    if !matches!(read.kind, ReadKind::Mget | ReadKind::Msearch) {
        return Ok(());
    }
    let named = match read.kind {
        ReadKind::Mget => named_by_mget(body),
        _ => named_by_msearch(body),
    };
    let named = match named {
        Ok(named) => named,
        // What cannot be read is the target's to refuse.
        Err(_) if pattern.is_everything() => return Ok(()),
        Err(error) => return Err(format!("the indices that it names cannot be read: {error}")),
    };
    for one in named {
        match one.or_else(|| read.indices.clone()) {
            Some(named) => check_expression(pattern, &named)?,
            None if pattern.is_everything() => {}
            None => return Err(outside(pattern, "every index")),
        }
    }
    Ok(())
}

/// Whether every index that an expression may stand for is one of the placement.
///
/// A pattern of the placement that fits an expression letter by letter fits whatever its stars stand for. A name that does
/// not fit may be an alias; what is behind it here and there is not known.
fn check_expression(pattern: &IndexPattern, expression: &str) -> Result<(), String> {
    for name in expression.split(',') {
        if name.contains(':') && !name.starts_with('<') {
            return Err(format!("[{name}] is of another cluster, which the primary knows"));
        }
        if pattern.is_everything() {
            continue;
        }
        // With `-` in front it only takes away.
        if !name.starts_with('-') && (name.starts_with(['_', '<']) || name.is_empty() || !pattern.matches(name)) {
            return Err(outside(pattern, &format!("[{name}]")));
        }
    }
    Ok(())
}

fn outside(pattern: &IndexPattern, what: &str) -> String {
    format!("it asks for {what}, and only indices that match [{}] are replicated", pattern.as_str())
}

const POSITIONS: [&str; 2] = ["_seq_no", "seq_no_primary_term"];
const FOREIGN: &str =
    "it asks for _seq_no, which on another cluster would be others, and must not come back in a write with if_seq_no";

const VERSIONED: &str = "it asks for a certain version, which on another cluster is another";

fn has(body: &[u8], word: &str) -> bool {
    memmem::find(body, word.as_bytes()).is_some()
}

fn check_positions_in_query(kind: ReadKind, query: &Query) -> Result<(), String> {
    let is_get = matches!(kind, ReadKind::Document | ReadKind::Source | ReadKind::Mget);
    if is_get && query.iter().any(|(name, _)| ["version", "version_type"].contains(&name)) {
        return Err(VERSIONED.to_owned());
    }
    if !matches!(kind, ReadKind::Search | ReadKind::Msearch) {
        return Ok(());
    }
    let asks = |(name, value): (&str, &str)| match name {
        "seq_no_primary_term" => value != "false",
        // It only cuts the answer.
        "filter_path" => false,
        _ => POSITIONS.iter().any(|word| value.contains(word)),
    };
    if query.iter().any(asks) { Err(FOREIGN.to_owned()) } else { Ok(()) }
}

/// Looks for the words wherever a search may have them: names of fields, sorts, scripts. A letter before makes another
/// word; an underscore that is written in another way is taken for one of theirs.
fn check_positions(body: &[u8]) -> Result<(), String> {
    let is_word = |at: usize| at == 0 || !body[at - 1].is_ascii_alphanumeric();
    let asks = memmem::find_iter(body, "_seq_no").any(is_word)
        || ["\"seq_no_primary_term\"", "\\u005f", "\\u005F"].iter().any(|word| has(body, word));
    if asks { Err(FOREIGN.to_owned()) } else { Ok(()) }
}

fn has_pit(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Search<'a> {
        #[serde(borrow)]
        pit: Option<&'a RawValue>,
    }
    // What cannot be read is the target's to refuse.
    serde_json::from_slice::<Search<'_>>(body).is_ok_and(|search| search.pit.is_some())
}

/// The index of each document; `None` where it is that of the URL.
fn named_by_mget(body: &[u8]) -> Result<Vec<Option<String>>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Mget {
        docs: Option<Vec<Document>>,
    }
    #[derive(Deserialize)]
    struct Document {
        _index: Option<String>,
    }
    let mget: Mget = serde_json::from_slice(body)?;
    let named = mget.docs.map(|documents| documents.into_iter().map(|document| document._index).collect());
    Ok(named.unwrap_or_else(|| vec![None]))
}

/// The indices of each search: the lines before the searches name them.
fn named_by_msearch(body: &[u8]) -> Result<Vec<Option<String>>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Several(Vec<String>),
    }
    #[derive(Deserialize)]
    struct Head {
        // Elasticsearch takes both names.
        #[serde(alias = "indices")]
        index: Option<Names>,
    }
    // An empty line is a head without names, or none at all where it is the first: it fails here as no JSON.
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let heads = body.split(|byte| *byte == b'\n').step_by(2);
    let names = heads.map(|line| {
        let head: Head = serde_json::from_slice(line)?;
        Ok(head.index.map(|names| match names {
            Names::One(names) => names,
            Names::Several(names) => names.join(","),
        }))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;
    use crate::route::failover_read;

    fn url(pattern: &str, path: &str, query: &str) -> Result<(), String> {
        let read = failover_read(&Method::GET, path).unwrap();
        check_url(&IndexPattern::new(pattern), &read, &Query::parse(query).unwrap())
    }

    fn body(pattern: &str, path: &str, body: &str) -> Result<(), String> {
        let read = failover_read(&Method::POST, path).unwrap();
        check_body(&IndexPattern::new(pattern), &read, body.as_bytes())
    }

    fn refused(result: Result<(), String>, why: &str) {
        let said = result.expect_err(why);
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn indices_of_the_placement_and_no_others() {
        for path in ["/", "/logs-1/_doc/1", "/logs-*/_search", "/logs-a,logs-2*,-logs-3/_count", "/_mget", "/_msearch"]
        {
            assert_eq!(url("logs-*,flights", path, ""), Ok(()), "{path}");
        }
        for path in [
            "/other/_doc/1",
            "/_search",
            "/_count",
            "/_field_caps",
            "/_all/_search",
            "/*/_search",
            "/l*/_search",
            "/logs-1,other/_search",
            "/%3Clogs-%7Bnow%7D%3E/_search",
            "/alias/_search",
        ] {
            refused(url("logs-*,flights", path, ""), "only indices that match [logs-*,flights]");
            assert_eq!(url("*", path, ""), Ok(()), "{path}");
        }
        refused(url("*", "/cluster:logs/_search", ""), "another cluster");
        refused(url("logs-*", "/_search", "index=other"), "[other]");
        assert_eq!(url("logs-*", "/_search", "index=logs-1"), Ok(()));
        refused(url("logs-*", "/_mget", "source=%7B%7D"), "in the URL");
    }

    #[test]
    fn indices_that_bodies_name() {
        let narrow = "logs-*";
        assert_eq!(body(narrow, "/logs-1/_mget", r#"{"ids":["1"]}"#), Ok(()));
        assert_eq!(body(narrow, "/_mget", r#"{"docs":[{"_index":"logs-1","_id":"1"}]}"#), Ok(()));
        refused(body(narrow, "/_mget", r#"{"ids":["1"]}"#), "every index");
        refused(body(narrow, "/logs-1/_mget", r#"{"docs":[{"_id":"1"},{"_index":"x","_id":"1"}]}"#), "[x]");
        refused(body(narrow, "/_mget", r#"{"docs":[{"_index":"x","_index":"logs-1"}]}"#), "cannot be read");
        assert_eq!(body(narrow, "/_msearch", "{\"index\":\"logs-1\"}\n{}\n{\"index\":[\"logs-*\"]}\n{}\n"), Ok(()));
        assert_eq!(body(narrow, "/logs-1/_msearch", "{}\n{\"query\":{}}\n"), Ok(()));
        refused(body(narrow, "/_msearch", "{}\n{\"index\":\"logs-1\"}\n"), "every index");
        refused(body(narrow, "/logs-1/_msearch", "{}\n{}\n{\"indices\":[\"logs-1\",\"x\"]}\n{}\n"), "[x]");
        refused(body(narrow, "/logs-1/_msearch", "\n{\"index\":\"x\"}\n{}\n"), "cannot be read");
        assert_eq!(body("*", "/_mget", r#"{"docs":[{"_index":"x","_id":"1"}]}"#), Ok(()));
        assert_eq!(body("*", "/_msearch", "{}\n{}\n"), Ok(()));
        refused(body("*", "/_msearch", "{\"index\":\"remote:logs\"}\n{}\n"), "another cluster");
    }

    #[test]
    fn positions_of_another_cluster_are_not_handed_out() {
        for query in ["seq_no_primary_term=true", "seq_no_primary_term", "sort=_seq_no:asc", "docvalue_fields=_seq_no"]
        {
            refused(url("*", "/i/_search", query), "_seq_no");
        }
        for query in ["seq_no_primary_term=false", "filter_path=-hits.hits._seq_no", "q=seq_no"] {
            assert_eq!(url("*", "/i/_search", query), Ok(()), "{query}");
        }
        refused(body("*", "/_search", r#"{"seq_no_primary_term": true}"#), "_seq_no");
        refused(body("*", "/_msearch", "{}\n{\"sort\":[\"_seq_no\"]}\n"), "_seq_no");
        refused(body("*", "/_search", r#"{"script_fields":{"n":{"script":"doc['_seq_no'].value"}}}"#), "_seq_no");
        refused(body("*", "/_search", r#"{"sort":["\u005fseq_no"]}"#), "_seq_no");
        for query in ["version=3", "version_type=external&version=3"] {
            refused(url("*", "/i/_doc/1", query), "certain version");
        }
        refused(body("*", "/_mget", r#"{"docs":[{"_index":"i","_id":"1","version":3}]}"#), "certain version");
        assert_eq!(body("*", "/i/_search", r#"{"query":{"match":{"my_seq_no":1}}}"#), Ok(()));
    }

    #[test]
    fn cursors_that_live_elsewhere() {
        refused(body("*", "/_search", r#"{"size":1,"pit":{"id":"x"}}"#), "point in time");
        assert_eq!(body("*", "/_search", r#"{"query":{"term":{"pit":1}}}"#), Ok(()));
        refused(body("*", "/_search/scroll", r#"{"scroll_id":["_all"]}"#), "every cursor");
        assert_eq!(body("*", "/_search/scroll", r#"{"scroll_id":"abc"}"#), Ok(()));
    }
}
