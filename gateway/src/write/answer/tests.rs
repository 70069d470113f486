//! What answers of a primary mean.

use super::*;

/// Answers point into their bodies.
fn kept(body: &str) -> &'static Bytes {
    Box::leak(Box::new(Bytes::copy_from_slice(body.as_bytes())))
}

fn bulk(status: u16, body: &str, items: usize) -> Answer<'static> {
    Answer::read(AnswerShape::Bulk, StatusCode::from_u16(status).unwrap(), kept(body), items)
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
fn what_a_pipeline_refused_was_not_written() {
    for kind in ["fail_processor_exception", "ingest_processor_exception"] {
        let item = format!(
            "{{\"index\":{{\"_index\":\"i\",\"_id\":\"1\",\"status\":500,\"error\":{{\"type\":\"{kind}\"}}}}}}"
        );
        let body = format!("{{\"took\":1,\"ingest_took\":0,\"errors\":true,\"items\":[{item}]}}");
        let outcomes = vec![Outcome::Refused { status: 500, by_state: false }];
        assert_eq!(bulk(200, &body, 1), Answer::Items { outcomes: outcomes.clone(), pipeline_ran: true });
        let body = Bytes::from(format!("{{\"error\":{{\"type\":\"{kind}\",\"reason\":\"no\"}},\"status\":500}}"));
        let whole = Answer::read(AnswerShape::Document, StatusCode::INTERNAL_SERVER_ERROR, &body, 1);
        assert_eq!(whole, Answer::Items { outcomes, pipeline_ran: false });
    }
    let other = r#"{"error":{"type":"null_pointer_exception"},"status":500}"#;
    let other = Answer::read(AnswerShape::Document, StatusCode::INTERNAL_SERVER_ERROR, kept(other), 1);
    assert!(matches!(other, Answer::Unknown(_)), "{other:?}");
}

#[test]
fn updates_tell_what_they_left() {
    let body = concat!(
        "{\"took\":1,\"errors\":true,\"items\":[",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"1\",\"result\":\"updated\",\"_seq_no\":7,\"_primary_term\":2,",
        "\"get\":{\"_seq_no\":7,\"_primary_term\":2,\"found\":true,\"_source\":{\"a\": 1.10,\r\n \"b\":\"x\\ny\"}},\"status\":200}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"2\",\"result\":\"noop\",\"_seq_no\":3,\"_primary_term\":2,",
        "\"get\":{\"_seq_no\":3,\"_primary_term\":2,\"found\":true,\"_source\":{\"n\":1e3}},\"status\":200}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"3\",\"result\":\"deleted\",\"_seq_no\":8,\"_primary_term\":2,",
        "\"get\":{\"_seq_no\":8,\"found\":true},\"status\":200}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"4\",\"_version\":-1,\"result\":\"noop\",\"get\":{\"found\":false},\"status\":200}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"5\",\"status\":404,\"error\":{\"type\":\"document_missing_exception\"}}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"6\",\"status\":404,\"error\":{\"type\":\"index_not_found_exception\"}}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"7\",\"result\":\"updated\",\"_seq_no\":7,\"_primary_term\":2,",
        "\"get\":{\"_seq_no\":6,\"found\":true,\"_source\":{}},\"status\":200}},",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"8\",\"result\":\"noop\",\"status\":200}},",
        "{\"index\":{\"_index\":null,\"_id\":null,\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\"}}}]}"
    );
    let Answer::Items { outcomes, .. } = bulk(200, body, 9) else { panic!("items") };
    let source = |place: usize| match &outcomes[place] {
        Outcome::Done(done) => done.source.as_deref().map(|source| str::from_utf8(source).unwrap()),
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(source(0), Some(r#"{"a": 1.10,   "b":"x\ny"}"#));
    assert_eq!(source(1), Some(r#"{"n":1e3}"#));
    assert_eq!((source(2), source(6)), (None, None), "a source of another moment is none");
    assert_eq!(outcomes[3], Outcome::NothingThere);
    assert_eq!(outcomes[4], Outcome::Refused { status: 404, by_state: false });
    assert_eq!(outcomes[5], Outcome::Refused { status: 404, by_state: true });
    assert!(matches!(outcomes[7], Outcome::NothingThere));
    assert_eq!(outcomes[8], Outcome::Refused { status: 400, by_state: false });
}

#[test]
fn a_single_update_tells_what_it_left() {
    let read = |status: u16, body: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        match Answer::read(AnswerShape::Document, status, kept(body), 1) {
            Answer::Items { mut outcomes, .. } => outcomes.remove(0),
            answer => Outcome::Unknown(format!("{answer:?}")),
        }
    };
    let done = r#"{"_index":"i","_id":"1","result":"created","_seq_no":0,"_primary_term":1,"get":{"_seq_no":0,"found":true,"_source":{"a":1}}}"#;
    assert!(matches!(read(201, done), Outcome::Done(done) if done.source.as_deref() == Some(&b"{\"a\":1}"[..])));
    let none = r#"{"_index":"i","_id":"1","_version":-1,"result":"noop","get":{"found":false}}"#;
    assert_eq!(read(200, none), Outcome::NothingThere);
    let missing = r#"{"error":{"root_cause":[],"type":"document_missing_exception","reason":"r"},"status":404}"#;
    assert_eq!(read(404, missing), Outcome::Refused { status: 404, by_state: false });
    let unrouted = r#"{"error":{"type":"routing_missing_exception","reason":"routing is required for [i]/[_doc]/[2]"},"status":400}"#;
    assert_eq!(read(400, unrouted), Outcome::Unrouted);
    let found_nothing = r#"{"_index":"i","_id":"1","result":"not_found","_seq_no":8,"_primary_term":2}"#;
    assert!(matches!(read(404, found_nothing), Outcome::Done(_)));
    assert_eq!(read(404, "{}"), Outcome::Refused { status: 404, by_state: true });
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
        let document = Answer::read(AnswerShape::Document, StatusCode::from_u16(status).unwrap(), kept(body), 1);
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
