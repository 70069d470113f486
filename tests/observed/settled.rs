//! When a gateway settles its own intents, and when it leaves them open.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, eventually};

use crate::{lines, stage};

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_waits_for_the_second_look() {
    let stage = stage("the second look").set("protocol.settle_after", "3s");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}"), "{}").await.expect(200);
    let begun = std::time::Instant::now();
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    assert_eq!(stage.open_intents().await.len(), 1, "acknowledged, and not settled yet");
    stage.wait_settled().await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// The master shows a change of settings a moment after nodes act on it: here, after the guard has looked.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_before_the_second_look_leaves_the_intent_to_the_reconciler() {
    let stage = stage("changes before the second look").set("protocol.settle_after", "4s");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}"), "{}").await.expect(200);
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    let settings = json!({"index.refresh_interval": "7s"}).to_string();
    stage.primary().put(&format!("/{index}/_settings"), settings).await.expect(200);
    let left = async || gateway.metric("understudy_intents_left_open_total", &[]).await == 1.0;
    eventually(Duration::from_secs(20), "the gateway leaves the intent open", left).await;
    assert_eq!(stage.open_intents().await.len(), 1);
    let _consumer = stage.consumer().await;
    stage.wait_settled().await;
    assert_eq!(lines(&stage).await.last().map(String::as_str), Some("{\"0\":{\"observed\":true}}"));
    stage.assert_converges(&index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_settled_by_the_reconciler_alone() {
    let stage = stage("unknown outcomes");
    let script = |request: &FakeRequest| {
        let cuts = request.method == "PUT" && request.path.contains("/_doc/cut");
        if cuts { FakeAnswer::real().reset() } else { FakeAnswer::real() }
    };
    let fake = Fake::before(stage.primary(), script).await;
    let through_fake = stage.folder().join("through-fake.toml");
    let config = std::fs::read_to_string(stage.config()).unwrap();
    let real = stage.stack().address("primary");
    std::fs::write(&through_fake, config.replace(&real, fake.address())).unwrap();
    let gateway = stage.gateway_with(&through_fake).await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let open = async || through.put(&format!("/{index}/_doc/first"), "{}").await.status == 201;
    eventually(Duration::from_secs(20), "the gateway takes writes", open).await;
    let reply = through.put(&format!("/{index}/_doc/cut"), "{\"n\":1}").await;
    assert!(reply.status == 500 && reply.error_type() == "outcome_unknown_exception", "{reply}");
    let request = reply.header("understudy-request-id").to_owned();
    let _consumer = stage.consumer().await;
    let on_the_backup = async || stage.backup().get(&format!("/{index}/_doc/cut")).await.status == 200;
    eventually(Duration::from_secs(20), "the first look brings it", on_the_backup).await;
    assert!(stage.open_intents().await.contains_key(&request), "the request may still linger");
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
}
