//! What becomes of one standby: servers stay up.

use serde_json::json;
use understudy_tests::{Servers, Stage};

use crate::{shows, status};

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_ready_and_without_consumers() {
    let _servers = Servers::take().await;
    let stage = Stage::new("status of a standby").set("status.max_lag", "1s");
    let (_, text) = shows(&stage, &[], 1, &["not_begun"]).await;
    assert!(text.contains("NOT READY: backup: replication has not begun"), "{text}");

    let (gateway, mut consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    let (report, text) = shows(&stage, &[&gateway, &consumer], 0, &[]).await;
    for (path, wanted) in [
        ("/result", json!("ready")),
        ("/standbys/0/target", json!("backup")),
        ("/kafka/begun", json!(true)),
        ("/placements/0/primary", json!("primary")),
        ("/placements/0/epoch", json!(1)),
        ("/placements/0/targets/0/consumers/0", json!("consumer-1")),
        ("/placements/0/targets/0/dead_letters", json!(0)),
        ("/clusters/0/seen/versions/0", json!("Elasticsearch 7.10.2")),
        ("/processes/0/seen/kind", json!("gateway")),
        ("/processes/0/seen/takes_writes", json!(true)),
        ("/processes/1/seen/kind", json!("consumer")),
        ("/processes/1/seen/partitions", json!(3)),
    ] {
        assert_eq!(report.pointer(path), Some(&wanted), "{path} of {report:#}");
    }
    assert!(text.starts_with("READY: backup can go on stage") && text.contains("ready, takes writes"), "{text}");

    consumer.stop().await;
    through.put(&format!("/{index}/_doc/2"), "{}").await.expect(201);
    // Of what is equally bad none is worse.
    let (_, text) = shows(&stage, &[&gateway], 1, &["behind", "no_consumer"]).await;
    assert!(text.contains("understudy-consumer --config"), "{text}");
    let (report, _) = shows(&stage, &[&gateway, &consumer], 1, &["behind", "no_consumer", "process_unreachable"]).await;
    assert!(report["placements"][0]["targets"][0]["lag"]["records"].as_u64() > Some(0), "{report:#}");
    consumer.restart().await;
    shows(&stage, &[&gateway, &consumer], 0, &[]).await;

    let said = status(&stage, &[], &["--target", "nobody"]).await;
    assert_eq!(said.code, Some(64), "{}", said.err);
    assert!(said.err.contains("--target: must be one of backup"), "{}", said.err);
}

/// What a consumer meets alone knows: a record of a later version stops its partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_stopped() {
    let _servers = Servers::take().await;
    let stage = Stage::new("status of a stopped partition").set("status.max_lag", "1h");
    let (_gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    shows(&stage, &[&consumer], 0, &[]).await;
    stage.append("target.backup", "i/1", b"{}", &[("understudy-format", "99")]).await;
    let (_, text) = shows(&stage, &[&consumer], 1, &["stopped"]).await;
    assert!(text.contains("1 partition of backup stopped (newer)") && text.contains("1 STOPPED"), "{text}");
    // Without its admin port nobody knows, and lag is within its limit.
    shows(&stage, &[], 0, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_missing_on_the_standby_until_somebody_decides() {
    let _servers = Servers::take().await;
    let stage = Stage::new("status with dead letters").set("kafka.partitions", 1);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let body = json!({"mappings": {"properties": {"o": {"type": "object", "dynamic": false}}}}).to_string();
    through.put(&format!("/{index}"), body).await.expect(200);
    through.put(&format!("/{index}/_doc/1"), "{\"o\":{}}").await.expect(201);
    stage.assert_converges(&index).await;
    let mapping = json!({"properties": {"o": {"properties": {"x": {"type": "long"}}}}}).to_string();
    stage.backup().put(&format!("/{index}/_mapping"), mapping).await.expect(200);
    for id in ["2", "3"] {
        through.put(&format!("/{index}/_doc/{id}"), "{\"o\":{\"x\":\"no number\"}}").await.expect(201);
    }
    let (report, text) = shows(&stage, &[], 1, &["dead_letters"]).await;
    assert_eq!(report["placements"][0]["targets"][0]["dead_letters"], json!(2));
    assert!(text.contains("understudy dead-letters list --config"), "{text}");
    let dropped = stage.run("understudy", &["dead-letters", "drop", "--all", "--yes"]).await;
    assert!(dropped.status.success(), "{dropped:?}");
    shows(&stage, &[], 0, &[]).await;
}

/// A gateway stands still in the middle of a write: nobody has settled it.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_nobody_has_settled() {
    let _servers = Servers::take().await;
    let stage = Stage::new("status of an open intent").set("protocol.linger", "20s");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.wait_settled().await;
    stage.freeze_after_the_answer(&gateway, &format!("/{index}/_doc/2"), "{}").await;
    let (report, text) = shows(&stage, &[], 0, &[]).await;
    assert_eq!(report["intents"]["open"], json!(1), "{report:#}");
    assert!(text.contains("unsettled writes  1, the oldest for "), "{text}");
    let (_, text) = shows(&stage, &[&gateway], 0, &["process_unreachable"]).await;
    assert!(text.contains("DOES NOT ANSWER"), "{text}");
    gateway.thaw();
    stage.wait_settled().await;
    let (report, _) = shows(&stage, &[&gateway], 0, &[]).await;
    assert_eq!(report["intents"]["open"], json!(0), "{report:#}");
}
