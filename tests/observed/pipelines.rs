//! Ingest pipelines: of the request, of the index, and those that come and go.

use serde_json::json;

use crate::{lines, pipeline, source, stage};

#[tokio::test(flavor = "multi_thread")]
async fn what_pipelines_made_is_what_targets_get() {
    let stage = stage("what pipelines made");
    let mark = pipeline(&stage, "mark", json!([{"set": {"field": "by", "value": "request"}}])).await;
    let default = pipeline(&stage, "default", json!([{"set": {"field": "by", "value": "default"}}])).await;
    let last = pipeline(&stage, "last", json!([{"set": {"field": "last", "value": 1}}])).await;
    let (direct, plain, piped) = (stage.primary(), stage.index("plain"), stage.index("piped"));
    direct.put(&format!("/{plain}"), "{}").await.expect(200);
    let settings = json!({"settings": {"index.default_pipeline": default, "index.final_pipeline": last}});
    direct.put(&format!("/{piped}"), settings.to_string()).await.expect(200);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);
    through.put(&format!("/{plain}/_doc/1?pipeline={mark}"), "{}").await.expect(201);
    through.put(&format!("/{piped}/_doc/1"), "{}").await.expect(201);
    through.put(&format!("/{piped}/_doc/2?pipeline={mark}"), "{}").await.expect(201);
    let bulk = format!(
        "{{\"index\":{{\"_index\":\"{plain}\",\"_id\":\"2\",\"pipeline\":\"{mark}\"}}}}\n{{\"n\":1}}\n\
         {{\"index\":{{\"_index\":\"{piped}\",\"_id\":\"3\",\"pipeline\":\"_none\"}}}}\n{{\"n\":2}}\n\
         {{\"delete\":{{\"_index\":\"{piped}\",\"_id\":\"1\"}}}}\n\
         {{\"update\":{{\"_index\":\"{piped}\",\"_id\":\"4\"}}}}\n{{\"doc\":{{\"n\":3}},\"doc_as_upsert\":true}}\n"
    );
    let reply = through.post("/_bulk", bulk).await.expect(200).json();
    assert_eq!(reply["errors"], false, "{reply}");
    let drops = pipeline(&stage, "drops", json!([{"drop": {}}])).await;
    let reply = through.put(&format!("/{plain}/_doc/dropped?pipeline={drops}"), "{}").await.expect(200).json();
    assert_eq!(reply["result"], "noop");
    let bulk = "{\"index\":{\"_id\":\"dropped\"}}\n{}\n";
    through.post(&format!("/{plain}/_bulk?pipeline={drops}"), bulk).await.expect(200);
    for index in [&plain, &piped] {
        stage.assert_converges(index).await;
    }
    let backup = stage.backup();
    assert_eq!(source(&backup, &plain, "1").await, json!({"by": "request"}));
    assert_eq!(source(&backup, &plain, "2").await["by"], "request");
    assert_eq!(source(&backup, &piped, "2").await, json!({"by": "request", "last": 1}));
    assert_eq!(source(&backup, &piped, "3").await, json!({"n": 2, "last": 1}), "_none does not stop the final one");
    assert_eq!(source(&backup, &piped, "4").await["n"], 3);
    assert!(source(&backup, &piped, "1").await.is_null());
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_may_change_routing_id_and_index() {
    let stage = stage("a pipeline changes the address");
    let (index, other) = (stage.index("i"), stage.index("other"));
    let processors = json!([
        {"script": {"source": "ctx._routing = ctx.to; if (ctx.rename != null) { ctx._id = ctx.rename } if (ctx.index != null) { ctx._index = ctx.index }"}}
    ]);
    let moves = pipeline(&stage, "moves", processors).await;
    let settings = json!({"settings": {"index.number_of_shards": 4, "index.number_of_replicas": 0}}).to_string();
    for index in [&index, &other] {
        stage.primary().put(&format!("/{index}"), settings.clone()).await.expect(200);
    }
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);
    // A copy under its own routing is another document, and stays.
    through.put(&format!("/{index}/_doc/5"), "{\"to\":\"own\"}").await.expect(201);
    for n in 0..8 {
        let body = json!({"to": format!("r{n}"), "n": n}).to_string();
        through.put(&format!("/{index}/_doc/{n}?pipeline={moves}"), body).await;
    }
    let body = json!({"to": "r1", "rename": "renamed", "index": other}).to_string();
    through.put(&format!("/{index}/_doc/9?pipeline={moves}"), body).await.expect(201);
    stage.wait_settled().await;
    for index in [&index, &other] {
        stage.assert_converges(index).await;
    }
    let found = stage.backup().get(&format!("/{other}/_doc/renamed?routing=r1")).await.expect(200);
    assert_eq!(found.json()["_routing"], "r1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_a_write_creates_with_a_pipeline_is_observed() {
    let stage = stage("created with a pipeline");
    let mark = pipeline(&stage, "mark", json!([{"set": {"field": "by", "value": "template"}}])).await;
    let (name, pattern) = (stage.index("template"), stage.index("made-*"));
    let template = json!({"index_patterns": [pattern], "settings": {"index.default_pipeline": mark}}).to_string();
    stage.primary().put(&format!("/_template/{name}"), template).await.expect(200);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("made-1");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    assert_eq!(source(&stage.backup(), &index, "1").await["by"], "template");
    // The second look may find that the cluster state moved, and publish it once more.
    let lines = lines(&stage).await;
    assert!(!lines.is_empty() && lines.iter().all(|line| line == "{\"0\":{\"observed\":true}}"), "{lines:?}");
    stage.primary().delete(&format!("/_template/{name}")).await.expect(200);
    stage.wait_settled().await;
}
