//! What is applied, and what is not.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Stage, eventually};

use crate::{SOON, effect, publish, uuid};

const NOW: Duration = Duration::ZERO;

/// A stage whose index exists on both sides, with one document.
async fn prepared(name: &str) -> (Stage, understudy_tests::Process, understudy_tests::Process, String, String) {
    let stage = Stage::new(name);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/first"), "{\"n\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    let uuid = uuid(&stage.primary(), &index).await;
    (stage, gateway, consumer, index, uuid)
}

async fn counted(consumer: &understudy_tests::Process, verdict: &str) -> f64 {
    consumer.metric("understudy_effects_total", &[("verdict", verdict)]).await
}

async fn source(stage: &Stage, index: &str, id: &str) -> serde_json::Value {
    stage.backup().get(&format!("/{index}/_doc/{id}")).await.json()["_source"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_effects_in_the_wrong_order_the_greater_stays() {
    let (stage, _gateway, consumer, index, uuid) = prepared("the greater stays").await;
    publish(&stage, &uuid, 1, &[effect(&index, "a", 20, Some("{\"n\":20}"))], NOW).await;
    publish(&stage, &uuid, 1, &[effect(&index, "a", 10, Some("{\"n\":10}"))], NOW).await;
    publish(&stage, &uuid, 1, &[effect(&index, "b", 22, None)], NOW).await;
    stage.wait_drained().await;
    // The target forgets its deletes, as if its node had been started anew; the window does not.
    stage.backup().put(&format!("/{index}/_settings"), json!({"index.gc_deletes": "0s"}).to_string()).await.expect(200);
    publish(&stage, &uuid, 1, &[effect(&index, "b", 21, Some("{\"n\":21}"))], NOW).await;
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "a").await, json!({"n": 20}));
    assert!(source(&stage, &index, "b").await.is_null(), "a delete is not undone by an older put");
    eventually(SOON, "it is counted", async || counted(&consumer, "stale").await >= 1.0).await;
    // A put that is newer than the delete is no resurrection.
    publish(&stage, &uuid, 1, &[effect(&index, "b", 30, Some("{\"n\":30}"))], NOW).await;
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "b").await, json!({"n": 30}));
}

/// The window lives in a process; another one builds it anew from the log.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_rebuilt_after_a_restart() {
    let (stage, _gateway, mut consumer, index, uuid) = prepared("the window is rebuilt").await;
    publish(&stage, &uuid, 1, &[effect(&index, "b", 22, None)], NOW).await;
    stage.wait_drained().await;
    stage.backup().put(&format!("/{index}/_settings"), json!({"index.gc_deletes": "0s"}).to_string()).await.expect(200);
    consumer.restart().await;
    publish(&stage, &uuid, 1, &[effect(&index, "b", 21, Some("{\"n\":21}"))], NOW).await;
    stage.wait_drained().await;
    assert!(source(&stage, &index, "b").await.is_null(), "a delete is not undone by an older put");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_came_too_late_after_its_ticket_is_void() {
    let (stage, _gateway, consumer, index, uuid) = prepared("late effects are void").await;
    publish(&stage, &uuid, 1, &[effect(&index, "late", 50, Some("{\"n\":1}"))], Duration::from_secs(61)).await;
    publish(&stage, &uuid, 1, &[effect(&index, "just", 51, Some("{\"n\":1}"))], Duration::from_secs(50)).await;
    stage.wait_drained().await;
    assert!(source(&stage, &index, "late").await.is_null());
    assert_eq!(source(&stage, &index, "just").await, json!({"n": 1}));
    eventually(SOON, "it is counted", async || counted(&consumer, "void").await == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivered_records_change_nothing() {
    let (stage, _gateway, mut consumer, index, uuid) = prepared("redelivery changes nothing").await;
    let effects = [effect(&index, "a", 20, Some("{\"n\":20}")), effect(&index, "c", 21, Some("{\"n\":21}"))];
    for _ in 0..3 {
        publish(&stage, &uuid, 1, &effects, NOW).await;
        consumer.restart().await;
    }
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "a").await, json!({"n": 20}));
    let got = stage.backup().get(&format!("/{index}/_doc/a")).await.json();
    assert_eq!(got["_version"].as_u64().unwrap() & ((1 << 40) - 1), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_refuses_for_good_is_a_dead_letter_with_its_reason() {
    let (stage, _gateway, consumer, index, uuid) = prepared("dead letters").await;
    let effects = [
        effect(&index, "good", 60, Some("{\"n\":5}")),
        effect(&index, "bad", 61, Some("{\"n\":\"no number\"}")),
        effect(&index, "good-too", 62, Some("{\"n\":6}")),
    ];
    publish(&stage, &uuid, 1, &effects, NOW).await;
    let (partition, offset) =
        stage.append("target.backup", "foreign", b"not a bulk body", &[("who", "stranger")]).await;
    stage.append("target.backup", "empty", b"", &[("understudy-format", "1"), ("understudy-kind", "effects")]).await;
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "good").await, json!({"n": 5}));
    assert_eq!(source(&stage, &index, "good-too").await, json!({"n": 6}));
    assert!(source(&stage, &index, "bad").await.is_null());

    let dead = stage.records("dead.backup").await;
    assert_eq!(dead.len(), 3, "{dead:?}");
    let bad = dead.iter().find(|record| record.text().contains("no number")).expect("the effect itself");
    assert_eq!(bad.lines().len(), 2, "its own lines alone: {}", bad.text());
    assert_eq!(bad.headers["understudy-dead-status"], "400");
    // The second is the name that Elasticsearch 8 has for it.
    let kinds = ["mapper_parsing_exception", "document_parsing_exception"];
    assert!(kinds.contains(&bad.headers["understudy-dead-type"].as_str()), "{:?}", bad.headers);
    assert!(bad.headers["understudy-dead-reason"].contains("[n]"), "{:?}", bad.headers);
    assert!(!bad.headers["understudy-request"].is_empty());
    let foreign = dead.iter().find(|record| record.key_text() == "foreign").expect("the foreign record");
    assert_eq!(foreign.text(), "not a bulk body");
    assert_eq!(foreign.headers["who"], "stranger");
    assert_eq!(foreign.headers["understudy-dead-partition"], partition.to_string());
    assert_eq!(foreign.headers["understudy-dead-offset"], offset.to_string());
    assert!(foreign.headers["understudy-dead-reason"].contains("understudy-format"), "{:?}", foreign.headers);
    eventually(SOON, "they are counted", async || consumer.metric("understudy_dead_letters_total", &[]).await == 3.0)
        .await;
}

