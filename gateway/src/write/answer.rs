//! Reading the primary's answer to a write: what became of each item.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use understudy_common::object::Object;

use super::plan::{AnswerShape, refused_whole};

/// What the primary says of a write; its texts are those of the answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It refused the whole request; nothing was done.
    Refused(StatusCode),
    /// It says something of each item.
    Items {
        /// In the order of the request.
        outcomes: Vec<Outcome<'a>>,
        /// Whether an ingest pipeline ran (`ingest_took` stands in a bulk's answer exactly then).
        pipeline_ran: bool,
    },
    /// Nothing that could be understood, or a failure after which anything may have happened.
    Unknown(String),
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was done.
    Done(Done<'a>),
    /// Version conflict: somebody's write was there first, or this item's own first try.
    Conflict,
    /// It was refused; nothing was done.
    Refused {
        /// With this status.
        status: u16,
        /// Because of what its index was at that moment (blocked, closed, gone), and not of the request.
        by_state: bool,
    },
    /// Refused before any shard was asked: its index wants a routing, which an index does from its beginning or never. Without
    /// one its document cannot be there, and cannot be asked for.
    Unrouted,
    /// An update whose script left a document alone that is not there, or a document that a pipeline dropped (`noop` without
    /// a sequence number).
    NothingThere,
    /// It may have been done.
    Unknown(String),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<'a> {
    /// Concrete index.
    pub index: Cow<'a, str>,
    /// Id.
    pub id: Cow<'a, str>,
    /// `created`, `updated`, `deleted`, `not_found`, `noop`.
    pub result: Cow<'a, str>,
    /// Place among the writes of its shard.
    pub seq_no: u64,
    /// Term of the shard's primary.
    pub primary_term: u64,
    /// What an update made of the document, on one line.
    pub source: Option<Bytes>,
}

#[derive(Deserialize)]
struct BulkBody<'a> {
    ingest_took: Option<i64>,
    #[serde(borrow)]
    items: Vec<BulkItem<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum BulkItem<'a> {
    #[serde(borrow)]
    Index(Object<ItemBody<'a>>),
    #[serde(borrow)]
    Create(Object<ItemBody<'a>>),
    #[serde(borrow)]
    Delete(Object<ItemBody<'a>>),
    #[serde(borrow)]
    Update(Object<ItemBody<'a>>),
}

/// An item of a bulk, or the answer to a write of one document.
#[derive(Deserialize)]
struct ItemBody<'a> {
    status: Option<u16>,
    #[serde(rename = "_index", borrow)]
    index: Option<Text<'a>>,
    #[serde(rename = "_id", borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    result: Option<Text<'a>>,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<u64>,
    #[serde(borrow)]
    get: Option<Object<GetBody<'a>>>,
    error: Option<Object<ErrorBody>>,
}

/// A text where it stands, unless it has escapes. (serde borrows a `Cow` alone, and none within an `Option`.)
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The document after an update.
#[derive(Deserialize)]
struct GetBody<'a> {
    found: Option<bool>,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<u64>,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct WholeError {
    error: Object<ErrorBody>,
}

impl<'a> Answer<'a> {
    /// Reads the answer to a write of `items` items.
    #[must_use]
    pub fn read(shape: AnswerShape, status: StatusCode, body: &'a Bytes, items: usize) -> Self {
        match shape {
            AnswerShape::Bulk => read_bulk(status, body, items),
            AnswerShape::Document => read_document(status, body),
        }
    }

    /// The indices that it says were written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        let outcomes = match self {
            Self::Items { outcomes, .. } => outcomes.as_slice(),
            _ => &[],
        };
        outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Done(done) => Some(&*done.index),
            _ => None,
        })
    }
}

fn read_bulk(status: StatusCode, body: &Bytes, items: usize) -> Answer<'_> {
    if refused_whole(status) {
        return Answer::Refused(status);
    }
    if status != StatusCode::OK {
        return Answer::Unknown(format!("the primary answered {status}"));
    }
    let bulk = match serde_json::from_slice::<Object<BulkBody<'_>>>(body) {
        Ok(Object(bulk)) => bulk,
        Err(error) => return Answer::Unknown(format!("the primary's answer is no bulk answer: {error}")),
    };
    if bulk.items.len() != items {
        return Answer::Unknown(format!("the primary answered {} items of {items}", bulk.items.len()));
    }
    let outcomes = bulk.items.into_iter().map(|item| match item {
        BulkItem::Index(Object(item)) | BulkItem::Create(Object(item)) | BulkItem::Delete(Object(item)) => {
            item_outcome(item, None)
        }
        BulkItem::Update(Object(item)) => item_outcome(item, Some(body)),
    });
    Answer::Items { outcomes: outcomes.collect(), pipeline_ran: bulk.ingest_took.is_some() }
}

