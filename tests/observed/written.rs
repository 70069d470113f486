//! Updates, aliases and large results: what the primary made of them is on the backup.

use serde_json::json;

use crate::{lines, source, stage};

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_every_kind_reach_the_backup() {
    let stage = stage("updates of every kind");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let update = async |id: &str, body: serde_json::Value| {
        through.post(&format!("/{index}/_update/{id}"), body.to_string()).await.status
    };
    through.put(&format!("/{index}/_doc/1?routing=r"), "{\"n\": 1.10, \"list\": [1]}").await.expect(201);
    // With one shard an update finds the document under any routing, and the document keeps its own.
    assert_eq!(update("1", json!({"doc": {"more": {"a": 1}}})).await, 200);
    assert_eq!(update("1", json!({"doc": {"more": {"a": 1}}})).await, 200, "a noop");
    assert_eq!(update("2", json!({"script": "ctx._source.n = 1", "upsert": {"n": 0}})).await, 201);
    assert_eq!(update("2", json!({"script": "ctx._source.n += 1"})).await, 200);
    assert_eq!(update("3", json!({"doc": {"n": 1}, "doc_as_upsert": true})).await, 201);
    assert_eq!(
        update("4", json!({"scripted_upsert": true, "script": "ctx._source.by = 'script'", "upsert": {}})).await,
        201
    );
    assert_eq!(update("3", json!({"script": "ctx.op = 'delete'"})).await, 200);
    assert_eq!(update("4", json!({"script": "ctx.op = 'none'"})).await, 200);
    assert_eq!(update("5", json!({"scripted_upsert": true, "script": "ctx.op = 'none'", "upsert": {}})).await, 200);
    assert_eq!(update("6", json!({"doc": {}})).await, 404);
    assert_eq!(update("2", json!({"script": "throw new Exception()"})).await, 400);
    assert_eq!(update("2", json!({"nonsense": 1})).await, 400);
    assert_eq!(update("2", json!({})).await, 400);
    let bulk = format!(
        "{{\"update\":{{\"_index\":\"{index}\",\"_id\":\"1\",\"routing\":\"other\"}}}}\n{{\"doc\":{{\"bulk\":true}}}}\n\
         {{\"update\":{{\"_index\":\"{index}\",\"_id\":\"2\",\"retry_on_conflict\":2}}}}\n{{\"script\":\"ctx._source.n += 1\",\"_source\":true}}\n\
         {{\"update\":{{\"_index\":\"{index}\",\"_id\":\"7\"}}}}\n{{\"doc\":{{}}}}\n\
         {{\"delete\":{{\"_index\":\"{index}\",\"_id\":\"4\"}}}}\n"
    );
    let reply = through.post("/_bulk", bulk).await.expect(200).json();
    let statuses: Vec<u64> = reply["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_object().unwrap().values().next().unwrap()["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 200, 404, 200], "{reply}");
    stage.assert_converges(&index).await;
    let backup = stage.backup();
    let one = backup.get(&format!("/{index}/_doc/1?routing=r")).await.expect(200).json();
    assert_eq!(one["_routing"], "r");
    assert_eq!(source(&backup, &index, "2").await, json!({"n": 2}));
    assert!(source(&backup, &index, "3").await.is_null());
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_does_not_fit_into_the_log_becomes_a_reference() {
    let stage = stage("a large result").set("kafka.max_message_bytes", "1MiB");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let text = "x".repeat(600_000);
    through.put(&format!("/{index}/_doc/1"), json!({"a": text}).to_string()).await.expect(201);
    let grow = json!({"doc": {"b": text}}).to_string();
    through.post(&format!("/{index}/_update/1"), grow).await.expect(200);
    stage.assert_converges(&index).await;
    assert!(lines(&stage).await.contains(&"{\"0\":{\"reference\":true}}".to_owned()), "{:?}", lines(&stage).await);
    assert_eq!(gateway.metric("understudy_effects_published_total", &[("kind", "reference")]).await, 1.0);
    assert_eq!(source(&stage.backup(), &index, "1").await["b"].as_str().map(str::len), Some(text.len()));
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_through_aliases_reach_the_indices_behind_them() {
    let stage = stage("writes through aliases");
    let (one, two) = (stage.index("one"), stage.index("two"));
    let (write, routed, none) = (stage.index("write"), stage.index("routed"), stage.index("none"));
    let settings = json!({"settings": {"index.number_of_shards": 3, "index.number_of_replicas": 0}}).to_string();
    for index in [&one, &two] {
        stage.primary().put(&format!("/{index}"), settings.clone()).await.expect(200);
    }
    let actions = async |actions: serde_json::Value| {
        stage.primary().post("/_aliases", json!({"actions": actions}).to_string()).await.expect(200);
    };
    actions(json!([
        {"add": {"index": one, "alias": write, "is_write_index": true}},
        {"add": {"index": two, "alias": write}},
        {"add": {"index": one, "alias": routed, "routing": "r", "filter": {"term": {"n": 1}}}},
        {"add": {"index": one, "alias": none}},
        {"add": {"index": two, "alias": none}},
    ]))
    .await;
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);
    let reply = through.put(&format!("/{write}/_doc/1"), "{\"n\":1}").await.expect(201).json();
    assert_eq!(reply["_index"], one);
    through.put(&format!("/{routed}/_doc/2"), "{\"n\":2}").await.expect(201);
    through.post(&format!("/{routed}/_update/2"), "{\"doc\":{\"m\":1}}").await.expect(200);
    through.put(&format!("/{write}/_doc/3?require_alias=true"), "{}").await.expect(201);
    through.put(&format!("/{one}/_doc/4?require_alias=true"), "{}").await.expect(404);
    through.put(&format!("/{none}/_doc/5"), "{}").await.expect(400);
    let bulk = format!(
        "{{\"index\":{{\"_index\":\"{write}\",\"_id\":\"6\"}}}}\n{{}}\n{{\"index\":{{\"_index\":\"{none}\",\"_id\":\"7\"}}}}\n{{}}\n\
         {{\"delete\":{{\"_index\":\"{write}\",\"_id\":\"1\"}}}}\n{{\"update\":{{\"_index\":\"{routed}\",\"_id\":\"8\"}}}}\n{{\"doc\":{{}},\"doc_as_upsert\":true}}\n"
    );
    let reply = through.post("/_bulk", bulk).await.expect(200).json();
    assert_eq!(reply["items"][1]["index"]["status"], 400, "{reply}");
    // The alias turns to the other index.
    actions(json!([
        {"add": {"index": one, "alias": write, "is_write_index": false}},
        {"add": {"index": two, "alias": write, "is_write_index": true}},
    ]))
    .await;
    let reply = through.put(&format!("/{write}/_doc/9"), "{}").await.expect(201).json();
    assert_eq!(reply["_index"], two);
    for index in [&one, &two] {
        stage.assert_converges(index).await;
    }
    let found = stage.backup().get(&format!("/{one}/_doc/2?routing=r")).await.expect(200).json();
    assert_eq!((&found["_routing"], &found["_source"]), (&json!("r"), &json!({"n": 2, "m": 1})));
    stage.backup().get(&format!("/{two}/_doc/9")).await.expect(200);
    stage.wait_settled().await;
}
