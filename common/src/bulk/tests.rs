use proptest::prelude::*;

use super::*;

fn parse_str(body: &str) -> Result<Vec<Operation>, BulkError> {
    parse(&Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn mixed_operations_with_windows_line_breaks_and_blank_lines() {
    let operations = parse_str(concat!(
        "{\"index\":{\"_index\":\"a\",\"_id\":1.0,\"routing\":\"r\"}}\r\n{\"x\": 1.10}\r\n\n",
        "{\"delete\":{\"_id\":\"2\",\"if_seq_no\":3,\"if_primary_term\":1}}\n",
        "{ \"create\" : {} }\n{}\n",
    ))
    .unwrap();
    assert_eq!(operations.len(), 3);
    assert_eq!(operations[0].fields.id.as_deref(), Some("1.0"));
    assert_eq!(operations[0].fields.routing.as_deref(), Some("r"));
    assert_eq!(operations[0].source.as_deref(), Some(&b"{\"x\": 1.10}"[..]));
    assert_eq!((operations[1].action, operations[1].line), (Action::Delete, 4));
    assert_eq!(operations[1].fields.if_seq_no.as_deref(), Some("3"));
    assert_eq!(operations[2].fields, ActionFields::default());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (body, said) in [
        ("", "request body is required"),
        ("\n\n", "no requests added"),
        ("{\"index\":{}}\n{}", "line 2: the bulk request must be terminated by a newline [\\n]"),
        ("{\"delete\":{}}\n{\"index\":{}}\n", "line 2: the source of this [index] action is missing"),
        ("{\"index\":{}}\n\n{\"index\":{}}\n{}\n", "line 1: the source of this [index] action is missing"),
        ("{\"index\":{}\n{}\n", "line 1: malformed action/metadata line: EOF while parsing an object (column 11)"),
        (
            "{\"upsert\":{}}\n{}\n",
            "line 1: malformed action/metadata line: unknown action [upsert], expected one of [create, delete, index, update]",
        ),
        ("{\"index\":{\"_id\":{}}}\n{}\n", "field [_id] must be a string or a number"),
        ("{\"index\":{\"_id\":1,\"_id\":2}}\n{}\n", "field [_id] stands twice"),
        ("{\"index\":{},\"delete\":{}}\n{}\n", "a second field [delete] after the action"),
        ("{}\n", "found an empty object"),
        ("[]\n", "expected an object with one action"),
        ("{\"index\":{}} {}\n{}\n", "trailing characters"),
    ] {
        let error = parse_str(body).expect_err(body).to_string();
        assert!(error.contains(said), "{body:?}: {error:?}");
    }
}

#[test]
fn an_action_line_is_text_also_where_nobody_reads_it() {
    let body = Bytes::from_static(b"{\"delete\":{\"_id\":\"1\",\"other\":\"\xd0\xd0\"}}\n");
    let error = parse(&body).unwrap_err().to_string();
    assert!(error.starts_with("line 1: malformed action/metadata line: invalid utf-8"), "{error}");
}

#[test]
fn fields_that_no_effect_has_are_named() {
    let line = "{\"update\":{\"pipeline\":\"p\",\"_id\":\"1\",\"require_alias\":true,\"_source\": { \"includes\":\"a\"} }}\n{}\n";
    let fields = parse_str(line).unwrap().remove(0).fields;
    assert_eq!(fields.others, ["pipeline", "require_alias", "_source"]);
    assert_eq!(fields.pipeline.as_deref(), Some("p"));
    assert_eq!(fields.asked_source.as_deref(), Some("{ \"includes\":\"a\"}"));
    let fields = parse_str("{\"update\":{\"pipeline\":null,\"_source\":null}}\n{}\n").unwrap().remove(0).fields;
    assert_eq!((fields.pipeline, fields.asked_source), (None, None));
}

#[test]
fn versions_are_what_external_versions_may_be() {
    let version = |value: &str| {
        let parsed = parse_str(&format!("{{\"index\":{{\"version\":{value}}}}}\n{{}}\n"))?;
        Ok::<_, BulkError>(parsed[0].fields.version)
    };
    for (value, wanted) in
        [("0", Some(0)), ("9223372036854775807", Some(i64::MAX as u64)), ("\"8\"", Some(8)), ("null", None)]
    {
        assert_eq!(version(value), Ok(wanted), "{value}");
    }
    for value in ["9223372036854775808", "-1", "8.5", "1e3", "true", "\"x\"", "\"\"", "[1]"] {
        assert!(version(value).unwrap_err().to_string().contains("[version]"), "{value}");
    }
    assert!(version("1,\"version\":2").unwrap_err().to_string().contains("stands twice"));
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&Bytes::from(body));
    }

    #[test]
    fn never_panics_on_what_looks_like_a_bulk(
        body in "(\\{\"(index|delete|create|x)\":\\{(\"_id\":(\"a\"|1|null|\\[\\]))?\\}?\\}\r?\n|\\{\\}\n|\n){0,12}"
    ) {
        let _ = parse(&Bytes::from(body));
    }

    /// Whatever a source holds, short of a line break, comes out byte for byte.
    #[test]
    fn keeps_every_byte_of_sources(sources in prop::collection::vec("\\{[^\n\r]{0,60}\\}", 1..8), crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let body: String = sources.iter().map(|source| format!("{{\"index\":{{}}}}{end}{source}{end}")).collect();
        let operations = parse(&Bytes::from(body)).unwrap();
        let kept: Vec<&[u8]> = operations.iter().map(|operation| operation.source.as_deref().unwrap()).collect();
        prop_assert_eq!(kept, sources.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}