/// What became of an item; of an update its source is cut out of the answer's `body`.
fn item_outcome<'a>(item: ItemBody<'a>, body: Option<&Bytes>) -> Outcome<'a> {
    let Some(status) = item.status else {
        return Outcome::Unknown("the primary answered no status for the document".to_owned());
    };
    match status {
        409 => return Outcome::Conflict,
        200..=299 | 404 => {}
        400..=499 if status != 408 => return refused(status, item.error.as_ref()),
        500 if failed_in_pipeline(item.error.as_ref()) => return Outcome::Refused { status, by_state: false },
        _ => return Outcome::Unknown(format!("the primary answered status {status} for the document")),
    }
    let source = body.and_then(|body| stored(&item, body));
    let text = |text: Option<Text<'a>>| text.map(|text| text.0);
    match (text(item.index), text(item.id), text(item.result), item.seq_no, item.primary_term) {
        // A delete that found nothing moves the tombstone: it has a sequence number and is done.
        (Some(index), Some(id), Some(result), Some(seq_no), Some(primary_term)) => {
            Outcome::Done(Done { index, id, result, seq_no, primary_term, source })
        }
        (.., Some(result), None, None)
            // Also of a document that a pipeline dropped.
            if status == 200 && result == "noop" && item.get.as_ref().is_none_or(|get| get.0.found == Some(false)) =>
        {
            Outcome::NothingThere
        }
        _ if status == 404 => refused(status, item.error.as_ref()),
        _ => Outcome::Unknown(format!("the primary answered status {status} and not what it did to the document")),
    }
}

/// The document that an update left, as a record holds it. Line breaks within JSON stand between tokens only, where a space
/// means the same.
fn stored(item: &ItemBody<'_>, body: &Bytes) -> Option<Bytes> {
    let is_there = matches!(item.result.as_ref().map(|result| &*result.0), Some("created" | "updated" | "noop"));
    let get = item.get.as_ref().map(|get| &get.0).filter(|get| is_there && get.found != Some(false))?;
    let is_of = |told: Option<u64>, done: Option<u64>| told.is_none() || told == done;
    if !is_of(get.seq_no, item.seq_no) || !is_of(get.primary_term, item.primary_term) {
        return None;
    }
    let source = get.source?.get().as_bytes();
    if memchr::memchr2(b'\n', b'\r', source).is_none() {
        return Some(body.slice_ref(source));
    }
    let spaced = source.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte });
    Some(spaced.collect::<Vec<u8>>().into())
}

/// Whether an ingest pipeline failed: that is before any shard hears of the document, and is not tried again. What a processor
/// throws has mostly the status 500 (`FailProcessorException`, `IngestProcessorException`).
fn failed_in_pipeline(error: Option<&Object<ErrorBody>>) -> bool {
    let kind = error.and_then(|error| error.0.kind.as_deref());
    matches!(kind, Some("fail_processor_exception" | "ingest_processor_exception"))
}

fn refused(status: u16, error: Option<&Object<ErrorBody>>) -> Outcome<'static> {
    let kind = error.and_then(|error| error.0.kind.as_deref());
    if kind == Some("routing_missing_exception") {
        return Outcome::Unrouted;
    }
    // An update of a document that is not there is refused because of the document, not of its index.
    let by_state = matches!(status, 403 | 404) && kind != Some("document_missing_exception");
    Outcome::Refused { status, by_state: by_state || kind == Some("index_closed_exception") }
}

fn whole_error(body: &[u8]) -> Option<Object<ErrorBody>> {
    serde_json::from_slice::<Object<WholeError>>(body).ok().map(|whole| whole.0.error)
}

fn read_document(status: StatusCode, body: &Bytes) -> Answer<'_> {
    let outcome = match (status.as_u16(), serde_json::from_slice::<Object<ItemBody<'_>>>(body)) {
        (409, _) => Outcome::Conflict,
        (code @ (200 | 201 | 404), Ok(Object(item))) if item.error.is_none() => {
            match item_outcome(ItemBody { status: Some(code), ..item }, Some(body)) {
                Outcome::Unknown(_) => {
                    return Answer::Unknown("the primary's answer is not that of a write".to_owned());
                }
                outcome => outcome,
            }
        }
        (400 | 403 | 404, _) => refused(status.as_u16(), whole_error(body).as_ref()),
        (500, _) if failed_in_pipeline(whole_error(body).as_ref()) => Outcome::Refused { status: 500, by_state: false },
        _ if refused_whole(status) => return Answer::Refused(status),
        (200..=299, Err(error)) => {
            return Answer::Unknown(format!("the primary's answer is not that of a write: {error}"));
        }
        _ => return Answer::Unknown(format!("the primary answered {status}")),
    };
    Answer::Items { outcomes: vec![outcome], pipeline_ran: false }
}

#[cfg(test)]
mod tests;
