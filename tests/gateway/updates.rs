//! Updates: their replies are those of the primary, and what is refused has no effect.

use serde_json::json;
use understudy_tests::Stage;

use crate::twins::Twins;

/// A document with what filters treat differently.
const DOCUMENT: &str = r#"{"a": 1.5,
  "z":{"y":[], "x":{"w":1,"v":"2"}}, "e":{}, "l":[{}, {"q":1,"r":[2, 3]}, 4, [5, {"q":6}]], "n":null, "dot.ted":{"u":"7"}, "ü":"ä"}"#;

/// One update line and its body.
fn line(fields: &str, body: &str) -> String {
    format!("{{\"update\":{{{fields}}}}}\n{body}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_document_is_answered() {
    let stage = Stage::new("source filters");
    let gateway = stage.gateway().await;
    let twins = Twins::new(&stage, &gateway);
    twins.create_unread(&stage).await;
    twins.same(("PUT", "_doc/1", DOCUMENT), true).await;
    let nothing = "{\"doc\":{}}";
    for filter in [
        "_source=true",
        "_source",
        "_source=false",
        "_source=",
        "_source=True",
        "_source=false&_source_includes=a",
        "_source=a",
        "_source=a,,z.x",
        "_source=%20a",
        "_source=*.q",
        "_source=*",
        "_source=l*",
        "_source=l.q,z.y,e.x",
        "_source=e,n",
        "_source=z.*",
        "_source=z.x.",
        "_source=dot.ted.u",
        "_source=dot",
        "_source=%C3%BC",
        "_source=?",
        "_source=nothing",
        "_source_excludes=*",
        "_source_excludes=z.y,l.q",
        "_source_excludes=*.q",
        "_source_excludes=z.x.w",
        "_source_excludes=l",
        "_source_excludes=l.*",
        "_source_includes=z,l&_source_excludes=*.w,*.q",
        "_source_includes=l.q&_source_excludes=l",
        "_source=a&_source_includes=e&_source_excludes=",
    ] {
        // Elasticsearch writes what it filtered in an order of its own.
        let looks = matches!(filter, "_source=true" | "_source" | "_source=false" | "_source=");
        twins.same(("POST", &format!("_update/1?{filter}"), nothing), looks).await;
        twins.same(("POST", &format!("_update/1?{filter}&filter_path=get,result"), nothing), false).await;
        twins.same(("POST", &format!("_bulk?{filter}"), &line("\"_id\":\"1\"", nothing)), looks).await;
    }
    for source in [
        "true",
        "false",
        "\"a\"",
        "\"a,e\"",
        "\"*.w\"",
        "{\"includes\":[\"z\",\"l\"],\"excludes\":[\"*.q\"]}",
        "{\"include\":\"z\",\"exclude\":\"z.y\"}",
        "{\"includes\":[],\"excludes\":[]}",
        "{}",
        "null",
    ] {
        let own = format!("\"_id\":\"1\",\"_source\":{source}");
        twins.same(("POST", "_bulk", &line(&own, nothing)), false).await;
        twins.same(("POST", "_bulk?_source=e", &line(&own, nothing)), false).await;
        twins.same(("POST", "_bulk", &line(&own, "{\"_source\":\"n\",\"doc\":{}}")), false).await;
        let body = format!("{{\"doc\":{{\"n\":null}},\"_source\" : {source}}}");
        twins.same(("POST", "_update/1", &body), false).await;
        twins.same(("POST", "_update/1?_source=e", &body), false).await;
        twins.same(("POST", "_bulk", &line("\"_id\":\"1\"", &body)), false).await;
        twins.same(("POST", "_bulk?_source=e", &line("\"_id\":\"1\"", &body)), false).await;
    }
    let body = "{\"doc\":{},\"_source\":[\"a\",\"z.x\"]}";
    twins.same(("POST", "_update/1?_source=e", body), false).await;
    twins.same(("POST", "_bulk", &line("\"_id\":\"1\"", body)), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_updates_are_those_of_the_primary() {
    let stage = Stage::new("replies to updates");
    let gateway = stage.gateway().await;
    let twins = Twins::new(&stage, &gateway);
    twins.create_unread(&stage).await;
    let script = |source: &str, more: &str| format!("{{\"script\":{{\"source\":\"{source}\"}}{more}}}");
    let counted = script("ctx._source.n += 1", "");
    let none = script("ctx.op = \\\"none\\\"", "");
    let deletes = script("ctx.op = \\\"delete\\\"", "");
    let nothing_there = script("ctx.op = \\\"none\\\"", ",\"scripted_upsert\":true,\"upsert\":{\"n\":1}");
    let scripted = script("ctx._source.n += 5", ",\"scripted_upsert\":true,\"upsert\":{\"n\":1}");
    let mixed = [
        line("\"_id\":\"m\"", "{\"doc\":{\"n\":1},\"doc_as_upsert\":true}"),
        "{\"index\":{\"_id\":\"x\"}}\n{\"get\":{\"_source\":1}}\n".to_owned(),
        line("\"_id\":\"m\",\"_source\":true,\"retry_on_conflict\":3", &counted),
        "{\"delete\":{\"_id\":\"nowhere\"}}\n".to_owned(),
        line("\"_id\":\"m\",\"_source\":\"n\"", "{\"doc\":{\"n\":1.10,\"o\":1e3}}"),
        line("\"_id\":\"missing\"", "{\"doc\":{}}"),
        line("\"_id\":\"m\",\"if_seq_no\":0,\"if_primary_term\":1", "{\"doc\":{\"p\":1}}"),
        line("\"_id\":\"m\"", &deletes),
        "{\"create\":{\"_id\":\"x\"}}\n{}\n".to_owned(),
    ]
    .concat();
    for (path, body) in [
        ("_update/1?routing=r", "{\"doc\":{\"n\":1}}"),
        ("_update/1?routing=r&refresh=true", "{\"doc\":{\"n\":1},\"doc_as_upsert\":true}"),
        ("_update/1?routing=r&_source", "{\"doc\":{\"n\":1}}"),
        ("_update/1?routing=r&_source&pretty", "{\"doc\":{\"n\":1},\"detect_noop\":false}"),
        ("_update/1?routing=r", "{\"doc\":{\"n\":1}}"),
        ("_update/1?routing=r&filter_path=get,_seq_no&_source=n", "{\"doc\":{\"n\":2}}"),
        ("_update/2", "{\"doc\":{\"n\":1},\"upsert\":{\n\"n\": 5}}"),
        ("_update/2?_source", "{\"doc\":{\"n\":1.10,\"b\":123456789012},\"upsert\":{\"n\":5}}"),
        (
            "_update/big?_source&pretty",
            "{\"doc\":{\"n\":1e10,\"o\":123456789012345678901234567890},\"doc_as_upsert\":true}",
        ),
        ("_update/big?_source&filter_path=get._source", "{\"doc\":{\"n\":1}}"),
        ("_update/2?retry_on_conflict=3&timeout=5s&wait_for_active_shards=1", &counted),
        ("_update/2?_source", &none),
        ("_update/2", &none),
        ("_update/nowhere", &nothing_there),
        ("_update/nowhere?_source&pretty", &nothing_there),
        ("_update/3", &scripted),
        ("_update/3?_source", &scripted),
        ("_update/3?_source", &deletes),
        ("_update/4?doc_as_upsert=true", "{\"doc\":{\"n\":1}}"),
        ("_update/4?if_seq_no=777&if_primary_term=1", "{\"doc\":{\"n\":2}}"),
        ("_update/4", "{\"doc\":{\"n\":2} /* a comment */}"),
        ("_bulk", &line("\"_id\":\"nowhere\"", &nothing_there)),
        ("_bulk", &mixed),
        ("_bulk?_source=true", &mixed),
        ("_bulk?_source&pretty", &mixed),
        ("_bulk?filter_path=items.*.get._source,items.*.result&_source", &mixed),
    ] {
        let looks = !path.contains("_source=n") && path != "_bulk";
        twins.same(("POST", path, body), looks).await;
    }
    let (ours, theirs) = twins.documents().await;
    assert_eq!(ours, theirs);
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_primary_refuses_has_no_effect() {
    let stage = Stage::new("refused updates");
    let gateway = stage.gateway().await;
    let twins = Twins::new(&stage, &gateway);
    twins.create_unread(&stage).await;
    // An alias of two indices, of which none takes writes.
    for index in [&twins.ours, &twins.theirs] {
        let second = format!("{index}-second");
        stage.primary().put(&format!("/{second}"), "{}").await.expect(200);
        let add = |index: &str| json!({"add": {"index": index, "alias": format!("{}-alias", second)}});
        let actions = json!({"actions": [add(index), add(&second)]});
        stage.primary().post("/_aliases", actions.to_string()).await.expect(200);
    }
    twins.same(("PUT", "_doc/1", "{\"n\":1}"), true).await;
    let doc = "{\"doc\":{\"n\":2}}";
    for (path, body) in [
        ("_update/1", ""),
        ("_update/1", "{}"),
        ("_update/1", "[]"),
        ("_update/1", "{\"doc\":{\"n\":2},\"nonsense\":1}"),
        ("_update/1", "{\"doc\":{\"n\":2},\"script\":\"ctx._source.n = 2\"}"),
        ("_update/1", "{\"doc\":3}"),
        ("_update/1", "{\"doc\":{\"n\":2}"),
        ("_update/1", "{\"doc\":{\"n\":2},\"_source\":null}"),
        ("_update/1", "{\"doc\":{\"n\":2},\"_source\":3}"),
        ("_update/1", "{\"script\":{\"source\":\"this is no script\"}}"),
        ("_update/1", "{\"script\":{\"source\":\"ctx._source.x.y.z = 1\"}}"),
        ("_update/1", "{\"script\":{\"id\":\"unknown\"}}"),
        ("_update/1?retry_on_conflict=1&if_seq_no=0&if_primary_term=1", doc),
        ("_update/1?if_seq_no=0&if_primary_term=1&doc_as_upsert=true", doc),
        ("_update/1?version=3&version_type=external", doc),
        ("_update/1?version=3", doc),
        ("_update/1?lang=painless", doc),
        ("_update/1?require_alias=true", doc),
        ("_update/1?wait_for_active_shards=nonsense", doc),
        ("_update/missing", doc),
        ("_bulk", &line("\"_id\":\"1\"", "{}")),
        ("_bulk", &line("\"_id\":\"1\"", "{\"nonsense\":1}")),
        ("_bulk", &line("\"_id\":\"1\",\"version\":3", doc)),
        ("_bulk", &line("\"_id\":\"1\",\"version\":3,\"version_type\":\"external\"", doc)),
        ("_bulk", &line("\"_id\":\"1\",\"require_alias\":true", doc)),
        ("_bulk?require_alias=true", &line("\"_id\":\"1\"", doc)),
        ("_bulk", &line("\"_id\":\"1\"", "{\"doc\":{\"n\":2},\"_source\":3}")),
        ("_bulk", &line("\"_id\":\"1\"", "{\"script\":{\"source\":\"this is no script\"}}")),
        ("_bulk", &line("\"_id\":\"1\",\"if_seq_no\":9,\"if_primary_term\":1", doc)),
        ("../INDEX-second-alias/_update/1", doc),
        ("../INDEX-second-alias/_bulk", &line("\"_id\":\"1\"", doc)),
    ] {
        let path = path.to_owned();
        twins.same(("POST", &path, body), true).await;
    }
    // What the gateway refuses as the primary would: status and type are the same.
    let good = "{\"index\":{\"_id\":\"good\"}}\n{}\n";
    for (method, path, body, status, kind) in [
        ("POST", "_bulk", line("", doc), 400, "action_request_validation_exception"),
        ("POST", "_bulk", line("\"_id\":\"\"", doc), 400, "action_request_validation_exception"),
        ("POST", "_bulk", line("\"_id\":\"1\",\"_source\":[\"a\"]", doc), 400, "illegal_argument_exception"),
        ("POST", "_bulk", line("\"_id\":\"1\"", "{\"_source\":\"a\"} //"), 400, "illegal_argument_exception"),
        ("POST", "_bulk", line("\"_id\":\"1\",\"dynamic_templates\":{}", doc), 501, "not_replicated_exception"),
        ("POST", "_update/1", "{\"doc\":{},\"_source\":\"a\" /* c */}".to_owned(), 400, "illegal_argument_exception"),
        ("POST", "_update/1?pipeline=p", doc.to_owned(), 501, "not_replicated_exception"),
        ("POST", "_doc/1/_update", doc.to_owned(), 501, "not_replicated_exception"),
        ("PUT", "_update/1", doc.to_owned(), 405, "illegal_argument_exception"),
    ] {
        let body = if path == "_bulk" { format!("{good}{body}") } else { body };
        let call = stage.through(&gateway).request(method, &format!("/{}/{path}", twins.ours)).body(body.clone());
        let reply = call.reply().await.expect(status);
        assert_eq!(reply.error_type(), kind, "{path} {body}\n{reply}");
    }
    // While other tests move the cluster state, what was refused is looked at, and found as it was: the document unchanged, and
    // the missing one missing.
    let mut effects = crate::effects(&stage).await;
    effects.retain(|effect| effect["delete"]["_id"] != "missing");
    // What was observed says `external_gte` of the same version.
    for effect in &mut effects {
        for (_, action) in effect.as_object_mut().expect("an action").iter_mut() {
            action.as_object_mut().expect("its fields").remove("version_type");
        }
    }
    assert!(!effects.is_empty() && effects.iter().all(|effect| *effect == effects[0]), "{effects:?}");
    let (ours, theirs) = twins.documents().await;
    assert_eq!(ours, theirs);
    stage.wait_settled().await;
}
