//! The primary is away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Servers, Stage, eventually};

use super::{SOON, intent, leave_open, published, stage, with_short_times};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_primary_is_down_intents_wait_and_its_new_terms_rest() {
    let servers = Servers::take().await;
    let stage = stage("primary away").await;
    let (primary, index) = (stage.primary(), stage.index("i"));
    primary.put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    servers.kill("primary").await;
    leave_open(&stage, "request-1", &intent(json!([[index, "1"], [index, "absent"]]))).await;
    let consumer = stage.consumer().await;
    let waits = async || consumer.log().contains("open intents wait");
    eventually(SOON, "it waits for the primary", waits).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(consumer.log().matches("open intents wait").count(), 1, "told once: {}", consumer.log());
    assert!(consumer.metric("understudy_reconciler_failed_looks_total", &[]).await >= 2.0);
    assert!(stage.open_intents().await.contains_key("request-1"));
    assert!(published(&stage, "request-1").await.is_empty());

    servers.start("primary").await;
    stage.wait_settled().await;
    assert!(consumer.log().contains("looked after again"), "{}", consumer.log());
    // Its shard has a new primary term, which another copy could have held: it was not believed at once.
    let unknown = consumer.metric("understudy_reconciler_documents_total", &[("found", "unknown")]).await;
    assert!(unknown >= 2.0, "{unknown}");
    let effects = published(&stage, "request-1").await;
    assert!(effects.contains(&"index 1".to_owned()) && effects.contains(&"delete absent".to_owned()), "{effects:?}");
    let last = stage.records("target.backup").await.pop().expect("a record");
    let version = last.lines()[0].as_object().and_then(|action| action.values().next()?["version"].as_u64());
    assert_eq!(version.map(|version| version >> 40 & 0x1fff), Some(2), "the term: {last:?}");
    stage.wait_drained().await;
    stage.backup().get(&format!("/{index}/_doc/1")).await.expect(200);
}

/// A cluster that was started a moment ago says who it is, and shows no index. What seems absent then is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_has_not_read_its_indices_yet_is_not_believed() {
    let _servers = Servers::take().await;
    let stage = with_short_times(Stage::new("not recovered"));
    let (primary, index) = (stage.primary(), stage.index("i"));
    let state = primary.get("/_cluster/state/version").await.expect(200).json();
    let blocked = json!({
        "cluster_uuid": state["cluster_uuid"],
        "version": state["version"],
        "state_uuid": state["state_uuid"],
        "blocks": {"global": {"1": {"description": "state not recovered / initialized", "retryable": true}}},
    });
    let recovering = Arc::new(AtomicBool::new(false));
    let script = {
        let recovering = recovering.clone();
        move |request: &FakeRequest| {
            let is_asked = request.path.starts_with("/_cluster/state/") && recovering.load(Ordering::Acquire);
            if is_asked { FakeAnswer::json(200, blocked.to_string()) } else { FakeAnswer::real() }
        }
    };
    let fake = Fake::before(stage.primary(), script).await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    drop(stage.gateway().await);
    primary.put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    recovering.store(true, Ordering::Release);
    leave_open(&stage, "request-1", &intent(json!([[index, "1"]]))).await;
    let consumer = stage.consumer().await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(stage.open_intents().await.contains_key("request-1"), "{}", consumer.log());
    assert!(consumer.log().contains("does not know its indices yet"), "{}", consumer.log());
    recovering.store(false, Ordering::Release);
    stage.wait_settled().await;
    assert!(published(&stage, "request-1").await.contains(&"index 1".to_owned()), "{}", consumer.log());
}
