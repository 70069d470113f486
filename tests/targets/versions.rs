//! Every row of the table of tested versions (`common/src/servers.rs`): as a target of Elasticsearch 7.10, and as its
//! primary.

use serde_json::json;
use understudy_tests::{Beside, Http, Stage};

use crate::alone;

/// A mapping that every version takes as it stands, also those that are distributed without modules.
fn mapping() -> serde_json::Value {
    json!({
        "_routing": {"required": false},
        "properties": {
            "text": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 64}}},
            "at": {"type": "date", "format": "strict_date_optional_time||epoch_millis||yyyy-MM-dd HH:mm:ss"},
            "place": {"type": "geo_point"}, "address": {"type": "ip"}, "price": {"type": "double"},
            "parts": {"type": "nested", "properties": {"n": {"type": "integer"}}},
            "raw": {"type": "object", "enabled": false}, "range": {"type": "long_range"}, "flag": {"type": "boolean"},
        },
    })
}

/// All kinds of writes, through a gateway.
async fn write_everything(through: &Http, index: &str, settings: serde_json::Value) {
    let body = json!({"settings": settings, "mappings": mapping()}).to_string();
    through.put(&format!("/{index}"), body).await.expect(200);
    let bulk = [
        r#"{"index":{"_id":"1"}}"#,
        r#"{"text":"Grüße","at":"2026-11-22 10:00:00","place":{"lat":1.10,"lon":2},"address":"::1","price":1.10}"#,
        r#"{"create":{"_id":"2","routing":"r"}}"#,
        r#"{"parts":[{"n":1},{"n":2}],"raw":{"any":[1,"x",null]},"range":{"gte":1,"lt":9},"flag":true}"#,
        r#"{"index":{"_id":"3","routing":"s"}}"#,
        r#"{"at":1700000000000}"#,
        r#"{"index":{"_id":"gone"}}"#,
        r#"{"n":1}"#,
        r#"{"update":{"_id":"1"}}"#,
        r#"{"doc":{"text":"changed","grown":{"later":"2026-11-22","n":1.5}}}"#,
        r#"{"update":{"_id":"new"}}"#,
        r#"{"doc":{"n":2},"doc_as_upsert":true}"#,
        r#"{"delete":{"_id":"gone"}}"#,
        r#"{"delete":{"_id":"never"}}"#,
        r#"{"create":{"_id":"1"}}"#,
        r#"{"text":"a conflict"}"#,
    ]
    .join("\n");
    let answer = through.post(&format!("/{index}/_bulk"), format!("{bulk}\n")).await.expect(200).json();
    let statuses: Vec<_> =
        answer["items"].as_array().into_iter().flatten().map(|item| item.as_object().unwrap()).collect();
    let statuses: Vec<_> = statuses.iter().flat_map(|item| item.values().map(|item| item["status"].clone())).collect();
    assert_eq!(statuses, [201, 201, 201, 201, 200, 201, 200, 404, 409].map(|status| json!(status)), "{answer}");
    // Fields that nobody mapped before, by documents and by hand.
    through.put(&format!("/{index}/_doc/mapped"), r#"{"dynamic":{"a":1,"b":"x","c":true}}"#).await.expect(201);
    let extend = json!({"properties": {"late": {"type": "keyword"}}}).to_string();
    through.put(&format!("/{index}/_mapping"), extend).await.expect(200);
    through.put(&format!("/{index}/_doc/late"), r#"{"late":"k"}"#).await.expect(201);
    through.post(&format!("/{index}/_update/late"), r#"{"doc":{"late":"l"}}"#).await.expect(200);
    let large = format!("{{\"text\":\"{}\"}}", "word ".repeat(700_000));
    through.put(&format!("/{index}/_doc/large"), large).await.expect(201);
}

/// Versions of a client's own, which the target keeps.
async fn versions_of_clients(stage: &Stage, through: &Http, index: &str) {
    for (id, version) in [("1", 7), ("1", 9), ("2", 1)] {
        let path = format!("/{index}/_doc/{id}?version={version}&version_type=external");
        let status = through.put(&path, json!({"n": version}).to_string()).await.status;
        assert!(matches!(status, 200 | 201), "{path}: {status}");
    }
    through.put(&format!("/{index}/_doc/1?version=8&version_type=external"), r#"{"n":8}"#).await.expect(409);
    through.delete(&format!("/{index}/_doc/2?version=2&version_type=external")).await.expect(200);
    stage.wait_drained().await;
    for cluster in [stage.primary(), stage.backup()] {
        let document = cluster.get(&format!("/{index}/_doc/1")).await.expect(200).json();
        assert_eq!((&document["_version"], &document["_source"]["n"]), (&json!(9), &json!(9)), "{}", cluster.base());
        cluster.get(&format!("/{index}/_doc/2")).await.expect(404);
    }
}

async fn smoke(kind: &str) {
    let _alone = alone().await;
    let other = Beside::cluster(kind).await;
    let stage = Stage::new(&format!("target {kind}")).with_cluster("backup", &other.address());
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    // Newer versions do not know the last one.
    let settings = json!({"number_of_shards": 2, "number_of_replicas": 0, "refresh_interval": "5s",
        "analysis": {"analyzer": {"default": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}},
        "index.max_adjacency_matrix_filters": 50});
    write_everything(&through, &index, settings).await;
    stage.assert_converges(&index).await;
    versions_of_clients(&stage, &through, &stage.index("versions")).await;
    assert!(stage.records("dead.backup").await.is_empty());
    assert_eq!(consumer.metric("understudy_target_untested_version", &[]).await, 0.0);
    let shown = stage.backup().get(&format!("/{index}/_settings?flat_settings=true")).await.json();
    let knows = shown[&index]["settings"].get("index.max_adjacency_matrix_filters").is_some();
    assert_eq!(knows, !kind.starts_with("elasticsearch-8"), "{shown}");
    assert_eq!(consumer.log().contains("does not know were left out"), !knows);
    let verify = stage.run("understudy", &["verify", "--json", "--settle", "1s"]).await;
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    drop((gateway, consumer));

    // The other way round.
    let stage = Stage::new(&format!("primary {kind}")).with_cluster("primary", &other.address());
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    write_everything(&through, &index, json!({"number_of_shards": 2, "number_of_replicas": 0})).await;
    stage.assert_converges(&index).await;
    versions_of_clients(&stage, &through, &stage.index("versions")).await;
    stage.wait_settled().await;
    assert_eq!(gateway.metric("understudy_primary_untested_version", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_7_17() {
    smoke("elasticsearch-7.17").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_8_19() {
    smoke("elasticsearch-8.19").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opensearch_2_19() {
    smoke("opensearch-2.19").await;
}
