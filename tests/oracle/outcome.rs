//! What an answer says of each document of its request. What it does not say outright is unknown.

use serde_json::Value;

use crate::ledger::{Outcome, Written};

/// The refusals of a gateway with 503: nothing was written anywhere.
const NOTHING_WRITTEN: [&str; 2] = ["replication_unavailable_exception", "primary_unavailable_exception"];

/// Reads an answer to a request of so many documents: status and body, or why there is none.
pub fn read(answer: Result<(u16, &[u8]), &str>, bulk: bool, items: usize) -> Vec<Outcome> {
    let all = |outcome: Outcome| vec![outcome; items];
    let (status, body) = match answer {
        // Nobody listened, so that not a byte was sent.
        Err(error) if error.contains("(Connect)") => return all(Outcome::Refused(format!("not sent: {error}"))),
        Err(error) => return all(Outcome::Unknown(error.to_owned())),
        Ok(answer) => answer,
    };
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return all(Outcome::Unknown(format!("{status}, and no JSON")));
    };
    if let Some(outcomes) = documents(status, &body, bulk, items) {
        return outcomes;
    }
    let error = &body["error"];
    let kind = error["type"].as_str().unwrap_or("no error type");
    match status {
        501 => all(Outcome::Refused(format!("501 {kind}"))),
        503 if NOTHING_WRITTEN.contains(&kind) => all(Outcome::Refused(format!("503 {kind}"))),
        400..=499 => all(Outcome::Refused(format!("{status} {kind}"))),
        _ => {
            let inside = &error["primary_reply"];
            let told = u16::try_from(inside["status"].as_u64().unwrap_or_default()).unwrap_or_default();
            let told = documents(told, &inside["body"], bulk, items).unwrap_or_default();
            let unknown = || Outcome::Unknown(format!("{status} {kind}"));
            (0..items)
                .map(|place| match told.get(place) {
                    Some(Outcome::Acknowledged(written)) => Outcome::Pending(written.clone()),
                    _ => unknown(),
                })
                .collect()
        }
    }
}

/// The outcomes in an answer that speaks of documents and not of the request as a whole.
fn documents(status: u16, body: &Value, bulk: bool, items: usize) -> Option<Vec<Outcome>> {
    if !bulk {
        return written(body).map(|written| vec![Outcome::Acknowledged(written)]);
    }
    let told = body["items"].as_array().filter(|told| status == 200 && told.len() == items)?;
    Some(told.iter().map(item).collect())
}

fn item(item: &Value) -> Outcome {
    let Some(result) = item.as_object().and_then(|item| item.values().next()) else {
        return Outcome::Unknown(format!("an item that says nothing: {item}"));
    };
    if let Some(written) = written(result) {
        return Outcome::Acknowledged(written);
    }
    let kind = result["error"]["type"].as_str().unwrap_or("no error type");
    match result["status"].as_u64() {
        Some(status @ 400..=499) => Outcome::Refused(format!("{status} {kind}")),
        status => Outcome::Unknown(format!("{} {kind}", status.unwrap_or_default())),
    }
}

fn written(result: &Value) -> Option<Written> {
    Some(Written {
        index: result["_index"].as_str()?.to_owned(),
        id: result["_id"].as_str()?.to_owned(),
        result: result["result"].as_str()?.to_owned(),
        term: result["_primary_term"].as_u64()?,
        seq_no: result["_seq_no"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &str = r#"{"_index":"i","_id":"1","result":"created","_seq_no":3,"_primary_term":1}"#;

    fn one(status: u16, body: &str) -> Outcome {
        read(Ok((status, body.as_bytes())), false, 1).remove(0)
    }

    fn done() -> Written {
        Written { index: "i".into(), id: "1".into(), result: "created".into(), term: 1, seq_no: 3 }
    }

    #[test]
    fn what_an_answer_does_not_say_outright_is_unknown() {
        assert_eq!(one(201, DONE), Outcome::Acknowledged(done()));
        assert_eq!(one(404, &DONE.replace("created", "not_found")).written().unwrap().result, "not_found");
        let error = |kind: &str| format!(r#"{{"error":{{"type":"{kind}"}}}}"#);
        for (status, kind) in [(409, "version_conflict_engine_exception"), (501, "not_replicated_exception")] {
            assert!(matches!(one(status, &error(kind)), Outcome::Refused(_)), "{kind}");
        }
        assert!(matches!(one(503, &error("replication_unavailable_exception")), Outcome::Refused(_)));
        for (status, kind) in [(503, "unavailable_shards_exception"), (500, "outcome_unknown_exception"), (504, "x")] {
            assert!(matches!(one(status, &error(kind)), Outcome::Unknown(_)), "{kind}");
        }
        assert!(matches!(one(200, "<html>"), Outcome::Unknown(_)));
        assert!(matches!(one(200, "{}"), Outcome::Unknown(_)));
    }

    #[test]
    fn a_connection_that_was_never_there_carried_nothing() {
        let read = |error| read(Err(error), false, 1).remove(0);
        assert!(matches!(read("client error (Connect): tcp connect error"), Outcome::Refused(_)));
        assert!(matches!(read("connection closed before message completed"), Outcome::Unknown(_)));
        assert!(matches!(read("no answer within 5s"), Outcome::Unknown(_)));
    }

    #[test]
    fn a_pending_write_is_known_by_the_primarys_reply_inside() {
        let pending = format!(
            r#"{{"error":{{"type":"replication_pending_exception","primary_reply":{{"status":201,"body":{DONE}}}}}}}"#
        );
        assert_eq!(one(500, &pending), Outcome::Pending(done()));
    }

    #[test]
    fn items_are_told_one_by_one() {
        let conflict = r#"{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}"#;
        let failed = r#"{"index":{"status":503,"error":{"type":"unavailable_shards_exception"}}}"#;
        let bulk = format!(r#"{{"items":[{{"index":{DONE}}},{conflict},{failed}]}}"#);
        let read = |items| read(Ok((200, bulk.as_bytes())), true, items);
        assert_eq!(read(3)[0], Outcome::Acknowledged(done()));
        assert!(matches!(read(3)[1], Outcome::Refused(_)));
        assert!(matches!(read(3)[2], Outcome::Unknown(_)));
        assert!(read(2).iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "an item too many");
    }
}
