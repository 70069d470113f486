//! What a copy of the target means for an effect that must be there. Pure.

use std::io::Write;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use understudy_common::{
    document::DocumentKey,
    effect::{DocumentState, Effect},
};

use crate::verdict::excerpt;

/// What the target has of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copy {
    /// Nothing.
    Missing,
    /// A document. Its source is not always asked for.
    There {
        /// `_version`.
        version: u64,
        /// `_seq_no`.
        seq_no: u64,
        /// `_primary_term`.
        term: u64,
        /// Routing.
        routing: Option<String>,
        /// Source, where it was asked for.
        source: Option<String>,
    },
    /// Not even the index.
    NoIndex,
    /// It does not say.
    Unknown(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is there.
    Done,
    /// Write it, under this condition.
    Write(Condition),
    /// The index is not there.
    NoIndex,
    /// The copy is not known.
    Unknown(String),
}

/// What must still hold when the target writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no such document.
    Missing,
    /// It is this copy.
    Is {
        /// Its `_seq_no`.
        seq_no: u64,
        /// Its `_primary_term`.
        term: u64,
    },
}

impl Condition {
    /// The name of the action that writes an effect.
    #[must_use]
    pub fn action(self, effect: &Effect) -> &'static str {
        match (self, &effect.state) {
            (_, DocumentState::Deleted) => "delete",
            (Self::Missing, _) => "create",
            (Self::Is { .. }, _) => "index",
        }
    }
}

impl Copy {
    /// Whether it may be the effect, as far as can be told without its source.
    pub(super) fn may_be(&self, effect: &Effect) -> bool {
        let Self::There { version, routing, .. } = self else { return false };
        effect.source_len() > 0
            && *version == effect.stored_version()
            && routing.as_deref() == effect.key.routing.as_deref()
    }
}

/// How an effect gets to the target.
#[must_use]
pub fn decide(effect: &Effect, copy: &Copy) -> Step {
    match (copy, &effect.state) {
        (Copy::NoIndex, _) => Step::NoIndex,
        (Copy::Unknown(text), _) => Step::Unknown(text.clone()),
        (_, DocumentState::Reference) => Step::Unknown("a reference that was not read".to_owned()),
        (Copy::Missing, DocumentState::Deleted) => Step::Done,
        (Copy::Missing, DocumentState::Put(_)) => Step::Write(Condition::Missing),
        (Copy::There { source: Some(source), .. }, DocumentState::Put(put))
            if copy.may_be(effect) && source.as_bytes() == put.trim_ascii() =>
        {
            Step::Done
        }
        (Copy::There { seq_no, term, .. }, _) => Step::Write(Condition::Is { seq_no: *seq_no, term: *term }),
    }
}

#[derive(Serialize)]
struct ActionFields<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_seq_no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_primary_term: Option<u64>,
}

impl<'a> ActionFields<'a> {
    fn of(key: &'a DocumentKey, condition: Condition) -> Self {
        let (if_seq_no, if_primary_term) = match condition {
            Condition::Missing => (None, None),
            Condition::Is { seq_no, term } => (Some(seq_no), Some(term)),
        };
        Self { index: &key.index, id: &key.id, routing: key.routing.as_deref(), if_seq_no, if_primary_term }
    }
}

/// The body of a `_bulk` that writes effects under conditions.
pub(super) fn body<'a>(writes: impl Iterator<Item = (&'a Effect, Condition)>) -> Bytes {
    let mut body = Vec::new();
    for (effect, condition) in writes {
        // Writing into a Vec cannot fail, and neither can these fields.
        let _ = write!(body, "{{\"{}\":", condition.action(effect));
        let _ = serde_json::to_writer(&mut body, &ActionFields::of(&effect.key, condition));
        body.extend_from_slice(b"}\n");
        if let DocumentState::Put(source) = &effect.state {
            body.extend_from_slice(source);
            body.push(b'\n');
        }
    }
    body.into()
}

/// The body of an `_mget` for these documents.
pub(super) fn question(keys: &[&DocumentKey]) -> Bytes {
    let docs: Vec<ActionFields<'_>> = keys.iter().map(|key| ActionFields::of(key, Condition::Missing)).collect();
    serde_json::to_vec(&serde_json::json!({ "docs": docs })).unwrap_or_default().into()
}

