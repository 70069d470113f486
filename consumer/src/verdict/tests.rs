use super::*;

const ONE: [Expected<'static>; 1] = [Expected { action: "index", index: "i", id: "7" }];
const DELETE: [Expected<'static>; 1] = [Expected { action: "delete", index: "i", id: "7" }];

fn item(action: &str, rest: &str) -> BulkVerdict {
    let body = format!("{{\"took\":1,\"items\":[{{\"{action}\":{{\"_index\":\"i\",\"_id\":\"7\",{rest}}}}}]}}");
    of_answer(StatusCode::OK, body.as_bytes(), if action == "delete" { &DELETE } else { &ONE })
}

fn failed(status: u16, kind: &str) -> Verdict {
    match item("index", &format!("\"status\":{status},\"error\":{{\"type\":\"{kind}\",\"reason\":\"r\"}}")) {
        BulkVerdict::Items(mut verdicts) => verdicts.remove(0),
        other => panic!("{other:?}"),
    }
}

fn reason(status: u16, kind: &str) -> Reason {
    Reason { status, kind: kind.into(), text: "r".into() }
}

#[test]
fn items() {
    let applied = BulkVerdict::Items(vec![Verdict::Applied]);
    assert_eq!(item("index", "\"status\":201,\"result\":\"created\",\"_version\":5"), applied);
    assert_eq!(item("delete", "\"status\":200,\"result\":\"deleted\""), applied);
    assert_eq!(item("delete", "\"status\":404,\"result\":\"not_found\",\"_seq_no\":3"), applied);
    assert_eq!(failed(409, "version_conflict_engine_exception"), Verdict::Superseded);
    assert_eq!(failed(404, "index_not_found_exception"), Verdict::IndexMissing);
    for (status, kind, overloaded) in [
        (429, "es_rejected_execution_exception", true),
        (429, "rejected_execution_exception", true),
        (429, "circuit_breaking_exception", true),
        (503, "circuit_breaking_exception", true),
        (503, "unavailable_shards_exception", false),
        (503, "cluster_block_exception", false),
        (500, "whatever", false),
        (408, "timeout", false),
        (302, "", false),
    ] {
        let Verdict::Retry { overloaded: said, lingers, .. } = failed(status, kind) else { panic!("{status} {kind}") };
        assert_eq!((said, lingers), (overloaded, !overloaded), "{status} {kind}");
    }
    for (status, kind) in [
        (403, "cluster_block_exception"),
        (403, "security_exception"),
        (401, "security_exception"),
        (400, "index_closed_exception"),
        (404, "something_new_exception"),
        (409, "something_new_exception"),
    ] {
        assert_eq!(failed(status, kind), Verdict::Blocked(reason(status, kind)));
    }
    for kind in ["mapper_parsing_exception", "strict_dynamic_mapping_exception", "illegal_argument_exception"] {
        assert_eq!(failed(400, kind), Verdict::Refused(reason(400, kind)));
    }
}

#[test]
fn a_success_with_an_error_is_none() {
    assert!(matches!(failed(200, "anything"), Verdict::Retry { .. }));
    assert!(
        matches!(item("index", "\"status\":404,\"result\":\"not_found\""), BulkVerdict::Items(v) if matches!(v[0], Verdict::Blocked(_)))
    );
}

#[test]
fn what_is_not_the_answer_to_this_bulk_is_unknown() {
    let one = "{\"index\":{\"_index\":\"i\",\"_id\":\"7\",\"status\":200}}";
    for body in [
        "".to_owned(),
        "<html>ok</html>".to_owned(),
        "{}".to_owned(),
        "{\"items\":[]}".to_owned(),
        format!("{{\"items\":[{one},{one}]}}"),
        format!("{{\"items\":[{one}"),
        "{\"items\":[{\"index\":{\"_index\":\"i\",\"_id\":\"8\",\"status\":200}}]}".to_owned(),
        "{\"items\":[{\"index\":{\"_index\":\"j\",\"_id\":\"7\",\"status\":200}}]}".to_owned(),
        "{\"items\":[{\"delete\":{\"_index\":\"i\",\"_id\":\"7\",\"status\":200}}]}".to_owned(),
        "{\"items\":[{\"index\":{\"_index\":\"i\",\"_id\":\"7\"}}]}".to_owned(),
    ] {
        let verdict = of_answer(StatusCode::OK, body.as_bytes(), &ONE);
        assert!(matches!(verdict, BulkVerdict::Unknown(_)), "{body}: {verdict:?}");
    }
}

#[test]
fn whole_answers() {
    let error = br#"{"error":{"type":"t","reason":"r"},"status":400}"#;
    let of = |status: u16, body: &[u8]| of_answer(StatusCode::from_u16(status).unwrap(), body, &ONE);
    assert_eq!(of(400, error), BulkVerdict::Refused(reason(400, "t")));
    assert!(matches!(of(400, b"<html>bad request</html>"), BulkVerdict::Unknown(_)));
    assert!(matches!(of(413, b""), BulkVerdict::TooLarge(reason) if reason.kind == "too_large"));
    assert!(matches!(of(502, b"<html>"), BulkVerdict::Unknown(reason) if reason.kind == "http_502"));
    assert!(matches!(of(401, error), BulkVerdict::Blocked(_)));
    assert!(matches!(of(403, b"<html>"), BulkVerdict::Blocked(_)));
    assert!(matches!(of(429, b""), BulkVerdict::Overloaded(_)));
    for status in [201, 301, 404, 405, 408, 500, 502, 503, 504] {
        assert!(matches!(of(status, error), BulkVerdict::Unknown(_)), "{status}");
    }
}

#[test]
fn what_was_not_sent_is_told_apart_from_what_was_not_answered() {
    let (cluster, reason) = ("backup".to_owned(), "r".to_owned());
    let refused = CallError::NotSent { cluster: cluster.clone(), reason: reason.clone() };
    assert!(matches!(of_silence(&refused), BulkVerdict::NotSent(_)));
    assert!(matches!(of_silence(&CallError::Unanswered { cluster, reason }), BulkVerdict::Unknown(_)));
}
