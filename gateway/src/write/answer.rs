//! Reading the primary's answer to a write: what became of each item.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;

use super::plan::{AnswerShape, refused_whole};

/// What the primary says of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It refused the whole request; nothing was done.
    Refused(StatusCode),
    /// It says something of each item.
    Items {
        /// In the order of the request.
        outcomes: Vec<Outcome>,
        /// Whether an ingest pipeline ran (`ingest_took` stands in a bulk's answer exactly then).
        pipeline_ran: bool,
    },
    /// Nothing that could be understood, or a failure after which anything may have happened.
    Unknown(String),
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done(Done),
    /// Version conflict: somebody's write was there first, or this item's own first try.
    Conflict,
    /// It was refused; nothing was done.
    Refused {
        /// With this status.
        status: u16,
        /// Because of what its index was at that moment (blocked, closed, gone), and not of the request.
        by_state: bool,
    },
    /// It may have been done.
    Unknown(String),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Done {
    /// Concrete index.
    #[serde(rename = "_index")]
    pub index: String,
    /// Id.
    #[serde(rename = "_id")]
    pub id: String,
    /// `created`, `updated`, `deleted`, `not_found`.
    pub result: String,
    /// Place among the writes of its shard.
    #[serde(rename = "_seq_no")]
    pub seq_no: u64,
    /// Term of the shard's primary.
    #[serde(rename = "_primary_term")]
    pub primary_term: u64,
    /// What an update made of the document, on one line.
    #[serde(skip)]
    pub source: Option<Bytes>,
}

#[derive(Deserialize)]
struct BulkBody {
    ingest_took: Option<i64>,
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum BulkItem {
    Index(ItemBody),
    Create(ItemBody),
    Delete(ItemBody),
    Update(ItemBody),
}

#[derive(Deserialize)]
struct ItemBody {
    status: u16,
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<String>,
    result: Option<String>,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<u64>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct WholeError {
    error: ErrorBody,
}

impl Answer {
    /// Reads the answer to a write of `items` items.
    #[must_use]
    pub fn read(shape: AnswerShape, status: StatusCode, body: &Bytes, items: usize) -> Self {
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
            Outcome::Done(done) => Some(done.index.as_str()),
            _ => None,
        })
    }
}

fn read_bulk(status: StatusCode, body: &Bytes, items: usize) -> Answer {
    if refused_whole(status) {
        return Answer::Refused(status);
    }
    if status != StatusCode::OK {
        return Answer::Unknown(format!("the primary answered {status}"));
    }
    let bulk: BulkBody = match serde_json::from_slice(body) {
        Ok(bulk) => bulk,
        Err(error) => return Answer::Unknown(format!("the primary's answer is no bulk answer: {error}")),
    };
    if bulk.items.len() != items {
        return Answer::Unknown(format!("the primary answered {} items of {items}", bulk.items.len()));
    }
    let outcomes = bulk
        .items
        .into_iter()
        .map(|item| match item {
            BulkItem::Index(item) | BulkItem::Create(item) | BulkItem::Delete(item) | BulkItem::Update(item) => {
                item_outcome(item)
            }
        })
        .collect();
    Answer::Items { outcomes, pipeline_ran: bulk.ingest_took.is_some() }
}

fn item_outcome(item: ItemBody) -> Outcome {
    match (item.status, item.index, item.id, item.result, item.seq_no, item.primary_term) {
        // A delete that found nothing moves the tombstone: it has a sequence number and is done.
        (200..=299 | 404, Some(index), Some(id), Some(result), Some(seq_no), Some(primary_term)) => {
            Outcome::Done(Done { index, id, result, seq_no, primary_term, source: None })
        }
        (409, ..) => Outcome::Conflict,
        (status @ 400..=499, ..) if status != 408 => refused(status, item.error.as_ref()),
        (status, ..) => Outcome::Unknown(format!("the primary answered status {status} for the document")),
    }
}

fn refused(status: u16, error: Option<&ErrorBody>) -> Outcome {
    let kind = error.and_then(|error| error.kind.as_deref());
    Outcome::Refused { status, by_state: matches!(status, 403 | 404) || kind == Some("index_closed_exception") }
}

