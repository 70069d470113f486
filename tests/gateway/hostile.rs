//! What finds its way round: aliases outside of the placement, ids that are words of the API, two gateways that disagree,
//! clients that announce and do not send.

use std::time::Duration;

use serde_json::json;
use understudy_common::{document::DocumentKey, shard::ShardLayout};
use understudy_tests::{RawConnection, Stage, eventually};

/// With `unplaced_writes = "pass"` nothing outside leads into the placement unreplicated.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_outside_of_the_placement_leads_nowhere() {
    let stage = Stage::new("aliases lead nowhere").set("unplaced_writes", "pass");
    let gateway = stage.gateway().await;
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    let (inside, outside) = (stage.index("inside"), format!("outside-{}", stage.index("x")));
    direct
        .put(&format!("/{inside}"), json!({"aliases": {format!("alias-{outside}"): {}}}).to_string())
        .await
        .expect(200);
    // What is outside passes, and is not replicated.
    through.put(&format!("/{outside}/_doc/1"), "{}").await.expect(201);
    assert!(crate::effects(&stage).await.is_empty());
    // What leads inside is refused.
    through.put(&format!("/alias-{outside}/_doc/1"), "{}").await.expect(501);
    let bulk = format!("{{\"index\":{{\"_index\":\"alias-{outside}\"}}}}\n{{}}\n");
    through.post("/_bulk", bulk).await.expect(501);
    let mixed =
        format!("{{\"index\":{{\"_index\":\"{outside}\"}}}}\n{{}}\n{{\"index\":{{\"_index\":\"{inside}\"}}}}\n{{}}\n");
    through.post("/_bulk", mixed).await.expect(501);
    direct.post(&format!("/{inside}/_refresh"), "").await.expect(200);
    assert_eq!(direct.get(&format!("/{inside}/_count")).await.json()["count"], 0);
    direct.delete(&format!("/{outside}")).await.expect(200);
}

/// An id stays an id, whatever it spells.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_words_of_the_api_stay_ids() {
    let stage = Stage::new("ids stay ids");
    let gateway = stage.gateway().await;
    let (direct, through, index) = (stage.primary(), stage.through(&gateway), stage.index("i"));
    // A mapping that grew would leave intents to the reconciler.
    through.put(&format!("/{index}"), "{\"mappings\":{\"dynamic\":false}}").await.expect(200);
    through.put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    for id in ["_bulk", "_search", "_mapping", "..", "a/../b", "_doc?x=1", "%", "ü 😀"] {
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = through.put(&format!("/{index}/_doc/{encoded}"), "{\"delete\":{\"_id\":\"1\"}}").await.expect(201);
        assert_eq!(reply.json()["_id"], id);
    }
    direct.get(&format!("/{index}/_doc/1")).await.expect(200);
    assert_eq!(crate::effects(&stage).await.len(), 9);
    stage.wait_settled().await;
}

/// Shards are computed as the servers compute them.
#[tokio::test(flavor = "multi_thread")]
async fn the_shard_of_a_document_is_that_of_the_cluster() {
    let stage = Stage::new("the shard of a document");
    let (direct, index) = (stage.primary(), stage.index("i"));
    let body = json!({"settings": {"number_of_shards": 5, "number_of_replicas": 0}}).to_string();
    direct.put(&format!("/{index}"), body).await.expect(200);
    let path = format!("/_cluster/state/metadata/{index}?filter_path=metadata.indices.*.routing_num_shards");
    let state = direct.get(&path).await.expect(200).json();
    let routing = state["metadata"]["indices"][&index]["routing_num_shards"].as_u64().expect("a number");
    let layout = ShardLayout { number: 5, routing: u32::try_from(routing).expect("it fits"), partition: 1 };
    for n in 0..60 {
        let id = format!("{n}-ü😀{}", "x".repeat(n % 7));
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let shards = direct.get(&format!("/{index}/_search_shards?routing={encoded}")).await.expect(200).json();
        let key = DocumentKey { index: index.as_str().into(), id: id.as_str().into(), routing: None };
        assert_eq!(shards["shards"][0][0]["shard"], layout.shard_of(&key), "{id}");
    }
}

/// Two gateways that start at once and disagree about roles: at most one takes writes.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_that_disagree_one_is_closed() {
    for round in 0..3 {
        let stage = Stage::new(&format!("gateways that disagree {round}"));
        let swapped = std::fs::read_to_string(stage.config()).expect("the configuration");
        let swapped = swapped
            .replace("primary = \"primary\"", "primary = \"BACKUP\"")
            .replace("targets = [\"backup\"]", "targets = [\"primary\"]")
            .replace("BACKUP", "backup");
        let one = stage.gateway_that_answers();
        let two = async {
            let path = stage.folder().join("swapped.toml");
            std::fs::write(&path, swapped).expect("it can be written");
            stage.gateway_with(&path).await
        };
        let (one, two) = tokio::join!(one, two);
        let open =
            async || one.metric("understudy_writes_open", &[]).await + two.metric("understudy_writes_open", &[]).await;
        eventually(Duration::from_secs(30), "one is open", async || open().await > 0.0).await;
        let disagrees = async || [one.log(), two.log()].iter().any(|log| log.contains("roles live in Kafka"));
        eventually(Duration::from_secs(30), "the other says why", disagrees).await;
        assert_eq!(open().await, 1.0);
    }
}

/// Who announces a large body and sends none takes nothing from those who send.
#[tokio::test(flavor = "multi_thread")]
async fn announced_bodies_take_nothing() {
    let stage = Stage::new("announced bodies")
        .set("gateway.max_body_bytes", "50MiB")
        .set("gateway.max_bytes_in_flight", "60MiB");
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    let head = format!(
        "PUT /{index}/_doc/slow HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50000000\r\n\r\n"
    );
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut connection = RawConnection::open(gateway.address()).await;
        connection.send(&head).await.expect("it is taken");
        silent.push(connection);
    }
    let large = json!({"text": "x".repeat(8 << 20)}).to_string();
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), large).await.expect(201);
}

/// A client that sends everything before it reads gets its answer all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_client_that_sends_to_the_end() {
    let stage = Stage::new("refusals arrive");
    let gateway = stage.gateway().await;
    let body = "x".repeat(20 << 20);
    for path in ["/i/_update_by_query", "/_reindex", "/outside/_doc/1"] {
        let mut connection = RawConnection::open(gateway.address()).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.send(&head).await.expect("the head is taken");
        connection.send(&body).await.expect("the body is taken to its end");
        let answer = connection.read_head(Duration::from_secs(10)).await;
        assert!(answer.starts_with("HTTP/1.1 501") || answer.starts_with("HTTP/1.1 415"), "{answer}");
    }
}
