//! Speaking HTTP to a cluster, by whichever of its nodes can. What was sent and what not are two things.
//!
//! ```text
//! client ─► nodes (which node: pure) ─► connect (TCP, TLS) ─► a node
//!   │          ▲
//!   │        watch (asks the nodes that are out, or silent, whether they are there)
//!   └─ lent (a body comes back as long as nobody began to read it)
//! ```

mod answer;
mod client;
mod connect;
mod lent;
mod nodes;
mod watch;

pub use answer::{Answer, CallError};
use bytes::Bytes;
pub use client::ClusterClient;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What bodies fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of a request to a cluster, or of its answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What stays as it is in a part of a path. A dot does not: a proxy would take `..` for a step up. An underscore does not:
/// Elasticsearch compares the words of its API undecoded, so that an id `_bulk` stays an id as `%5Fbulk`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// A part of a path or of a query, so that nothing in it is read as a separator or as a word of the API.
#[must_use]
pub fn path_part(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}