fn read_document(status: StatusCode, body: &Bytes) -> Answer {
    let done = serde_json::from_slice::<Done>(body);
    let outcome = match (status.as_u16(), done) {
        (200 | 201 | 404, Ok(done)) => Outcome::Done(done),
        (409, _) => Outcome::Conflict,
        (400 | 403 | 404, _) => {
            let whole = serde_json::from_slice::<WholeError>(body).ok();
            refused(status.as_u16(), whole.map(|whole| whole.error).as_ref())
        }
        _ if refused_whole(status) => return Answer::Refused(status),
        (200..=299, Err(error)) => {
            return Answer::Unknown(format!("the primary's answer is not that of a write: {error}"));
        }
        _ => return Answer::Unknown(format!("the primary answered {status}")),
    };
    Answer::Items { outcomes: vec![outcome], pipeline_ran: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(status: u16, body: &str, items: usize) -> Answer {
        Answer::read(
            AnswerShape::Bulk,
            StatusCode::from_u16(status).unwrap(),
            &Bytes::copy_from_slice(body.as_bytes()),
            items,
        )
    }

    #[test]
    fn items_of_a_bulk() {
        let body = r#"{"took":1,"errors":true,"items":[
            {"index":{"_index":"i","_type":"_doc","_id":"1","_version":1,"result":"created","_seq_no":7,"_primary_term":2,"status":201}},
            {"delete":{"_index":"i","_id":"2","result":"not_found","_seq_no":8,"_primary_term":2,"status":404}},
            {"create":{"_index":"i","_id":"3","status":409,"error":{"type":"version_conflict_engine_exception"}}},
            {"index":{"_index":"i","_id":"4","status":400,"error":{"type":"mapper_parsing_exception"}}},
            {"index":{"_index":"i","_id":"5","status":503,"error":{"type":"unavailable_shards_exception"}}},
            {"delete":{"_index":"nope","_id":"6","status":404,"error":{"type":"index_not_found_exception"}}},
            {"index":{"_index":"i","_id":"7","status":200}}]}"#;
        let Answer::Items { outcomes, pipeline_ran } = bulk(200, body, 7) else { panic!("items") };
        assert!(!pipeline_ran);
        assert!(matches!(&outcomes[0], Outcome::Done(done) if done.seq_no == 7 && done.primary_term == 2));
        assert!(matches!(&outcomes[1], Outcome::Done(done) if done.result == "not_found"));
        assert_eq!(outcomes[2], Outcome::Conflict);
        assert_eq!(outcomes[3], Outcome::Refused { status: 400, by_state: false });
        assert!(matches!(outcomes[4], Outcome::Unknown(_)));
        assert_eq!(outcomes[5], Outcome::Refused { status: 404, by_state: true });
        assert!(matches!(outcomes[6], Outcome::Unknown(_)), "done without a sequence number is not done");
    }

    #[test]
    fn what_is_no_answer_is_never_success() {
        for (status, body) in [
            (200, "<html>proxy</html>"),
            (200, r#"{"took":1,"errors":false,"items":[{"index":{"_index":"i","_id":"1","st"#),
            (200, r#"{"took":1,"errors":false,"items":[]}"#),
            (200, ""),
            (302, "{}"),
            (500, "{}"),
            (503, r#"{"error":{"type":"cluster_block_exception"}}"#),
            (408, "{}"),
        ] {
            assert!(matches!(bulk(status, body, 1), Answer::Unknown(_)), "{status} {body}");
            let document = Answer::read(
                AnswerShape::Document,
                StatusCode::from_u16(status).unwrap(),
                &Bytes::copy_from_slice(body.as_bytes()),
                1,
            );
            assert!(matches!(document, Answer::Unknown(_)), "{status} {body}: {document:?}");
        }
        for status in [400, 401, 403, 404, 413, 429] {
            assert!(matches!(bulk(status, "<html>", 1), Answer::Refused(_)), "{status}");
        }
    }

    #[test]
    fn pipelines_are_told() {
        let body = r#"{"took":1,"ingest_took":0,"errors":false,"items":[]}"#;
        assert_eq!(bulk(200, body, 0), Answer::Items { outcomes: vec![], pipeline_ran: true });
    }
}