/// rdkafka panics at a header whose name is no text; nobody can stop a stranger from writing one.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_garbled_headers_is_a_dead_letter_and_nothing_stops() {
    let (stage, gateway, consumer, index, _) = prepared("garbled headers").await;
    let topic = stage.topic("target.backup");
    let mut kcat = std::process::Command::new("kcat");
    kcat.args(["-P", "-b", stage.kafka().bootstrap(), "-t", &topic, "-p", "0", "-k", "garbled", "-H"]);
    kcat.arg(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe=v"));
    kcat.stdin(std::process::Stdio::piped());
    let mut child = kcat.spawn().expect("kcat is there");
    std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"value").expect("it reads");
    assert!(child.wait().expect("it ends").success());
    stage.through(&gateway).put(&format!("/{index}/_doc/after"), "{\"n\":2}").await.expect(201);
    stage.assert_converges(&index).await;
    eventually(SOON, "it is a dead letter", async || {
        consumer.metric("understudy_dead_letters_total", &[]).await == 1.0
    })
    .await;
}

/// An id under two routings is one document where both lead to the same shard: a late put under the one does not undo the
/// delete under the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_put_under_another_routing_resurrects_nothing() {
    let (stage, _gateway, _consumer, index, uuid) = prepared("another routing").await;
    let mut put = effect(&index, "a", 20, Some("{\"n\":20}"));
    put.key.routing = Some("r".into());
    publish(&stage, &uuid, 1, &[effect(&index, "a", 22, None)], NOW).await;
    stage.wait_drained().await;
    stage.backup().put(&format!("/{index}/_settings"), json!({"index.gc_deletes": "0s"}).to_string()).await.expect(200);
    publish(&stage, &uuid, 1, &[put], NOW).await;
    stage.wait_drained().await;
    assert!(source(&stage, &index, "a").await.is_null(), "a delete is not undone by an older put");
}

/// A request's id leads from the client through the log to the consumer's own log.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_be_followed_to_the_target() {
    let (stage, gateway, consumer, index, _) = prepared("a request can be followed").await;
    let reply = stage.through(&gateway).put(&format!("/{index}/_doc/traced"), "{\"n\":1}").await.expect(201);
    let id = reply.header("understudy-request-id").to_owned();
    stage.wait_drained().await;
    assert!(stage.records("target.backup").await.iter().any(|record| record.headers["understudy-request"] == id));
    assert!(gateway.log().contains(&id));
    eventually(SOON, "the consumer's log names it", async || consumer.log().contains(&id)).await;
}
