//! Errors that the gateway itself answers with, in Elasticsearch's shape.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

/// An answer of the gateway's own: nothing was forwarded, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status.
    pub status: StatusCode,
    /// `error.type`; given in this file and nowhere else, for refusals are counted by it.
    pub kind: &'static str,
    /// `error.reason`: what is wrong and what can be done.
    pub reason: String,
    /// What the primary itself answered, when it did.
    pub primary: Option<(StatusCode, Bytes)>,
    /// Which limit was met, for a 429.
    pub limit: Option<Limit>,
    /// `Retry-After` of a 429, in seconds.
    pub retry_after: u64,
}

/// What there can be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of writes under way.
    Bytes,
    /// Requests under way.
    Requests,
    /// Requests or bytes of one client in a time.
    Rate,
    /// Connections.
    Connections,
}

impl Limit {
    /// As metrics name it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bytes => "bytes_in_flight",
            Self::Requests => "concurrent_requests",
            Self::Rate => "rate_limit",
            Self::Connections => "connections",
        }
    }
}

impl Refusal {
    /// The kind of [`Refusal::primary_unavailable`] and [`Refusal::bad_gateway`].
    pub const PRIMARY_UNAVAILABLE: &str = "primary_unavailable_exception";

    /// Everything that a refusal can be counted as.
    pub const LABELS: [&str; 15] = [
        Limit::Bytes.label(),
        Limit::Requests.label(),
        Limit::Rate.label(),
        Limit::Connections.label(),
        "action_request_validation_exception",
        "content_too_large_exception",
        "illegal_argument_exception",
        "media_type_header_exception",
        "not_replicated_exception",
        "outcome_unknown_exception",
        "parse_exception",
        Self::PRIMARY_UNAVAILABLE,
        "replication_pending_exception",
        "replication_unavailable_exception",
        "request_timeout_exception",
    ];

    fn new(status: StatusCode, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { status, kind, reason: reason.into(), primary: None, limit: None, retry_after: 1 }
    }

    /// 400: the request is malformed.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "illegal_argument_exception", reason)
    }

    /// 400: there is nothing to parse.
    pub fn unparsed(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parse_exception", reason)
    }

    /// 400: the request contradicts itself.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "action_request_validation_exception", reason)
    }

    /// 501: a write that would not be replicated.
    pub fn not_replicated(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not_replicated_exception", reason)
    }

    /// 413: a body, a document or a list of documents is too large.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "content_too_large_exception", reason)
    }

    /// 415: the body of a write is of a kind that cannot be replicated.
    pub fn unsupported_media_type(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_header_exception", reason)
    }

    /// 406: the reply of a write was asked for in a format that the gateway does not read.
    pub fn not_acceptable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "media_type_header_exception", reason)
    }

    /// 408: a body that does not come.
    pub fn request_timeout(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout_exception", reason)
    }

    /// 429: too much is under way.
    pub fn overloaded(limit: Limit, reason: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "es_rejected_execution_exception", reason);
        Self { limit: Some(limit), ..refusal }
    }

    /// 503: the log cannot take the write, so nothing was written anywhere.
    pub fn log_unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "replication_unavailable_exception", reason)
    }

    /// 503: the primary cannot be reached, and nothing was written anywhere.
    pub fn primary_unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Self::PRIMARY_UNAVAILABLE, reason)
    }

    /// 502: a request that writes nothing was not answered.
    pub fn bad_gateway(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, Self::PRIMARY_UNAVAILABLE, reason)
    }

    /// 500: written on the primary, and not (or not surely) in the log of every target. Not 503, which clients resend.
    pub fn replication_pending(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "replication_pending_exception", reason)
    }

    /// 500: it is unknown whether the primary wrote it.
    pub fn outcome_unknown(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome_unknown_exception", reason)
    }

    /// The same with the primary's own reply inside.
    #[must_use]
    pub fn with_primary(mut self, status: StatusCode, body: Bytes) -> Self {
        self.primary = Some((status, body));
        self
    }

    /// What it is counted as: the limit that was met, or its type.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.limit.map_or(self.kind, Limit::label)
    }

    /// The body, as Elasticsearch shapes errors.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut error = Map::new();
        let cause = json!({"type": self.kind, "reason": self.reason});
        error.insert("root_cause".into(), Value::Array(vec![cause]));
        error.insert("type".into(), self.kind.into());
        error.insert("reason".into(), self.reason.clone().into());
        if let Some((status, body)) = &self.primary {
            let body = serde_json::from_slice(body).unwrap_or_else(|_| Value::String(excerpt(body)));
            error.insert("primary_reply".into(), json!({"status": status.as_u16(), "body": body}));
        }
        json!({"error": error, "status": self.status.as_u16()})
    }
}

/// As much of a body that is no JSON as helps a reader.
fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 2_000;
    String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_under_a_known_label() {
        let limits = [Limit::Bytes, Limit::Requests, Limit::Rate, Limit::Connections];
        let made = [
            Refusal::malformed("r"),
            Refusal::invalid("r"),
            Refusal::unparsed("r"),
            Refusal::not_replicated("r"),
            Refusal::too_large("r"),
            Refusal::unsupported_media_type("r"),
            Refusal::not_acceptable("r"),
            Refusal::request_timeout("r"),
            Refusal::log_unavailable("r"),
            Refusal::primary_unavailable("r"),
            Refusal::bad_gateway("r"),
            Refusal::replication_pending("r"),
            Refusal::outcome_unknown("r"),
        ];
        let met: std::collections::BTreeSet<_> =
            limits.map(|limit| Refusal::overloaded(limit, "r")).iter().chain(&made).map(Refusal::label).collect();
        assert_eq!(met, Refusal::LABELS.into_iter().collect());
    }
}
