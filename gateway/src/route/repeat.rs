//! Which of the requests that pass may be sent to the cluster more than once.

use hyper::Method;

/// What only asks, though it is sent with `POST`. Those that open a cursor are among them: one that nobody reads is closed
/// by the cluster.
const QUESTIONS: [&str; 13] = [
    "_search",
    "_msearch",
    "_count",
    "_mget",
    "_field_caps",
    "_explain",
    "_termvectors",
    "_mtermvectors",
    "_terms_enum",
    "_search_shards",
    "_validate",
    "_analyze",
    "_rank_eval",
];

/// Whether a request that passes asks only, so that nothing is lost or done twice when two nodes get it.
///
/// Going on with a cursor is none: whoever asks twice for the next page has lost one.
#[must_use]
pub fn may_be_repeated(method: &Method, path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_no_question = [first, second].contains(&"_sql")
        || first == "_search" && second == "scroll"
        || path.contains("/_async_search") && *method == Method::POST;
    if is_no_question {
        return false;
    }
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => true,
        Method::POST => QUESTIONS.contains(&first) || !first.starts_with('_') && QUESTIONS.contains(&second),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_repeated_and_nothing_else() {
        for (method, path) in [
            ("GET", "/"),
            ("HEAD", "/i/_doc/1"),
            ("GET", "/_cat/indices"),
            ("GET", "/i/_search"),
            ("POST", "/i/_search"),
            ("POST", "/_search"),
            ("POST", "/_msearch/template"),
            ("POST", "/i/_count"),
            ("POST", "/_mget"),
        ] {
            assert!(may_be_repeated(&method.parse().unwrap(), path), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/_search/scroll"),
            ("GET", "//_search//scroll/"),
            ("POST", "/_search/scroll/abc"),
            ("DELETE", "/_search/scroll"),
            ("GET", "/_sql"),
            ("POST", "/_plugins/_sql"),
            ("POST", "/i/_async_search"),
            ("POST", "/i/_refresh"),
            ("POST", "/i/_pit"),
            ("POST", "/_tasks/1/_cancel"),
            ("POST", "/_forcemerge"),
        ] {
            assert!(!may_be_repeated(&method.parse().unwrap(), path), "{method} {path}");
        }
    }
}
