//! Which reads a target may answer while the primary is down, by method and path alone.

use hyper::Method;

use super::query::decode_path_part;

/// A read that a target may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverRead {
    /// What it asks for.
    pub kind: ReadKind,
    /// The indices of the URL, decoded: names, patterns, lists.
    pub indices: Option<String>,
}

/// What a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadKind {
    /// `GET /`.
    Root,
    /// One document with what is known of it; its answer names its `_seq_no`.
    Document,
    /// The source of one document.
    Source,
    /// `_mget`; its answer names `_seq_no` too.
    Mget,
    /// `_search`, also one that opens a scroll.
    Search,
    /// `_msearch`.
    Msearch,
    /// `_count`.
    Count,
    /// `_field_caps`.
    FieldCaps,
    /// The next page of a scroll, or its end.
    Scroll,
}

/// Finds out whether a target may answer a request that passes.
///
/// # Errors
/// With the reason for which the primary alone may.
pub fn failover_read(method: &Method, path: &str) -> Result<FailoverRead, &'static str> {
    let parts: Vec<&str> = match path {
        "/" => Vec::new(),
        path => path.trim_end_matches('/').split('/').skip(1).collect(),
    };
    let gets = matches!(*method, Method::GET | Method::HEAD);
    let asks = matches!(*method, Method::GET | Method::POST);
    let of = |kind, indices: Option<&str>| {
        let indices = indices.map(|raw| decode_path_part(raw).map_err(|_| "its path cannot be decoded")).transpose()?;
        Ok(FailoverRead { kind, indices })
    };
    match parts.as_slice() {
        [] if gets => of(ReadKind::Root, None),
        // An id with an underscore in front is a word of the API in some versions.
        [index, "_doc", id] if gets && is_name(index) && is_id(id) => of(ReadKind::Document, Some(index)),
        [index, "_source", id] if gets && is_name(index) && is_id(id) => of(ReadKind::Source, Some(index)),
        ["_search", "scroll"] | ["_search", "scroll", _] if asks || *method == Method::DELETE => {
            if parts.last() == Some(&"_all") { Err("it ends every cursor") } else { of(ReadKind::Scroll, None) }
        }
        [api] if asks => match read_api(api) {
            Some(kind) => of(kind, None),
            None => Err(reason(&parts)),
        },
        [index, api] if asks && (is_name(index) || *index == "_all") => match read_api(api) {
            Some(kind) => of(kind, Some(index)),
            None => Err(reason(&parts)),
        },
        _ => Err(reason(&parts)),
    }
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('_')
}

fn is_id(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('_')
}

fn read_api(word: &str) -> Option<ReadKind> {
    Some(match word {
        "_mget" => ReadKind::Mget,
        "_search" => ReadKind::Search,
        "_msearch" => ReadKind::Msearch,
        "_count" => ReadKind::Count,
        "_field_caps" => ReadKind::FieldCaps,
        _ => return None,
    })
}

/// Why a target does not answer for the primary.
fn reason(parts: &[&str]) -> &'static str {
    const OF_THE_CLUSTER: [&str; 5] = ["_cluster", "_cat", "_nodes", "_tasks", "_snapshot"];
    const CURSORS: [&str; 5] = ["_pit", "_async_search", "point_in_time", "_eql", "_sql"];
    if parts.first().is_some_and(|first| OF_THE_CLUSTER.contains(first)) {
        "it is about that cluster itself"
    } else if parts.iter().any(|part| CURSORS.contains(part)) {
        "it is about a cursor that lives there"
    } else {
        "another cluster answers in its place only GET /, get, mget, search, msearch, count, field_caps, and scrolls that it opened"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Result<(ReadKind, Option<String>), &'static str> {
        failover_read(&method.parse().unwrap(), path).map(|read| (read.kind, read.indices))
    }

    #[test]
    fn reads_that_a_target_answers() {
        for (method, path, kind, indices) in [
            ("GET", "/", ReadKind::Root, None),
            ("HEAD", "/", ReadKind::Root, None),
            ("GET", "/i/_doc/1", ReadKind::Document, Some("i")),
            ("HEAD", "/i/_doc/a%2Fb", ReadKind::Document, Some("i")),
            ("GET", "/i/_source/1", ReadKind::Source, Some("i")),
            ("HEAD", "/i/_source/1/", ReadKind::Source, Some("i")),
            ("GET", "/_mget", ReadKind::Mget, None),
            ("POST", "/i/_mget", ReadKind::Mget, Some("i")),
            ("GET", "/_search", ReadKind::Search, None),
            ("POST", "/_search", ReadKind::Search, None),
            ("POST", "/a%2Cb*/_search", ReadKind::Search, Some("a,b*")),
            ("GET", "/_all/_search", ReadKind::Search, Some("_all")),
            ("POST", "/_msearch", ReadKind::Msearch, None),
            ("GET", "/i/_msearch", ReadKind::Msearch, Some("i")),
            ("GET", "/_count", ReadKind::Count, None),
            ("POST", "/i/_count", ReadKind::Count, Some("i")),
            ("GET", "/_field_caps", ReadKind::FieldCaps, None),
            ("POST", "/i/_field_caps", ReadKind::FieldCaps, Some("i")),
            ("POST", "/_search/scroll", ReadKind::Scroll, None),
            ("GET", "/_search/scroll/abc", ReadKind::Scroll, None),
            ("DELETE", "/_search/scroll", ReadKind::Scroll, None),
        ] {
            assert_eq!(read(method, path), Ok((kind, indices.map(str::to_owned))), "{method} {path}");
        }
    }

    #[test]
    fn what_only_the_primary_answers() {
        for (method, path, why) in [
            ("GET", "/_cluster/health", "about that cluster"),
            ("GET", "/_cat/indices", "about that cluster"),
            ("GET", "/_nodes/stats", "about that cluster"),
            ("GET", "/_tasks", "about that cluster"),
            ("POST", "/_tasks/_cancel", "about that cluster"),
            ("GET", "/_snapshot/r/_all", "about that cluster"),
            ("POST", "/i/_pit", "a cursor"),
            ("DELETE", "/_pit", "a cursor"),
            ("GET", "/_async_search/abc", "a cursor"),
            ("POST", "/i/_async_search", "a cursor"),
            ("POST", "/i/_search/point_in_time", "a cursor"),
            ("DELETE", "/_search/scroll/_all", "every cursor"),
            ("GET", "/i/_mapping", "only GET /"),
            ("HEAD", "/i", "only GET /"),
            ("GET", "/i/_doc/_search", "only GET /"),
            ("GET", "/i/type/1", "only GET /"),
            ("GET", "/_alias", "only GET /"),
            ("POST", "/_search/template", "only GET /"),
            ("POST", "/i/_refresh", "only GET /"),
            ("HEAD", "/i/_search", "only GET /"),
            ("GET", "//_search", "only GET /"),
            ("OPTIONS", "/", "only GET /"),
            ("GET", "/_something/new", "only GET /"),
            ("GET", "/%ff/_search", "decoded"),
        ] {
            let said = read(method, path).expect_err(path);
            assert!(said.contains(why), "{method} {path}: {said}");
        }
    }
}
