//! Servers that die, one test after another.

use std::time::{Duration, Instant};

use serde_json::json;
use understudy_tests::{Http, Servers, Stage, eventually};

const SOON: Duration = Duration::from_secs(60);

async fn status(cluster: &Http, path: &str) -> u16 {
    cluster.get(path).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_down_refuses_before_anything_is_written() {
    let servers = Servers::take().await;
    let stage = Stage::new("kafka down");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, primary, index) = (stage.through(&gateway), stage.primary(), stage.index("i"));
    through.put(&format!("/{index}/_doc/before"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    assert_eq!(gateway.metric("understudy_kafka_up", &[]).await, 1.0);
    servers.kill("kafka").await;
    for id in ["down-1", "down-2"] {
        let begun = Instant::now();
        let reply = through.put(&format!("/{index}/_doc/{id}"), "{}").await.expect(503);
        assert_eq!(reply.error_type(), "replication_unavailable_exception");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(status(&primary, &format!("/{index}/_doc/{id}")).await, 404);
    }
    for process in [&gateway, &consumer] {
        let told = async || process.metric("understudy_kafka_up", &[]).await == 0.0;
        eventually(SOON, "processes say that Kafka is down", told).await;
    }
    // Reads go on, and the gateway stays behind its load balancer.
    through.get(&format!("/{index}/_doc/before")).await.expect(200);
    gateway.admin().get("/readyz").await.expect(200);
    let change = json!({"properties": {"x": {"type": "ip"}}}).to_string();
    through.put(&format!("/{index}/_mapping"), change).await.expect(503);
    servers.start("kafka").await;
    let again = async || through.put(&format!("/{index}/_doc/after"), "{}").await.status == 201;
    eventually(SOON, "writes are taken again", again).await;
    assert_eq!(gateway.metric("understudy_kafka_up", &[]).await, 1.0);
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
    for id in ["down-1", "down-2"] {
        assert_eq!(status(&primary, &format!("/{index}/_doc/{id}")).await, 404, "nothing arrives later");
    }
}

/// Brokers that stand still are worse than dead ones: nobody says that they are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_kafka_refuses_within_three_seconds() {
    let servers = Servers::take().await;
    let stage = Stage::new("kafka frozen");
    let gateway = stage.gateway().await;
    let (through, primary, index) = (stage.through(&gateway), stage.primary(), stage.index("i"));
    through.put(&format!("/{index}/_doc/before"), "{}").await.expect(201);
    servers.freeze("kafka");
    let begun = Instant::now();
    let reply = through.put(&format!("/{index}/_doc/frozen"), "{}").await.expect(503);
    assert_eq!(reply.error_type(), "replication_unavailable_exception");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(status(&primary, &format!("/{index}/_doc/frozen")).await, 404);
    assert_eq!(gateway.metric("understudy_publish_failures_total", &[("record", "ticket")]).await, 1.0);
    servers.thaw("kafka");
    let again = async || through.put(&format!("/{index}/_doc/after"), "{}").await.status == 201;
    eventually(SOON, "writes are taken again", again).await;
    // The intent may have arrived after all; its tombstone follows it.
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_down_refuses_and_writes_nothing_anywhere() {
    let servers = Servers::take().await;
    let stage = Stage::new("primary down");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/before"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    stage.wait_settled().await;
    servers.kill("primary").await;
    let reply = through.put(&format!("/{index}/_doc/down"), "{}").await.expect(503);
    assert_eq!(reply.error_type(), "primary_unavailable_exception");
    let bulk = through.post(&format!("/{index}/_bulk"), "{\"index\":{}}\n{}\n").await;
    assert_eq!(bulk.expect(503).error_type(), "primary_unavailable_exception");
    gateway.admin().get("/readyz").await.expect(200);
    // A gateway and a consumer start while it is down.
    let another = stage.gateway_that_answers().await;
    stage.through(&another).put(&format!("/{index}/_doc/down"), "{}").await.expect(503);
    stage.wait_settled().await;
    servers.start("primary").await;
    let again = async || through.put(&format!("/{index}/_doc/after"), "{}").await.status == 201;
    eventually(SOON, "writes are taken again", again).await;
    stage.assert_converges(&index).await;
    for cluster in [stage.primary(), stage.backup()] {
        assert_eq!(status(&cluster, &format!("/{index}/_doc/down")).await, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_away_catches_up() {
    let servers = Servers::take().await;
    let stage = Stage::new("backup away");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/before"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    servers.kill("backup").await;
    for id in 0..100 {
        through.put(&format!("/{index}/_doc/{id}"), json!({"n": id}).to_string()).await.expect(201);
        if id % 3 == 0 {
            through.delete(&format!("/{index}/_doc/{id}")).await.expect(200);
        }
    }
    let lags = async || {
        let metrics = consumer.metrics().await;
        metrics.sum("understudy_lag_records", &[]) > 100.0
            && metrics.max("understudy_lag_seconds", &[("target", "backup")]) > 2.0
            && metrics.sum("understudy_target_up", &[]) == 0.0
    };
    eventually(SOON, "the lag grows, in records and seconds", lags).await;
    consumer.admin().get("/readyz").await.expect(200);
    assert!(stage.lag().await > 100);
    servers.start("backup").await;
    stage.wait_drained_within(Duration::from_secs(90)).await;
    stage.assert_equal(&index).await;
    let none = async || consumer.metrics().await.max("understudy_lag_seconds", &[]) == 0.0;
    eventually(SOON, "no lag", none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_be_started_anew() {
    let servers = Servers::take().await;
    let stage = Stage::new("restart of everything");
    let (mut gateway, mut consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    let bulk: String = (0..300).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
    stage.through(&gateway).post(&format!("/{index}/_bulk"), bulk.clone()).await.expect(200);
    gateway.kill();
    consumer.kill();
    servers.kill("backup").await;
    servers.kill("primary").await;
    servers.kill("kafka").await;
    for server in ["kafka", "primary", "backup"] {
        servers.start(server).await;
    }
    consumer.restart().await;
    gateway.restart().await;
    let through = stage.through(&gateway);
    let again = async || through.post(&format!("/{index}/_bulk"), bulk.clone()).await.status == 200;
    eventually(SOON, "writes are taken again", again).await;
    stage.wait_drained_within(Duration::from_secs(90)).await;
    stage.assert_equal(&index).await;
}

/// A consumer starts while Kafka and its target are down, and works once they are there.
#[tokio::test(flavor = "multi_thread")]
async fn processes_start_before_their_servers() {
    let servers = Servers::take().await;
    let stage = Stage::new("processes come first");
    servers.stop("kafka").await;
    servers.stop("backup").await;
    let gateway = stage.gateway_that_answers().await;
    let _consumer = stage.consumer().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(503);
    servers.start("kafka").await;
    let taken = async || through.put(&format!("/{index}/_doc/1"), "{}").await.status == 201;
    eventually(SOON, "writes are taken", taken).await;
    servers.start("backup").await;
    stage.wait_drained_within(Duration::from_secs(90)).await;
    stage.assert_equal(&index).await;
}

/// A gateway stops between the primary's answer and the publish, the document is deleted meanwhile, and the backup's node is
/// restarted, which forgets deletes. What the gateway publishes when it goes on changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_effect_resurrects_nothing_on_a_backup_that_was_restarted() {
    let servers = Servers::take().await;
    let stage = Stage::new("late effect, backup restarted")
        .set("protocol.ticket_lifetime", "12s")
        .set("protocol.clock_skew", "1s")
        .set("protocol.linger", "4s")
        .set("gateway.primary_timeout", "5s")
        .set("gateway.publish_timeout", "4s")
        .set("consumer.reconcile_after", "1s");
    let (frozen, other) = (stage.gateway().await, stage.gateway().await);
    let _consumer = stage.consumer().await;
    let (index, through, backup) = (stage.index("i"), stage.through(&other), stage.backup());
    let path = format!("/{index}/_doc/1");
    through.put(&format!("/{index}/_doc/other"), "{}").await.expect(201);
    stage.freeze_after_the_answer(&frozen, &path, "{\"old\":true}").await;
    let stopped = tokio::time::Instant::now();
    let there = async || status(&backup, &path).await == 200;
    eventually(SOON, "the reconciler brings what the stopped gateway had written", there).await;
    through.delete(&path).await.expect(200);
    stage.wait_drained().await;
    servers.kill("backup").await;
    servers.start("backup").await;
    // Until its ticket is worth nothing any more.
    tokio::time::sleep_until(stopped + Duration::from_secs(13)).await;
    frozen.thaw();
    let reopened = async || frozen.metric("understudy_intents_reopened_total", &[]).await == 1.0;
    eventually(SOON, "the late write opens another intent", reopened).await;
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
    assert_eq!(status(&backup, &path).await, 404, "a deleted document stays deleted");
}
