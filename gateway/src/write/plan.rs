//! A write that can be replicated: what goes to the primary, and which documents it touches.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use understudy_common::{bulk::Action, document::DocumentKey, record};

use crate::{refusal::Refusal, reply::ReplyShape};

/// A write that can be replicated.
#[derive(Clone, Debug)]
pub struct PlannedWrite {
    /// Method of the request to the primary.
    pub method: Method,
    /// Path and query of the request to the primary.
    pub path: String,
    /// Its body, in pieces: slices of the client's body wherever nothing had to be added.
    pub body: Vec<Bytes>,
    /// What it does to which documents, in order.
    pub items: Vec<PlannedItem>,
    /// How the primary's answer is to be read.
    pub shape: AnswerShape,
    /// How the client wants its reply.
    pub reply: ReplyShape,
}

/// What a write does to one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedItem {
    /// The document, as the request names it.
    pub key: DocumentKey,
    /// What is done.
    pub action: Action,
    /// The source in the form in which a record holds it; `None` for a delete and for an update.
    pub source: Option<Bytes>,
    /// The version that the client gave (`version_type` `external` or `external_gte`).
    pub client_version: Option<u64>,
    /// Whether the request names an ingest pipeline for it.
    pub pipeline: bool,
    /// Line of the action in a bulk, for errors.
    pub line: Option<usize>,
}

/// The two shapes of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerShape {
    /// `{"items":[…]}`.
    Bulk,
    /// One document.
    Document,
}

/// What a plan must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest record that Kafka takes, in bytes.
    pub record_bytes: usize,
}

/// An intent would not fit into a record.
#[must_use]
pub fn too_long_a_list(bytes: usize, limits: Limits) -> Refusal {
    Refusal::too_large(format!(
        "the list of this bulk's documents takes at least {bytes} bytes in the log, more than the {} that Kafka is configured to take: split the bulk",
        limits.record_bytes
    ))
}

impl PlannedItem {
    /// `line 3: ` or nothing.
    #[must_use]
    pub fn place(&self) -> String {
        self.line.map(|line| format!("line {line}: ")).unwrap_or_default()
    }

    /// Refuses a document that would not fit into a record.
    pub(super) fn check_size(&self, limits: Limits) -> Result<(), Refusal> {
        let source = self.source.as_ref().map_or(0, Bytes::len);
        let bytes = record::encoded_len(&self.key.index, &self.key.id, self.key.routing.as_deref(), source);
        if bytes > limits.record_bytes {
            return Err(Refusal::too_large(format!(
                "{}the document [{}] takes {bytes} bytes in the log, more than the {} that Kafka is configured to take (kafka.max_message_bytes)",
                self.place(),
                self.key.record_key(),
                limits.record_bytes
            )));
        }
        Ok(())
    }
}

impl PlannedWrite {
    /// Bytes of the request's body.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    /// Each index that it names, once.
    #[must_use]
    pub fn indices(&self) -> std::collections::BTreeSet<Arc<str>> {
        self.items.iter().map(|item| item.key.index.clone()).collect()
    }
}

/// Parameters that every write of documents may have beside those of its own.
pub(super) const SHARED_PARAMETERS: [&str; 5] =
    ["routing", "refresh", "timeout", "wait_for_active_shards", "error_trace"];

/// The version that targets store, where the client gave its own (`external`, `external_gt` and `external_gte`).
///
/// Whatever else may stand there the primary refuses, in its own words: versions of its own counting, versions of a create or
/// of an update, and types without a version.
pub(super) fn client_version(action: Action, kind: Option<&str>, version: Option<u64>) -> Result<Option<u64>, Refusal> {
    match kind {
        None | Some("internal") => Ok(None),
        Some("external" | "external_gt" | "external_gte") => {
            Ok(version.filter(|_| matches!(action, Action::Index | Action::Delete)))
        }
        Some(other) => Err(Refusal::malformed(format!("No version type match [{other}]"))),
    }
}

/// What Elasticsearch says of a request that contradicts itself.
pub(super) fn invalid(reason: &str) -> Refusal {
    Refusal::invalid(format!("Validation Failed: 1: {reason};"))
}

/// A version belongs to a document that the client names: an id that the gateway assigns would hide what is wrong.
pub(super) const VERSION_WITHOUT_ID: &str = "an id must be provided if version type or value are set";

/// Whether an answer says that nothing was done: refused as a whole, by the primary itself.
#[must_use]
pub fn refused_whole(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT
}
