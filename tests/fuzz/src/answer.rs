//! The primary's answer to a write: nothing counts as done that the JSON does not say.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value;
use understudy_gateway::write::{
    answer::{Answer, Done, Outcome},
    plan::AnswerShape,
};

use crate::{input::Input, unambiguous::unambiguous};

const STATUSES: [u16; 16] = [200, 201, 404, 409, 400, 429, 503, 500, 408, 204, 301, 401, 403, 502, 207, 413];

/// The first byte chooses the shape and the status, the second the number of items; the rest is the body.
///
/// # Panics
/// When something does not hold that must.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let status = StatusCode::from_u16(STATUSES[usize::from(choice >> 1) % STATUSES.len()]).expect("a status");
    let shape = if choice & 1 == 0 { AnswerShape::Bulk } else { AnswerShape::Document };
    let items = usize::from(input.byte()) % 8;
    let body = Bytes::copy_from_slice(input.rest());
    let answer = Answer::read(shape, status, &body, items);
    // What is passed over may be more than a `Value` takes: bytes that are no text, numbers that no f64 holds.
    let said = unambiguous(&body);
    match &answer {
        Answer::Refused(told) => {
            assert_eq!(*told, status);
            assert!(status.is_client_error() && status != 408, "{status} says nothing of what was done");
        }
        Answer::Unknown(reason) => assert!(!reason.is_empty()),
        Answer::Items { outcomes, .. } if shape == AnswerShape::Bulk => {
            assert_eq!((status.as_u16(), outcomes.len()), (200, items));
            let Some(said) = said else { return };
            let said = said["items"].as_array().expect("items");
            assert_eq!(said.len(), items);
            for (outcome, said) in outcomes.iter().zip(said) {
                let item = said.as_object().and_then(|item| item.values().next_back()).expect("an item");
                one(outcome, item, item["status"].as_u64());
            }
        }
        Answer::Items { outcomes, .. } => {
            assert_eq!(outcomes.len(), 1);
            let Some(said) = said else { return };
            one(&outcomes[0], &said, Some(u64::from(status.as_u16())));
        }
    }
}

fn one(outcome: &Outcome, said: &Value, status: Option<u64>) {
    let status = status.unwrap_or(0);
    match outcome {
        Outcome::Done(done) => {
            assert!((200..300).contains(&status) || status == 404, "done with {status}: {said}");
            is_said(done, said);
        }
        Outcome::Conflict => assert_eq!(status, 409, "{said}"),
        Outcome::Refused { status: told, .. } => {
            assert_eq!(u64::from(*told), status);
            assert!((400..500).contains(&status) && status != 408, "refused with {status}: {said}");
        }
        Outcome::Unrouted => assert!(status == 400 && said["error"]["type"] == "routing_missing_exception", "{said}"),
        Outcome::NothingThere => assert!(status == 200 && said["result"] == "noop", "{said}"),
        Outcome::Unknown(_) => {}
    }
}

fn is_said(done: &Done, said: &Value) {
    assert_eq!(said["_index"], &*done.index, "{said}");
    assert_eq!(said["_id"], &*done.id, "{said}");
    assert_eq!(said["result"], &*done.result, "{said}");
    assert_eq!(said["_seq_no"], done.seq_no, "{said}");
    assert_eq!(said["_primary_term"], done.primary_term, "{said}");
    if let Some(source) = &done.source {
        assert!(!source.iter().any(|byte| b"\r\n".contains(byte)), "a source is one line");
        let source: Value = serde_json::from_slice(source).expect("JSON");
        assert_eq!(said["get"]["_source"], source, "{said}");
        assert_ne!(said["get"]["found"], false, "{said}");
    }
}