#[derive(Deserialize)]
struct Answer {
    docs: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    _index: String,
    _id: String,
    found: Option<bool>,
    _version: Option<u64>,
    _seq_no: Option<u64>,
    _primary_term: Option<u64>,
    _routing: Option<String>,
    _source: Option<Box<RawValue>>,
    error: Option<Error>,
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

/// Reads the answer to [`question`].
pub(super) fn copies(body: &[u8], keys: &[&DocumentKey]) -> Result<Vec<Copy>, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| format!("{error} in {}", excerpt(body)))?;
    if answer.docs.len() != keys.len() {
        return Err(format!("{} documents in the answer to {}", answer.docs.len(), keys.len()));
    }
    let one = |(found, key): (Found, &&DocumentKey)| {
        if found._index != *key.index || found._id != *key.id {
            return Err(format!("[{}/{}] in the place of [{}]", found._index, found._id, key.record_key()));
        }
        Ok(match found {
            Found { error: Some(error), .. } if error.kind == "index_not_found_exception" => Copy::NoIndex,
            Found { error: Some(error), .. } => Copy::Unknown(error.reason.unwrap_or(error.kind)),
            Found { found: Some(false), .. } => Copy::Missing,
            Found {
                found: Some(true),
                _version: Some(version),
                _seq_no: Some(seq_no),
                _primary_term: Some(term),
                _routing: routing,
                _source: source,
                ..
            } => Copy::There { version, seq_no, term, routing, source: source.map(|source| source.get().to_owned()) },
            _ => Copy::Unknown("neither found nor missing".to_owned()),
        })
    };
    answer.docs.into_iter().zip(keys).map(one).collect()
}

#[cfg(test)]
mod tests {
    use understudy_common::version::PackedVersion;

    use super::*;

    fn effect(client_version: Option<u64>, routing: Option<&str>, source: Option<&'static str>) -> Effect {
        let key = DocumentKey { index: "i".into(), id: "1".into(), routing: routing.map(Into::into) };
        let state = source.map_or(DocumentState::Deleted, |source| DocumentState::Put(source.into()));
        Effect { client_version, ..Effect::claimed(key, PackedVersion::pack(1, 1, 7).unwrap(), state) }
    }

    fn copy(version: u64, routing: Option<&str>, source: &str) -> Copy {
        let (routing, source) = (routing.map(str::to_owned), Some(source.to_owned()));
        Copy::There { version, seq_no: 40, term: 2, routing, source }
    }

    #[test]
    fn what_is_there_already_is_done_and_everything_else_is_written() {
        let put = effect(Some(5), None, Some(" {\"n\": 1}"));
        let rewritten = Step::Write(Condition::Is { seq_no: 40, term: 2 });
        assert_eq!(decide(&put, &copy(5, None, "{\"n\": 1}")), Step::Done);
        for other in [copy(6, None, "{\"n\": 1}"), copy(5, Some("r"), "{\"n\": 1}"), copy(5, None, "{\"n\":1}")] {
            assert_eq!(decide(&put, &other), rewritten, "{other:?}");
        }
        assert_eq!(decide(&put, &Copy::Missing), Step::Write(Condition::Missing));
        let delete = effect(Some(5), None, None);
        assert_eq!(decide(&delete, &Copy::Missing), Step::Done);
        assert_eq!(decide(&delete, &copy(5, None, "{}")), rewritten);
        assert_eq!(decide(&delete, &Copy::NoIndex), Step::NoIndex);
        assert!(matches!(decide(&put, &Copy::Unknown("x".into())), Step::Unknown(_)));
    }

    #[test]
    fn a_body_names_the_copy_that_it_replaces() {
        let (put, delete) = (effect(Some(5), Some("r"), Some("{\"n\":1}")), effect(None, None, None));
        let is = Condition::Is { seq_no: 40, term: 2 };
        let body = body([(&put, is), (&put, Condition::Missing), (&delete, is)].into_iter());
        let lines: Vec<&str> = std::str::from_utf8(&body).unwrap().lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"index":{"_index":"i","_id":"1","routing":"r","if_seq_no":40,"if_primary_term":2}}"#,
                r#"{"n":1}"#,
                r#"{"create":{"_index":"i","_id":"1","routing":"r"}}"#,
                r#"{"n":1}"#,
                r#"{"delete":{"_index":"i","_id":"1","if_seq_no":40,"if_primary_term":2}}"#,
            ]
        );
    }

    #[test]
    fn only_what_the_target_says_of_this_document_counts() {
        let key = DocumentKey { index: "i".into(), id: "1".into(), routing: None };
        let read = |doc: &str| copies(format!("{{\"docs\":[{doc}]}}").as_bytes(), &[&key]).map(|mut all| all.remove(0));
        let found =
            r#"{"_index":"i","_id":"1","_version":9,"_seq_no":40,"_primary_term":2,"found":true,"_source":{"n": 1}}"#;
        assert_eq!(read(found), Ok(copy(9, None, "{\"n\": 1}")));
        assert_eq!(read(r#"{"_index":"i","_id":"1","found":false}"#), Ok(Copy::Missing));
        let error = |kind: &str| format!(r#"{{"_index":"i","_id":"1","error":{{"type":"{kind}","reason":"r"}}}}"#);
        assert_eq!(read(&error("index_not_found_exception")), Ok(Copy::NoIndex));
        assert_eq!(read(&error("no_shard_available_action_exception")), Ok(Copy::Unknown("r".into())));
        assert!(matches!(read(r#"{"_index":"i","_id":"1","found":true}"#), Ok(Copy::Unknown(_))));
        assert!(read(r#"{"_index":"i","_id":"2","found":false}"#).is_err());
        assert!(read("").is_err());
    }
}
