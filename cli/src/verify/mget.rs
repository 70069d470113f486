//! A real-time `_mget` of documents of one index, and what its answer says of each.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use understudy_common::cluster::path_part;

use super::{
    compare::{DocumentKey, Stored},
    json_text,
    side::{Answer, Failure, Side, excerpt},
};

/// The body of an `_mget` that was answered.
pub struct Copies(Bytes);

/// How often a server that cannot answer just now is asked (for 16 s in all), with pauses that double.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// `None`: the answer would be larger than `limit`.
pub async fn get(side: &Side, keys: &[DocumentKey], sources: bool, limit: usize) -> Result<Option<Copies>, Failure> {
    #[derive(Serialize)]
    struct Ask<'a> {
        docs: Vec<Document<'a>>,
    }
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(rename = "_id")]
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        routing: Option<&'a str>,
    }
    let index = &keys[0].index;
    let docs = keys.iter().map(|key| Document { id: &key.id, routing: key.routing.as_deref() }).collect();
    let body = Bytes::from(serde_json::to_vec(&Ask { docs }).expect("texts are JSON"));
    let path = format!("/{}/_mget{}", path_part(index), if sources { "" } else { "?_source=false" });
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let Some(answer) = side.call(Method::POST, &path, Some(body.clone()), limit).await? else { return Ok(None) };
        match verdict(&answer) {
            Verdict::Answered => return Ok(Some(Copies::new(answer.body))),
            Verdict::Later if attempt < TRIES => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            // What is wrong with a document is told by whoever reads the answer.
            Verdict::Later if answer.status.is_success() => return Ok(Some(Copies::new(answer.body))),
            Verdict::Later | Verdict::Refused => {
                let reason = format!("_mget: {} {}", answer.status, excerpt(&answer.body));
                return Err(side.index_failure(index, reason));
            }
        }
    }
    unreachable!("the last try returns")
}

enum Verdict {
    Answered,
    Later,
    Refused,
}

/// What passes by itself: a queue that is full, and shards of an index that was created a moment ago.
const PASSING: [&str; 4] = [
    "es_rejected_execution_exception",
    "rejected_execution_exception",
    "no_shard_available_action_exception",
    "illegal_index_shard_state_exception",
];

fn verdict(answer: &Answer) -> Verdict {
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Verdict::Later,
        status if status.is_success() => {
            // They come per document in an answer with status 200, which is read for it only where such a word is in it.
            let mentioned = PASSING.iter().any(|kind| memchr::memmem::find(&answer.body, kind.as_bytes()).is_some());
            let passing = mentioned
                && serde_json::from_slice::<Found<'_>>(&answer.body).is_ok_and(|found| {
                    let errors = found.docs.iter().filter_map(|item| item.error.as_ref());
                    errors.into_iter().any(|error| PASSING.contains(&error.kind.as_str()))
                });
            if passing { Verdict::Later } else { Verdict::Answered }
        }
        _ => Verdict::Refused,
    }
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    docs: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    found: bool,
    #[serde(rename = "_routing")]
    routing: Option<String>,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(rename = "type")]
    kind: String,
    reason: Option<String>,
}

impl Copies {
    /// A document may hold comments, which are no JSON: one would make the whole answer unreadable.
    fn new(body: Bytes) -> Self {
        let suspicious = [b"//", b"/*"].iter().any(|opening| memchr::memmem::find(&body, *opening).is_some());
        if suspicious && serde_json::from_slice::<Found<'_>>(&body).is_err() {
            let mut plain = Vec::from(body);
            json_text::blank_comments(&mut plain);
            return Self(plain.into());
        }
        Self(body)
    }

    /// How large the answer is.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The copy of each document that was asked for.
    pub fn copies(&self, side: &Side, keys: &[DocumentKey]) -> Result<Vec<Stored<'_>>, Failure> {
        read(&self.0, keys).map_err(|error| side.index_failure(&keys[0].index, format!("_mget: {error}")))
    }
}

fn read<'a>(body: &'a [u8], keys: &[DocumentKey]) -> Result<Vec<Stored<'a>>, String> {
    let found: Found<'a> = serde_json::from_slice(body).map_err(|error| format!("{error} in {}", excerpt(body)))?;
    if found.docs.len() != keys.len() {
        return Err(format!("{} documents were asked for and {} answered", keys.len(), found.docs.len()));
    }
    keys.iter().zip(found.docs).map(|(key, item)| copy(key, item)).collect()
}

fn copy<'a>(key: &DocumentKey, item: Item<'a>) -> Result<Stored<'a>, String> {
    if item.id != key.id {
        return Err(format!("{:?} was asked for and {:?} answered", key.id, item.id));
    }
    match item.error {
        Some(error) => match error.kind.as_str() {
            // An index whose mapping requires a routing has no document without one.
            "index_not_found_exception" | "routing_missing_exception" => Ok(Stored::Absent),
            kind => Err(format!("document {:?}: {kind}: {}", key.id, error.reason.unwrap_or_default())),
        },
        // Behind an alias of this name there is another index.
        None if item.index != *key.index => Ok(Stored::Absent),
        None if !item.found => Ok(Stored::Absent),
        None => Ok(Stored::Present { routing: item.routing, source: item.source.map(RawValue::get) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(item: &str) -> Result<String, String> {
        let key = DocumentKey { index: "i".into(), id: "1".to_owned(), routing: None };
        let body = format!("{{\"docs\":[{item}]}}");
        read(body.as_bytes(), &[key]).map(|copies| format!("{:?}", copies[0]))
    }

    #[test]
    fn only_missing_is_absent() {
        for absent in [
            r#"{"_index":"i","_id":"1","found":false}"#,
            r#"{"_index":"i","_id":"1","error":{"type":"index_not_found_exception","reason":"no such index [i]"}}"#,
            r#"{"_index":"behind","_id":"1","found":true,"_source":{}}"#,
        ] {
            assert_eq!(read_one(absent), Ok("Absent".to_owned()), "{absent}");
        }
        let shard =
            r#"{"_index":"i","_id":"1","error":{"type":"no_shard_available_action_exception","reason":"none"}}"#;
        assert_eq!(read_one(shard), Err("document \"1\": no_shard_available_action_exception: none".to_owned()));
        assert!(read_one(r#"{"_index":"i","_id":"2","found":true}"#).is_err());
        assert!(read_one("").is_err());
    }

    #[test]
    fn what_passes_by_itself_is_asked_again() {
        let later = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            matches!(verdict(&Answer { status, body: Bytes::from(body.to_owned()) }), Verdict::Later)
        };
        let item = |kind: &str| format!(r#"{{"docs":[{{"_index":"i","_id":"1","error":{{"type":"{kind}"}}}}]}}"#);
        assert!(later(429, "") && later(503, "<html>") && later(200, &item("rejected_execution_exception")));
        assert!(later(200, &item("no_shard_available_action_exception")));
        assert!(!later(200, &item("index_closed_exception")) && !later(400, ""));
        let found = r#"{"docs":[{"_index":"i","_id":"1","found":true,"_source":"rejected_execution_exception"}]}"#;
        assert!(!later(200, found));
    }

    #[test]
    fn sources_stay_as_they_are() {
        let found = read_one(r#"{"_index":"i","_id":"1","_routing":"r","found":true,"_source":{"a": 1.10}}"#);
        assert_eq!(found, Ok(r#"Present { routing: Some("r"), source: Some("{\"a\": 1.10}") }"#.to_owned()));
    }
}
