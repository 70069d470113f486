//! Bad input, and what is not replicated yet: a clear error, and nothing written anywhere.

use serde_json::json;
use understudy_tests::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replicated_is_refused_and_writes_nothing() {
    let stage = Stage::new("refusals write nothing");
    let gateway = stage.gateway().await;
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    let index = stage.index("plain");
    direct.put(&format!("/{index}"), "{}").await.expect(200);

    let good = "{\"index\":{\"_id\":\"good\"}}\n{}\n";
    let bulk = |more: &str| format!("{good}{more}\n");
    let not_replicated = "not_replicated_exception";
    let illegal = "illegal_argument_exception";
    let cases: Vec<(&str, String, String, u16, &str)> = vec![
        ("POST", format!("/{index}/_doc/1/_update"), "{\"doc\":{}}".into(), 501, not_replicated),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{\"_type\":\"t\"}}\n{}"), 501, not_replicated),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{\"op_type\":\"create\"}}\n{}"), 501, not_replicated),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{\"dynamic_templates\":{}}}\n{}"), 501, not_replicated),
        (
            "POST",
            format!("/{index}/_bulk"),
            bulk("{\"update\":{\"_id\":\"1\",\"lang\":\"x\"}}\n{\"doc\":{}}"),
            501,
            not_replicated,
        ),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{\"_index\":\"outside\"}}\n{}"), 501, not_replicated),
        ("POST", format!("/{index}/_bulk?list_executed_pipelines=true"), good.into(), 501, not_replicated),
        ("PUT", format!("/{index}/_doc/1?fields=a"), "{}".into(), 501, not_replicated),
        ("POST", format!("/{index}/_update/1?pipeline=p"), "{\"doc\":{}}".into(), 501, not_replicated),
        ("POST", format!("/{index}/_update/_x"), "{\"doc\":{}}".into(), 501, not_replicated),
        ("POST", format!("/{index}/_update"), "{\"doc\":{}}".into(), 501, not_replicated),
        ("PUT", "/outside/_doc/1".into(), "{}".into(), 501, not_replicated),
        ("PUT", format!("/{index}/sometype/1"), "{}".into(), 501, not_replicated),
        ("DELETE", format!("/{index}"), String::new(), 501, not_replicated),
        ("POST", format!("/{index}/_delete_by_query"), "{\"query\":{\"match_all\":{}}}".into(), 501, not_replicated),
        ("POST", "/_aliases".into(), "{\"actions\":[]}".into(), 501, not_replicated),
        ("PUT", "/_template/t".into(), "{}".into(), 501, not_replicated),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{}"), 400, illegal),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{}\n{}"), 400, illegal),
        ("POST", format!("/{index}/_bulk"), bulk("{\"upsert\":{}}\n{}"), 400, illegal),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{}}"), 400, illegal),
        ("POST", format!("/{index}/_bulk"), bulk("{\"index\":{}}\n{}").trim_end().into(), 400, illegal),
        ("POST", format!("/{index}/_bulk"), "\n".into(), 400, illegal),
        ("PUT", format!("/{index}/_doc/1;x?a=1;b=2"), "{}".into(), 400, illegal),
        ("PUT", format!("/{index}/_doc/1"), "{ // comment\n \"a\": 1}".into(), 400, illegal),
        ("PUT", format!("/{index},other/_doc/1"), "{}".into(), 400, illegal),
    ];
    let not_known = cases.iter().filter(|case| case.3 == 501).count();
    for (method, path, body, status, kind) in cases {
        let mut call = through.request(method, &path);
        if !body.is_empty() {
            call = call.body(body.clone());
        }
        let reply = call.reply().await;
        assert!(
            reply.status == status && reply.error_type() == kind,
            "{status} {kind} was expected for {body}\n{reply}"
        );
        let error = &reply.json()["error"];
        assert_eq!(error["root_cause"][0]["type"], kind, "Elasticsearch's shape");
        assert!(error["reason"].as_str().unwrap().len() > 20, "{reply}");
        if path.ends_with("_bulk") && body.lines().count() > 2 && !body.contains("outside") {
            assert!(error["reason"].as_str().unwrap().contains("line "), "{reply}");
        }
    }
    assert!(crate::effects(&stage).await.is_empty());
    direct.post(&format!("/{index}/_refresh"), "").await.expect(200);
    let count = direct.get(&format!("/{index}/_count")).await.expect(200);
    assert_eq!(count.json()["count"], 0);
    assert_eq!(direct.request("HEAD", "/outside").reply().await.status, 404);
    stage.wait_settled().await;
    let counted = gateway.metric("understudy_refusals_total", &[("reason", not_replicated)]).await;
    assert_eq!(counted, not_known as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_are_refused() {
    let stage = Stage::new("other formats are refused");
    let gateway = stage.gateway().await;
    let through = stage.through(&gateway);
    let index = stage.index("formats");
    let path = format!("/{index}/_doc/1");
    for content_type in [
        "application/smile",
        "application/cbor",
        "application/yaml",
        "application/vnd.elasticsearch+cbor",
        "text/plain",
    ] {
        through.request("PUT", &path).header("content-type", content_type).body("{}").reply().await.expect(415);
    }
    for accept in ["application/smile", "application/cbor", "application/yaml"] {
        through.request("PUT", &path).header("accept", accept).body("{}").reply().await.expect(406);
    }
    through.put(&format!("{path}?format=yaml"), "{}").await.expect(406);
    let brotli = through.request("PUT", &path).header("content-encoding", "br").body("{}");
    brotli.reply().await.expect(415);
    let broken = through.request("PUT", &path).header("content-encoding", "gzip").body("{}");
    broken.reply().await.expect(400);
    assert_eq!(stage.primary().get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_before_anything_is_written() {
    let stage = Stage::new("too large is refused")
        .set("gateway.max_body_bytes", "2MiB")
        .set("gateway.max_bytes_in_flight", "5MiB")
        .set("kafka.max_message_bytes", "1MiB");
    let gateway = stage.gateway().await;
    let through = stage.through(&gateway);
    let index = stage.index("large");
    let document = |bytes: usize| json!({"text": "x".repeat(bytes)}).to_string();
    // Too large for a body, for a record, and for a record after decompression.
    let reply = through.put(&format!("/{index}/_doc/1"), document(3 << 20)).await.expect(413);
    assert!(reply.text().contains("gateway.max_body_bytes"), "{reply}");
    // A connection whose body was not read to its end is closed.
    let through = stage.through(&gateway);
    let reply = through.put(&format!("/{index}/_doc/1"), document(1 << 20)).await.expect(413);
    assert!(reply.text().contains("kafka.max_message_bytes"), "{reply}");
    let two =
        format!("{{\"index\":{{\"_id\":\"0\"}}}}\n{{}}\n{{\"index\":{{\"_id\":\"1\"}}}}\n{}\n", document(1 << 20));
    let reply = through.post(&format!("/{index}/_bulk"), two).await.expect(413);
    assert!(reply.text().contains("line 3"), "{reply}");
    // A list of documents that fits into no intent, though each document fits into a record.
    let many: String = (0..15_000).map(|n| format!("{{\"delete\":{{\"_id\":\"{n:070}\"}}}}\n")).collect();
    let reply = through.post(&format!("/{index}/_bulk"), many).await.expect(413);
    assert!(reply.text().contains("split the bulk"), "{reply}");
    assert_eq!(stage.primary().request("HEAD", &format!("/{index}")).reply().await.status, 404);
    assert!(crate::effects(&stage).await.is_empty());
    // What fits is taken afterwards, so nothing of the budget was lost.
    for _ in 0..5 {
        through.put(&format!("/{index}/_doc/1"), document(900 << 10)).await;
    }
    through.put(&format!("/{index}/_doc/1"), document(900 << 10)).await.expect(200);
    assert_eq!(gateway.metric("understudy_bytes_in_flight", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_fits_the_budget_is_413() {
    let stage =
        Stage::new("never fits").set("gateway.max_body_bytes", "1MiB").set("gateway.max_bytes_in_flight", "1MiB");
    let gateway = stage.gateway().await;
    let index = stage.index("busy");
    // With the copy that records need, this is more than the whole budget.
    let large = json!({"text": "x".repeat(700 << 10)}).to_string();
    let reply = stage.through(&gateway).put(&format!("/{index}/_doc/1"), large).await.expect(413);
    assert_eq!(reply.error_type(), "content_too_large_exception");
    assert_eq!(reply.header("retry-after"), "", "it would be refused again");
    assert!(reply.text().contains("gateway.max_bytes_in_flight"), "{reply}");
    assert_eq!(stage.primary().request("HEAD", &format!("/{index}")).reply().await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_an_index_and_extending_its_mapping_are_published() {
    let stage = Stage::new("index creation is published");
    let gateway = stage.gateway().await;
    let through = stage.through(&gateway);
    let index = stage.index("made");
    let create = json!({"settings": {"number_of_shards": 2}, "mappings": {"properties": {"a": {"type": "keyword"}}}});
    through.put(&format!("/{index}"), create.to_string()).await.expect(200);
    through.put(&format!("/{index}"), create.to_string()).await.expect(400);
    let extend = json!({"properties": {"b": {"type": "date"}}}).to_string();
    through.put(&format!("/{index}/_mapping"), extend).await.expect(200);
    let schemas: Vec<serde_json::Value> = stage
        .records("schema")
        .await
        .iter()
        .map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(schemas.len(), 2);
    assert_eq!(schemas[0]["settings"]["index.number_of_shards"], "2");
    assert_eq!(schemas[1]["mappings"]["properties"]["a"]["type"], "keyword");
    assert_eq!(schemas[1]["mappings"]["properties"]["b"]["type"], "date");
    assert!(schemas[1]["mapping_version"].as_u64() > schemas[0]["mapping_version"].as_u64());
    through.put("/outside-of-it", "{}").await.expect(501);
}
