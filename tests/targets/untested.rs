//! What was not tested is not written, unless the configuration says so.

use understudy_tests::{Fake, FakeAnswer, FakeRequest, Stage, eventually};

use crate::{SOON, alone};

/// One node has been upgraded already.
fn half_upgraded(request: &FakeRequest) -> FakeAnswer {
    if request.path.starts_with("/_nodes") {
        let nodes = r#"{"nodes":{"a":{"version":"7.10.2","build_flavor":"default"},"b":{"version":"9.3.0","build_flavor":"default"}}}"#;
        return FakeAnswer::json(200, nodes);
    }
    FakeAnswer::real()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_an_untested_version_takes_no_writes() {
    let _alone = alone().await;
    let stage = Stage::new("untested primary");
    let fake = Fake::before(stage.primary(), half_upgraded).await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway_that_answers().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let path = format!("/{index}/_doc/1");
    let refused = async || {
        let reply = through.put(&path, "{}").await;
        let said = reply.to_string();
        if reply.status == 503
            && reply.text().contains("Elasticsearch 9.3.0")
            && reply.text().contains("clusters.primary.allow_untested_version")
        {
            Ok(())
        } else {
            Err(said)
        }
    };
    eventually(SOON, "the reason is told", refused).await;
    assert_eq!(stage.primary().get(&path).await.status, 404, "nothing was written");
    assert_eq!(gateway.metric("understudy_primary_untested_version", &[]).await, 1.0);
    assert_eq!(gateway.metric("understudy_writes_open", &[]).await, 0.0);
    assert!(gateway.log().contains("Elasticsearch 9.3.0"));
    through.get("/").await.expect(200);
    // The node goes back, and another one is upgraded while the gateway runs.
    fake.now(|_| FakeAnswer::real());
    let taken = async || through.put(&path, "{}").await.status == 201;
    eventually(SOON, "writes are taken", taken).await;
    fake.now(half_upgraded);
    eventually(SOON, "writes are refused again", refused).await;
    fake.now(|_| FakeAnswer::real());
    eventually(SOON, "writes are taken again", async || through.put(&path, "{}").await.status == 200).await;
    // Somebody knows better.
    fake.now(half_upgraded);
    let stage = stage.set("clusters.primary.allow_untested_version", true);
    let allowed = stage.gateway().await;
    stage.through(&allowed).put(&path, "{}").await.expect(200);
    assert!(allowed.log().contains("an untested version is used"));
    assert_eq!(allowed.metric("understudy_primary_untested_version", &[]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_an_untested_version_is_not_written() {
    let _alone = alone().await;
    let stage = Stage::new("untested target");
    let fake = Fake::before(stage.backup(), half_upgraded).await;
    let stage = stage.set("clusters.backup.urls", vec![fake.address().to_owned()]);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    // It hurts no writes.
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    eventually(SOON, "it says so", async || consumer.log().contains("Elasticsearch 9.3.0")).await;
    let lags = async || consumer.metric("understudy_lag_records", &[]).await >= 1.0;
    eventually(SOON, "its effects wait", lags).await;
    assert_eq!(consumer.metric("understudy_target_untested_version", &[]).await, 1.0);
    let wrote = fake.requests().iter().any(|request| request.method != "GET");
    assert!(!wrote, "nothing was written: {:?}", fake.requests());
    fake.now(|_| FakeAnswer::real());
    stage.assert_converges(&index).await;
    let known = async || consumer.metric("understudy_target_untested_version", &[]).await == 0.0;
    eventually(SOON, "all is well", known).await;
    drop(consumer);
    fake.now(half_upgraded);
    let stage = stage.set("clusters.backup.allow_untested_version", true);
    let _allowed = stage.consumer().await;
    through.put(&format!("/{index}/_doc/2"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
}

/// One of two nodes hangs: the other one tells of itself alone.
fn half_silent(request: &FakeRequest) -> FakeAnswer {
    if request.path.starts_with("/_nodes") {
        let nodes = r#"{"_nodes":{"total":2,"successful":1,"failed":1},"nodes":{"a":{"version":"7.10.2","build_flavor":"default"}}}"#;
        return FakeAnswer::json(200, nodes);
    }
    FakeAnswer::real()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_say_its_version_keeps_a_cluster_from_being_used_but_stops_nothing() {
    let _alone = alone().await;
    let stage = Stage::new("silent node");
    let (front, back) =
        (Fake::before(stage.primary(), half_silent).await, Fake::before(stage.backup(), half_silent).await);
    let stage = stage
        .set("clusters.primary.urls", vec![front.address().to_owned()])
        .set("clusters.backup.urls", vec![back.address().to_owned()]);
    let gateway = stage.gateway_that_answers().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let path = format!("/{index}/_doc/1");
    let told = async || {
        let reply = through.put(&path, "{}").await;
        reply.status == 503 && reply.text().contains("do not say their version")
    };
    eventually(SOON, "it is refused, and told why", told).await;
    front.now(|_| FakeAnswer::real());
    eventually(SOON, "writes are taken", async || through.put(&path, "{}").await.status == 201).await;
    let consumer = stage.consumer().await;
    eventually(SOON, "it says so", async || consumer.log().contains("do not say their version")).await;
    assert!(stage.lag().await > 0 && back.requests().iter().all(|request| request.method == "GET"));
    back.now(|_| FakeAnswer::real());
    stage.assert_converges(&index).await;
    // The same while they run. The gateway has asked after that.
    front.now(half_silent);
    back.now(half_silent);
    let asked = |fake: &Fake| fake.requests().iter().filter(|request| request.path.starts_with("/_nodes")).count();
    let before = (asked(&front), asked(&back));
    let again = async || asked(&front) > before.0 + 2 && asked(&back) > before.1 + 1;
    eventually(SOON, "both were asked again", again).await;
    through.put(&format!("/{index}/_doc/2"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    assert_eq!(gateway.metric("understudy_writes_open", &[]).await, 1.0);
    // Another one is a stranger for certain, and stays one when it hangs.
    front.now(half_upgraded);
    eventually(SOON, "it is refused", async || through.put(&path, "{}").await.status == 503).await;
    front.now(half_silent);
    let before = asked(&front);
    eventually(SOON, "it was asked again", async || asked(&front) > before + 1).await;
    through.put(&path, "{}").await.expect(503);
}

/// Consumers read from the primary, too: what a stranger answers is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn open_intents_wait_while_the_primary_has_an_untested_version() {
    let _alone = alone().await;
    let stage = Stage::new("untested reads")
        .set("protocol.linger", "2s")
        .set("protocol.stale_primary", "2s")
        .set("protocol.ticket_lifetime", "20s")
        .set("protocol.clock_skew", "1s")
        .set("gateway.intent_timeout", "2s")
        .set("gateway.primary_timeout", "5s")
        .set("gateway.publish_timeout", "5s")
        .set("consumer.reconcile_after", "1s");
    drop(stage.gateway().await);
    let index = stage.index("i");
    stage.primary().put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    let fake = Fake::before(stage.primary(), half_upgraded).await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let intent = serde_json::json!({
        "format": 1, "gateway": "dead", "epoch": 1, "primary": "primary", "targets": ["backup"],
        "documents": [[index, "1"]],
    });
    stage.append("intents", "left", intent.to_string().as_bytes(), &[]).await;
    let consumer = stage.consumer().await;
    let waits = async || consumer.log().contains("open intents wait") && consumer.log().contains("Elasticsearch 9.3.0");
    eventually(SOON, "it says so", waits).await;
    assert!(stage.open_intents().await.contains_key("left"));
    assert!(fake.requests().iter().all(|request| !request.path.contains("_mget")), "no document was read");
    assert!(consumer.metric("understudy_reconciler_failed_looks_total", &[]).await >= 1.0);
    fake.now(|_| FakeAnswer::real());
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
}
